"""Taking payouts into a batch: frozen payouts, addresses and amounts, set-based, in one transaction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter

from sqlalchemy import Connection, String, case, cast, insert, literal, null, select, text, update

from domain.errors import Misuse
from domain.keys import creator_reference, purchase_reference
from domain.states import BatchStatus
from storage.bulk import execute_many
from storage.history import note
from storage.payouts.approvals import approve, freeze
from storage.payouts.planning import CreatorShare, Judge, PlanTerms, chunks, lock_plans, payable, shares
from storage.statements import insert_into
from storage.tables import batches, payouts, purchases, screenings, transfers

SCREENER = "deny-list"
"""The local list, by which every address is screened (`payouts/addresses.py`)."""

NewUuids = Callable[[int], Sequence[str]]
"""Draws as many random UUIDs."""

_VALUES = ("uuid", "batch_id", "recipient_id", "reference", "key_scope", "amount", "destination_address", "created_at")


def take(
    conn: Connection, key: str, terms: PlanTerms, judge: Judge, approved_by: str, new_uuids: NewUuids
) -> int | None:
    """Plan a batch: freeze its payouts, addresses and amounts; whoever plans it approves it as the first. None when
    nothing is payable or the key is planned.

    The unique key makes it happen once, whoever comes first. The screening's results are stored.
    """
    _lock(conn)
    verdicts: dict[str, str | None] = {}

    def judged(address: str) -> str | None:
        if address not in verdicts:
            verdicts[address] = judge(address)
        return verdicts[address]

    found = shares(conn, terms, judged)
    taken = [share for share in found if share.left_out is None]
    if not taken:
        return None
    batch_id = _create(conn, key, terms, *new_uuids(1))
    if batch_id is None:
        return None
    take_them = _take_by_creator if terms.grouping == "creator" else _take_by_purchase
    _sum_up(conn, batch_id, taken, take_them(conn, batch_id, taken, terms, new_uuids))
    _store_screenings(conn, batch_id, found, judged, terms.now)
    digest = freeze(conn, batch_id)
    approve(conn, batch_id, digest, approved_by, terms.now)
    return batch_id


def _lock(conn: Connection) -> None:
    """On PostgreSQL: what is read from here on stays so to the end of the transaction, as SQLite's single writer has it
    anyway. Other plans wait, and so does whoever makes a payout due, less or held: it is neither taken beside the sum
    of its transfer nor overtaken. Reading goes on."""
    lock_plans(conn)
    if conn.dialect.name == "postgresql":
        conn.execute(text("LOCK TABLE payouts IN SHARE ROW EXCLUSIVE MODE"))


def _take_by_creator(
    conn: Connection, batch_id: int, taken: Sequence[CreatorShare], terms: PlanTerms, new_uuids: NewUuids
) -> int:
    """A transfer for each recipient, then all payouts into them with one UPDATE; how many."""
    batch_uuid = conn.execute(select(batches.c.uuid).where(batches.c.id == batch_id)).scalar_one()
    rows = [
        (
            uuid,
            batch_id,
            share.recipient_id,
            creator_reference(batch_uuid, share.uuid),
            "",
            share.amount,
            share.address,
            terms.now,
        )
        for uuid, share in zip(new_uuids(len(taken)), sorted(taken, key=attrgetter("recipient_id")), strict=True)
    ]
    execute_many(conn, insert(transfers), _VALUES, rows)
    moved = conn.execute(
        update(payouts)
        .where(
            payable(terms),
            purchases.c.id == payouts.c.purchase_id,
            transfers.c.batch_id == batch_id,
            transfers.c.recipient_id == payouts.c.recipient_id,
        )
        .values(
            batch_id=batch_id,
            transfer_id=transfers.c.id,
            reason=None,
        )
    )
    return moved.rowcount


def _take_by_purchase(
    conn: Connection, batch_id: int, taken: Sequence[CreatorShare], terms: PlanTerms, new_uuids: NewUuids
) -> int:
    """The payouts, then a transfer for each of them; how many."""
    count = 0
    for chunk in chunks([share.recipient_id for share in taken]):
        mine = (
            select(payouts.c.id)
            .select_from(payouts.join(purchases))
            .where(payable(terms), payouts.c.recipient_id.in_(chunk))
        )
        moved = conn.execute(update(payouts).where(payouts.c.id.in_(mine)).values(batch_id=batch_id, reason=None))
        count += moved.rowcount
    _create_transfers(conn, batch_id, {share.recipient_id: share.address for share in taken}, terms, new_uuids)
    return count


def _sum_up(conn: Connection, batch_id: int, taken: Sequence[CreatorShare], moved: int) -> None:
    count, amount = sum(share.purchases for share in taken), sum(share.amount for share in taken)
    if moved != count:
        raise Misuse(f"{moved} payouts were taken into a batch of {count}: nothing of it is planned")
    conn.execute(update(batches).where(batches.c.id == batch_id).values(payout_count=count, planned_amount=amount))


def _create(conn: Connection, key: str, terms: PlanTerms, uuid: str) -> int | None:
    batch_id: int | None = conn.scalar(
        insert_into(batches, conn.dialect.name)
        .values(
            uuid=uuid,
            key=key,
            cutoff_at=terms.cutoff,
            status=BatchStatus.PLANNED,
            grouping=terms.grouping,
            rail=terms.rail,
            fee_ceiling_lamports=terms.fee_ceiling,
            payout_count=0,
            planned_amount=0,
            created_at=terms.now,
        )
        .on_conflict_do_nothing()
        .returning(batches.c.id)
    )
    if batch_id is not None:
        note(conn, "batch", batch_id, None, BatchStatus.PLANNED, terms.now)
    return batch_id


def store_screenings(conn: Connection, addresses: Sequence[str], judge: Judge, now: datetime) -> None:
    """Keep what was said of each address that somebody was about to pay."""
    results = [
        {"address": address, "screener": SCREENER, "allowed": why is None, "reason": why, "created_at": now}
        for address in addresses
        for why in [judge(address)]
    ]
    if results:
        conn.execute(insert(screenings), results)


def _store_screenings(
    conn: Connection, batch_id: int, found: Sequence[CreatorShare], judge: Judge, now: datetime
) -> None:
    """What the screener said of every address that was looked at: the batch's own, which it let pass, and those of the
    recipients who were left out."""
    names = ["address", "screener", "allowed", "reason", "created_at"]
    told = (literal(SCREENER), literal(True), null(), literal(now, screenings.c.created_at.type))
    passed = select(transfers.c.destination_address, *told).where(transfers.c.batch_id == batch_id).distinct()
    conn.execute(insert(screenings).from_select(names, passed))
    store_screenings(conn, [one.address for one in found if one.left_out and one.address is not None], judge, now)


def _create_transfers(
    conn: Connection, batch_id: int, addresses: Mapping[int, str | None], terms: PlanTerms, new_uuids: NewUuids
) -> None:
    """To the `addresses` of the recipients as they were judged: one may be changed while this plan is made."""
    statement = insert_into(transfers, conn.dialect.name)
    renewed = {name: statement.excluded[name] for name in ("batch_id", "amount", "destination_address")}
    statement = statement.on_conflict_do_update(index_elements=[transfers.c.reference], set_=renewed)
    planned = list(_by_payout(conn, batch_id))
    uuids = new_uuids(len(planned))
    rows = [(uuid, batch_id, *row, addresses[row[0]], terms.now) for uuid, row in zip(uuids, planned, strict=True)]
    execute_many(conn, statement, _VALUES, rows)
    reference = (
        select(
            literal("purchase-")
            + purchases.c.stripe_payment_intent_id
            + case(
                (payouts.c.recipient_number == 1, "-distribution"),
                else_=literal("-distribution-") + cast(payouts.c.recipient_number, String),
            )
        )
        .where(purchases.c.id == payouts.c.purchase_id)
        .correlate(payouts)
        .scalar_subquery()
    )
    link = select(transfers.c.id).where(transfers.c.reference == reference)
    conn.execute(update(payouts).where(payouts.c.batch_id == batch_id).values(transfer_id=link.scalar_subquery()))


def _by_payout(conn: Connection, batch_id: int) -> Iterator[tuple[int, str, str, int]]:
    """Of each payout: recipient, reference, key scope, amount."""
    columns = (
        payouts.c.recipient_id,
        payouts.c.recipient_number,
        payouts.c.amount - payouts.c.netted_amount,
        purchases.c.stripe_payment_intent_id,
    )
    statement = select(*columns).select_from(payouts.join(purchases)).where(payouts.c.batch_id == batch_id)
    for recipient_id, number, amount, intent in conn.execute(statement.order_by(payouts.c.paid_at, payouts.c.id)):
        yield recipient_id, purchase_reference(intent, number), f"{intent}/{number}", amount
