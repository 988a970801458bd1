"""The order of the checks: from this machine outwards. Each check stands alone: one that fails stops no other."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from agent.checkup import money, reachable, services, surroundings
from agent.checkup.findings import Finding, State
from agent.checkup.heard import Listener
from config.confidential import MASK, masking
from config.settings import Settings
from ports.clock import Clock
from ports.ids import Ids
from ports.transport import Transport


async def examine(
    settings: Settings, environ: Mapping[str, str], transport: Transport, clock: Clock, ids: Ids
) -> AsyncIterator[Finding]:
    """Every finding as it comes. No secret is in any of them."""
    hidden = masking(settings.confidential)
    listener = Listener(transport, clock)
    for finding in surroundings.keys(settings, environ):
        yield _masked(finding, hidden)
    async for finding in surroundings.database(settings, clock):
        yield _masked(finding, hidden)
    async for finding in services.stripe(settings, listener, clock):
        yield _masked(finding, hidden)
    wallet, findings = await services.circle(settings, listener, clock, ids)
    for finding in findings:
        yield _masked(finding, hidden)
    async for finding in services.circle_mint(settings, listener, clock, ids, wallet):
        yield _masked(finding, hidden)
    async for finding in services.rpc(settings, listener):
        yield _masked(finding, hidden)
    async for finding in money.funding(settings, listener, wallet):
        yield _masked(finding, hidden)
    yield listener.clocks()
    async for finding in reachable.webhooks(settings, listener):
        yield _masked(finding, hidden)
    answers = False
    async for finding in reachable.operator(settings, listener):
        answers = answers or (finding.check == reachable.DAEMON and finding.state is State.OK)
        yield _masked(finding, hidden)
    if answers:
        yield _masked(await reachable.backup(settings, listener, clock), hidden)


def _masked(finding: Finding, hidden: re.Pattern[str] | None) -> Finding:
    return replace(finding, text=hidden.sub(MASK, finding.text)) if hidden else finding
