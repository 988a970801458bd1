"""Lists, filters and pages."""

import struct

import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from tests.sandbox.circle.world import World

TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
SETS = "/v1/w3s/developer/walletSets"


@pytest.fixture
def wallets(world: World) -> list[str]:
    """Five wallets, a second apart, oldest first."""
    set_id = world.post(SETS, world.signed(name="all")).data["walletSet"]["id"]
    ids = []
    for number in range(5):
        metadata = [{"name": f"w{number}", "refId": f"ref-{number}"}]
        body = world.signed(walletSetId=set_id, blockchains=["SOL-DEVNET"], count=1, metadata=metadata)
        ids.append(world.post("/v1/w3s/developer/wallets", body).data["wallets"][0]["id"])
        world.pass_ms(1_000)
    return ids


def listed(world: World, query: str) -> list[str]:
    return [wallet["id"] for wallet in world.get(f"/v1/w3s/wallets?{query}").data["wallets"]]


def test_the_newest_come_first_unless_asked_otherwise(world: World, wallets: list[str]) -> None:
    assert listed(world, "") == wallets[::-1]
    assert listed(world, "order=ASC") == wallets


def test_pages_walk_the_whole_list_in_both_directions(world: World, wallets: list[str]) -> None:
    first = listed(world, "order=ASC&pageSize=2")
    second = listed(world, f"order=ASC&pageSize=2&pageAfter={first[-1]}")
    third = listed(world, f"order=ASC&pageSize=2&pageAfter={second[-1]}")
    assert first + second + third == wallets
    assert listed(world, f"order=ASC&pageSize=2&pageBefore={third[0]}") == second
    assert listed(world, f"order=ASC&pageAfter={wallets[-1]}") == []


def test_from_and_to_are_inclusive(world: World, wallets: list[str]) -> None:
    dates = [world.get(f"/v1/w3s/wallets/{each}").data["wallet"]["createDate"] for each in wallets]
    assert listed(world, f"order=ASC&from={dates[1]}&to={dates[3]}") == wallets[1:4]
    offset = dates[1].replace("Z", ".000000%2B0000")
    assert listed(world, f"order=ASC&from={offset}") == wallets[1:]


def test_wallets_are_found_by_reference_address_and_set(world: World, wallets: list[str]) -> None:
    assert listed(world, "refId=ref-2") == [wallets[2]]
    wallet = world.get(f"/v1/w3s/wallets/{wallets[1]}").data["wallet"]
    assert listed(world, f"address={wallet['address']}") == [wallets[1]]
    assert len(listed(world, f"walletSetId={wallet['walletSetId']}&blockchain=SOL-DEVNET")) == 5


def test_bad_pages_are_refused(world: World, wallets: list[str]) -> None:
    def fails(query: str) -> tuple[int, int]:
        return world.get(f"/v1/w3s/wallets?{query}").failure

    assert fails("pageSize=0") == (400, 2)
    assert fails("pageSize=51") == (400, 2)
    assert fails("pageSize=many") == (400, 2)
    assert fails("order=UP") == (400, 2)
    assert fails("from=yesterday") == (400, 2)
    assert fails("pageAfter=abc") == (400, 156014)
    assert fails("pageAfter=0f6b3d1c-2a54-4c8e-9b7f-1d2e3f4a5b6c") == (404, 156012)
    assert fails(f"pageAfter={wallets[0]}&pageBefore={wallets[1]}") == (400, 2)
    assert world.get("/v1/w3s/transactions?state=DONE").failure == (400, 2)


def test_a_wallet_can_be_renamed(world: World, wallets: list[str]) -> None:
    changed = world.call("PUT", f"/v1/w3s/wallets/{wallets[0]}", {"name": "new"}).data["wallet"]
    assert (changed["name"], changed["refId"]) == ("new", "ref-0")


def test_balances_show_funded_tokens_only(world: World) -> None:
    platform = world.platform(usdc=20, sol=0)
    path = f"/v1/w3s/wallets/{platform.wallet_id}/balances"
    balances = world.get(path).data["tokenBalances"]
    assert [(each["token"]["name"], each["amount"]) for each in balances] == [("USD Coin", "20")]
    world.call("POST", "/_sandbox/faucet", {"walletId": platform.wallet_id, "sol": "1.5"}, key=None)
    world.pass_ms(5_000)
    both = world.get(f"{path}?includeAll=True").data["tokenBalances"]
    assert {each["token"]["symbol"]: each["amount"] for each in both} == {"USDC": "20", "SOL": "1.5"}
    usdc = both[0] if both[0]["token"]["symbol"] == "USDC" else both[1]
    only = world.get(f"{path}?tokenAddress={usdc['token']['tokenAddress']}").data["tokenBalances"]
    assert [each["amount"] for each in only] == ["20"]


def test_nfts_are_listed_apart_from_balances(world: World) -> None:
    platform = world.platform(usdc=1, sol=0)
    owner, mint = Pubkey.from_string(platform.address), Keypair.from_seed(bytes([5]) * 32).pubkey()
    account = get_associated_token_address(owner, mint, TOKEN_2022)
    no_authority, nobody = bytes(36), bytes(36)
    world.node.place_account(mint, Account(1, no_authority + struct.pack("<QBB", 1, 0, 1) + nobody, TOKEN_2022))
    held = bytes(mint) + bytes(owner) + struct.pack("<Q", 1) + bytes(36) + b"\x01" + bytes(56)
    world.node.place_account(account, Account(1, held, TOKEN_2022))
    nfts = world.get(f"/v1/w3s/wallets/{platform.wallet_id}/nfts").data["nfts"]
    assert [(each["amount"], each["token"]["tokenAddress"]) for each in nfts] == [("1", str(mint))]
    balances = world.get(f"/v1/w3s/wallets/{platform.wallet_id}/balances").data["tokenBalances"]
    assert [each["token"]["symbol"] for each in balances] == ["USDC"]


def test_wallets_with_balances_can_be_narrowed_by_amount(world: World) -> None:
    platform = world.platform(usdc=20, sol=0)
    path = "/v1/w3s/developer/wallets/balances"
    assert world.get(path).bad_fields == {"blockchain": "required"}
    rich = world.get(f"{path}?blockchain=SOL-DEVNET&amount__gte=20").data["wallets"]
    assert [(each["id"], len(each["tokenBalances"])) for each in rich] == [(platform.wallet_id, 1)]
    poor = world.get(f"{path}?blockchain=SOL-DEVNET&amount__gte=21").data["wallets"]
    assert [len(each["tokenBalances"]) for each in poor] == [0]
