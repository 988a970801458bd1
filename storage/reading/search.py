"""Finding purchases, users and creators for the operator: by any id that somebody may hold in his hand. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Row,
    Select,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)

from domain.ledger import Asset, debt_of
from domain.states import PAYOUT_DUE, PurchaseStatus, UsdcStatus, WalletState
from storage.payouts.settlements import paid_to
from storage.reading import by_hand, unminted
from storage.reading.views import PurchaseView, purchase_views
from storage.tables import (
    chain_movements,
    contents,
    invites,
    ledger_balances,
    payouts,
    purchases,
    refunds,
    state_history,
    users,
)

DIGITS_MOST = 18
"""Longer numbers are no row ids."""
BUYERS_MOST = 10_000
"""Whose purchases are looked up one buyer after the other. Where more fit (the first letter of an address), the newest
purchases are walked, and a page of theirs is found soon."""
_LAST = "\U0010ffff"
"""Sorts behind everything that begins alike: a prefix is a range of the index."""


@dataclass(frozen=True, slots=True)
class PurchaseWish:
    """Which purchases; what is None does not matter. `text` is an id, an address, a signature or the beginning of the
    buyer's e-mail address. `payout_state`: at least one payout is in it."""

    text: str | None = None
    status: PurchaseStatus | None = None
    payout_state: UsdcStatus | None = None
    held: bool | None = None
    buyer_id: int | None = None
    creator_id: int | None = None
    content_id: int | None = None


@dataclass(frozen=True, slots=True)
class UserWish:
    """Which users; `text` is an id, an address or the beginning of the e-mail address."""

    text: str | None = None
    wallet_state: WalletState | None = None
    wallet_provider: str | None = None


@dataclass(slots=True)
class Creator:
    """One creator's money in USDC base units, as his dashboard has it: `owed` is due, unpaid and not held, also of
    sales that wait for their NFT, and what a person is to pay him."""

    user_id: int
    name: str
    email: str
    address: str | None
    sales: int = 0
    owed: int = 0
    held: int = 0
    paid: int = 0
    failed: int = 0
    debt: int = 0


@dataclass(frozen=True, slots=True)
class UserHistory:
    """What happened to one user's wallet and address, oldest first, and how much he bought."""

    changes: Sequence[Row[Any]]
    purchases: int
    contents: int


def purchases_page(conn: Connection, wish: PurchaseWish, before: int | None, limit: int) -> list[PurchaseView]:
    """Up to `limit` purchases, newest first, with ids below `before`."""
    wanted = _wanted(wish)
    if wish.text is not None:
        wanted.append(_matching(conn, wish.text))
    if before is not None:
        wanted.append(purchases.c.id < before)
    ids = conn.scalars(select(purchases.c.id).where(*wanted).order_by(purchases.c.id.desc()).limit(limit)).all()
    return purchase_views(conn, ids)


def _wanted(wish: PurchaseWish) -> list[ColumnElement[bool]]:
    """All of the wish but its text."""
    found: list[ColumnElement[bool]] = []
    if wish.status is not None:
        # Nearly all sales are completed: walking them newest first finds a page at once, an index would sort them all.
        common = wish.status is PurchaseStatus.COMPLETED
        found.append((purchases.c.status.concat("") if common else purchases.c.status) == wish.status)
    if wish.payout_state is not None:
        found.append(_with_payout(wish.payout_state))
    if wish.held is not None:
        found.append(purchases.c.hold_reason.is_not(None) if wish.held else purchases.c.hold_reason.is_(None))
    if wish.buyer_id is not None:
        found.append(purchases.c.buyer_id == wish.buyer_id)
    if wish.creator_id is not None:
        found.append(purchases.c.id.in_(select(payouts.c.purchase_id).where(payouts.c.recipient_id == wish.creator_id)))
    if wish.content_id is not None:
        found.append(purchases.c.content_id == wish.content_id)
    return found


def _with_payout(state: UsdcStatus) -> ColumnElement[bool]:
    """At least one payout in this state: one sale after the other for the state that nearly all are in."""
    if state is UsdcStatus.DISTRIBUTED:
        return exists().where(payouts.c.purchase_id == purchases.c.id, payouts.c.state == state)
    return purchases.c.id.in_(select(payouts.c.purchase_id).where(payouts.c.state == state))


def _matching(conn: Connection, text: str) -> ColumnElement[bool]:
    """Each part uses an index of its own."""
    named = (
        purchases.c.uuid,
        purchases.c.stripe_payment_intent_id,
        purchases.c.stripe_checkout_session_id,
        purchases.c.stripe_charge_id,
        purchases.c.stripe_balance_transaction_id,
        purchases.c.nft_mint_address,
        purchases.c.mint_signature,
    )
    paid_by = select(chain_movements.c.transfer_id).where(chain_movements.c.signature == text)
    parts = [
        *(select(purchases.c.id).where(column == text) for column in named),
        select(refunds.c.purchase_id).where(refunds.c.stripe_refund_id == text),
        select(payouts.c.purchase_id).where(payouts.c.transfer_id.in_(paid_by)),
    ]
    row_id = _row_id(text)
    if row_id is not None:
        parts.append(select(purchases.c.id).where(purchases.c.id == row_id))
    buyers = conn.scalars(select(users.c.id).where(_begins(text)).limit(BUYERS_MOST + 1)).all()
    if len(buyers) > BUYERS_MOST:
        theirs = exists().where(users.c.id == purchases.c.buyer_id, _begins(text))
        return or_(purchases.c.id.in_(union_all(*parts)), theirs)
    parts.append(select(purchases.c.id).where(purchases.c.buyer_id.in_(select(users.c.id).where(_begins(text)))))
    return purchases.c.id.in_(union_all(*parts))


