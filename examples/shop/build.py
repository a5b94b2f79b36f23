"""Builds the artifact of one version of the shop: `python -m examples.shop.build VERSION DIRECTORY`.

The same version gives the same bytes wherever and whenever it is built, so its digest is always the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_FILES = ("__init__.py", "app.py", "page.html", "page.py", "switch.py")

# Dark enough for white text on them (contrast of 4.5 and more).
_COLOURS = ("#1f5fa8", "#7a3e9d", "#0b6e6e", "#8a4b08", "#a12a5e", "#2f6b1f", "#4a4fb5", "#8c2f1b")
_CHANGES = (
    "Prices are shown with tax",
    "The basket remembers what you put in",
    "Pictures load sooner",
    "The order number is shown after buying",
    "Buttons can be reached by keyboard alone",
    "Reading lamps are back in stock",
    "The page works on small screens",
    "Fewer questions before you can buy",
    "Postage is cheaper from € 30",
    "A clearer message when something is sold out",
)

_MANIFEST = {"command": ["python3", "-m", "shop.app", "--port", "{port}"], "env": {}, "health": "/healthz"}


def build(version: str, out_dir: Path, changes: Sequence[str] | None = None) -> Path:
    """Make the artifact directory of `version` under `out_dir` and return it; one that is there is replaced.

    `changes` are the lines under "New in this version"; where none are given, some are made up from the version.
    """
    seed = hashlib.sha256(version.encode()).digest()
    if changes is None:
        first = seed[1] % len(_CHANGES)
        changes = [_CHANGES[(first + step * 3) % len(_CHANGES)] for step in range(2 + seed[2] % 2)]
    about = {"version": version, "colour": _COLOURS[seed[0] % len(_COLOURS)], "changes": list(changes)}
    out_dir.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".build-", dir=out_dir))
    (fresh / "shop").mkdir()
    for name in _FILES:
        shutil.copyfile(_HERE / name, fresh / "shop" / name)
    for name, content in (("shop/version.json", about), ("andon-artifact.json", _MANIFEST)):
        (fresh / name).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    for path in (fresh, *fresh.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    final = out_dir / _directory_name(version)
    shutil.rmtree(final, ignore_errors=True)
    fresh.rename(final)
    return final


def _directory_name(version: str) -> str:
    # A version is what people call it: text that may hold anything, and is no path.
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", version):
        return f"shop-{version}"
    return f"shop-{hashlib.sha256(version.encode()).hexdigest()[:16]}"


def main() -> None:
    """Build one version and print where it is."""
    parser = argparse.ArgumentParser(description="build one version of the example shop")
    parser.add_argument("version")
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    print(build(options.version, options.directory))


if __name__ == "__main__":
    main()
