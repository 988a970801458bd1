"""A buyer moves his NFT on, and the library says so."""

from pathlib import Path

from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from sandbox.solana_node.token_layouts import TOKEN_2022, associated_token_address
from tests.week.people import gallery, on_virtual_time, shelf_says

FRIEND = Keypair.from_seed(bytes([21] * 32)).pubkey()


@on_virtual_time
async def test_an_nft_that_its_buyer_moved_on_shows_as_transferred_and_owned_when_it_is_back(tmp_path: Path) -> None:
    shop = gallery(tmp_path, AGENT_NFT_WATCH_MINUTES="5")
    await shop.open()
    token, _ = await shop.pay()
    shown = await shelf_says(shop, token, "owned")
    node, mint = shop.world.node, Pubkey.from_string(shown["nft_mint_address"])
    profile = await shop.world.call("GET", "/api/profile/", token=token)
    theirs = associated_token_address(Pubkey.from_string(profile.body["circle_wallet_address"]), mint, TOKEN_2022)
    elsewhere = associated_token_address(FRIEND, mint, TOKEN_2022)
    held = node.account(theirs)
    assert held is not None
    data = bytes(held.data)
    node.place_account(theirs, Account(held.lamports, data[:64] + bytes(8) + data[72:], TOKEN_2022))
    node.place_account(elsewhere, Account(held.lamports, data[:32] + bytes(FRIEND) + data[64:], TOKEN_2022))
    await shelf_says(shop, token, "transferred")
    node.place_account(elsewhere, None)
    node.place_account(theirs, held)
    await shelf_says(shop, token, "owned")
    await shop.close()
