"""The player's own arithmetic and plan, against figures worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.week.arithmetic import cents, creator_side, shared, usdc_text, usdc_units
from sandbox.week.plan import plan_week


@pytest.mark.parametrize(
    ("gross", "fee", "due"),
    [
        (300, 39, 2_350_000),  # 2.349, the documents' example
        (50, 31, 170_000),  # 0.171
        (500, 45, 4_100_000),  # 4.095, a tie: up
        (4_900, 172, 42_550_000),  # 42.552
        (999, 59, 8_460_000),
        (100, 99, 10_000),  # 0.009
        (30, 30, 0),
    ],
)
def test_the_creators_side_is_ninety_percent_of_the_net_rounded_half_up_to_the_cent(
    gross: int, fee: int, due: int
) -> None:
    assert creator_side(gross, fee) == due


def test_remainders_go_to_the_largest_fractions_and_among_equals_to_the_lower_user() -> None:
    assert shared(2_350_000, {9: 3_334, 4: 3_333, 7: 3_333}) == {9: 783_490, 4: 783_255, 7: 783_255}
    assert shared(100, {5: 3_333, 6: 3_333, 7: 3_334}) == {5: 33, 6: 33, 7: 34}
    assert shared(1, {8: 5_000, 3: 5_000}) == {8: 0, 3: 1}
    assert shared(10_000, {2: 10_000}) == {2: 10_000}
    with pytest.raises(ValueError, match="10,000"):
        shared(1, {1: 9_999})


@given(st.integers(0, 10**15), st.lists(st.integers(1, 50), min_size=1, max_size=9))
def test_shares_are_paid_out_to_the_last_unit(amount: int, weights: list[int]) -> None:
    shares = {user: weight * 10_000 // sum(weights) for user, weight in enumerate(weights)}
    shares[0] += 10_000 - sum(shares.values())
    parts = shared(amount, shares)
    assert sum(parts.values()) == amount
    assert all(abs(part * 10_000 - amount * shares[user]) < 10_000 for user, part in parts.items())


@pytest.mark.parametrize(
    ("units", "text"),
    [(2_350_000, "2.35"), (2_349_900, "2.3499"), (0, "0.00"), (1, "0.000001"), (10**12, "1000000.00")],
)
def test_amounts_are_written_with_two_to_six_decimals_and_read_back(units: int, text: str) -> None:
    assert usdc_text(units) == text
    assert usdc_units(text) == units


def test_a_negative_amount_is_shown_as_such() -> None:
    assert usdc_text(-1_500_000) == "-1.50"


@pytest.mark.parametrize("text", ["", "1", "1.5", "1.1234567", "-1.00", "1e3", "1.00 ", "١.00"])
def test_anything_else_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        usdc_units(text)
    with pytest.raises(ValueError, match="not an amount"):
        cents(text)


@pytest.mark.parametrize(("purchases", "creators"), [(1, 1), (2, 3), (3, 2), (47, 12), (1_000, 100)])
@pytest.mark.parametrize("seed", [1, 2, -7])
def test_a_plan_has_the_numbers_asked_for_and_oversells_nothing(purchases: int, creators: int, seed: int) -> None:
    plan = plan_week(seed, purchases, creators)
    assert (len(plan.sales), len(plan.buyers), len(plan.creators)) == (purchases, purchases, creators)
    people = [*plan.creators, *plan.buyers]
    assert len({person.email for person in people}) == len(people)
    for place, piece in enumerate(plan.pieces):
        assert piece.editions is None or plan.sales.count(place) <= piece.editions
        assert len(f"{piece.title} #1234567".encode()) <= 32
        assert sum(piece.shares.values()) == 10_000
        assert (piece.ipfs_hash is None) != (piece.teaser_link is None)
    if purchases >= len(plan.pieces):
        assert {who for sale in plan.sales for who in plan.pieces[sale].shares} == set(range(creators))


def test_the_default_week_has_every_kind_of_piece_and_is_the_same_each_time() -> None:
    plan = plan_week(1, 47, 12)
    assert plan == plan_week(1, 47, 12)
    assert plan.sales != plan_week(2, 47, 12).sales
    sold = [plan.pieces[place] for place in plan.sales]
    assert sold[0].price_cents == 300
    assert any(len(piece.shares) == 3 for piece in sold)
    assert any(piece.editions == 1 for piece in sold)
    assert any(piece.editions is None for piece in sold)
    assert any(piece.ipfs_hash for piece in sold)
    assert any(piece.teaser_link for piece in sold)
    assert any(not piece.title.isascii() for piece in sold)


def test_a_week_of_nothing_is_refused() -> None:
    for purchases, creators in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least one"):
            plan_week(1, purchases, creators)
