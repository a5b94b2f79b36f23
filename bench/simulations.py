"""How fast a company is simulated: deployments a second of `andon simulate`, all by the rules Andon runs.

    python -m bench.simulations [--quick] [--results FILE]

From the start of the command to its end, with as many processes as it takes by itself. The same seed must come to the
same result in every round.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench import figures
from bench.figures import alone

SEED: Final = 7


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rounds, and deployments in each."""

    rounds: int
    deployments: int


FULL: Final = Plan(rounds=3, deployments=20_000)
QUICK: Final = Plan(rounds=1, deployments=500)


def simulated(deployments: int) -> tuple[dict[str, Any], float]:
    """What a simulation says, and the seconds it took from start to end."""
    words = ["-m", "bot.cli", "simulate", "--deployments", str(deployments), "--seed", str(SEED), "--json"]
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"`andon simulate` ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told, seconds


def main(argv: Sequence[str] | None = None) -> int:
    given = figures.asked(__doc__, argv)
    load_before, plan = figures.load_average(), QUICK if given.is_quick else FULL
    rates: list[float] = []
    first: dict[str, Any] | None = None
    for _ in range(plan.rounds):
        told, seconds = simulated(plan.deployments)
        steady = {name: value for name, value in told.items() if "second" not in name}
        if first is not None and steady != first:
            raise SystemExit("The same seed came to two results.")
        first = steady
        rates.append(plan.deployments / seconds)
    shown = [alone("simulated_deployments_per_s", rates, "/s")]
    figures.report("simulations", shown, given.results, load_before=load_before, rounds=plan.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
