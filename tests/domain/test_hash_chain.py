"""The chain breaks at the row that was touched, whatever was done to it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.hash_chain import Fault, Field, Head, Seal, Tampering, check, content, sealed

ROWS = {row_id: f"row {row_id}".encode() for row_id in (3, 4, 7, 9, 12)}
SEALS = sealed(Head(), ROWS.items())
fields = st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=5), st.binary(max_size=5)), max_size=4)


def first_fault(seals: list[Seal], rows: dict[int, bytes]) -> Fault:
    _, fault = check(Head(), seals, rows)
    assert fault is not None
    return fault


def test_an_untouched_chain_holds_and_ends_at_its_last_seal() -> None:
    assert check(Head(), SEALS, ROWS) == (Head(5, SEALS[-1].digest), None)


def test_a_chain_may_be_made_and_checked_in_pages() -> None:
    rows = list(ROWS.items())
    first = sealed(Head(), rows[:2])
    rest = sealed(Head(2, first[-1].digest), rows[2:])
    assert first + rest == SEALS
    middle, _ = check(Head(), SEALS[:2], ROWS)
    assert check(middle, SEALS[2:], ROWS) == (Head(5, SEALS[-1].digest), None)


@pytest.mark.parametrize("row_id", ROWS)
def test_a_changed_row_is_named(row_id: int) -> None:
    fault = first_fault(SEALS, ROWS | {row_id: b"something else"})
    assert (fault.kind, fault.row_id) == (Tampering.ALTERED, row_id)


@pytest.mark.parametrize("row_id", ROWS)
def test_a_row_that_is_gone_is_named(row_id: int) -> None:
    fault = first_fault(SEALS, {other: raw for other, raw in ROWS.items() if other != row_id})
    assert (fault.kind, fault.row_id) == (Tampering.MISSING, row_id)


def test_a_seal_that_is_gone_is_named() -> None:
    fault = first_fault(SEALS[:2] + SEALS[3:], ROWS)
    assert fault == Fault(Tampering.MISSING, 9, "seal 3 is gone; the next one is 4")


def test_a_changed_seal_is_found_at_its_row() -> None:
    forged = [*SEALS[:1], replace(SEALS[1], digest="f" * 64), *SEALS[2:]]
    assert first_fault(forged, ROWS).row_id == SEALS[1].row_id


def test_two_rows_that_changed_places_are_found() -> None:
    swapped = [SEALS[0], replace(SEALS[2], number=2), replace(SEALS[1], number=3), *SEALS[3:]]
    assert first_fault(swapped, ROWS).kind is Tampering.ALTERED


@given(fields, fields)
def test_two_rows_share_their_bytes_only_if_they_are_the_same(one: list[Field], other: list[Field]) -> None:
    assert (content(one) == content(other)) == (one == other)
