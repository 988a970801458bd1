"""What a mint pays beside minting (`atomic_settlement`): both in one transaction, or the mint alone.

The rules of a plan decide in the transaction of the intent; before anything is signed the destinations are read and the
whole transaction is tried. Whatever speaks against it, the mint goes alone at once: it never waits for its payouts.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from chain.nft import NftPlan, NftStandard
from chain.usdc_payouts import PackedTransfer, UsdcPayouts
from domain.destinations import AccountStanding
from domain.errors import BlockhashNotFound, OutcomeUnknown, Retryable
from domain.realtime import Part
from storage.mints import mint_payouts as rows
from storage.mints.mint_settlement import no_longer
from storage.payouts.planning import Judge

Decide = Callable[[Connection, int, datetime], Sequence[Part] | str]
"""Whom a sale pays now, under every rule of a plan and within the caps, or what speaks against it. Called in the
transaction that writes the intent."""
Inspect = Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]
"""Which of these addresses are no wallets on chain, and why."""
PATIENCE = 3
"""Trial runs on nodes that do not know the newest blockhash yet, before the mint goes alone."""


class PayoutChain(Protocol):
    """What is read before a mint that pays is signed. Errors as in `domain.errors`."""

    async def standings(self, owners: Sequence[str]) -> list[AccountStanding]: ...

    async def simulate(self, wire: bytes) -> str | None: ...


class MintPayouts:
    """Decides, names and tries what mints pay."""

    def __init__(
        self,
        chain: PayoutChain,
        inspect: Inspect,
        decide: Decide,
        judge: Judge,
        standard: NftStandard,
        usdc_mint: str,
        *,
        bids: bool,
    ) -> None:
        """`bids`: whether its transaction carries a compute budget. `judge` as for a plan."""
        self._chain, self._inspect, self._decide, self._judge = chain, inspect, decide, judge
        self._standard, self._usdc_mint, self._bids = standard, usdc_mint, bids

    def reserve(self, conn: Connection, purchase_id: int, attempt_id: int, plan: NftPlan, now: datetime) -> None:
        """In the transaction of an attempt's intent: freeze whom it pays, or write down why it mints alone."""
        found = self._parts(conn, purchase_id, plan, now)
        if isinstance(found, str):
            rows.settles_in_two_steps(conn, attempt_id, found, now)
        else:
            rows.reserve(conn, attempt_id, found, now)

    def _parts(self, conn: Connection, purchase_id: int, plan: NftPlan, now: datetime) -> Sequence[Part] | str:
        if rows.failed_before(conn, purchase_id):
            return "a try that paid too has failed"
        found = no_longer(conn, purchase_id) or self._decide(conn, purchase_id, now)
        if isinstance(found, str):
            return found
        if len({part.address for part in found}) < len(found):
            return "one address gets several parts"
        if not self._standard.fits(plan, self.payouts(plan, found), with_budget=self._bids):
            return f"{len(found)} recipients do not fit its transaction"
        return found

    def payouts(self, plan: NftPlan, parts: Sequence[Part]) -> UsdcPayouts:
        """The parts as the transaction pays them."""
        transfers = tuple(PackedTransfer(part.address, part.amount) for part in parts)
        return UsdcPayouts(plan.platform_wallet, self._usdc_mint, transfers)

    async def obstacle(self, payouts: UsdcPayouts) -> str | None:
        """What speaks against paying them now: an address that is denied by now, a missing, frozen or foreign account,
        no wallet behind an address, or that the chain can't be read."""
        owners = [one.owner for one in payouts.transfers]
        denied = next((f"{owner} {why}" for owner in owners if (why := self._judge(owner)) is not None), None)
        if denied is not None:
            return denied
        try:
            standings = await self._chain.standings(owners)
            wrong = await self._inspect(owners)
        except (Retryable, OutcomeUnknown) as error:
            return f"the recipients' accounts can't be read: {error}"
        for owner, standing in zip(owners, standings, strict=True):
            if standing is not AccountStanding.READY:
                return f"the USDC account of {owner} is {standing}"
        return next(iter(wrong.values()), None)

    async def would_fail(self, wire: bytes, tries: int) -> str | None:
        """Why the transaction would fail as a whole, by a trial run. Raises BlockhashNotFound for the first few of the
        mint's `tries`: a node lags behind."""
        try:
            failure = await self._chain.simulate(wire)
        except BlockhashNotFound:
            if tries < PATIENCE:
                raise
            return "the nodes do not know the newest blockhash"
        except (Retryable, OutcomeUnknown) as error:
            return f"it can't be tried: {error}"
        return None if failure is None else f"the trial run fails: {failure}"
