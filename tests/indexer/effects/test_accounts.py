import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.account import Account as SvmAccount

from chain import programs
from indexer.effects.accounts import (
    Account,
    is_plain_wallet,
    parse_mint,
    parse_token_account,
    read_account,
)
from indexer.effects.errors import MalformedAnswer
from indexer.effects.facts import NftMetadata
from tests.chain.world import BUYER, World, a_plan
from tests.indexer.effects.answers import CREATOR, USDC

WALLET = bytes(BUYER.pubkey())
MINT_DATA = bytes(4) + bytes(32) + (5_000_000).to_bytes(8, "little") + b"\x06\x01" + b"\x01\0\0\0" + WALLET
TOKEN_DATA = (
    WALLET[::-1] + WALLET + (261).to_bytes(8, "little") + bytes(36) + b"\x01" + bytes(12) + bytes(8) + bytes(36)
)


def shown(account: SvmAccount) -> dict[str, object]:
    """The account as an RPC node writes it."""
    data = base64.b64encode(bytes(account.data)).decode()
    return {
        "lamports": account.lamports,
        "owner": str(account.owner),
        "data": [data, "base64"],
        "executable": account.executable,
        "rentEpoch": 2**64 - 1,
        "space": len(account.data),
    }


def token_owned(data: bytes, program: str = programs.TOKEN) -> Account:
    return Account(1, program, data, executable=False)


def test_the_minted_nft_is_read_back_from_its_accounts() -> None:
    world, plan = World(), a_plan(name="Sunrise é #7")
    world.mint(plan)
    on_chain = [world.account(one) for one in (plan.mint_address, plan.buyer_account)]
    mint_account, token_account = (read_account(shown(one)) for one in on_chain if one)
    assert mint_account is not None
    mint = parse_mint(mint_account)
    assert (mint.supply, mint.decimals, mint.mint_authority, mint.freeze_authority) == (1, 0, None, None)
    assert mint.metadata == NftMetadata("Sunrise é #7", plan.symbol, plan.uri)
    assert (mint.metadata_address, mint.metadata_authority) == (plan.mint_address, plan.platform_wallet)
    assert token_account is not None
    held = parse_token_account(token_account)
    assert (held.mint, held.owner, held.amount, held.frozen) == (plan.mint_address, plan.buyer, 1, False)
    with pytest.raises(MalformedAnswer):
        parse_token_account(mint_account)
    with pytest.raises(MalformedAnswer):
        parse_mint(token_account)


def test_a_mint_moved_past_the_size_of_a_multisig_is_read() -> None:
    world, plan = World(), a_plan(uri="u" * 24)
    world.mint(plan)
    on_chain = world.account(plan.mint_address)
    assert on_chain is not None
    assert len(on_chain.data) == 357
    mint_account = read_account(shown(on_chain))
    assert mint_account is not None
    assert parse_mint(mint_account).metadata == NftMetadata(plan.name, plan.symbol, plan.uri)


def test_a_classic_mint_is_read() -> None:
    mint = parse_mint(token_owned(MINT_DATA))
    assert (mint.supply, mint.decimals, mint.mint_authority) == (5_000_000, 6, None)
    assert mint.freeze_authority == str(BUYER.pubkey())
    assert mint.metadata is None


def test_a_classic_token_account_is_read_and_shows_when_it_is_frozen() -> None:
    held = parse_token_account(token_owned(TOKEN_DATA))
    assert (held.owner, held.amount, held.frozen) == (str(BUYER.pubkey()), 261, False)
    assert (held.delegate, held.close_authority, held.delegated_amount) == (None, None, 0)
    assert parse_token_account(token_owned(TOKEN_DATA[:108] + b"\x02" + TOKEN_DATA[109:])).frozen


@pytest.mark.parametrize(
    "account",
    [
        token_owned(b""),
        token_owned(bytes(165)),
        token_owned(bytes(82)),
        token_owned(TOKEN_DATA + b"\x02"),
        token_owned(TOKEN_DATA + b"\x02" + bytes(189), programs.TOKEN_2022),
        token_owned(TOKEN_DATA, programs.SYSTEM),
        token_owned(TOKEN_DATA[:164]),
    ],
)
def test_what_is_neither_token_account_nor_mint_is_refused(account: Account) -> None:
    for parse in (parse_token_account, parse_mint):
        with pytest.raises(MalformedAnswer):
            parse(account)


def test_no_account_is_none_and_a_wallet_to_be() -> None:
    assert read_account(None) is None
    assert is_plain_wallet(None)


def test_only_a_system_account_without_data_is_a_plain_wallet() -> None:
    assert is_plain_wallet(Account(5, programs.SYSTEM, b"", executable=False))
    assert not is_plain_wallet(Account(5, programs.SYSTEM, bytes(80), executable=False)), "a nonce account"
    assert not is_plain_wallet(token_owned(TOKEN_DATA))
    assert not is_plain_wallet(Account(5, CREATOR, b"", executable=True))


@given(st.binary(max_size=400), st.sampled_from([programs.TOKEN, programs.TOKEN_2022]))
def test_no_bytes_raise_anything_but_malformed(data: bytes, program: str) -> None:
    for parse in (parse_token_account, parse_mint):
        try:
            parse(token_owned(data, program))
        except MalformedAnswer:
            continue


@given(at=st.integers(0, 400), value=st.integers(0, 255), cut=st.integers(0, 400))
def test_no_altered_nft_mint_raises_anything_but_malformed(at: int, value: int, cut: int) -> None:
    data = bytearray(NFT_MINT.data)
    data[at % len(data)] = value
    for mutated in (data, data[:cut]):
        try:
            parse_mint(token_owned(bytes(mutated), programs.TOKEN_2022))
        except MalformedAnswer:
            continue


def _nft_mint() -> SvmAccount:
    world, plan = World(), a_plan()
    world.mint(plan)
    account = world.account(plan.mint_address)
    assert account is not None
    return account


NFT_MINT = _nft_mint()
WRONG: list[dict[str, Any]] = [
    {"data": "AQAB"},
    {"data": ["AQAB", "base58"]},
    {"data": ["not base64!", "base64"]},
    {"owner": USDC[:-3]},
    {"owner": None},
    {"lamports": -1},
    {"lamports": True},
    {"lamports": 2**64},
    {"executable": 0},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_an_account_in_another_shape_is_malformed(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        read_account({**shown(NFT_MINT), **wrong})
