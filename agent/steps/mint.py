"""Mints a purchase's NFT, exactly once: its address is derived from the payment_intent, so the chain itself refuses a
second. Signed bytes are stored before they are sent; only a proven death lets another attempt be signed. Where the
settings say so the same transaction pays the sale's recipients (`mint_payouts`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection

from agent.steps.mint_funds import MintFunds
from agent.steps.mint_payouts import MintPayouts
from chain.bids import bid
from chain.nft import ComputeBudget, NftPlan, NftStandard
from chain.transactions import signature_of, with_signature
from chain.usdc_payouts import UsdcPayouts
from domain.dead_attempts import EXPIRY
from domain.errors import Misuse, OutcomeUnknown, Rejected, Retryable, looking_up
from domain.evidence import Evidence
from domain.keys import mint_seed
from domain.nft_texts import edition_in, metadata_uri, nft_name
from domain.outcomes import Again, Commit, Done, Outcome, Refused, Unknown, nothing
from domain.realtime import Part
from domain.states import MintState, WatchState
from domain.waits import look_again_after, send_again_after
from gateways.circle_api import Lane
from ports.clock import Clock
from ports.ids import Ids
from storage.mints import mint_payouts, mint_settlement
from storage.mints import minting as rows
from storage.mints.minting import MintCase, MintIntent
from storage.sales.purchases import edition_number, payout_address
from storage.store import Store
from storage.work import Claim, fenced

log = structlog.get_logger(__name__)

WALLET_WAIT = timedelta(hours=1)
"""A safety net: the wallet's arrival itself makes the mint due."""
REFUND_WAIT, REFUND_WAIT_MOST = timedelta(minutes=1), timedelta(minutes=10)
"""Stripe may leave a refund pending for days."""
WAITS_FOR_REFUND = "waits for the outcome of a refund of everything"
FEE_WAIT = timedelta(seconds=30)
"""A restored database learns the fee of a sale that was paid before; its step fetches it."""
FINALITY_ROUNDS = 8
"""A safety net, in intervals of sending: what is confirmed is made due when it is final or a fork takes it back."""
WAITS_FOR_WALLET, WAITS_FOR_SOL = "waiting_for_wallet", "waiting_for_sol"
MINT_UNITS, TRANSFER_UNITS = 200_000, 8_000
"""Compute units bought with a bid: a mint takes less than half of that, and a payout behind it 6,200 at most."""
SOL_WAIT, SOL_WAIT_MOST = timedelta(minutes=1), timedelta(minutes=10)


class MintChain(Protocol):
    """What minting reads from and sends to the chain. Errors as in `domain.errors`."""

    async def minimum_rent(self, size: int) -> int: ...

    async def lamports(self, address: str) -> int: ...

    async def latest_blockhash(self) -> tuple[str, int]: ...

    async def priority_fees(self, accounts: Sequence[str]) -> list[int]: ...

    async def send(self, wire: bytes, *, skip_preflight: bool) -> None: ...


class MintWitness(Protocol):
    """What the finalized chain says of a mint."""

    async def mint_evidence(self, signature: str, plan: NftPlan) -> Evidence: ...

    async def maker_of(self, mint_address: str) -> str | None:
        """Signature of the finalized transaction that made the account; None when two endpoints say there is none."""
        ...


class Signer(Protocol):
    def require_key(self) -> None:
        """Raises KeyRefused while our key is refused: nothing could be signed."""
        ...

    async def sign_transaction(self, wallet_id: str, raw_wire: bytes, memo: str, lane: Lane) -> str: ...


@dataclass(frozen=True, slots=True)
class MintTerms:
    """The platform's side of every mint. `resend_every` follows the slot time. `priority_lamports` is the most that one
    bids for its place (0: no compute budget at all)."""

    wallet_id: str
    platform_address: str
    usdc_account: str
    derivation_secret: bytes
    symbol: str
    public_base_url: str
    lamports_ceiling: int
    priority_lamports: int
    attempts_max: int
    resend_every: Callable[[], timedelta]