def _begins(text: str) -> ColumnElement[bool]:
    start = text.lower()
    return (users.c.email >= start) & (users.c.email < start + _LAST)


def _row_id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MOST else None


def users_page(conn: Connection, wish: UserWish, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` users, newest first, with ids below `before`."""
    query = select(users).order_by(users.c.id.desc()).limit(limit)
    if wish.text is not None:
        query = query.where(users.c.id.in_(_named(wish.text)))
    if wish.wallet_state is not None:
        query = query.where(users.c.wallet_state == wish.wallet_state)
    if wish.wallet_provider is not None:
        query = query.where(users.c.wallet_provider == wish.wallet_provider)
    return conn.execute(query if before is None else query.where(users.c.id < before)).all()


def _named(text: str) -> CompoundSelect[int]:
    """Each part uses an index of its own."""
    exact = (
        users.c.uuid,
        users.c.circle_wallet_id,
        users.c.circle_wallet_address,
        users.c.wallet_address,
        users.c.web3auth_sub,
    )
    parts = [select(users.c.id).where(_begins(text)), *(select(users.c.id).where(one == text) for one in exact)]
    row_id = _row_id(text)
    return union_all(*parts, *(() if row_id is None else (select(users.c.id).where(users.c.id == row_id),)))


def user(conn: Connection, user_id: int) -> Row[Any] | None:
    return conn.execute(select(users).where(users.c.id == user_id)).one_or_none()


def user_history(conn: Connection, user_id: int) -> UserHistory:
    """The changes of a user's wallet and payout address, and his numbers."""
    machines = ("wallet", "address")
    changes = conn.execute(
        select(state_history)
        .where(state_history.c.machine.in_(machines), state_history.c.subject == str(user_id))
        .order_by(state_history.c.id)
    ).all()
    bought = select(func.count()).select_from(purchases).where(purchases.c.buyer_id == user_id)
    made = select(func.count()).select_from(contents).where(contents.c.author_id == user_id)
    return UserHistory(changes, conn.scalar(bought) or 0, conn.scalar(made) or 0)


def creator_of(conn: Connection, user: Row[Any]) -> Creator:
    """One user's money as a creator; all zero for who never sold."""
    return _with_money(conn, [user])[0]


def creators_page(conn: Connection, before: int | None, limit: int) -> list[Creator]:
    """Up to `limit` users who were ever owed something, newest first, with ids below `before`."""
    query = select(users).where(users.c.id.in_(_recipients(before, limit))).order_by(users.c.id.desc())
    return _with_money(conn, conn.execute(query).all())


def _recipients(before: int | None, limit: int) -> Select[int]:
    """From one to the next by the index of payouts: of all users few are ever paid, and those for longest."""
    highest = func.max(payouts.c.recipient_id)
    first = select(highest.label("user_id"), literal(1).label("place"))
    found = (first if before is None else first.where(payouts.c.recipient_id < before)).cte("found", recursive=True)
    below = select(highest).where(payouts.c.recipient_id < found.c.user_id).scalar_subquery()
    more = select(below, found.c.place + 1).where(found.c.user_id.is_not(None), found.c.place < limit)
    found = found.union_all(more)
    return select(found.c.user_id).where(found.c.user_id.is_not(None))


def _with_money(conn: Connection, rows: Sequence[Row[Any]]) -> list[Creator]:
    found = {
        row.id: Creator(row.id, row.username, row.email, row.circle_wallet_address or row.wallet_address)
        for row in rows
    }
    _add_sums(conn, found)
    accounts = {debt_of(user_id): user_id for user_id in found}
    debts = select(ledger_balances).where(
        ledger_balances.c.account.in_(accounts), ledger_balances.c.asset == Asset.USDC
    )
    booked = {accounts[row.account]: row.amount for row in conn.execute(debts)}
    asked, settled = by_hand.owed(conn, found), paid_to(conn, found)
    waiting = unminted.of_creators(conn, found)
    for user_id, creator in found.items():
        creator.owed += waiting[user_id].due
        creator.held += waiting[user_id].held
        creator.paid += settled.get(user_id, 0)
        creator.owed += asked[user_id].amount
        creator.debt = asked[user_id].debt_of(booked.get(user_id, 0))
    return list(found.values())


def _add_sums(conn: Connection, found: dict[int, Creator]) -> None:
    sums = (
        select(
            payouts.c.recipient_id,
            payouts.c.state,
            func.count().label("rows"),
            func.sum(payouts.c.amount - payouts.c.netted_amount).label("unpaid"),
            func.sum(payouts.c.paid_amount).label("paid"),
        )
        .where(payouts.c.recipient_id.in_(found))
        .group_by(payouts.c.recipient_id, payouts.c.state)
    )
    for row in conn.execute(sums):
        creator, state = found[row.recipient_id], UsdcStatus(row.state)
        if state is not UsdcStatus.CANCELLED:
            creator.sales += row.rows
        if state in PAYOUT_DUE:
            creator.owed += int(row.unpaid)
        if state is UsdcStatus.FAILED:
            creator.failed += row.rows
        elif state is UsdcStatus.ON_HOLD:
            creator.held += int(row.unpaid)
        creator.paid += int(row.paid)


def invites_page(conn: Connection, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` invites, newest first; their codes are known to nobody but who made them."""
    query = select(invites).order_by(invites.c.id.desc()).limit(limit)
    return conn.execute(query if before is None else query.where(invites.c.id < before)).all()
