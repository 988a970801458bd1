import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from chain import programs
from chain.addresses import ata, check_payout_owner, is_on_curve, parse_address, seeded
from chain.nft import NftPlan
from domain.errors import Misuse, Rejected
from tests.chain.world import BUYER, PLATFORM, a_plan

WALLET = str(BUYER.pubkey())
USDC = programs.USDC_MINTS["devnet"]


@given(st.binary(min_size=32, max_size=32))
def test_every_32_bytes_are_an_address_and_come_back_the_same(raw: bytes) -> None:
    assert bytes(parse_address(str(Pubkey.from_bytes(raw)))) == raw


@given(st.text(max_size=100) | st.sampled_from(["", " " + WALLET, WALLET + "\n", WALLET[:-1], "\ud800", "1" * 5000]))
def test_other_text_is_refused_with_a_code(text: str) -> None:
    try:
        parse_address(text)
    except Rejected as refused:
        assert refused.code == "invalid_address"
    else:
        assert 32 <= len(text) <= 44


def test_a_wallet_may_be_paid() -> None:
    check_payout_owner(WALLET, {str(PLATFORM.pubkey())})


@pytest.mark.parametrize(
    ("address", "code"),
    [
        (ata(WALLET, USDC), "address_off_curve"),
        (USDC, "address_is_program_or_mint"),
        (programs.USDC_MINTS["mainnet"], "address_is_program_or_mint"),
        (programs.TOKEN, "address_is_program_or_mint"),
        (programs.SYSTEM, "address_is_program_or_mint"),
        (str(PLATFORM.pubkey()), "address_forbidden"),
        ("0x52908400098527886E0F7030069857D2E4169EE7", "invalid_address"),
        ("", "invalid_address"),
    ],
)
def test_what_can_not_own_a_payout_is_refused(address: str, code: str) -> None:
    with pytest.raises(Rejected) as refused:
        check_payout_owner(address, {str(PLATFORM.pubkey())})
    assert refused.value.code == code


def test_the_token_account_depends_on_owner_mint_and_program() -> None:
    accounts = {ata(WALLET, USDC), ata(WALLET, USDC, programs.TOKEN_2022), ata(str(PLATFORM.pubkey()), USDC)}
    assert len(accounts) == 3
    assert not any(is_on_curve(account) for account in accounts)


def test_a_program_that_holds_no_tokens_gives_no_token_account() -> None:
    with pytest.raises(Misuse):
        ata(WALLET, USDC, programs.MEMO)


@pytest.mark.parametrize("seed", ["", "a" * 33, "é"])
def test_seeds_outside_the_protocol_are_refused(seed: str) -> None:
    with pytest.raises(Misuse):
        seeded(WALLET, seed, programs.TOKEN_2022)


def test_a_plan_can_not_name_another_mint_address_than_its_seed_gives() -> None:
    plan = a_plan()
    with pytest.raises(Misuse):
        NftPlan(WALLET, plan.seed, plan.platform_wallet, plan.buyer, plan.name, plan.symbol, plan.uri)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("name", "n" * 33),
        ("name", "é" * 17),
        ("name", ""),
        ("name", "\ud800"),
        ("symbol", "SYMBOLTOOLONG"),
        ("uri", "u" * 201),
        ("uri", ""),
    ],
)
def test_texts_beyond_their_bounds_are_refused(field: str, text: str) -> None:
    texts = {"name": "Sunrise #7", "symbol": "RNB", "uri": "ipfs://x", field: text}
    with pytest.raises(Rejected) as refused:
        NftPlan.derived(seed="5f" * 16, platform_wallet=str(PLATFORM.pubkey()), buyer=WALLET, **texts)
    assert refused.value.code == f"nft_{field}_invalid"
