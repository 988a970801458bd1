"""A node on a clock that only the test moves, wallets, and transactions built by hand."""

import base64
import hashlib
import random
import struct
from typing import Any

import orjson
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.system_program import (
    AllocateWithSeedParams,
    TransferParams,
    allocate_with_seed,
    transfer,
)
from solders.transaction import VersionedTransaction

from sandbox.service import Request, Response
from sandbox.solana_node import SolanaNode
from sandbox.solana_node.slots import Commitment
from sandbox.solana_node.token_layouts import ASSOCIATED_TOKEN, TOKEN, TOKEN_2022, associated_token_address

SLOT_MS = 10
SOL = 10**9
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
MESSAGES = {"legacy": Message, "v0": MessageV0, "v1": MessageV1}


class World:
    def __init__(self, **options: Any) -> None:
        self.now_ms = 1_795_000_000_000
        self.node = SolanaNode(lambda: self.now_ms, random.Random(7), slot_ms=SLOT_MS, **options)
        self.alice = Keypair.from_seed(bytes([1] * 32))
        self.bob = Keypair.from_seed(bytes([2] * 32))
        self.node.airdrop(self.alice.pubkey(), 100 * SOL)
        self.pass_slots(40)

    def pass_slots(self, count: int) -> None:
        self.now_ms += count * SLOT_MS
        self.node.tick(self.now_ms)

    def blockhash(self) -> Hash:
        return self.node.latest_blockhash()[0]

    def signed(
        self, *steps: Instruction, by: Keypair | None = None, form: str = "legacy", blockhash: Hash | None = None
    ) -> bytes:
        signer, recent = by or self.alice, blockhash or self.blockhash()
        if form == "legacy":
            message: Any = Message.new_with_blockhash(steps, signer.pubkey(), recent)
        elif form == "v0":
            message = MessageV0.try_compile(signer.pubkey(), steps, [], recent)
        else:
            message = MessageV1.try_compile(signer.pubkey(), steps, recent)
        return bytes(VersionedTransaction(message, [signer]))

    def pay(self, lamports: int, to: Keypair | None = None, **options: Any) -> bytes:
        """A signed SOL transfer from alice."""
        target = (to or self.bob).pubkey()
        step = transfer(TransferParams(from_pubkey=self.alice.pubkey(), to_pubkey=target, lamports=lamports))
        return self.signed(step, **options)

    def refund_step(self) -> Instruction:
        """Bob sends half a SOL back to alice."""
        target = self.alice.pubkey()
        return transfer(TransferParams(from_pubkey=self.bob.pubkey(), to_pubkey=target, lamports=SOL // 2))

    def pay_usdc(self, units: int, to: Pubkey, **options: Any) -> bytes:
        """A signed TransferChecked from alice; the target's token account is made when missing."""
        steps = (create_ata(self.alice.pubkey(), to, self.node.usdc_mint), self.usdc_step(units, to))
        return self.signed(*steps, **options)

    def usdc_step(self, units: int, to: Pubkey) -> Instruction:
        mint = self.node.usdc_mint
        return Instruction(
            TOKEN,
            struct.pack("<BQB", 12, units, 6),
            [
                AccountMeta(associated_token_address(self.alice.pubkey(), mint), False, True),
                AccountMeta(mint, False, False),
                AccountMeta(associated_token_address(to, mint), False, True),
                AccountMeta(self.alice.pubkey(), True, False),
            ],
        )

    def rpc(self, method: str, *params: Any, path: str = "/") -> Any:
        """The `result`; an error object fails the test."""
        answer = self.call(method, *params, path=path)
        assert "error" not in answer, answer
        return answer["result"]

    def error(self, method: str, *params: Any, path: str = "/") -> dict[str, Any]:
        answer = self.call(method, *params, path=path)
        assert "result" not in answer, answer
        return answer["error"]  # type: ignore[no-any-return]

    def call(self, method: str, *params: Any, path: str = "/") -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return orjson.loads(self.post(orjson.dumps(body), path).body)  # type: ignore[no-any-return]

    def post(self, body: bytes, path: str = "/") -> Response:
        return self.node.handle(Request("POST", path, "", {"content-type": "application/json"}, body))

    def send(self, raw: bytes, path: str = "/", **config: Any) -> str:
        return self.rpc("sendTransaction", base64.b64encode(raw).decode(), {"encoding": "base64"} | config, path=path)  # type: ignore[no-any-return]

    def refuse(self, raw: bytes, **config: Any) -> dict[str, Any]:
        return self.error("sendTransaction", base64.b64encode(raw).decode(), {"encoding": "base64"} | config)

    def lamports(self, key: Keypair, commitment: Commitment = Commitment.PROCESSED) -> int:
        account = self.node.account(key.pubkey(), commitment)
        return 0 if account is None else account.lamports

    def status(self, signature: str, path: str = "/", search: bool = False) -> Any:
        config = {"searchTransactionHistory": search}
        return self.rpc("getSignatureStatuses", [signature], config, path=path)["value"][0]


def create_ata(payer: Pubkey, owner: Pubkey, mint: Pubkey, program: Pubkey = TOKEN) -> Instruction:
    return Instruction(
        ASSOCIATED_TOKEN,
        b"\x01",
        [
            AccountMeta(payer, True, True),
            AccountMeta(associated_token_address(owner, mint, program), False, True),
            AccountMeta(owner, False, False),
            AccountMeta(mint, False, False),
            AccountMeta(SYSTEM_PROGRAM, False, False),
            AccountMeta(program, False, False),
        ],
    )


def memo(text: str) -> Instruction:
    return Instruction(MEMO, text.encode(), [])


NFT_SEED = "3c" * 16
MINT_SPACE = 165 + 1 + 68


def nft_address(platform: Pubkey) -> Pubkey:
    return Pubkey.create_with_seed(platform, NFT_SEED, TOKEN_2022)


def mint_nft(world: World, buyer: Pubkey, name: str = "Sunrise #7", uri: str = "ipfs://bafybeigdyrzt5") -> bytes:
    """The whole recipe: bring the mint into being at its seeded address, name it, mint one, give up the authority."""
    me = world.alice.pubkey()
    mint = nft_address(me)
    texts = b"".join(struct.pack("<I", len(text)) + text.encode() for text in (name, "RNB", uri))
    rent = world.node.minimum_rent(MINT_SPACE + 4 + 64 + len(texts) + 4)
    account = world.node.account(mint)
    missing = rent - (0 if account is None else account.lamports)
    steps = [transfer(TransferParams(from_pubkey=me, to_pubkey=mint, lamports=missing))] if missing > 0 else []
    steps += [
        allocate_with_seed(
            AllocateWithSeedParams(address=mint, base=me, seed=NFT_SEED, space=MINT_SPACE, owner=TOKEN_2022)
        ),
        _token_2022(b"\x27\x00" + bytes(me) + bytes(mint), AccountMeta(mint, False, True)),
        _token_2022(b"\x14\x00" + bytes(me) + b"\x00", AccountMeta(mint, False, True)),
        _token_2022(
            hashlib.sha256(b"spl_token_metadata_interface:initialize_account").digest()[:8] + texts,
            AccountMeta(mint, False, True),
            AccountMeta(me, False, False),
            AccountMeta(mint, False, False),
            AccountMeta(me, True, False),
        ),
        create_ata(me, buyer, mint, TOKEN_2022),
        _token_2022(
            struct.pack("<BQ", 7, 1),
            AccountMeta(mint, False, True),
            AccountMeta(associated_token_address(buyer, mint, TOKEN_2022), False, True),
            AccountMeta(me, True, False),
        ),
        _token_2022(b"\x06\x00\x00", AccountMeta(mint, False, True), AccountMeta(me, True, False)),
    ]
    return world.signed(*steps, form="v0")


def _token_2022(data: bytes, *accounts: AccountMeta) -> Instruction:
    return Instruction(TOKEN_2022, data, list(accounts))


def move_nft(world: World, mint: Pubkey, owner: Keypair, to: Pubkey) -> bytes:
    """The NFT's owner sends it on; the target's token account is made when missing."""
    accounts = [
        AccountMeta(associated_token_address(owner.pubkey(), mint, TOKEN_2022), False, True),
        AccountMeta(mint, False, False),
        AccountMeta(associated_token_address(to, mint, TOKEN_2022), False, True),
        AccountMeta(owner.pubkey(), True, False),
    ]
    step = _token_2022(struct.pack("<BQB", 12, 1, 0), *accounts)
    return world.signed(create_ata(owner.pubkey(), to, mint, TOKEN_2022), step, by=owner)
