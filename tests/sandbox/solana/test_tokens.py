"""USDC and the NFT: accounts as clients read them, and the mint that can happen only once."""

import base64

from solders.system_program import TransferParams, transfer

from sandbox.solana_node.token_layouts import TOKEN, TOKEN_2022, associated_token_address
from tests.sandbox.solana.world import MINT_SPACE, SOL, World, mint_nft, nft_address

PARSED = {"encoding": "jsonParsed", "commitment": "processed"}
PROCESSED = {"commitment": "processed"}


def test_usdc_is_there_from_the_start_as_on_devnet(world: World) -> None:
    info = world.rpc("getAccountInfo", "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU", {"encoding": "jsonParsed"})
    value = info["value"]
    assert (value["owner"], value["data"]["program"]) == (str(TOKEN), "spl-token")
    assert value["data"]["parsed"] == {
        "type": "mint",
        "info": {
            "mintAuthority": str(world.node.faucet.pubkey()),
            "supply": "0",
            "decimals": 6,
            "isInitialized": True,
            "freezeAuthority": None,
        },
    }


def test_minted_usdc_is_seen_by_owner_by_account_and_in_the_supply(world: World) -> None:
    owner = world.bob.pubkey()
    for units in (1_500_000, 1):
        world.node.mint_usdc(owner, units)
    account = str(associated_token_address(owner, world.node.usdc_mint))
    amount = {"uiAmount": 1.500001, "decimals": 6, "amount": "1500001", "uiAmountString": "1.500001"}
    assert world.rpc("getTokenAccountBalance", account, PROCESSED)["value"] == amount
    assert world.rpc("getTokenSupply", str(world.node.usdc_mint), PROCESSED)["value"] == amount
    for which in ({"mint": str(world.node.usdc_mint)}, {"programId": str(TOKEN)}):
        listed = world.rpc("getTokenAccountsByOwner", str(owner), which, PARSED)["value"]
        assert [entry["pubkey"] for entry in listed] == [account]
        assert listed[0]["account"]["data"]["parsed"]["info"]["tokenAmount"] == amount
    assert world.rpc("getTokenAccountsByOwner", str(owner), {"programId": str(TOKEN_2022)}, PARSED)["value"] == []
    finalized = {"encoding": "jsonParsed", "commitment": "finalized"}
    assert world.rpc("getTokenAccountsByOwner", str(owner), {"programId": str(TOKEN)}, finalized)["value"] == []


def test_a_stranger_to_tokens_is_refused_in_words(world: World) -> None:
    alice = str(world.alice.pubkey())
    assert world.error("getTokenAccountBalance", alice)["message"] == "Invalid param: not a Token account"
    assert world.error("getTokenSupply", alice)["message"] == "Invalid param: not a Token mint"
    assert world.error("getTokenAccountsByOwner", alice, {"mint": alice})["code"] == -32602
    assert world.error("getTokenAccountsByOwner", alice, {"programId": alice})["code"] == -32602
    assert world.error("getTokenSupply", str(world.bob.pubkey()))["message"] == "Invalid param: could not find account"


def test_accounts_come_in_the_encoding_asked_for(world: World) -> None:
    mint = str(world.node.usdc_mint)
    data, encoding = world.rpc("getAccountInfo", mint, {"encoding": "base64"})["value"]["data"]
    assert (len(base64.b64decode(data)), encoding) == (82, "base64")
    part = {"encoding": "base64", "dataSlice": {"offset": 44, "length": 1}}
    assert base64.b64decode(world.rpc("getAccountInfo", mint, part)["value"]["data"][0]) == b"\x06"
    system = world.rpc("getAccountInfo", str(world.alice.pubkey()), {"encoding": "jsonParsed"})["value"]
    assert (system["data"], system["lamports"], system["space"]) == (["", "base64"], 100 * SOL, 0)
    many = world.rpc("getMultipleAccounts", [mint, str(world.bob.pubkey())], {"encoding": "base64"})["value"]
    assert (many[0]["space"], many[1]) == (82, None)
    assert world.error("getMultipleAccounts", [mint] * 101)["code"] == -32602


