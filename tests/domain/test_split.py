"""Who gets what of a sale, and what is left of it after refunds."""

from fractions import Fraction
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Misuse
from domain.money import cents_to_base_units
from domain.split import Rounding, Split, SplitRule, due_after_refunds, round_to, share_out, split_net

AMOUNTS = st.integers(0, 10**15)
RULES = st.builds(
    SplitRule,
    creator_bps=st.integers(0, 10_000),
    step=st.sampled_from([1, 10, 100, 1_000, 10_000, 100_000, 1_000_000]) | st.integers(1, 1_000_000),
    rounding=st.sampled_from(Rounding),
)


@st.composite
def shares(draw: st.DrawFn) -> dict[int, int]:
    """Positive basis points of 1 to 12 recipients that sum to 10,000."""
    cuts = sorted(draw(st.sets(st.integers(1, 9_999), max_size=11)))
    parts = [high - low for low, high in zip([0, *cuts], [*cuts, 10_000], strict=True)]
    who = draw(st.lists(st.integers(1, 10**9), min_size=len(parts), max_size=len(parts), unique=True))
    return dict(zip(who, parts, strict=True))


def test_the_three_dollar_sale_pays_the_creator_2_35_and_the_platform_0_26() -> None:
    assert split_net(cents_to_base_units(261), SplitRule()) == Split(creator=2_350_000, platform=260_000)


@pytest.mark.parametrize(
    ("step", "rounding", "creator"),
    [
        (1, Rounding.HALF_UP, 2_349_000),
        (10_000, Rounding.DOWN, 2_340_000),
        (10_000, Rounding.UP, 2_350_000),
        (1_000_000, Rounding.HALF_UP, 2_000_000),
        (1_000_000, Rounding.UP, 2_610_000),
    ],
)
def test_the_three_dollar_sale_at_other_steps_and_sides(step: int, rounding: Rounding, creator: int) -> None:
    assert split_net(2_610_000, SplitRule(step=step, rounding=rounding)) == Split(creator, 2_610_000 - creator)


@pytest.mark.parametrize(
    ("numerator", "expected"), [(0, 0), (4, 0), (5, 10), (14, 10), (15, 20), (25, 30), (35, 40), (45, 50)]
)
def test_halves_go_up_and_not_to_the_even_neighbour(numerator: int, expected: int) -> None:
    assert round_to(numerator, 1, 10, Rounding.HALF_UP) == expected


@given(AMOUNTS, st.integers(1, 10**6), st.integers(1, 10**6), st.sampled_from(Rounding))
def test_rounding_reaches_a_neighbouring_multiple_of_the_step_on_the_side_asked_for(
    numerator: int, denominator: int, step: int, rounding: Rounding
) -> None:
    rounded, exact = round_to(numerator, denominator, step, rounding), Fraction(numerator, denominator)
    assert rounded % step == 0
    if rounding is Rounding.DOWN:
        assert 0 <= exact - rounded < step
    elif rounding is Rounding.UP:
        assert 0 <= rounded - exact < step
    else:
        assert -Fraction(step, 2) <= exact - rounded < Fraction(step, 2)


@given(AMOUNTS, RULES)
def test_creator_and_platform_make_the_net_for_every_net_and_rule(net: int, rule: SplitRule) -> None:
    split = split_net(net, rule)
    assert split.creator + split.platform == net
    assert split.creator >= 0
    assert split.platform >= 0
    assert abs(split.creator - Fraction(net * rule.creator_bps, 10_000)) <= rule.step


def test_peers_defect_16_no_net_mis_sums_at_a_hundredth_of_a_cent() -> None:
    """Rounding 10% and 90% apart mis-summed for 10,000 of 99,999 nets at $0.0001 steps."""
    rule = SplitRule(step=100)
    wrong = [net for net in range(100, 10_000_000, 100) if sum_of(split_net(net, rule)) != net]
    assert wrong == []


def sum_of(split: Split) -> int:
    return split.creator + split.platform


