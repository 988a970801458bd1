"""Looks after the NFTs once they are minted: who holds each of them now.

Each NFT is one token in one known account, so a page of a hundred costs one `getMultipleAccounts`; only one that is not
where it was is searched for, with `getTokenLargestAccounts`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy import Connection

from chain import programs
from chain.addresses import ata
from domain.errors import Retryable
from indexer.effects.accounts import Account, parse_token_account
from indexer.effects.errors import MalformedAnswer
from indexer.rpc.errors import EndpointError
from indexer.rpc.node import ACCOUNTS_MAX, Node
from indexer.rpc.pool import RpcPool
from ports.clock import Clock
from storage.errors import StoreUnavailable
from storage.mints.nft_holdings import Holding, Seen, due, next_due_at, record_seen
from storage.store import Store

_log = structlog.get_logger(__name__)

PAGE_SECONDS = 2.0
"""Between pages while more are due: fifty NFTs a second, with half a call a second. A million takes under six hours."""
AHEAD_DIVISOR = 10
"""What is due within a tenth of the interval is looked at along: NFTs minted one by one come to share their calls."""
LONGEST_PAUSE_SECONDS = 3600.0
"""Between looks at the table, or a tenth of the interval where that is more: what is minted meanwhile is due later than
that anyway, or soon after."""
FAILED_SECONDS = 60.0


class NftWatch:
    """Run `run` once per process; replicas may run it side by side. Every NFT is looked at each `every`."""

    def __init__(
        self,
        store: Store,
        rpc: RpcPool,
        clock: Clock,
        *,
        every: timedelta,
        moved: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._store, self._rpc, self._clock, self._every, self._moved = store, rpc, clock, every, moved

    async def run(self) -> None:
        """Until cancelled. Errors of endpoints and database are logged and tried again."""
        while True:
            try:
                full = await self.look() == ACCOUNTS_MAX
                pause = PAGE_SECONDS if full else await self._until_due()
            except (Retryable, StoreUnavailable) as error:
                _log.warning("nfts_not_read", error=str(error))
                pause = FAILED_SECONDS
            await self._clock.sleep(pause)

    async def look(self) -> int:
        """Look at one page of what is due; returns how many that were. Raises Retryable, also where one is not to be
        found: it is looked for again in a fifth of the interval, and keeps no other waiting."""
        now = self._clock.now()
        soon = now + self._every / AHEAD_DIVISOR
        page = await self._store.read(lambda conn: due(conn, soon, ACCOUNTS_MAX))
        if not page:
            return 0
        looked = await self._see(page)

        def store(conn: Connection) -> int:
            record_seen(conn, looked.as_known, now, soon + self._every / AHEAD_DIVISOR)
            return record_seen(conn, looked.seen, now, now + self._every)

        moved = await self._store.write(store)
        if moved:
            _log.info("nfts_moved", count=moved)
            self._moved(moved)
        if looked.trouble is not None:
            raise looked.trouble
        return len(page)

    async def _see(self, page: Sequence[Holding]) -> "_Looked":
        kept = [one for one in page if one.holder is not None]  # one that was burned never comes back
        looked = _Looked([_as_known(one) for one in page if one.holder is None])
        if not kept:
            return looked
        found = await self._rpc.get_accounts([_account_of(one) for one in kept])
        for holding, account in zip(kept, found.accounts, strict=True):
            if _holder(account, holding.mint_address) == holding.holder:
                looked.seen.append(Seen(holding, holding.holder, holding.account, found.slot))
                continue
            try:
                looked.seen.append(await self._search(holding))
            except Retryable as error:
                looked.as_known.append(_as_known(holding))
                looked.trouble = error
        return looked

    async def _search(self, holding: Holding) -> Seen:
        """Where it is now, be it elsewhere or nowhere, by two endpoints where two are configured."""
        slot = self._rpc.finalized_slot
        holder, account = await self._rpc.vouched(lambda node: _whereabouts(node, holding.mint_address))
        return Seen(holding, holder, account, slot)

    async def _until_due(self) -> float:
        """Seconds until the next is due."""
        every = self._every.total_seconds()
        longest = min(every, max(LONGEST_PAUSE_SECONDS, every / AHEAD_DIVISOR))
        at = await self._store.read(next_due_at)
        if at is None:
            return longest
        return min(max(PAGE_SECONDS, (at - self._clock.now()).total_seconds()), longest)


@dataclass(slots=True)
class _Looked:
    """What a page has shown; `as_known` are those that are not to be found now, and `trouble` says why."""

    seen: list[Seen]
    as_known: list[Seen] = field(default_factory=list)
    trouble: Retryable | None = None


def _as_known(holding: Holding) -> Seen:
    return Seen(holding, holding.holder, holding.account, holding.slot)


def _account_of(holding: Holding) -> str:
    return holding.account or ata(holding.buyer_address, holding.mint_address, programs.TOKEN_2022)


def _holder(account: Account | None, mint: str) -> str | None:
    """The owner of a token account that holds the one token of this mint."""
    if account is None or account.program not in programs.TOKEN_PROGRAMS:
        return None
    try:
        held = parse_token_account(account)
    except MalformedAnswer:
        return None
    return held.owner if (held.mint, held.amount) == (mint, 1) else None


async def _whereabouts(node: Node, mint: str) -> tuple[str, str] | tuple[None, None]:
    """Holder and token account; nobody and none where the one token is burned."""
    holders = [one for one in await node.largest_holders(mint) if one.amount]
    for one in holders:
        holder = _holder((await node.get_accounts([one.account])).accounts[0], mint)
        if holder is not None:
            return holder, one.account
    if holders:
        raise EndpointError(f"{node.label}: the NFT {mint} is not where it was, and not shown where it is")
    return None, None
