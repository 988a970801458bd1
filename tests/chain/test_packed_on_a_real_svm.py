import pytest
from solders.pubkey import Pubkey
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from chain.account_waves import TRACE_ERROR, WAVE, build_wave
from chain.nft_build import ComputeBudget
from chain.packed import capacity
from chain.packed_check import assert_packed_matches
from chain.packed_plan import TransactionFormat, halves
from chain.receipts import CLOSED_TOGETHER, build_close
from chain.usdc_payouts import token_account
from tests.chain.packed_world import FUNDS, MINT, WALLET, PackedWorld, a_packed_plan, an_owner
from tests.chain.world import SOL

FORMATS = pytest.mark.parametrize("packed_format", list(TransactionFormat))


@FORMATS
def test_a_full_transaction_pays_everybody_and_leaves_the_receipt(packed_format: TransactionFormat) -> None:
    count = capacity(packed_format)
    world, plan = PackedWorld(count), a_packed_plan(count, packed_format=packed_format)
    wire = world.wire(plan)
    assert_packed_matches(wire, plan, world.rent + 5000)
    assert isinstance(world.run(wire), TransactionMetadata)
    assert [world.usdc(one.owner) for one in plan.transfers] == [one.amount for one in plan.transfers]
    assert world.usdc(WALLET) == FUNDS - plan.total
    receipt = world.account(plan.receipt)
    assert receipt is not None
    assert receipt.data[64:72] == bytes(8), "the receipt holds no USDC"


@FORMATS
def test_a_second_transaction_of_a_group_fails_as_a_whole(packed_format: TransactionFormat) -> None:
    world, plan = PackedWorld(3), a_packed_plan(3, packed_format=packed_format)
    world.run(world.wire(plan))
    after_first = world.usdc(WALLET)
    second = world.run(world.wire(plan))
    assert isinstance(second, FailedTransactionMetadata)
    assert "Custom(0)" in str(second.err())
    assert world.usdc(WALLET) == after_first


def test_an_old_attempt_that_lands_late_finds_its_group_paid_and_pays_nobody() -> None:
    world, plan = PackedWorld(3), a_packed_plan(3)
    late = world.wire(plan)
    world.run(world.wire(plan))
    after_first = world.usdc(WALLET)
    assert isinstance(world.run(late), FailedTransactionMetadata)
    assert world.usdc(WALLET) == after_first


def test_the_cost_is_one_fee_and_the_returnable_rent() -> None:
    world, plan = PackedWorld(2), a_packed_plan(2)
    before = world.lamports(WALLET)
    world.run(world.wire(plan))
    assert before - world.lamports(WALLET) == world.rent + 5000
    assert isinstance(world.run(build_close(WALLET, [plan.receipt], world.blockhash())), TransactionMetadata)
    assert before - world.lamports(WALLET) == 2 * 5000
    assert world.account(plan.receipt) is None


def test_receipts_are_closed_many_at_a_time() -> None:
    world = PackedWorld(1)
    plans = [a_packed_plan(1, group=number) for number in range(CLOSED_TOGETHER)]
    for plan in plans:
        assert isinstance(world.run(world.wire(plan)), TransactionMetadata)
    closing = build_close(WALLET, [plan.receipt for plan in plans], world.blockhash())
    assert isinstance(world.run(closing), TransactionMetadata)
    assert all(world.account(plan.receipt) is None for plan in plans)


@pytest.mark.parametrize("present", [1_000_000, SOL])
def test_lamports_that_a_stranger_sent_to_the_receipt_neither_block_nor_fake_it(present: int) -> None:
    world, plan = PackedWorld(2), a_packed_plan(2)
    world.svm.airdrop(Pubkey.from_string(plan.receipt), present)
    wire = world.wire(plan)
    assert_packed_matches(wire, plan, world.rent + 5000)
    assert isinstance(world.run(wire), TransactionMetadata)
    assert world.usdc(an_owner(0)) == 10_000


def test_one_frozen_account_fails_the_group_and_halving_finds_it() -> None:
    world, plan = PackedWorld(7), a_packed_plan(7)
    bad = an_owner(4)
    world.freeze(bad)
    assert isinstance(world.run(world.wire(plan)), FailedTransactionMetadata)
    assert world.account(plan.receipt) is None, "a group that failed leaves no receipt and can be paid in halves"
    waiting, group, refused = halves(plan.transfers), 100, []
    while waiting:
        part, group = waiting.pop(), group + 1
        attempt = type(plan)(WALLET, MINT, a_packed_plan(1, group=group).seed, part)
        if isinstance(world.run(world.wire(attempt)), TransactionMetadata):
            continue
        if len(part) == 1:
            refused.append(part[0].owner)
        else:
            waiting.extend(halves(part))
    assert refused == [bad]
    assert [world.usdc(an_owner(n)) for n in range(7)] == [0 if n == 4 else 10_000 + n for n in range(7)]


@FORMATS
def test_a_budget_and_a_memo_go_with_it(packed_format: TransactionFormat) -> None:
    memo = "b-2026-W48/g-00000001"
    count = capacity(packed_format, len(memo), with_budget=True)
    world, plan = PackedWorld(count), a_packed_plan(count, packed_format=packed_format, memo=memo)
    budget = ComputeBudget(60_000, 50_000)
    wire, before = world.wire(plan, budget), world.lamports(WALLET)
    assert_packed_matches(wire, plan, world.rent + 5000 + 3000, budget)
    result = world.run(wire)
    assert isinstance(result, TransactionMetadata), str(result)
    # This SVM charges no priority fee for v1, so only v0 shows it; in v1 our own check bounds it.
    charged = 3000 if packed_format is TransactionFormat.V0 else 0
    assert before - world.lamports(WALLET) == world.rent + 5000 + charged


def test_a_wave_makes_its_accounts_and_leaves_those_there_alone() -> None:
    world = PackedWorld(2)
    owners = [an_owner(number) for number in range(WAVE)]
    before = world.lamports(WALLET)
    assert isinstance(world.run(build_wave(WALLET, MINT, owners, world.blockhash())), TransactionMetadata)
    assert before - world.lamports(WALLET) == (WAVE - 2) * world.rent + 5000


def test_a_wave_passes_where_a_stranger_has_funded_every_address() -> None:
    world = PackedWorld()
    owners = [an_owner(number) for number in range(WAVE)]
    for owner in owners:
        world.svm.airdrop(Pubkey.from_string(token_account(owner, MINT)), 1_000_000)
    result = world.run(build_wave(WALLET, MINT, owners, world.blockhash()))
    assert isinstance(result, TransactionMetadata), TRACE_ERROR
