"""`andon audit verify`: ask the running Andon whether the chain of its audit log is whole."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """The command line; exit code 1 if a chain is broken."""
    from bot import shell

    parser = argparse.ArgumentParser(prog="andon audit", description=__doc__)
    parser.add_argument("action", choices=["verify"])
    parser.parse_args(argv)
    try:
        return shell.verify_audit()
    except shell.Unreachable as error:
        sys.stderr.write(f"{error}\n")
        return shell.UNREACHABLE
