"""What a long-lived process does once so that it answers evenly: quick log lines, short turns of threads, no collector.

All are settings of Python, not of Andon. A full collection walks every object there is: with thousands of pipelines
in memory that is tens of milliseconds in which nobody is answered.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import sys
from typing import Final

FORM: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
QUIET: Final = ("alembic", "apscheduler", "httpx2", "slack_bolt", "slack_sdk")
"""Libraries that write a line for every job and every request."""
YOUNG: Final = 10_000
"""Objects made before the youngest are looked through: a request makes some hundreds, nearly all without cycles."""
TURN_SECONDS: Final = 0.0005


def begin_logging(level: str) -> None:
    """Write log lines to standard error; raises ValueError for a level that does not exist."""
    logging.basicConfig(level=level, format=FORM)
    # Nothing in the form asks for these, and finding the caller costs as much as all the rest of a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - as the library's manual has it, under "Optimization"
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def take_short_turns() -> None:
    """Let threads take turns at the interpreter ten times as often as they would.

    The writing thread lets go of it at every statement. Python's five milliseconds until it may have it back are longer
    than a whole decision takes, and while the loop had enough to do each statement cost as much.
    """
    sys.setswitchinterval(TURN_SECONDS)


def rest_collector() -> None:
    """Call when everything stands: what is there now will stay, so it is never walked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)


def give_back() -> None:
    """Give the system what was needed at the start only, where its C library can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
