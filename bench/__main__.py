"""Everything in its order, each a process of its own, then one table: `python -m bench [--quick] [--results FILE]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench import figures

MODULES: Final = ("ack", "transitions", "engines", "stages", "alarms", "growth", "memory", "starts", "simulations")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of each: does it work")
    parser.add_argument("--results", type=Path, help="where to write them [bench/results.json; with --quick nowhere]")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"only these, of {', '.join(MODULES)}")
    given = parser.parse_args(argv)
    if unknown := sorted(set(given.modules) - set(MODULES)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(MODULES)}")
    words = ["--quick"] if given.quick else []
    words += ["--results", str(given.results)] if given.results else []
    failed = []
    for name in given.modules or MODULES:
        print(f"\n== {name}", flush=True)
        begun = time.monotonic()
        # One that fails is no reason not to measure the others.
        if subprocess.run([sys.executable, "-m", f"bench.{name}", *words], check=False).returncode:
            failed.append(name)
        print(f"   ({time.monotonic() - begun:.0f} s)", flush=True)
    results = given.results or (None if given.quick else figures.RESULTS)
    if results is not None and results.exists():
        print("\n== all figures\n")
        figures.main([str(results)])
    if failed:
        print(f"\nNo figures came of {', '.join(failed)}: what each said is above.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
