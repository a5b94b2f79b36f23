"""One look at an address, as canaries and tests take it: is the answer what was wanted?

Any request that fails is a bad answer; redirects are answers like others and never followed. What is said of a failure
names neither the address nor what was answered, because both may carry secrets.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import aiohttp

MOST_READ = 262_144
"""Bytes of an answer in which a text is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked, and which answer is good; `statuses` as in `200-299,304`."""

    url: str
    method: str = "GET"
    statuses: str = "200-399"
    text: str = ""
    timeout: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it: how long it took; in `reason` what was wrong, if anything; `is_heard` if anything answered."""

    took: timedelta
    reason: str = ""
    is_heard: bool = True

    @property
    def is_good(self) -> bool:
        """Whether nothing was wrong."""
        return not self.reason


async def look(session: aiohttp.ClientSession, wanted: Wanted) -> Answer:
    """Ask once."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    reason, is_heard = "", False
    try:
        async with session.request(
            wanted.method,
            wanted.url,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=wanted.timeout.total_seconds()),
        ) as response:
            is_heard = True
            if not matches(response.status, wanted.statuses):
                reason = f"it answered {response.status}, not {wanted.statuses}"
            elif wanted.text and wanted.text not in await _text(response):
                reason = "its answer lacks the expected text"
    except TimeoutError:
        reason = f"no answer within {wanted.timeout.total_seconds():g} s"
    except aiohttp.ClientConnectorCertificateError:
        reason = "its certificate is not trusted"
    except aiohttp.ClientSSLError:
        reason = "no secure connection"
    except aiohttp.ClientConnectorDNSError:
        reason = "its name could not be resolved"
    except aiohttp.ClientConnectorError:
        reason = "no connection"
    except (aiohttp.ClientError, OSError, ValueError):
        reason = "the connection broke"
    return Answer(timedelta(seconds=loop.time() - began), reason, is_heard)


def matches(status: int, statuses: str) -> bool:
    """Whether a status is among `200-299,304`."""
    for part in statuses.split(","):
        first, _, last = part.partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False


async def _text(response: aiohttp.ClientResponse) -> str:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= MOST_READ:
            break
    return body[:MOST_READ].decode("utf-8", errors="replace")