def test_an_nft_is_minted_in_one_transaction_and_read_with_its_metadata(world: World) -> None:
    platform, buyer = world.alice.pubkey(), world.bob.pubkey()
    signature = world.send(mint_nft(world, buyer))
    mint = nft_address(platform)
    value = world.rpc("getAccountInfo", str(mint), PARSED)["value"]
    info = value["data"]["parsed"]["info"]
    assert (value["data"]["program"], info["supply"], info["mintAuthority"], info["decimals"]) == (
        "spl-token-2022",
        "1",
        None,
        0,
    )
    assert info["extensions"] == [
        {"extension": "metadataPointer", "state": {"authority": str(platform), "metadataAddress": str(mint)}},
        {
            "extension": "tokenMetadata",
            "state": {
                "updateAuthority": str(platform),
                "mint": str(mint),
                "name": "Sunrise #7",
                "symbol": "RNB",
                "uri": "ipfs://bafybeigdyrzt5",
                "additionalMetadata": [],
            },
        },
    ]
    listed = world.rpc("getTokenAccountsByOwner", str(buyer), {"programId": str(TOKEN_2022)}, PARSED)["value"]
    held = listed[0]["account"]["data"]["parsed"]["info"]
    assert (held["mint"], held["tokenAmount"]["amount"]) == (str(mint), "1")
    assert held["extensions"] == [{"extension": "immutableOwner"}]
    world.pass_slots(40)
    meta = world.rpc("getTransaction", signature, {"maxSupportedTransactionVersion": 0})["meta"]
    assert meta["preTokenBalances"] == []
    (balance,) = meta["postTokenBalances"]
    assert (balance["owner"], balance["mint"], balance["programId"]) == (str(buyer), str(mint), str(TOKEN_2022))
    rent = world.node.minimum_rent(MINT_SPACE + 4 + 64 + (4 + 10) + (4 + 3) + (4 + 21) + 4)
    rent += world.node.minimum_rent(165 + 5)
    assert meta["preBalances"][0] - meta["postBalances"][0] == rent + 5000


def test_the_same_nft_cannot_be_minted_twice(world: World) -> None:
    world.send(mint_nft(world, world.bob.pubkey()))
    world.pass_slots(40)
    again = mint_nft(world, world.alice.pubkey())
    refusal = world.refuse(again)
    assert refusal["data"]["err"] == {"InstructionError": [0, {"Custom": 0}]}
    signature = world.send(again, skipPreflight=True)
    assert world.status(signature)["err"] == {"InstructionError": [0, {"Custom": 0}]}
    assert world.rpc("getTokenSupply", str(nft_address(world.alice.pubkey())), PROCESSED)["value"]["amount"] == "1"


def test_a_stranger_who_pays_into_the_mint_address_blocks_nothing(world: World) -> None:
    target = nft_address(world.alice.pubkey())
    world.node.airdrop(world.bob.pubkey(), SOL)
    step = transfer(TransferParams(from_pubkey=world.bob.pubkey(), to_pubkey=target, lamports=1_000_000))
    world.send(world.signed(step, by=world.bob), preflightCommitment="processed")
    world.send(mint_nft(world, world.bob.pubkey()), preflightCommitment="processed")
    assert world.rpc("getTokenSupply", str(target), PROCESSED)["value"]["amount"] == "1"


def test_the_largest_holders_of_a_mint_are_listed_empty_ones_too(world: World) -> None:
    world.send(mint_nft(world, world.bob.pubkey()))
    world.pass_slots(33)
    mint = nft_address(world.alice.pubkey())
    (holder,) = world.rpc("getTokenLargestAccounts", str(mint))["value"]
    assert holder["address"] == str(associated_token_address(world.bob.pubkey(), mint, TOKEN_2022))
    assert (holder["amount"], holder["decimals"]) == ("1", 0)
    assert world.error("getTokenLargestAccounts", str(world.bob.pubkey()))["code"] == -32602
