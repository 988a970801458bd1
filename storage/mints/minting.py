"""Attempts to mint: intent, signed bytes, fate. One attempt at most is not dead."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select

from domain.dead_attempts import DeadAttempts
from domain.errors import Misuse, Retryable
from domain.evidence import Evidence
from domain.realtime import Part
from domain.states import MintState, PurchaseStatus, WorkState
from storage.attempts import parted, watch_of
from storage.history import advance, advance_from, note
from storage.mints import mint_payouts, mint_settlement, nft_holdings
from storage.recovery import mint_adoption
from storage.sales.purchases import by_id, open_payouts, payout_address, required
from storage.sales.refunds import gives_all_back
from storage.sales.returns import settle_returns
from storage.statements import change_of, locked_row_of, row_of
from storage.tables import contents, jobs, mint_attempts, purchases, users
from storage.treasury import chain_rows
from storage.treasury.network_costs import explain_cost
from storage.work import enqueue

READY = frozenset({PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.MINTING, PurchaseStatus.FAILED})


@dataclass(frozen=True, slots=True)
class MintCase:
    """What is stored about one purchase's mint. `watch` is what the indexer says of the live attempt's signature,
    `pays` what its transaction pays beside minting; `gives_back`: its buyer gets everything back, or is to."""

    purchase: Row[Any]
    buyer: Row[Any]
    content: Row[Any]
    attempt: Row[Any] | None
    watch: Row[Any] | None
    dead: DeadAttempts
    pays: Sequence[Part]
    gives_back: bool

    @property
    def live(self) -> Row[Any]:
        """The attempt of a mint that was begun."""
        assert self.attempt is not None
        return self.attempt


@dataclass(frozen=True, slots=True)
class MintIntent:
    """What one attempt freezes before anything is signed."""

    wallet_id: str
    platform_address: str
    buyer_address: str
    seed: str
    mint_address: str
    name: str
    symbol: str
    uri: str


def is_ready(purchase: Row[Any]) -> bool:
    """Paid, not refunded, and it holds its edition."""
    return bool(purchase.paid_at is not None and purchase.edition_held and purchase.status in READY)


def load(conn: Connection, purchase_id: int) -> MintCase:
    """Also for reads: takes no lock. What is decided from it is written under checks of its own."""
    purchase = by_id(conn, purchase_id)
    if purchase is None:
        raise Misuse(f"no purchase {purchase_id}")
    buyer = conn.execute(row_of(users), {"which": purchase.buyer_id}).one()
    content = conn.execute(row_of(contents), {"which": purchase.content_id}).one()
    return attempted(
        conn, MintCase(purchase, buyer, content, None, None, DeadAttempts(), [], gives_all_back(conn, purchase))
    )


def attempted(conn: Connection, case: MintCase) -> MintCase:
    """The case with its attempts as they are now; what was sold to whom stays as it was read."""
    attempt, dead = parted(conn, _ATTEMPTS, case.purchase.id)
    return replace(
        case,
        attempt=attempt,
        watch=watch_of(conn, attempt),
        dead=dead,
        pays=[] if attempt is None else mint_payouts.of_attempt(conn, attempt.id),
    )


_ATTEMPTS = select(mint_attempts).where(mint_attempts.c.purchase_id == bindparam("of"))


def intend(
    conn: Connection, purchase_id: int, uuid: UUID, intent: MintIntent, now: datetime, *, is_made: bool = False
) -> int:
    """Commit an attempt's intent; the purchase is `minting` from here on. The attempt's id. Raises Retryable when the
    sale is not to be minted any more since it was looked at, or everything is to be given back of it; but where its NFT
    is there already (`is_made`)."""
    purchase = required(conn, purchase_id)
    if not is_ready(purchase):
        raise Retryable(f"purchase {purchase_id} is {purchase.status} meanwhile")
    if not is_made and gives_all_back(conn, purchase):
        raise Retryable(f"everything of purchase {purchase_id} is to be given back, as was asked for meanwhile")
    number = conn.scalar(_LAST_NUMBER, {"of": purchase_id})
    born = {"uuid": str(uuid), "purchase_id": purchase_id, "attempt": (number or 0) + 1, "created_at": now}
    attempt_id: int | None = conn.scalar(_INTEND, {**born, "state": MintState.INTENDED, **asdict(intent)})
    assert attempt_id is not None
    note(conn, "mint", attempt_id, None, MintState.INTENDED, now)
    if purchase.status != PurchaseStatus.MINTING:
        advance_from(conn, purchase_id, purchase.status, PurchaseStatus.MINTING, now, status_reason=None)
    return attempt_id


def buyer_address(conn: Connection, user_id: int) -> str:
    """Where a buyer's NFT goes, in the transaction that freezes it and after it has locked the sale: he may have moved
    since that was looked at, and can't move till this is committed. Raises Retryable where he has none any more."""
    address = payout_address(conn.execute(_BUYER, {"which": user_id}).one())
    if address is None:
        raise Retryable(f"user {user_id} has no address any more")
    return address


