"""The courier of pages: Slack, and the pager webhook where one is configured."""

from __future__ import annotations

from bot.engine import Engine
from bot.outbox import Claimed, Courier, Delivered, Done
from core.releases.effects import EndPage, Page
from integrations.pager import Pager


class Pages:
    """Delivers Page and EndPage. The pager comes first: Slack may be what is down."""

    def __init__(self, engine: Engine, pager: Pager | None, slack: Courier | None) -> None:
        self._engine = engine
        self._pager = pager
        self._slack = slack

    async def page(self, claimed: Claimed) -> Delivered:
        """Call the on-call, unless somebody took it in the meantime."""
        effect = claimed.effect
        assert isinstance(effect, Page), "the courier of pages delivers pages"
        state = self._engine.pipelines().get(claimed.pipeline_id)
        if state is None or all(page.id != effect.page for page in state.pages):
            return Done()
        if self._pager is not None:
            # Sent again with the same key if Slack fails below: the pager knows it by its key.
            await self._pager.page(
                effect, pipeline=claimed.pipeline_id, service=state.definition.service, url=state.definition.runbook
            )
        return await self._slack(claimed) if self._slack is not None else Done()

    async def end(self, claimed: Claimed) -> Delivered:
        """Tell the pager that it is over; the thread says so by itself."""
        effect = claimed.effect
        assert isinstance(effect, EndPage), "the courier of pages delivers ends of pages"
        state = self._engine.pipelines().get(claimed.pipeline_id)
        if self._pager is not None and state is not None:
            await self._pager.end(effect, pipeline=claimed.pipeline_id, service=state.definition.service)
        return Done()
