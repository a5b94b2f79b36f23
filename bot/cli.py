"""The `andon` command: what one says in Slack, and what an operator needs. Every verb imports only what it uses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches

SPOKEN = (
    "status", "why", "promote", "pause", "resume", "rollback", "approve", "reject", "override", "lift", "reconcile",
    "retry", "cancel", "ack", "history", "freeze", "unfreeze", "freezes", "services", "owner", "help",
)  # fmt: skip
"""Verbs that go to Andon word for word, as `/release …` would."""
OPERATED = ("announce", "apply", "init", "token", "run", "check", "simulate", "manifest", "preview", "audit")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["release"]:
        words = words[1:]
    if words and words[0].lower() in SPOKEN:
        return _speak(words)
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0 if words else 2
    if words[0] not in OPERATED:
        near = get_close_matches(words[0], [*SPOKEN, *OPERATED], n=2, cutoff=0.5)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        sys.stderr.write(f"andon does not know `{words[0]}`.{meant} `andon --help` lists what it knows.\n")
        return 2
    return _operate(words)


USAGE = """\
andon: a safe release line, and the cord to stop it

  What you would say in Slack (ANDON_URL and ANDON_TOKEN say where and who):
    status [SERVICE] · why SERVICE · history SERVICE
    promote SERVICE [VERSION] [to STAGE] · approve SERVICE · reject SERVICE REASON
    pause SERVICE [in STAGE] [for 2h] REASON · resume SERVICE
    rollback SERVICE [in STAGE or everywhere] [to VERSION] REASON
    freeze SERVICE|TEAM|everything [until T] REASON · unfreeze · freezes
    override · lift · reconcile · retry · cancel · ack · help            (add --json for programs)
    services [TEAM] · owner SERVICE          the catalogue of services

  For pipelines:
    announce SERVICE VERSION --artifact …    tell Andon that a version exists
    init                                     write a careful first pipeline for a service
    apply FILE… [--dry-run]                  put definitions in force, or see what they would change
    token create|list|revoke                 tokens for CI, alarms and shells

  For operators:
    run                 the bot itself
    check FILE…         look for mistakes, and draw the line a definition would run
    simulate [FILE]     years of releases in a minute: a company, or what your own pipeline would do
    manifest [--http URL] [--install URL]
                        the Slack app manifest, for Socket Mode or HTTP; --install for installing by OAuth
    preview TEMPLATE    a message as JSON
    audit verify        check the chain of the audit log