def test_a_net_below_nothing_and_terms_that_make_no_sense_are_our_own_mistake() -> None:
    with pytest.raises(Misuse):
        split_net(-1, SplitRule())
    for bps in (-1, 10_001):
        with pytest.raises(Misuse):
            SplitRule(creator_bps=bps)
    with pytest.raises(Misuse):
        SplitRule(step=0)


@given(AMOUNTS, shares())
def test_parts_sum_to_the_whole_and_none_is_a_unit_off(amount: int, parts: dict[int, int]) -> None:
    shared = share_out(amount, parts)
    assert shared.keys() == parts.keys()
    assert sum(shared.values()) == amount
    for who, bps in parts.items():
        assert abs(shared[who] - Fraction(amount * bps, 10_000)) < 1


@given(AMOUNTS, shares(), st.randoms(use_true_random=False))
def test_the_order_of_recipients_changes_nothing(amount: int, parts: dict[int, int], random: Random) -> None:
    shuffled = list(parts.items())
    random.shuffle(shuffled)
    assert share_out(amount, dict(shuffled)) == share_out(amount, parts)


@given(AMOUNTS, shares())
def test_the_largest_remainders_get_what_is_left_over(amount: int, parts: dict[int, int]) -> None:
    shared = share_out(amount, parts)
    rest = {who: amount * bps % 10_000 for who, bps in parts.items()}
    raised = {who for who in parts if shared[who] > amount * parts[who] // 10_000}
    for lucky in raised:
        for other in parts.keys() - raised:
            assert (-rest[lucky], lucky) < (-rest[other], other)


def test_ties_go_to_the_lower_recipient_id() -> None:
    assert share_out(1, {9: 5_000, 4: 5_000}) == {4: 1, 9: 0}
    assert share_out(100, {3: 3_333, 2: 3_333, 1: 3_334}) == {1: 34, 2: 33, 3: 33}
    assert share_out(2_350_000, {1: 10_000}) == {1: 2_350_000}


@pytest.mark.parametrize(
    "parts", [{}, {1: 9_999}, {1: 10_001}, {1: 5_000, 2: 4_999}, {1: 10_000, 2: 0}, {1: 11_000, 2: -1_000}]
)
def test_shares_that_are_not_the_whole_are_refused(parts: dict[int, int]) -> None:
    with pytest.raises(Misuse):
        share_out(100, parts)


@pytest.mark.parametrize(
    ("refunded", "due"),
    [(0, 2_350_000), (100, 1_566_667), (150, 1_175_000), (299, 7_833), (300, 0), (301, 0), (10**9, 0)],
)
def test_refunds_reduce_the_three_dollar_sale(refunded: int, due: int) -> None:
    assert due_after_refunds(2_350_000, 300, refunded) == due


@given(AMOUNTS, st.integers(1, 10**9), st.lists(st.integers(1, 10**8), max_size=4))
def test_refunds_end_the_same_in_any_order_and_only_ever_reduce(creator: int, gross: int, refunds: list[int]) -> None:
    ends = set()
    for order in permutations(refunds):
        total, due = 0, creator
        for refund in order:
            total += refund
            after = due_after_refunds(creator, gross, total)
            assert 0 <= after <= due
            due = after
        ends.add(due)
    assert len(ends) == 1
    assert (ends == {0}) or sum(refunds) < gross


@given(AMOUNTS, st.integers(1, 10**9), st.integers(0, 10**9))
def test_what_stays_due_is_the_exact_share_rounded_half_up_and_capped(creator: int, gross: int, extra: int) -> None:
    assert due_after_refunds(creator, gross, 0) == creator
    assert due_after_refunds(creator, gross, gross + extra) == 0
    part = min(extra, gross)
    exact = Fraction(creator * (gross - part), gross)
    assert due_after_refunds(creator, gross, part) == (exact + Fraction(1, 2)).__floor__()


@pytest.mark.parametrize(("gross", "refunded"), [(0, 0), (-1, 0), (300, -1)])
def test_a_sale_of_nothing_and_a_refund_below_nothing_are_our_own_mistake(gross: int, refunded: int) -> None:
    with pytest.raises(Misuse):
        due_after_refunds(2_350_000, gross, refunded)
