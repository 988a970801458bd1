import dataclasses
from typing import Any

import pytest

from chain import programs
from chain.addresses import ata
from chain.nft import NftPlan, Token2022Nft
from indexer.effects.decode import decode_transaction
from indexer.effects.facts import TransactionFacts
from indexer.effects.match import (
    Counterparty,
    Mismatch,
    Verdict,
    account_changes,
    check_mint,
    check_transfer,
    is_sponsored,
    platform_cost_lamports,
)
from tests.chain.world import PLATFORM, STRANGER, World, a_plan
from tests.indexer.effects.answers import (
    CREATOR,
    CREATOR_ACCOUNT,
    PAID,
    PLATFORM_WALLET,
    SPONSOR,
    TREASURY,
    USDC,
    Holding,
    answer,
    compiled,
    run_on_svm,
    transfer_instruction,
)

OTHER = str(STRANGER.pubkey())
OTHER_ACCOUNT = ata(OTHER, USDC)
PLANNED: dict[str, Any] = {
    "mint": USDC,
    "source_owner": PLATFORM_WALLET,
    "source_account": TREASURY,
    "destination_owner": CREATOR,
    "amount_base_units": 2_350_000,
}


def facts_of(*holdings: Holding, err: object = None) -> TransactionFacts:
    """Facts of a transaction in which these and no other accounts moved."""
    shown = tuple(dataclasses.replace(one, account=TREASURY) for one in holdings)
    facts = decode_transaction(answer(compiled("legacy", [transfer_instruction()]), shown[:1], err=err))
    movements = tuple(
        dataclasses.replace(
            facts.token_movements[0],
            account=one.account,
            owner=one.owner,
            mint=one.mint,
            program=one.program,
            before=one.before,
            after=one.after,
        )
        for one in holdings
    )
    return dataclasses.replace(facts, token_movements=movements)


def verdict(*holdings: Holding, **changed: object) -> Verdict:
    return check_transfer(facts_of(*holdings), **{**PLANNED, **changed})


def test_the_planned_transfer_matches() -> None:
    assert check_transfer(decode_transaction(answer(compiled("0", [transfer_instruction()]))), **PLANNED).matches
    assert verdict(*PAID).matches


def test_a_destination_that_came_into_being_with_the_transfer_matches() -> None:
    assert verdict(PAID[0], dataclasses.replace(PAID[1], before=None)).matches


def test_an_account_opened_empty_beside_it_is_no_movement() -> None:
    assert verdict(*PAID, Holding(OTHER_ACCOUNT, OTHER, None, 0)).matches


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"amount_base_units": 2_350_001}, Mismatch.WRONG_AMOUNT),
        ({"amount_base_units": 2_349_999}, Mismatch.WRONG_AMOUNT),
        ({"amount_base_units": -2_350_000}, Mismatch.WRONG_AMOUNT),
        ({"mint": programs.USDC_MINTS["mainnet"]}, Mismatch.WRONG_SOURCE),
        ({"source_owner": OTHER}, Mismatch.WRONG_SOURCE),
        ({"source_account": OTHER_ACCOUNT}, Mismatch.WRONG_SOURCE),
        ({"source_owner": OTHER, "source_account": OTHER_ACCOUNT}, Mismatch.WRONG_SOURCE),
        ({"destination_owner": OTHER}, Mismatch.WRONG_DESTINATION),
        ({"destination_owner": PLATFORM_WALLET}, Mismatch.WRONG_DESTINATION),
    ],
)
def test_a_plan_that_differs_in_one_field_does_not_match(changed: dict[str, object], reason: Mismatch) -> None:
    assert verdict(*PAID, **changed).reason is reason


FIELDS_SWAPPED = [
    (PAID[0], dataclasses.replace(PAID[1], after=2_349_999), Mismatch.WRONG_AMOUNT),
    (dataclasses.replace(PAID[0], after=97_649_999), PAID[1], Mismatch.WRONG_AMOUNT),
    (dataclasses.replace(PAID[0], owner=OTHER), PAID[1], Mismatch.WRONG_SOURCE),
    (PAID[0], dataclasses.replace(PAID[1], owner=OTHER), Mismatch.WRONG_DESTINATION),
    (PAID[0], dataclasses.replace(PAID[1], account=OTHER_ACCOUNT), Mismatch.WRONG_DESTINATION),
    (PAID[0], dataclasses.replace(PAID[1], mint=programs.USDC_MINTS["mainnet"]), Mismatch.WRONG_DESTINATION),
    (PAID[0], dataclasses.replace(PAID[1], program=programs.TOKEN_2022), Mismatch.WRONG_PROGRAM),
]


