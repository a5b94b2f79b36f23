"""The canary: what a window of looks says, and that it looks and reports on time against a real server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from core.errors import TransientError
from core.ports import AlarmState
from integrations.canary import Canary, CanaryConfig, CanaryReading, Probe, judge, next_tick, percentile

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OK, RED, UNKNOWN = AlarmState.OK, AlarmState.ALARM, AlarmState.UNKNOWN


def config(**more: object) -> CanaryConfig:
    return CanaryConfig.model_validate({"url": "http://127.0.0.1:9/health", **more})


def looks(*good: bool, every: float = 1.0, took: float = 20) -> list[Probe]:
    """Looks up to noon, oldest first."""
    return [
        Probe(NOON - timedelta(seconds=every * (len(good) - 1 - n)), timedelta(milliseconds=took), "" if ok else "503")
        for n, ok in enumerate(good)
    ]


# ---- what a window says ---------------------------------------------------------------------------------------------


def test_too_few_looks_know_nothing():
    assert judge([], config(), NOON).state is UNKNOWN
    verdict = judge(looks(False, False), config(minimum=3), NOON)
    assert (verdict.state, verdict.points) == (UNKNOWN, 2)
    assert verdict.sentence == "only 2 of 3 looks needed were made"


def test_good_looks_are_ok():
    verdict = judge(looks(*[True] * 10), config(), NOON)
    assert (verdict.state, verdict.points, verdict.success_rate) == (OK, 10, 100)
    assert verdict.sentence == "100 % of 10 looks are good, p99 20 ms"


def test_failed_looks_are_red_with_their_commonest_reason():
    probes = [*looks(*[True] * 8), Probe(NOON, timedelta(), "no connection"), Probe(NOON, timedelta(), "no connection")]
    verdict = judge(probes, config(success_rate=90), NOON)
    assert (verdict.state, verdict.success_rate) == (RED, 80)
    assert verdict.sentence == "2 of 10 looks failed: no connection"
    assert judge(probes, config(success_rate=80), NOON).state is OK, "as good as wanted"


def test_all_looks_failed_is_red_and_not_unknown():
    verdict = judge(looks(False, False, False), config(latency_p99="1s"), NOON)
    assert (verdict.state, verdict.latency_p99) == (RED, None)


def test_slow_answers_are_red():
    verdict = judge(looks(True, True, True, took=800), config(latency_p99="500ms"), NOON)
    assert verdict.state is RED
    assert verdict.sentence == "p99 is 800 ms, more than 500 ms"
    assert judge(looks(True, True, True, took=500), config(latency_p99="500ms"), NOON).state is OK


def test_what_is_older_than_the_window_or_of_the_future_does_not_count():
    old = looks(False, False, False, every=100)[:2]
    ahead = [Probe(NOON + timedelta(seconds=1), timedelta(), "503")]
    verdict = judge([*old, *looks(True, True, True), *ahead], config(window="1m"), NOON)
    assert (verdict.state, verdict.points) == (OK, 3)
    on_the_edge = [Probe(NOON - timedelta(minutes=1), timedelta(), "503")]
    assert judge([*on_the_edge, *looks(True, True, True)], config(window="1m"), NOON).points == 3


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=300))
def test_the_percentile_is_a_value_that_at_most_one_in_a_hundred_exceeds(values):
    spans = [timedelta(microseconds=value) for value in values]
    found = percentile(spans, 99)
    assert found in spans
    assert sum(span > found for span in spans) * 100 <= len(spans)
    assert sum(span >= found for span in spans) * 100 >= len(spans)


@given(st.integers(0, 1000), st.floats(0, 10_000), st.floats(0.01, 100))
def test_the_next_look_is_always_ahead_and_missed_ones_are_left_out(done, elapsed, every):
    tick = next_tick(done, elapsed, every)
    assert tick > done
    assert tick == done + 1 or (tick - 1) * every <= elapsed * (1 + 1e-9)


def test_waking_a_moment_early_does_not_look_twice():
    assert next_tick(3, 2.9999, 1.0) == 4
    assert next_tick(3, 7.2, 1.0) == 8, "four looks were missed and are not made up for"


def test_readings_hold_for_three_looks_and_are_repeated_well_before():
    for every in ("100ms", "1s", "10s", "5m"):
        wants = config(every=every, window="1h")
        assert wants.stale_after >= max(3 * wants.every, timedelta(seconds=3))
        assert wants.report_every <= min(10 * wants.every, timedelta(seconds=30), wants.stale_after / 2)


@pytest.mark.parametrize("url", ["ftp://x.test", "file:///etc/passwd", "https://ann:hunter2@x.test/", "//x.test", ""])
def test_only_plain_web_addresses_are_asked_and_no_credentials_are_repeated(url):
    with pytest.raises(ValueError, match="address") as caught:
        config(url=url)
    assert "hunter2" not in str(caught.value)


# ---- against a server -----------------------------------------------------------------------------------------------


class Shop:
    """A server whose health a test decides."""

    def __init__(self) -> None:
        self.status = 200
        self.text = "all is well"
        self.asked = 0
        self.url = ""
        self.hold: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        return web.Response(status=self.status, text=self.text, headers={"Location": "http://127.0.0.1:1/elsewhere"})


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    place = Shop()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", place.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    place.url = f"http://127.0.0.1:{runner.addresses[0][1]}/health?token=secret-word"
    yield place
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


Ears = asyncio.Queue[CanaryReading]


@contextlib.asynccontextmanager
async def looking(
    session: aiohttp.ClientSession,
    wants: CanaryConfig,
    report: Callable[[CanaryReading], Awaitable[None]] | None = None,
) -> AsyncIterator[Ears]:
    """A canary at work; what it reports is in the queue. It is cancelled at the end and must leave nothing behind."""
    ears: Ears = asyncio.Queue()
    canary = Canary(wants, session, report or ears.put, clock=lambda: datetime.now(UTC))
    task = asyncio.create_task(canary.run())
    try:
        yield ears
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not session.closed


async def heard(ears: Ears, state: AlarmState) -> CanaryReading:
    """The next reading of this state."""
    async with asyncio.timeout(10):
        while (reading := await ears.get()).state is not state:
            pass
    return reading


def quick(shop: Shop, **more: object) -> CanaryConfig:
    return config(url=shop.url, every="100ms", window="350ms", minimum=3, timeout="1s", **more)


async def test_a_canary_says_ok_red_and_ok_again_with_the_start_of_the_episode(shop, session):
    async with looking(session, quick(shop)) as ears:
        first = await heard(ears, OK)
        assert first.started_at is None
        assert first.points >= 3
        shop.status = 503
        red = await heard(ears, RED)
        assert red.started_at == red.observed_at
        assert "it answered 503, not 200-399" in red.title
        shop.status = 200
        over = await heard(ears, OK)
        assert over.started_at == red.started_at, "the end names the episode that it ends"


async def test_every_look_is_one_data_point_once(shop, session):
    async with looking(session, config(url=shop.url, every="100ms", window="5s")) as ears:
        first, second = await heard(ears, OK), await heard(ears, OK)
        asked = shop.asked
    assert asked - 5 <= first.points + second.points <= asked, "but for those under way"
    assert second.points >= 8


async def test_an_unchanged_state_is_repeated_in_time(shop, session):
    wants = quick(shop)
    async with looking(session, wants) as ears:
        first, second = await heard(ears, OK), await heard(ears, OK)
    assert wants.report_every <= second.observed_at - first.observed_at < first.stale_after


async def test_a_server_that_is_not_there_is_red(session):
    async with looking(session, config(every="100ms", window="400ms", url="http://127.0.0.1:1/")) as ears:
        red = await heard(ears, RED)
    assert "no connection" in red.title
    assert red.started_at is None, "it may have been down before this process looked"


async def test_a_server_that_hangs_is_red_and_looks_overlap(shop, session):
    shop.hold = asyncio.Event()
    async with looking(session, config(url=shop.url, every="100ms", window="2s", timeout="500ms")) as ears:
        red = await heard(ears, RED)
        assert shop.asked > 3, "the next looks did not wait for the first"
    assert "no answer within 0.5 s" in red.title
    shop.hold.set()


async def test_the_text_is_looked_for_and_redirects_are_not_followed(shop, session):
    async with looking(session, quick(shop, expect_text="is well", expect_status=302)) as ears:
        assert "answered 200, not 302" in (await heard(ears, RED)).title
        shop.status = 302
        await heard(ears, OK)
        shop.text = "something else"
        assert "lacks the expected text" in (await heard(ears, RED)).title


async def test_what_could_not_be_reported_is_reported_later_with_its_points(shop, session, caplog):
    heard_at_last: asyncio.Future[CanaryReading] = asyncio.get_running_loop().create_future()
    refused: list[CanaryReading] = []

    async def report(reading: CanaryReading) -> None:
        if len(refused) < 3:
            refused.append(reading)
            raise TransientError("The database cannot answer now.")
        if not heard_at_last.done():
            heard_at_last.set_result(reading)

    async with looking(session, quick(shop), report):
        async with asyncio.timeout(10):
            reading = await heard_at_last
    assert reading.points > refused[0].points
    assert "could not report ok: The database cannot answer now." in caplog.text
    assert "secret-word" not in caplog.text


async def test_red_that_could_not_be_reported_is_told_with_its_end_9(shop, session):
    ears: Ears = asyncio.Queue()
    red_refused = asyncio.Event()

    async def report(reading: CanaryReading) -> None:
        if reading.state is RED:
            red_refused.set()
            raise TransientError
        await ears.put(reading)

    async with looking(session, quick(shop), report):
        assert (await heard(ears, OK)).started_at is None
        shop.status = 500
        async with asyncio.timeout(10):
            await red_refused.wait()
        shop.status = 200
        async with asyncio.timeout(10):
            while (reading := await ears.get()).started_at is None:
                pass
    assert reading.state is OK
