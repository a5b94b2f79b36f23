"""`make chaos`: a long storm, a table of what it did, and exit code 1 with the seed if anything is wrong."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests import postgres
from tests.chaos.storm import EVERYTHING, Weather
from tests.chaos.telling import weathered


def main() -> int:
    """Read SECONDS and SEED, and let it storm."""
    seconds = float(os.environ.get("STORM") or 300)
    seed = os.environ.get("SEED") or str(int(time.time()))
    logging.disable(logging.CRITICAL)
    path = Path(tempfile.mkdtemp(prefix="andon-chaos-"))
    print(f"Two replicas, {seconds:.0f} s, seed {seed}; logs in {path}", flush=True)
    with postgres.running() as server:
        blows = {name: EVERYTHING[name] for name in os.environ.get("BLOWS", "").split(",") if name} or EVERYTHING
        weather = Weather(seconds=seconds, seed=seed, blows=blows)
        verdict = asyncio.run(weathered(path, server, weather, lambda line: print(f"  {line}", flush=True)))
    for name, figure in verdict.figures.items():
        print(f"{name:28} {figure}")
    for sentence in verdict.wrong:
        print(f"WRONG: {sentence}")
    if verdict.wrong:
        print(f"Again with the same dice: make chaos SEED={seed} STORM={seconds:.0f}; the logs stay in {path}")
        return 1
    shutil.rmtree(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