"""


def _speak(words: list[str]) -> int:
    from bot import shell

    as_json = "--json" in words
    try:
        return shell.command([w for w in words if w != "--json"], as_json=as_json)
    except shell.Unreachable as error:
        sys.stderr.write(f"{error}\n")
        return shell.UNREACHABLE


def _operate(words: list[str]) -> int:
    # All but these two read their own arguments; argparse would take options before the first word for its own.
    arguments = _parser().parse_args(words if words[0] in ("announce", "apply", "token") else words[:1])
    match arguments.verb:
        case "announce" | "apply" | "token":
            return _over_http(arguments)
        case "run":
            from bot.run import run

            return run()
        case "init":
            from bot.first_line import main as init

            return init(words[1:])
        case "check":
            from bot.check import main as check

            return check(words[1:])
        case "simulate":
            from bot.simulate import main as simulate

            return simulate(words[1:])
        case "manifest":
            from bot import manifest

            given = {flag: words[words.index(flag) + 1] for flag in ("--http", "--install") if flag in words[:-1]}
            made = manifest.manifest(public_url=given.get("--http", ""), install_url=given.get("--install", ""))
            sys.stdout.write(manifest.as_yaml(made))
            return 0
        case "preview":
            from bot.preview import main as preview

            return preview(words[1:])
        case _:
            from bot.audit import main as audit

            return audit(words[1:])


def _over_http(arguments: argparse.Namespace) -> int:
    from bot import shell

    try:
        if arguments.verb == "token":
            given = {
                "name": arguments.name,
                "actor": arguments.actor or arguments.name,
                "scopes": arguments.scope,
                "days": arguments.days,
                "id": arguments.id,
            }
            return shell.tokens(arguments.action, given)
        if arguments.verb == "apply":
            return shell.apply(
                arguments.files, dry_run=arguments.dry_run, revision=arguments.revision, as_json=arguments.json
            )
        return shell.announce(_announcement(arguments), as_json=arguments.json)
    except shell.Unreachable as error:
        sys.stderr.write(f"{error}\n")
        return shell.UNREACHABLE


def _announcement(arguments: argparse.Namespace) -> dict[str, object]:
    authors = arguments.author
    changes = [_change(text, authors) for text in arguments.change]
    if authors and not changes:
        changes = [{"id": arguments.commit or arguments.version, "title": "", "authors": authors}]
    return {
        "service": arguments.service,
        "version": arguments.version,
        "artifact": arguments.artifact,
        "digest": arguments.digest,
        "commit": arguments.commit,
        "url": arguments.url,
        "changes": changes,
        "fixes": arguments.fixes,
        "reverts": arguments.reverts,
        "ancestors": arguments.contains,
        "one_way": arguments.one_way,
    }


def _change(text: str, authors: list[str]) -> dict[str, object]:
    """`ID: title` or `ID: title (author, author)`; --author stands for every change that names none."""
    identifier, _, rest = text.partition(":")
    title, own = rest.strip(), authors
    if title.endswith(")") and "(" in title:
        title, _, names = title[:-1].rpartition("(")
        own = [name.strip() for name in names.split(",") if name.strip()]
    return {"id": identifier.strip() or text, "title": title.strip(), "authors": own}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="andon", description="A safe release line, and the cord to stop it.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    new = verbs.add_parser("announce", help="tell Andon that a version exists")
    new.add_argument("service")
    new.add_argument("version")
    new.add_argument("--artifact", required=True, help="directory, archive, image: whatever the deployer takes")
    new.add_argument("--digest", default="", help="sha256:… where the deployer cannot tell it itself")
    new.add_argument("--commit", default="")
    new.add_argument("--url", default="", help="release notes, compare link")
    new.add_argument("--change", action="append", default=[], metavar="'ID: TITLE (AUTHOR, …)'")
    new.add_argument("--author", action="append", default=[], help="e-mail or login behind the changes")
    new.add_argument("--fixes", action="append", default=[], metavar="VERSION", help="a bad version that this mends")
    new.add_argument(
        "--contains",
        action="append",
        metavar="VERSION",
        help="a version it was built upon: the nearest, or all of them",
    )
    new.add_argument("--reverts", action="append", default=[], metavar="COMMIT", help="a commit that this takes back")
    new.add_argument("--one-way", action="store_true", help="must never be rolled back automatically (a migration)")
    new.add_argument("--json", action="store_true")
    apply = verbs.add_parser("apply", help="put definitions in force")
    apply.add_argument("files", nargs="+", metavar="FILE", help="pipeline files; - for standard input")
    apply.add_argument("--dry-run", action="store_true", help="compare only; nothing is applied")
    apply.add_argument("--revision", default="", help="the revision this was made from; refused if it is another now")
    apply.add_argument("--json", action="store_true")
    token = verbs.add_parser("token", help="tokens for CI, alarms and shells")
    token.add_argument("action", choices=["create", "list", "revoke"])
    token.add_argument("id", nargs="?", default="")
    token.add_argument("--name", default="token")
    token.add_argument("--actor", default="", help="a person of the organisation file, or the name of a machine")
    token.add_argument(
        "--scope", action="append", default=[], help="read, act, announce[:SERVICE], define[:SERVICE], alarms, admin"
    )
    token.add_argument("--days", type=int, default=90)
    for verb, text in {
        "run": "the bot itself",
        "init": "write a careful first pipeline",
        "check": "look for mistakes in definitions, and draw the line",
        "simulate": "years of releases in a minute",
        "manifest": "the Slack app manifest",
        "preview": "a message as JSON",
        "audit": "check the chain of the audit log",
    }.items():
        verbs.add_parser(verb, help=text, add_help=False).add_argument("rest", nargs=argparse.REMAINDER)
    return parser


if __name__ == "__main__":
    sys.exit(main())
