"""Every entry that can be made balances in each asset; nothing unbalanced can be made."""

import inspect
from collections import Counter
from collections.abc import Mapping
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ledger
from domain.errors import LedgerImbalance
from domain.ledger import Asset, Entry, Posting

AMOUNTS = st.integers(1, 10**15)
OWED = st.dictionaries(st.integers(1, 10**6), AMOUNTS, min_size=1, max_size=8)
MAKERS = {
    name: function
    for name, function in vars(ledger).items()
    if inspect.isfunction(function) and get_type_hints(function).get("return") is Entry and not name.startswith("_")
}
del MAKERS["balanced"], MAKERS["sale_due"]  # these two can be asked for nonsense; see below


def sums(entry: Entry) -> dict[Asset, int]:
    totals: Counter[Asset] = Counter()
    for posting in entry.postings:
        totals[posting.asset] += posting.amount
    return dict(totals)


def arguments(data: st.DataObject, function: Any) -> dict[str, Any]:
    """Arbitrary values for what the function takes: amounts that are positive, and texts."""
    kinds = {int: AMOUNTS, bool: st.booleans(), str: st.text(min_size=1, max_size=20), Mapping[int, int]: OWED}
    hints = {name: hint for name, hint in get_type_hints(function).items() if name != "return"}
    return {name: data.draw(kinds[hint], label=name) for name, hint in hints.items()}


def test_all_movements_are_tried_below() -> None:
    assert len(MAKERS) >= 10
    assert "sale_paid" in MAKERS


@pytest.mark.parametrize("name", sorted(MAKERS))
@given(data=st.data())
def test_every_entry_balances_in_each_asset(name: str, data: st.DataObject) -> None:
    entry = MAKERS[name](**arguments(data, MAKERS[name]))
    assert entry.postings
    assert all(total == 0 for total in sums(entry).values())
    assert all(posting.amount for posting in entry.postings)
    assert len({posting.asset for posting in entry.postings}) == 1
    assert entry.key
    assert entry.subject


@given(OWED, AMOUNTS)
def test_a_sale_owes_exactly_its_net(owed: dict[int, int], platform: int) -> None:
    net = sum(owed.values()) + platform
    entry = ledger.sale_due("pi_3Example", net, platform, owed)
    assert sums(entry) == {Asset.USDC: 0}
    assert {p.account: -p.amount for p in entry.postings if p.account.startswith("owed:")} == {
        ledger.owed_to(user): amount for user, amount in owed.items()
    }


@given(OWED, AMOUNTS, st.integers(-100, 100).filter(bool))
def test_a_sale_that_owes_more_or_less_than_its_net_is_refused(owed: dict[int, int], platform: int, off: int) -> None:
    with pytest.raises(LedgerImbalance, match="due:pi_3Example"):
        ledger.sale_due("pi_3Example", sum(owed.values()) + platform + off, platform, owed)


@given(st.lists(st.tuples(st.sampled_from(Asset), st.integers(-(10**12), 10**12)), max_size=8))
def test_an_entry_passes_only_if_each_asset_sums_to_zero(rows: list[tuple[Asset, int]]) -> None:
    entry = Entry(
        "k", "kind", "s", tuple(Posting(f"account:{n}", asset, amount) for n, (asset, amount) in enumerate(rows))
    )
    if rows and not any(sums(entry).values()):
        assert ledger.balanced(entry) is entry
    else:
        with pytest.raises(LedgerImbalance):
            ledger.balanced(entry)


def test_one_asset_never_makes_up_for_another() -> None:
    entry = Entry("k", "kind", "s", (Posting("a", Asset.USD, 261), Posting("b", Asset.USDC, -261)))
    with pytest.raises(LedgerImbalance, match=r"usd_cents.*usdc_base_units"):
        ledger.balanced(entry)


def test_the_three_dollar_sale_from_card_to_creator_leaves_nothing_owed() -> None:
    entries = [
        ledger.sale_paid("pi_3Example", 300),
        ledger.fee_final("pi_3Example", 300, 39),
        ledger.sale_due("pi_3Example", 2_610_000, 260_000, {5: 2_350_000}),
        ledger.conversion_sent("0b0f7b8e-8a44-4c5e-9d49-111111111111", 261),
        ledger.usdc_deposit("deposit-signature", 2_600_000),
        ledger.payouts_distributed("payout-signature", {5: 2_350_000}),
    ]
    balances: Counter[tuple[str, Asset]] = Counter()
    for entry in entries:
        for posting in entry.postings:
            balances[posting.account, posting.asset] += posting.amount
    assert balances[ledger.owed_to(5), Asset.USDC] == 0
    assert balances[ledger.STRIPE_PENDING, Asset.USD] == 0
    assert balances[ledger.STRIPE_BALANCE, Asset.USD] == 0
    assert balances[ledger.STRIPE_FEES, Asset.USD] == 39
    assert balances[ledger.PLATFORM_SHARE, Asset.USDC] == -260_000
    assert balances[ledger.TREASURY, Asset.USDC] == 250_000
    assert balances[ledger.CONVERSION_CLEARING, Asset.USDC] == -2_600_000  # 0.01 USD of slippage beside 261 cents
    by_asset = {asset: [amount for (_, of), amount in balances.items() if of is asset] for asset in Asset}
    assert ledger.imbalance(by_asset) == 0


def test_the_imbalance_is_one_number_in_which_assets_do_not_cancel() -> None:
    assert ledger.imbalance({}) == 0
    assert ledger.imbalance({Asset.USD: [5, -5], Asset.USDC: [7, -6], Asset.SOL: [-3, 1]}) == 3


@given(AMOUNTS, st.integers(-(10**15), 10**15).filter(bool))
def test_taking_a_movement_back_undoes_its_entry_under_another_key(amount: int, lamports: int) -> None:
    pairs = [
        (ledger.usdc_outside("sig", amount), ledger.usdc_outside_claimed("sig", amount)),
        (ledger.sol_moved("sig", lamports), ledger.sol_moved_claimed("sig", lamports)),
    ]
    for booked, taken_back in pairs:
        totals: Counter[tuple[str, Asset]] = Counter()
        for posting in booked.postings + taken_back.postings:
            totals[posting.account, posting.asset] += posting.amount
        assert not any(totals.values())
        assert booked.key != taken_back.key
