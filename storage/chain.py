"""The hash chain that makes a pipeline's history tamper-evident, and lets words be erased without breaking it.

    digest = sha256(salt ‖ what people wrote: name, body, answer, sentence)
    chain  = sha256(previous chain ‖ facts: pipeline, number, time, kind, who, how, release, refused … and the digest)

Erasing forgets the words and the salt: without the salt the digest says nothing about what was written, and the chain
needs only the digest. Who acted (an id, not a name) is a fact and stays: an audit log that cannot say who is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

START = "0" * 64
"""What the first event of a pipeline is chained to."""


class Link(NamedTuple):
    """The part of an event row the chain speaks of, in the order in which it does; instants in microseconds."""

    pipeline_id: str
    seq: int
    at: int
    actor: str
    via: str
    kind: str
    schema: int
    release: str
    refused: bool
    dedupe_key: str | None
    world_revision: int

    def chained(self, previous: str, digest: str) -> str:
        """The link's hash."""
        *facts, dedupe_key, world_revision = self
        return sha256(previous.encode() + _canonical((*facts, dedupe_key or "", world_revision, digest))).hexdigest()


def digest_of(salt: bytes, words: tuple[str, str, str, str]) -> str:
    """The hash of what was written: name, body, answer, sentence."""
    return sha256(salt + _canonical(words)).hexdigest()


def plain(words: str) -> str:
    """Words as any database keeps them: PostgreSQL refuses NUL, every one refuses half characters."""
    if words.isascii() and "\0" not in words:
        return words
    return words.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _canonical(values: Iterable[object]) -> bytes:
    """Each value with its length before it: no two lists of values are one text."""
    return "".join([f"{len(text)}:{text}," for text in map(str, values)]).encode()
