"""How long things take to start: the shell's verbs, and the bot until it serves, beside importing the whole of it.

python -m bench.starts [--quick] [--results FILE]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench import company, figures
from bench.figures import over
from bench.processes import Server, seconds_to_run

IMPORT: Final = "import of the whole bot"
PROGRAMS: Final = {
    "andon --help": ("-m", "bot.cli", "--help"),
    "andon status": ("-m", "bot.cli", "status"),
    IMPORT: ("-c", "import bot.run, bot.app, bot.cli, integrations.processes.deployer"),
    "nothing at all": ("-c", "pass"),
}
ROUNDS: Final = 9
QUICK_ROUNDS: Final = 2
READY: Final = "andon run, 64 services"


def main(argv: Sequence[str] | None = None) -> int:
    given = figures.asked(__doc__, argv)
    load_before, rounds = figures.load_average(), QUICK_ROUNDS if given.is_quick else ROUNDS
    took: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as name:
        folder = Path(name)
        company.prepare(folder)
        running = company.environment(folder, folder / "state")
        sink = Server(["-m", "bench.servers", "sink"], {}, folder / "sink.log", None)
        try:
            running |= {
                "SLACK_API_URL": f"http://127.0.0.1:{sink.port}/api/",
                "SLACK_BOT_TOKEN": company.BOT_TOKEN,
                "SLACK_SIGNING_SECRET": company.SIGNING_SECRET,
            }
            environment = {"ANDON_URL": f"http://127.0.0.1:{sink.port}", "ANDON_TOKEN": "token"}
            for _ in range(rounds):
                for program, arguments in PROGRAMS.items():
                    took[program].append(seconds_to_run(arguments, environment) * 1000)
                begun = time.perf_counter()
                server = Server(["-m", "bench.servers", "andon"], running, folder / "andon.log", None)
                took[READY].append((time.perf_counter() - begun) * 1000)
                server.kill()
        finally:
            sink.kill()
    for program, times in took.items():
        print(f"{program:<28}{figures.in_words(times, 'ms'):>12}")
    shown = [
        over("shell_vs_import", took["andon status"], took[IMPORT], "ms"),
        over("help_vs_import", took["andon --help"], took[IMPORT], "ms"),
        over("ready_64_services_vs_import", took[READY], took[IMPORT], "ms"),
    ]
    figures.report("starts", shown, given.results, load_before=load_before, rounds=rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