class MintStep:
    """Kind `mint`, subject: purchase id."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        chain: MintChain,
        witness: MintWitness,
        signer: Signer,
        standard: NftStandard,
        terms: MintTerms,
        signed: Callable[[], None],
        pays: MintPayouts | None = None,
    ) -> None:
        """`signed` is called after a signature was stored to be watched. `pays`: None where every mint goes alone."""
        self._told_signed, self._pays = signed, pays
        self._store, self._clock, self._ids = store, clock, ids
        self._chain, self._witness, self._signer = chain, witness, signer
        self._standard, self._terms = standard, terms
        self._funds = MintFunds(chain, standard, terms.priority_lamports)

    async def run(self, claim: Claim) -> Outcome:
        purchase_id = int(claim.subject)
        case = await self._store.read(lambda conn: rows.load(conn, purchase_id))
        if not rows.is_ready(case.purchase):
            return Done()
        if case.attempt is None:
            waits = self._waits(case, claim)
            if waits is not None:
                return waits
            case = await self._intend(case, claim, is_made=False)
        plan = plan_of(case.live)
        if case.live.state == MintState.INTENDED:
            signed = await self._from_intent(case, plan, claim)
            if not isinstance(signed, MintCase):
                return signed
            case = signed
        if case.attempt is None or case.attempt.signature is None:
            return Again(timedelta(0), "is planned or signed anew")
        with looking_up(may_have_happened=True):
            return await self._follow(case, plan, claim)

    async def _from_intent(self, case: MintCase, plan: NftPlan, claim: Claim) -> MintCase | Outcome:
        """The case with its signed bytes, unless it has ended, or waits, before anything was signed."""
        lamports = await self._chain.lamports(plan.mint_address)
        there = await self._there(case, plan, claim, lamports)
        if there is not None:
            return there
        if case.gives_back and not lamports:
            return self._taken_back(case, claim)
        short = await self._funds.lacking(plan) if case.dead.count else None
        return await self._sign(case, plan, claim, lamports) if short is None else self._waits_for_sol(case, short)

    async def look(self, claim: Claim) -> Outcome:
        """As `run`, as far as the NFT is there already: nothing is signed or sent. What can't be seen is looked at
        until it can: a person knows no more of it."""
        with looking_up(may_have_happened=True):
            return await self._look(claim)

    async def _look(self, claim: Claim) -> Outcome:
        case = await self._store.read(lambda conn: rows.load(conn, int(claim.subject)))
        if not rows.is_ready(case.purchase) or payout_address(case.buyer) is None:
            return Done()
        lamports = await self._chain.lamports(self.address_of(case.purchase.stripe_payment_intent_id))
        if not lamports:
            return Done()
        if case.attempt is None:
            case = await self._intend(case, claim, is_made=True)
        return await self._there(case, plan_of(case.live), claim, lamports) or Done()

    def address_of(self, payment_intent_id: str) -> str:
        """Of a sale's NFT, made or not."""
        seed = mint_seed(self._terms.derivation_secret, payment_intent_id)
        return self._standard.address(self._terms.platform_address, seed)

    async def _there(self, case: MintCase, plan: NftPlan, claim: Claim, lamports: int) -> Outcome | None:
        """The end of a mint whose NFT exists, made by a process that this database does not know of."""
        maker = await self._witness.maker_of(plan.mint_address) if lamports else None
        return None if maker is None else await self._made_by(maker, case, plan, claim)

    async def _made_by(self, maker: str, case: MintCase, plan: NftPlan, claim: Claim) -> Outcome:
        """Settle by a transaction that is not this attempt's own. Where only the edition's number, or the buyer's
        address, is not as planned, rows that are lost gave it, and the NFT keeps it."""
        attempt = case.live
        evidence = await self._witness.mint_evidence(maker, plan)
        is_planned = evidence.matches or maker == attempt.signature
        number = None if is_planned else edition_in(evidence.name, case.content.title)
        if number is None:
            return await self._settle(case, evidence)
        buyer = evidence.owner or plan.buyer
        as_made = await self._witness.mint_evidence(maker, replace(plan, name=evidence.name, buyer=buyer))
        if not as_made.matches:
            return self._differs(as_made.why)
        uuid, now = self._ids.uuid(), self._clock.now()

        def save(conn: Connection) -> MintCase:
            rows.as_made(conn, attempt.id, uuid, as_made.name, number, buyer, maker, now)
            return rows.attempted(conn, case)

        return await self._settle(await self._store.write(fenced(claim, save)), as_made)

    def _taken_back(self, case: MintCase, claim: Claim) -> Outcome:
        """The end of a mint that could not be signed till its sale was refunded in full: nothing of it is in flight."""
        attempt, now = case.live, self._clock.now()
        if case.purchase.refunded_amount < case.purchase.gross_amount:
            return self._waits_for_refund(claim)
        proof = {"why": "never signed: the sale was refunded in full"}
        return Done(lambda conn: rows.dead(conn, attempt.id, proof, now))

    def _waits_for_refund(self, claim: Claim) -> Outcome:
        taken = self._clock.now() - claim.created_at
        return Again(look_again_after(taken, REFUND_WAIT, REFUND_WAIT_MOST), WAITS_FOR_REFUND)

    def _waits(self, case: MintCase, claim: Claim) -> Outcome | None:
        """What a mint waits for before its intent."""
        purchase_id = case.purchase.id
        if payout_address(case.buyer) is None:
            say: Commit = lambda conn: rows.say(conn, purchase_id, WAITS_FOR_WALLET)  # noqa: E731
            return Again(WALLET_WAIT, "waits for the buyer's wallet", commit=say)
        return self._waits_for_refund(claim) if case.gives_back else None

    def _waits_for_sol(self, case: MintCase, short: str) -> Outcome:
        purchase_id, taken = case.purchase.id, self._clock.now() - case.live.created_at
        say: Commit = lambda conn: rows.say(conn, purchase_id, WAITS_FOR_SOL)  # noqa: E731
        return Again(look_again_after(taken, SOL_WAIT, SOL_WAIT_MOST), short, commit=say)

    async def _intend(self, case: MintCase, claim: Claim, *, is_made: bool) -> MintCase:
        uuid, now, terms, purchase_id = self._ids.uuid(), self._clock.now(), self._terms, case.purchase.id
        seed = mint_seed(terms.derivation_secret, case.purchase.stripe_payment_intent_id)
        mint_address = self._standard.address(terms.platform_address, seed)

        def save(conn: Connection) -> MintCase:
            number = edition_number(conn, purchase_id)
            intent = MintIntent(
                wallet_id=terms.wallet_id,
                platform_address=terms.platform_address,
                buyer_address=rows.buyer_address(conn, case.buyer.id),
                seed=seed,
                mint_address=mint_address,
                name=nft_name(case.content.title, number),
                symbol=terms.symbol,
                uri=metadata_uri(case.content.ipfs_hash, terms.public_base_url, case.content.id),
            )
            attempt_id = rows.intend(conn, purchase_id, uuid, intent, now, is_made=is_made)
            if self._pays is not None:
                self._pays.reserve(conn, purchase_id, attempt_id, plan_of(intent), now)
            return rows.attempted(conn, case)

        return await self._store.write(fenced(claim, save))

    async def _sign(self, case: MintCase, plan: NftPlan, claim: Claim, lamports: int) -> MintCase:
        """Build, check our own bytes, sign, check the signature, store; nothing is sent before it is stored.

        Unsigned still where the sale may no longer be paid with its mint: then it is signed anew, alone.
        """
        if case.live.wallet_id != self._terms.wallet_id:
            raise Misuse(f"mint {case.live.uuid} was planned for another platform wallet")
        self._signer.require_key()
        purchase_id, attempt_id = case.purchase.id, case.live.id
        mint_size, _ = self._standard.rent_sizes(plan)
        rent = await self._chain.minimum_rent(mint_size)
        payouts = self._pays.payouts(plan, case.pays) if self._pays and case.pays else None
        build = partial(
            self._standard.build,
            plan,
            rent_lamports=rent,
            mint_lamports_now=lamports,
            budget=await self._budget(case, plan, payouts),
        )
        blockhash, last_valid_block_height = await self._chain.latest_blockhash()
        build = partial(build, blockhash=blockhash)
        wire = build(payouts=payouts)
        why = await self._speaks_against(case, payouts, wire, claim)
        if why is not None:
            now = self._clock.now()
            await self._store.write(fenced(claim, lambda conn: mint_payouts.release(conn, attempt_id, why, now)))
            payouts, wire = None, build()
        self._standard.verify(wire, plan, self._terms.lamports_ceiling, payouts)
        signature = await self._signer.sign_transaction(self._terms.wallet_id, wire, plan.name, Lane.MINT)
        signed = with_signature(wire, plan.platform_wallet, signature)

        def save(conn: Connection) -> MintCase:
            now = self._clock.now()
            changed = None if payouts is None else mint_settlement.no_longer(conn, purchase_id)
            if changed is not None:
                mint_payouts.release(conn, attempt_id, changed, now)
                return rows.attempted(conn, case)
            rows.signed(conn, attempt_id, signed, signature_of(signed), last_valid_block_height, now)
            return rows.attempted(conn, case)

        stored = await self._store.write(fenced(claim, save))
        self._told_signed()
        return stored

    async def _budget(self, case: MintCase, plan: NftPlan, payouts: UsdcPayouts | None) -> ComputeBudget | None:
        """None where nothing is bid, and where the payouts were reserved without the room for it."""
        most, transfers = self._terms.priority_lamports, 0 if payouts is None else len(payouts.transfers)
        if not most or (payouts is not None and not self._standard.fits(plan, payouts, with_budget=True)):
            return None
        recent = await self._chain.priority_fees([plan.platform_wallet])
        return bid(MINT_UNITS + TRANSFER_UNITS * transfers, most, recent, case.dead.count)

    async def _speaks_against(
        self, case: MintCase, payouts: UsdcPayouts | None, wire: bytes, claim: Claim
    ) -> str | None:
        """Why a mint that was to pay goes alone after all; None where it pays, or was to go alone anyway."""
        if self._pays is None or payouts is None:
            return "the setting is off" if case.pays else None
        return await self._pays.obstacle(payouts) or await self._pays.would_fail(wire, claim.attempts)

    async def _follow(self, case: MintCase, plan: NftPlan, claim: Claim) -> Outcome:
        attempt, watch = case.live, case.watch
        match None if watch is None else WatchState(watch.state):
            case WatchState.FINALIZED if watch is not None and watch.err is None:
                return await self._settle(case, await self._witness.mint_evidence(attempt.signature, plan))
            case WatchState.FINALIZED:
                proof = {"why": f"landed with an error: {watch.err if watch else ''}", "signature": attempt.signature}
                return await self._bury(case, plan, proof, claim)
            case WatchState.EXPIRED:
                why = f"expired; last: {claim.last_error}"
                proof = {"why": why, "signature": attempt.signature, EXPIRY: watch.proof if watch else None}
                return await self._bury(case, plan, proof, claim)
            case WatchState.CONFIRMED:
                return Again(self._terms.resend_every() * FINALITY_ROUNDS, "confirmed, waits for finalized")
            case _ if attempt.wire is None:  # adopted from the history: there are no bytes to send
                return Again(self._terms.resend_every() * FINALITY_ROUNDS, "adopted, waits to be proven final")
            case _:
                return await self._send(case)

    async def _send(self, case: MintCase) -> Outcome:
        """Send the stored bytes, as often as needed: the same signature can take effect once.

        Until a node may have taken them, each try asks for a preflight: what can't work is not paid for.
        """
        attempt = case.live
        why, now = "sent, waits for its block", self._clock.now()
        wait = send_again_after(now - attempt.signed_at, self._terms.resend_every())
        try:
            await self._chain.send(attempt.wire, skip_preflight=attempt.state == MintState.SENT)
        except OutcomeUnknown as error:
            why = f"perhaps sent: {error}"
        except (Retryable, Rejected) as error:
            return Again(wait, f"not accepted yet: {error}")
        return Again(wait, why, commit=lambda conn: rows.sent(conn, attempt.id, now))

    async def _settle(self, case: MintCase, evidence: Evidence) -> Outcome:
        """What the chain shows is booked, in one transaction: the NFT, and what its transaction paid."""
        attempt, purchase_id, now = case.live, case.purchase.id, self._clock.now()
        if not evidence.matches:
            return self._differs(evidence.why)
        planned = [(part.address, part.amount) for part in case.pays]
        if evidence.signature == attempt.signature and sorted(planned) != sorted(evidence.paid):
            return self._differs(f"it paid {evidence.paid}, planned was {planned}")
        parts: Sequence[Part] | None = []
        if evidence.paid and case.purchase.creator_amount is None:
            return Again(FEE_WAIT, "it is minted and paid; waits for the sale's fee to book it")
        if evidence.paid:
            parts = await self._store.read(lambda conn: mint_settlement.place(conn, purchase_id, evidence.paid))
        if parts is None:
            return self._differs(f"it paid {evidence.paid}, which are not this sale's parts")
        account = self._terms.usdc_account
        return Done(lambda conn: rows.finalized(conn, attempt.id, evidence, now, parts, account))

    def _differs(self, why: str) -> Outcome:
        log.error("mint does not read back as planned", why=why)
        return Unknown(timedelta(minutes=5), f"read back differs from the plan: {why}")

    async def _bury(self, case: MintCase, plan: NftPlan, proof: dict[str, Any], claim: Claim) -> Outcome:
        """This signature took no effect. The mint may still exist, made by another one of ours: then that counts."""
        attempt, now = case.live, self._clock.now()
        maker = await self._witness.maker_of(plan.mint_address)
        if maker is not None:
            return await self._made_by(maker, case, plan, claim)
        bury: Commit = lambda conn: rows.dead(conn, attempt.id, proof, now)  # noqa: E731
        expired = EXPIRY in proof
        dead = case.dead.and_one(expired=expired)
        if dead.are_too_many(self._terms.attempts_max) and await self._funds.lacking(plan) is None:
            return Refused("attempts_used_up", str(proof["why"]), bury)
        pause = dead.pause if expired else timedelta(0)
        return Again(pause, f"attempt {attempt.attempt} is dead: {proof['why']}", commit=bury)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        now = self._clock.now()
        return lambda conn: rows.failed(conn, int(claim.subject), f"{code}: {why}", now)


class Races(Protocol):
    async def settle(self, claim: Claim) -> Outcome | None:
        """Give an edition to a loser whose NFT exists. None where there is nothing to settle, or it is settled."""
        ...


class MintLookStep:
    """Kind `mint_look`, subject: purchase id. Before the start gate opens: an outflow that nothing explains may be of a
    sale whose NFT this database does not know of yet, and whose creators are therefore not due yet; and who seems to
    have lost the race for a last edition may be the one who has it."""

    def __init__(self, mint: MintStep, races: Races) -> None:
        self._mint, self._races = mint, races

    async def run(self, claim: Claim) -> Outcome:
        return await self._races.settle(claim) or await self._mint.look(claim)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


def plan_of(attempt: Any) -> NftPlan:
    """The plan as frozen in an attempt's row or intent."""
    return NftPlan(
        mint_address=attempt.mint_address,
        seed=attempt.seed,
        platform_wallet=attempt.platform_address,
        buyer=attempt.buyer_address,
        name=attempt.name,
        symbol=attempt.symbol,
        uri=attempt.uri,
    )
