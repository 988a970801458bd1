import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.hash import Hash

from chain.account_waves import WAVE, build_wave, halved, into_waves
from chain.nft_build import ComputeBudget
from chain.packed import build_packed, capacity
from chain.packed_check import assert_packed_matches
from chain.packed_plan import PackedPlan, TransactionFormat, halves, into_groups
from chain.receipts import build_close
from chain.usdc_payouts import PackedTransfer
from domain.errors import Misuse, Rejected
from tests.chain.packed_world import MINT, WALLET, a_packed_plan, an_owner

BLOCKHASH = "9sHcv6xwn9YkB8nxTUGKDwPwNnmqVp5oAXxU8Fdkm4J6"
RENT = 1_488_440
OWNERS = [an_owner(number) for number in range(12)]
PLANS = {one: a_packed_plan(5, packed_format=one) for one in TransactionFormat}
WIRES = {
    one: build_packed(plan, blockhash=BLOCKHASH, rent_lamports=RENT, receipt_lamports_now=0)
    for one, plan in PLANS.items()
}
FORMATS = pytest.mark.parametrize("packed_format", list(TransactionFormat))
TRANSFERS = st.lists(st.builds(PackedTransfer, st.sampled_from(OWNERS), st.integers(1, 10**9)), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("packed_format", "memo", "budget", "count"),
    [
        ("v0", 0, False, 15),
        ("v0", 0, True, 14),
        ("v0", 21, False, 14),
        ("v0", 21, True, 13),
        ("v1", 0, False, 58),
        ("v1", 0, True, 58),
        ("v1", 21, False, 57),
        ("v1", 21, True, 57),
    ],
)
def test_as_many_payouts_fit_as_were_measured(packed_format: str, memo: int, budget: bool, count: int) -> None:
    assert capacity(TransactionFormat(packed_format), memo, with_budget=budget) == count


@FORMATS
def test_one_payout_more_than_fits_is_refused(packed_format: TransactionFormat) -> None:
    plan = a_packed_plan(capacity(packed_format) + 1, packed_format=packed_format)
    with pytest.raises(Rejected) as refused:
        build_packed(plan, blockhash=BLOCKHASH, rent_lamports=RENT, receipt_lamports_now=0)
    assert refused.value.code == "transaction_too_large"


@given(transfers=TRANSFERS, room=st.integers(1, 15))
def test_packing_loses_and_doubles_nothing(transfers: list[PackedTransfer], room: int) -> None:
    groups = into_groups(transfers, room)
    packed = [one for group in groups for one in group]
    assert sorted(packed, key=repr) == sorted(transfers, key=repr)
    assert all(0 < len(group) <= room for group in groups)
    assert all(len({one.owner for one in group}) == len(group) for group in groups)


