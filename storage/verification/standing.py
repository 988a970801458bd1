"""Nothing stands still: whatever is not at its end has a job that moves it, or that waits for a person."""

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, Table, cast, exists, select

from domain.refunds import CLOSED_DISPUTES, LOST_DISPUTE
from domain.states import (
    BatchStatus,
    ConversionState,
    GroupState,
    MintState,
    PurchaseStatus,
    TransferState,
    WalletState,
)
from storage.sales.purchases import SOLD_OUT
from storage.statements import among
from storage.tables import (
    batches,
    conversion_orders,
    disputes,
    jobs,
    mint_attempts,
    payout_groups,
    purchases,
    refunds,
    transfer_attempts,
    users,
)
from storage.verification.check import Check, Find, Finding, by_rows
from storage.work import PACKED_KINDS


def _without_job(
    table: Table, kind: str | tuple[str, ...], waiting: ColumnElement[bool], subject: Any, what: str
) -> Find:
    kinds = (kind,) if isinstance(kind, str) else kind

    def find(conn: Connection, first: int, last: int) -> Iterator[Finding]:
        job = exists().where(jobs.c.kind.in_(kinds), jobs.c.subject == cast(subject, String))
        stuck = select(table.c.id).where(table.c.id.between(first, last), waiting, ~job)
        for row_id in conn.scalars(stuck.order_by(table.c.id)):
            yield Finding(f"{table.name} {row_id}", f"{what}, and no job '{' or '.join(kinds)}' is there")

    return find


def _check(name: str, says: str, table: Table, find: Find) -> Check:
    look: Callable[..., Any] = by_rows(table, find)
    return Check(name, ("I12",), says, look)


_REFUNDED = exists().where(refunds.c.purchase_id == purchases.c.id, refunds.c.state == "succeeded")
_ASKED_BY_BANK = exists().where(
    disputes.c.purchase_id == purchases.c.id, disputes.c.status.not_in(among(sorted(CLOSED_DISPUTES - {LOST_DISPUTE})))
)
_UNREFUNDED = ~_REFUNDED & ~_ASKED_BY_BANK

STANDING = (
    _check(
        "fees-wait",
        "every payment without its fee has a job that fetches it",
        purchases,
        _without_job(
            purchases,
            "fee",
            purchases.c.paid_at.is_not(None) & purchases.c.stripe_fee.is_(None),
            purchases.c.id,
            "its fee is not known",
        ),
    ),
    _check(
        "mints-wait",
        "every paid sale with an edition and no NFT has a job that mints it",
        purchases,
        _without_job(
            purchases,
            "mint",
            purchases.c.status.in_([PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.MINTING, PurchaseStatus.FAILED])
            & purchases.c.paid_at.is_not(None)
            & purchases.c.edition_held,
            purchases.c.id,
            "it is not minted",
        ),
    ),
    _check(
        "signed-mints-wait",
        "every signed mint is followed to its end",
        mint_attempts,
        _without_job(
            mint_attempts,
            "mint",
            mint_attempts.c.state.in_([MintState.SIGNED, MintState.SENT]),
            mint_attempts.c.purchase_id,
            "its outcome is unknown",
        ),
    ),
    _check(
        "losers-wait",
        "every sale that lost the race for an edition has a job that refunds it, or a bank that does",
        purchases,
        _without_job(
            purchases, "refund", (purchases.c.status_reason == SOLD_OUT) & _UNREFUNDED, purchases.c.id, "it is sold out"
        ),
    ),
    _check(
        "batches-wait",
        "every batch that has not settled has its job",
        batches,
        _without_job(batches, "batch", batches.c.status != BatchStatus.SETTLED, batches.c.id, "it has not settled"),
    ),
    _check(
        "transfers-wait",
        "every transfer that was begun is followed to its end",
        transfer_attempts,
        _without_job(
            transfer_attempts,
            "transfer",
            transfer_attempts.c.state.in_([TransferState.INTENDED, TransferState.SUBMITTED]),
            transfer_attempts.c.transfer_id,
            "its outcome is unknown",
        ),
    ),
    _check(
        "groups-wait",
        "every group that was packed is followed to its end",
        payout_groups,
        _without_job(
            payout_groups,
            PACKED_KINDS,
            payout_groups.c.state == GroupState.OPEN,
            payout_groups.c.id,
            "it is neither paid nor dissolved",
        ),
    ),
    _check(
        "conversions-wait",
        "every order that was approved is followed to its end",
        conversion_orders,
        _without_job(
            conversion_orders,
            "conversion",
            conversion_orders.c.state.in_(
                [ConversionState.APPROVED, ConversionState.SENDING, ConversionState.ARRIVING]
            ),
            conversion_orders.c.id,
            "it is not at its end",
        ),
    ),
    _check(
        "wallets-wait",
        "every wallet that was asked for has its job",
        users,
        _without_job(
            users,
            "wallet",
            users.c.wallet_state.in_([WalletState.QUEUED, WalletState.CHALLENGE]),
            users.c.id,
            "its wallet is not there",
        ),
    ),
)
