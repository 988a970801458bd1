"""Statements are compiled once, however often they are said and however they were built."""

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Select, Table, bindparam, create_engine, select

from storage.engines import compilations
from storage.engines.compilations import Compilations

THINGS = Table("things", MetaData(), Column("id", Integer, primary_key=True), Column("size", Integer))


def larger() -> Select[Any]:
    return select(THINGS.c.id).where(THINGS.c.size > bindparam("than")).order_by(THINGS.c.id)


class Shop:
    """A database with things of the sizes 0 to 9, and how many statements it has compiled."""

    def __init__(self, known: Compilations | None = None) -> None:
        self.known = Compilations() if known is None else known
        self.connection = create_engine("sqlite://", execution_options={"compiled_cache": self.known}).connect()
        THINGS.create(self.connection)
        for number in range(10):
            self.connection.execute(THINGS.insert(), {"id": number, "size": number})
        self.begun = len(self.known)

    def ask(self, statement: Select[Any], than: int) -> list[int]:
        return list(self.connection.scalars(statement, {"than": than}))

    def compiled(self) -> int:
        return len(self.known) - self.begun


def test_one_statement_is_compiled_once_and_takes_new_values_each_time() -> None:
    shop, statement = Shop(), larger()
    assert [shop.ask(statement, than) for than in (7, 8, 7)] == [[8, 9], [9], [8, 9]]
    assert shop.compiled() == 1


def test_equal_statements_built_anew_share_it() -> None:
    shop = Shop()
    assert [shop.ask(larger(), than) for than in (7, 8)] == [[8, 9], [9]]
    assert shop.compiled() == 1


def test_engines_of_one_driver_share_it() -> None:
    first = Shop()
    second = Shop(first.known)
    assert [shop.ask(larger(), 7) for shop in (first, second, first)] == [[8, 9]] * 3
    assert second.compiled() == 1


def test_a_value_that_stands_in_the_statement_itself_is_the_present_one() -> None:
    shop = Shop()
    assert [list(shop.connection.scalars(larger().params(than=than))) for than in (7, 8)] == [[8, 9], [9]]


def test_it_never_keeps_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilations, "KEPT_MOST", 20)
    shop, first = Shop(), larger()
    for number in range(100):
        sized = larger().with_only_columns(THINGS.c.id, (THINGS.c.size + 1).label(f"as_{number}"))
        assert shop.ask(sized, 8) == [9]
        assert shop.ask(first, 8) == [9]
        assert len(shop.known) <= 20