@pytest.mark.parametrize(("source", "destination", "reason"), FIELDS_SWAPPED)
def test_a_transaction_that_differs_in_one_field_does_not_match(
    source: Holding, destination: Holding, reason: Mismatch
) -> None:
    assert verdict(source, destination).reason is reason


def test_a_transfer_backwards_does_not_match() -> None:
    backwards = [dataclasses.replace(one, before=one.after, after=one.before) for one in PAID]
    assert verdict(*backwards).reason is Mismatch.WRONG_AMOUNT


def test_more_than_the_one_transfer_does_not_match() -> None:
    assert verdict(*PAID, Holding(OTHER_ACCOUNT, OTHER, 0, 1)).reason is Mismatch.OTHER_MOVEMENTS


def test_a_transfer_that_failed_on_chain_does_not_match() -> None:
    facts = facts_of(*PAID, err={"InstructionError": [0, {"Custom": 1}]})
    assert check_transfer(facts, **PLANNED).reason is Mismatch.FAILED_ON_CHAIN
    assert account_changes(facts, TREASURY) == ()


def test_a_sponsored_transfer_matches_and_shows_its_sponsor() -> None:
    facts = decode_transaction(answer(compiled("0", [transfer_instruction()], SPONSOR), signers=(SPONSOR, PLATFORM)))
    assert check_transfer(facts, **PLANNED).matches
    assert is_sponsored(facts, PLATFORM_WALLET)
    assert platform_cost_lamports(facts, PLATFORM_WALLET) == 0


def test_a_deposit_names_its_sender() -> None:
    facts = facts_of(
        Holding(TREASURY, PLATFORM_WALLET, 1_000_000, 3_610_000), Holding(OTHER_ACCOUNT, OTHER, 9_000_000, 6_390_000)
    )
    (change,) = account_changes(facts, TREASURY)
    assert (change.delta, change.balance_after, change.mint) == (2_610_000, 3_610_000, USDC)
    assert change.counterparties == (Counterparty(OTHER_ACCOUNT, OTHER, -2_610_000),)


def test_an_outflow_to_several_names_them_all() -> None:
    facts = facts_of(
        Holding(TREASURY, PLATFORM_WALLET, 10, 3),
        Holding(OTHER_ACCOUNT, OTHER, 0, 5),
        Holding(CREATOR_ACCOUNT, CREATOR, None, 2),
    )
    (change,) = account_changes(facts, TREASURY)
    assert change.delta == -7
    assert {(one.owner, one.delta) for one in change.counterparties} == {(OTHER, 5), (CREATOR, 2)}
    assert account_changes(facts, ata(OTHER, programs.USDC_MINTS["mainnet"])) == ()


def _minted() -> tuple[World, NftPlan, TransactionFacts]:
    world, plan = World(), a_plan()
    return world, plan, decode_transaction(run_on_svm(world, world.sign(world.wire(plan))))


def test_the_mint_that_ran_matches_its_plan_and_shows_its_cost() -> None:
    world, plan, facts = _minted()
    assert check_mint(facts, plan).matches
    rents = sum(world.svm.minimum_balance_for_rent_exemption(size) for size in Token2022Nft().rent_sizes(plan))
    assert platform_cost_lamports(facts, PLATFORM_WALLET) == rents + 5000


def test_a_mint_that_differs_from_its_plan_does_not_match() -> None:
    _, plan, facts = _minted()
    (made,) = facts.nft_mints
    swapped: list[tuple[dict[str, Any], Mismatch]] = [
        ({"mint": OTHER}, Mismatch.NO_SUCH_MINT),
        ({"program": programs.TOKEN}, Mismatch.WRONG_PROGRAM),
        ({"owner": OTHER}, Mismatch.WRONG_DESTINATION),
        ({"account": OTHER_ACCOUNT}, Mismatch.WRONG_DESTINATION),
        ({"authority_removed": False}, Mismatch.AUTHORITY_NOT_REMOVED),
        ({"freeze_authority": OTHER}, Mismatch.AUTHORITY_NOT_REMOVED),
        ({"metadata": None}, Mismatch.WRONG_METADATA),
        ({"metadata_address": OTHER}, Mismatch.WRONG_METADATA),
    ]
    for fields, reason in swapped:
        other = dataclasses.replace(facts, nft_mints=(dataclasses.replace(made, **fields),))
        assert check_mint(other, plan).reason is reason
    assert check_mint(dataclasses.replace(facts, err="AccountInUse"), plan).reason is Mismatch.FAILED_ON_CHAIN
    assert check_mint(facts, a_plan(name="Sunset #7")).reason is Mismatch.WRONG_METADATA
    assert check_mint(facts, a_plan(seed="00" * 16)).reason is Mismatch.NO_SUCH_MINT
