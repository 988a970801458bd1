"""Bugs in who and where: the wrong work, buyer, price, creator or wallet, each of them written down in good order."""

from types import SimpleNamespace
from typing import Any

from pytest import MonkeyPatch
from sqlalchemy import select, update

import agent.steps.mint
import agent.steps.wallet
import agent.web.checkout
import storage.people.wallets
import storage.sales.checkouts
import storage.sales.purchases
from storage.tables import contents, users
from tests.seeded_bugs.planting import bug, of


def _with(row: Any, **other: Any) -> Any:
    """A row that says something else in some columns."""
    return SimpleNamespace(**(dict(row._mapping) | other))


@bug()
def asks_for_a_cent_less(patch: MonkeyPatch) -> None:
    real = storage.sales.checkouts.for_sale

    def for_sale(conn: Any, content_id: int) -> Any:
        row = real(conn, content_id)
        return _with(row, price_cents=row.price_cents - 1)

    patch.setattr(of(agent.web.checkout, "checkouts"), "for_sale", for_sale)


@bug()
def sells_another_work(patch: MonkeyPatch) -> None:
    real = of(storage.sales.purchases, "_create")

    def create(conn: Any, checkout: Any, *more: Any) -> Any:
        newest = conn.scalar(select(contents.c.id).order_by(contents.c.id.desc()).limit(1))
        return real(conn, _with(checkout, content_id=newest), *more)

    patch.setattr(storage.sales.purchases, "_create", create)


@bug()
def sells_to_somebody_else(patch: MonkeyPatch) -> None:
    real = of(storage.sales.purchases, "_create")

    def create(conn: Any, checkout: Any, *more: Any) -> Any:
        newest = conn.scalar(select(users.c.id).order_by(users.c.id.desc()).limit(1))
        return real(conn, _with(checkout, buyer_id=newest), *more)

    patch.setattr(storage.sales.purchases, "_create", create)


@bug(purchases=9)
def pays_the_first_user_for_what_one_alone_made(patch: MonkeyPatch) -> None:
    real = storage.sales.purchases.shares_of

    def shares(conn: Any, content_id: int) -> dict[int, int]:
        found = real(conn, content_id)
        return {1: 10_000} if len(found) == 1 else found

    patch.setattr(storage.sales.purchases, "shares_of", shares)


@bug(purchases=9)
def mistakes_one_wallet_for_another(patch: MonkeyPatch) -> None:
    """Every second user gets the address of the first."""
    real = storage.people.wallets.ready

    def ready(conn: Any, user_id: int, *more: Any) -> None:
        real(conn, user_id, *more)
        first = conn.scalar(select(users.c.circle_wallet_address).where(users.c.id == 1))
        if user_id % 2 == 0 and first is not None:
            conn.execute(update(users).where(users.c.id == user_id).values(circle_wallet_address=first))

    patch.setattr(of(agent.steps.wallet, "rows"), "ready", ready)


@bug()
def numbers_every_edition_the_same(patch: MonkeyPatch) -> None:
    real = of(agent.steps.mint, "nft_name")
    patch.setattr(agent.steps.mint, "nft_name", lambda title, number: real(title, 1))
