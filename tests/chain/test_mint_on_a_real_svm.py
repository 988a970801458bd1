from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.rent import Rent
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from chain.nft import ComputeBudget, Token2022Nft, assert_mint_matches, mint_rent_size
from tests.chain.world import PLATFORM, SOL, STRANGER, World, a_plan


def test_the_mint_passes_and_leaves_one_token_with_the_buyer() -> None:
    world, plan = World(), a_plan()
    assert isinstance(world.mint(plan), TransactionMetadata)
    account = world.account(plan.buyer_account)
    assert account is not None
    assert account.data[64:72] == (1).to_bytes(8, "little")
    mint = world.account(plan.mint_address)
    assert mint is not None
    assert mint.data[:4] == bytes(4), "mint authority removed"
    assert mint.data[36:45] == (1).to_bytes(8, "little") + b"\x00", "supply 1, decimals 0"


def test_the_platform_pays_the_two_rents_and_the_fee_and_nothing_else() -> None:
    world, plan = World(), a_plan()
    world.mint(plan)
    rents = sum(world.svm.minimum_balance_for_rent_exemption(size) for size in Token2022Nft().rent_sizes(plan))
    assert 10 * SOL - world.lamports(plan.platform_wallet) == rents + 5000


def test_a_second_mint_of_the_same_purchase_fails_and_changes_nothing() -> None:
    world, plan = World(), a_plan()
    world.mint(plan)
    before = [world.account(plan.mint_address), world.account(plan.buyer_account)]
    world.svm.expire_blockhash()
    second = world.mint(plan)
    assert isinstance(second, FailedTransactionMetadata)
    assert "Custom(0)" in str(second.err())
    assert [world.account(plan.mint_address), world.account(plan.buyer_account)] == before


def test_a_second_mint_for_another_buyer_is_refused_too() -> None:
    world, plan = World(), a_plan()
    world.mint(plan)
    other = type(plan).derived(
        seed=plan.seed,
        platform_wallet=plan.platform_wallet,
        buyer=str(STRANGER.pubkey()),
        name=plan.name,
        symbol=plan.symbol,
        uri=plan.uri,
    )
    assert other.mint_address == plan.mint_address
    assert isinstance(world.mint(other), FailedTransactionMetadata)
    assert world.account(other.buyer_account) is None


def test_a_stranger_who_sends_lamports_to_the_mint_address_does_not_block_it() -> None:
    for lamports in (900_000, 5 * SOL):
        world, plan = World(), a_plan()
        _send_lamports(world, plan.mint_address, lamports)
        wire = world.wire(plan)
        assert_mint_matches(wire, plan, 6_000_000)
        assert isinstance(world.run(world.sign(wire)), TransactionMetadata)


def test_the_rent_is_read_and_not_known() -> None:
    world, plan = World(), a_plan()
    world.svm.set_rent(Rent.with_lamports_per_byte(world.svm.get_rent().lamports_per_byte // 2))
    assert isinstance(world.mint(plan), TransactionMetadata)
    assert 10 * SOL - world.lamports(plan.platform_wallet) < 3_000_000


def test_a_mint_with_a_compute_budget_pays_its_priority_fee() -> None:
    world, plan = World(), a_plan()
    budget = ComputeBudget(unit_limit=100_000, micro_lamports_per_unit=20_001)
    assert budget.priority_fee_lamports == 2001
    result = world.mint(plan, budget)
    assert isinstance(result, TransactionMetadata)
    assert result.compute_units_consumed() <= 100_000
    rents = sum(world.svm.minimum_balance_for_rent_exemption(size) for size in Token2022Nft().rent_sizes(plan))
    assert 10 * SOL - world.lamports(plan.platform_wallet) == rents + 5000 + 2001


def test_every_length_of_texts_has_its_rent_right() -> None:
    sizes = set()
    for length in range(1, 60):
        world, plan = World(), a_plan(name="n" * 10, uri="u" * length)
        assert isinstance(world.mint(plan), TransactionMetadata), length
        mint = world.account(plan.mint_address)
        assert mint is not None
        assert len(mint.data) == mint_rent_size(plan)
        assert mint.lamports == world.svm.minimum_balance_for_rent_exemption(len(mint.data))
        sizes.add(len(mint.data))
    assert 355 not in sizes, "a multisig's size: the program moves on by two bytes"
    assert 357 in sizes


def test_the_longest_texts_still_fit_one_transaction() -> None:
    world = World()
    plan = a_plan(name="é" * 16, uri="u" * 200)
    wire = world.wire(plan, ComputeBudget(200_000, 1))
    assert len(wire) <= 1232
    assert isinstance(world.run(world.sign(wire)), TransactionMetadata)


def test_the_usual_mint_has_about_the_size_the_reference_measured() -> None:
    assert 600 < len(World().wire(a_plan())) < 760


def test_the_unsigned_transaction_has_one_empty_signature_slot() -> None:
    wire = World().wire(a_plan())
    assert wire[:65] == b"\x01" + bytes(64)
    assert wire[65] == 0x80, "version 0"
    assert isinstance(VersionedTransaction.from_bytes(wire).message, MessageV0)
    assert VersionedTransaction.from_bytes(wire).message.account_keys[0] == PLATFORM.pubkey()


def _send_lamports(world: World, address: str, lamports: int) -> None:
    params = TransferParams(from_pubkey=STRANGER.pubkey(), to_pubkey=Pubkey.from_string(address), lamports=lamports)
    blockhash = world.svm.latest_blockhash()
    message = MessageV0.try_compile(STRANGER.pubkey(), [transfer(params)], [], blockhash)
    assert isinstance(world.svm.send_transaction(VersionedTransaction(message, [STRANGER])), TransactionMetadata)
