"""One transaction that mints and pays the sale's recipients, on a real SVM: both or neither, and nothing beside it."""

from dataclasses import replace

import pytest
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from chain.nft import NftPlan, Token2022Nft, build_mint, mint_rent_size
from chain.usdc_payouts import PackedTransfer, UsdcPayouts, token_account
from domain.errors import Misuse, Rejected
from tests.chain.packed_world import MINT, WALLET, PackedWorld, an_owner
from tests.chain.world import a_plan as any_plan

CEILING = 6_000_000
NFT = Token2022Nft()
URI = "ipfs://bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"


def a_plan() -> NftPlan:
    """With texts of the usual length."""
    return any_plan(uri=URI)


def payouts_to(count: int) -> UsdcPayouts:
    return UsdcPayouts(WALLET, MINT, tuple(PackedTransfer(an_owner(number), 10 + number) for number in range(count)))


def wire_of(world: PackedWorld, payouts: UsdcPayouts | None) -> bytes:
    plan = a_plan()
    rent = world.svm.minimum_balance_for_rent_exemption(mint_rent_size(plan))
    return NFT.build(plan, blockhash=world.blockhash(), rent_lamports=rent, mint_lamports_now=0, payouts=payouts)


def test_eight_recipients_are_paid_with_the_mint_and_a_ninth_does_not_fit() -> None:
    world, payouts = PackedWorld(8), payouts_to(8)
    wire = wire_of(world, payouts)
    NFT.verify(wire, a_plan(), CEILING, payouts)
    assert isinstance(world.run(wire), TransactionMetadata)
    assert world.account(a_plan().buyer_account) is not None
    assert [world.usdc(an_owner(number)) for number in range(8)] == [10 + number for number in range(8)]
    assert NFT.fits(a_plan(), payouts, with_budget=False)
    assert not NFT.fits(a_plan(), payouts_to(9), with_budget=False)
    assert NFT.fits(a_plan(), payouts_to(7), with_budget=True)
    assert not NFT.fits(a_plan(), payouts, with_budget=True)


def test_a_recipient_who_can_not_be_paid_takes_the_nft_and_everybody_elses_money_with_him() -> None:
    world = PackedWorld(1)
    assert isinstance(world.run(wire_of(world, payouts_to(2))), FailedTransactionMetadata)
    assert world.account(a_plan().mint_address) is None
    assert world.usdc(an_owner(0)) == 0


def test_the_mint_address_pays_once_whoever_signs_again_and_for_whom() -> None:
    world = PackedWorld(2)
    assert isinstance(world.run(wire_of(world, payouts_to(1))), TransactionMetadata)
    for again in (payouts_to(1), payouts_to(2), None):
        assert isinstance(world.run(wire_of(world, again)), FailedTransactionMetadata)
    assert (world.usdc(an_owner(0)), world.usdc(an_owner(1))) == (10, 0)


def test_bytes_that_pay_anything_but_the_plan_are_not_signed() -> None:
    world, planned = PackedWorld(3), payouts_to(2)
    first, second = planned.transfers
    others = [
        None,
        payouts_to(1),
        payouts_to(3),
        UsdcPayouts(WALLET, MINT, (second, first)),
        UsdcPayouts(WALLET, MINT, (replace(first, amount=11), second)),
        UsdcPayouts(WALLET, MINT, (first, replace(second, owner=an_owner(2)))),
        UsdcPayouts(WALLET, a_plan().mint_address, planned.transfers),
    ]
    for other in others:
        with pytest.raises(Rejected) as refused:
            NFT.verify(wire_of(world, other), a_plan(), CEILING, planned)
        assert refused.value.code == "mint_mismatch", other
    with pytest.raises(Rejected):
        NFT.verify(wire_of(world, planned), a_plan(), CEILING)
    with pytest.raises(Rejected) as dear:
        NFT.verify(wire_of(world, planned), a_plan(), 1_000_000, planned)
    assert dear.value.code == "mint_above_ceiling"


def test_another_wallets_money_is_never_built_in() -> None:
    strange = UsdcPayouts(an_owner(5), MINT, payouts_to(1).transfers)
    with pytest.raises(Misuse):
        build_mint(a_plan(), blockhash=MINT, rent_lamports=1, mint_lamports_now=0, payouts=strange)
    assert token_account(WALLET, MINT) == payouts_to(1).source_account