_BUYER = row_of(users).with_for_update(read=True)


def as_made(
    conn: Connection, attempt_id: int, uuid: UUID, name: str, number: int, buyer: str, maker: str, now: datetime
) -> None:
    """The NFT is on chain and bears another number than this attempt was to give it, or is at another address: the sale
    takes that number, and an attempt that says what was made takes this one's place."""
    planned = _attempt(conn, attempt_id)
    mint_adoption.bury_others(conn, planned.purchase_id, maker, now)
    mint_adoption.take_number(conn, planned.purchase_id, number, maker, now)
    intent = MintIntent(**{one.name: getattr(planned, one.name) for one in fields(MintIntent)})
    intend(conn, planned.purchase_id, uuid, replace(intent, name=name, buyer_address=buyer), now, is_made=True)


_LAST_NUMBER = select(func.max(mint_attempts.c.attempt)).where(mint_attempts.c.purchase_id == bindparam("of"))
_INTEND = insert(mint_attempts).returning(mint_attempts.c.id)


def signed(
    conn: Connection, attempt_id: int, wire: bytes, signature: str, last_valid_block_height: int, now: datetime
) -> None:
    """Store the signed bytes and have the signature watched, before anything is sent. Not where the attempt was given
    up meanwhile: another sale's NFT bears its number."""
    attempt = _attempt(conn, attempt_id, locked_row_of(mint_attempts))
    if attempt.state == MintState.DEAD:
        return
    advance_from(
        conn,
        attempt_id,
        attempt.state,
        MintState.SIGNED,
        now,
        wire=wire,
        signature=signature,
        last_valid_block_height=last_valid_block_height,
        signed_at=now,
    )
    chain_rows.watch(conn, signature, "mint", attempt.purchase_id, last_valid_block_height, now)


def sent(conn: Connection, attempt_id: int, now: datetime) -> None:
    """The bytes went out at least once."""
    attempt = conn.execute(locked_row_of(mint_attempts), {"which": attempt_id}).one_or_none()
    if attempt is not None and attempt.state == MintState.SIGNED:
        advance_from(conn, attempt_id, attempt.state, MintState.SENT, now)


def finalized(
    conn: Connection, attempt_id: int, evidence: Evidence, now: datetime, parts: Sequence[Part] = (), account: str = ""
) -> None:
    """The NFT exists at finalized and was read back: the purchase is `completed`, its creators' money is due; or, where
    the same transaction paid it (`parts`, from the platform's USDC `account`), `distributed`. All of it in one
    transaction. Idempotent: the mint's own step and a start gate's look may both have seen it. Raises Misuse when the
    sale is not priced and was paid all the same."""
    attempt = _attempt(conn, attempt_id, locked_row_of(mint_attempts))
    if (attempt.state, attempt.signature) == (MintState.FINALIZED, evidence.signature):
        return
    mint_payouts.end(conn, attempt_id, now, unpaid=not parts)
    signature = attempt.signature
    if signature not in (None, evidence.signature):
        note(conn, "mint", attempt_id, attempt.state, attempt.state, now, f"made by {evidence.signature}")
    advance_from(
        conn,
        attempt_id,
        attempt.state,
        MintState.FINALIZED,
        now,
        signature=evidence.signature,
        cost_lamports=evidence.cost_lamports,
        proof=json.dumps({"finalized": evidence.signature, "slot": evidence.slot}),
    )
    advance(
        conn,
        attempt.purchase_id,
        PurchaseStatus.COMPLETED,
        now,
        minted_at=evidence.block_time or now,
        nft_mint_address=attempt.mint_address,
        mint_signature=evidence.signature,
        network_cost_lamports=evidence.cost_lamports,
        status_reason=None,
    )
    nft_holdings.begin(conn, attempt.purchase_id, attempt.mint_address, attempt.buyer_address, evidence.slot, now)
    explain_cost(conn, evidence.signature, "mint", now)
    enqueue(conn, "mint_listing", attempt.purchase_id, now)
    born = open_payouts(conn, attempt.purchase_id, now)
    if parts and not born:
        raise Misuse(f"purchase {attempt.purchase_id} was paid with its mint, and its payouts can't be born yet")
    if parts:
        mint_settlement.book(conn, attempt, parts, evidence, account, now)
    settle_returns(conn, attempt.purchase_id, "minted", now)