@given(count=st.integers(1, 200), room=st.integers(1, 58))
@settings(max_examples=40)
def test_different_owners_take_no_more_groups_than_must_be(count: int, room: int) -> None:
    transfers = [PackedTransfer(str(number), 1) for number in range(count)]
    groups = into_groups(transfers, room)
    assert len(groups) == -(-count // room)
    assert [one for group in groups for one in group] == transfers


@given(transfers=TRANSFERS.filter(lambda some: len(some) > 1))
def test_halves_keep_everything_and_get_smaller(transfers: list[PackedTransfer]) -> None:
    first, second = halves(transfers)
    assert [*first, *second] == transfers
    assert first
    assert second


@FORMATS
@given(data=st.data())
@settings(max_examples=150)
def test_any_altered_byte_of_the_message_is_refused(packed_format: TransactionFormat, data: st.DataObject) -> None:
    wire, plan = WIRES[packed_format], PLANS[packed_format]
    at = data.draw(st.integers(0, len(wire) - 1))
    if at in _free(wire, packed_format):
        return  # bounded by expiry, filled in by the signer, or bounded by the ceiling; not the plan's
    altered = bytearray(wire)
    altered[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Rejected):
        assert_packed_matches(bytes(altered), plan, RENT + 5000)


@FORMATS
def test_our_own_bytes_are_accepted_up_to_the_ceiling(packed_format: TransactionFormat) -> None:
    assert_packed_matches(WIRES[packed_format], PLANS[packed_format], RENT + 5000)
    with pytest.raises(Rejected) as refused:
        assert_packed_matches(WIRES[packed_format], PLANS[packed_format], RENT + 4999)
    assert refused.value.code == "packed_above_ceiling"


@FORMATS
def test_a_budget_that_was_not_meant_is_refused(packed_format: TransactionFormat) -> None:
    wire = build_packed(
        PLANS[packed_format],
        blockhash=BLOCKHASH,
        rent_lamports=RENT,
        receipt_lamports_now=0,
        budget=ComputeBudget(50_000, 1),
    )
    with pytest.raises(Rejected):
        assert_packed_matches(wire, PLANS[packed_format], RENT + 9000)
    with pytest.raises(Rejected):
        assert_packed_matches(wire, PLANS[packed_format], RENT + 9000, ComputeBudget(50_000, 100_000))


@pytest.mark.parametrize("change", ["seed", "memo", "mint", "amount", "owner", "fewer", "format"])
def test_a_plan_that_differs_does_not_match(change: str) -> None:
    plan, first = PLANS[TransactionFormat.V0], PLANS[TransactionFormat.V0].transfers[0]
    rest = plan.transfers[1:]
    others: dict[str, dict[str, object]] = {
        "seed": {"seed": "a" * 32},
        "memo": {"memo": "x"},
        "mint": {"mint": an_owner(50)},
        "amount": {"transfers": (PackedTransfer(first.owner, first.amount + 1), *rest)},
        "owner": {"transfers": (PackedTransfer(an_owner(51), first.amount), *rest)},
        "fewer": {"transfers": rest},
        "format": {"format": TransactionFormat.V1},
    }
    other = dataclasses.replace(plan, **others[change])  # type: ignore[arg-type]
    with pytest.raises(Rejected) as refused:
        assert_packed_matches(WIRES[TransactionFormat.V0], other, RENT + 5000)
    assert refused.value.code == "packed_mismatch"


@pytest.mark.parametrize("amount", [0, -1, 2**64])
def test_an_amount_that_no_token_account_can_hold_is_refused(amount: int) -> None:
    with pytest.raises(Misuse):
        PackedTransfer(an_owner(1), amount)


def test_groups_that_could_not_be_read_back_are_refused() -> None:
    one = PackedTransfer(an_owner(1), 5)
    for transfers in ((), (one, one), (PackedTransfer(WALLET, 5),)):
        with pytest.raises(Misuse):
            PackedPlan(WALLET, MINT, "a" * 32, transfers)


def test_every_missing_account_is_in_one_wave() -> None:
    owners = [an_owner(number) for number in range(20)]
    waves = into_waves([*owners, owners[0]])
    assert [len(wave) for wave in waves] == [8, 8, 4]
    assert [one for wave in waves for one in wave] == owners
    assert [len(half) for half in halved(waves[0])] == [4, 4]


def test_waves_and_closings_beyond_their_bounds_are_refused() -> None:
    owners = [an_owner(number) for number in range(WAVE + 1)]
    for some in ([], owners, [owners[0], owners[0]]):
        with pytest.raises(Misuse):
            build_wave(WALLET, MINT, some, BLOCKHASH)
    for receipts in ([], [owners[0], owners[0]], [an_owner(n) for n in range(21)]):
        with pytest.raises(Misuse):
            build_close(WALLET, receipts, BLOCKHASH)


def _free(wire: bytes, packed_format: TransactionFormat) -> set[int]:
    """Offsets of the blockhash, the signature and the receipt's lamports."""

    def span(needle: bytes) -> set[int]:
        start = wire.index(needle)
        return set(range(start, start + len(needle)))

    signature = set(range(1, 65)) if packed_format is TransactionFormat.V0 else span(bytes(64))
    return span(bytes(Hash.from_string(BLOCKHASH))) | span(RENT.to_bytes(8, "little")) | signature