def dead(conn: Connection, attempt_id: int, proof: dict[str, Any], now: datetime) -> None:
    """The attempt can never take effect; `proof` says why. Its successor may be signed, unless the sale was refunded in
    full while it was under way: that ends the sale now."""
    advance(conn, attempt_id, MintState.DEAD, now, str(proof.get("why", ""))[:500], proof=json.dumps(proof))
    mint_payouts.end(conn, attempt_id, now)
    purchase_id = _attempt(conn, attempt_id).purchase_id
    open_payouts(conn, purchase_id, now)
    settle_returns(conn, purchase_id, "mint attempt dead", now)


def failed(conn: Connection, purchase_id: int, why: str, now: datetime) -> None:
    """The automatic tries are used up. Never while something signed may still land: then it stays `minting`."""
    case = load(conn, purchase_id)
    in_flight = case.attempt is not None and case.attempt.state in (MintState.SIGNED, MintState.SENT)
    if case.attempt is not None:
        mint_payouts.release(conn, case.attempt.id, why, now)
    if not in_flight and case.purchase.status in (PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.MINTING):
        advance(conn, purchase_id, PurchaseStatus.FAILED, now, why[:500], status_reason=why[:500])
        settle_returns(conn, purchase_id, "mint failed", now)


def say(conn: Connection, purchase_id: int, reason: str) -> None:
    """Tell why a paid purchase is not minted yet (waits for the buyer's wallet)."""
    conn.execute(change_of(purchases), {"which": purchase_id, "status_reason": reason})


_ROW = row_of(mint_attempts)


def _attempt(conn: Connection, attempt_id: int, asked: Select[Any] = _ROW) -> Row[Any]:
    row = conn.execute(asked, {"which": attempt_id}).one_or_none()
    if row is None:
        raise Misuse(f"no mint attempt {attempt_id}")
    return row


def paid_without_nft(conn: Connection) -> list[int]:
    """Ids of all paid purchases that hold an edition, whose buyer has a wallet, and that have no NFT yet; oldest
    first."""
    waiting = (PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.MINTING, PurchaseStatus.FAILED)
    ready = users.c.circle_wallet_address.is_not(None) | users.c.wallet_address.is_not(None)
    statement = (
        select(purchases.c.id)
        .select_from(purchases.join(users, purchases.c.buyer_id == users.c.id))
        .where(purchases.c.status.in_(waiting), purchases.c.edition_held, purchases.c.paid_at.is_not(None), ready)
        .order_by(purchases.c.id)
    )
    return list(conn.scalars(statement))


def look_for(conn: Connection, purchase_ids: Sequence[int], now: datetime) -> None:
    """Have it looked whether these sales' NFTs are on chain already."""
    for purchase_id in purchase_ids:
        enqueue(conn, "mint_look", purchase_id, now)


def is_looked_for(conn: Connection) -> bool:
    """Whether a look for an NFT on chain was asked for and has not been made yet; one that could not tell, has been."""
    waits = (jobs.c.kind == "mint_look") & (jobs.c.state == WorkState.DUE) & jobs.c.last_error.is_(None)
    return conn.scalar(select(jobs.c.id).where(waits).limit(1)) is not None
