"""A Circle Mint on the sandbox's own chain, without sockets, on a clock that moves when told."""

import itertools
import json
import random
import uuid
from typing import Any

from solders.pubkey import Pubkey

from sandbox.mint_service import MintService, Switches
from sandbox.service import Request
from sandbox.solana_node import SolanaNode
from tests.sandbox.circle.world import START_MS, USDC_MINT, Answer

API_KEY = "SAND_API_KEY:sandbox-id:sandbox-secret"
ROOT = "/v1/businessAccount"
PLATFORM = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"
"""Any address on the curve."""


class World:
    """`call` speaks as the business; `pass_ms` lets time pass, waking the service whenever it asked for it."""

    def __init__(self, *, seed: int = 7, switches: Switches | None = None) -> None:
        self.now_ms = START_MS
        self._keys = random.Random(seed + 1)
        self.node = SolanaNode(lambda: self.now_ms, random.Random(seed))
        self.mint = MintService(
            clock=lambda: self.now_ms,
            rng=random.Random(seed),
            chain=self.node,
            api_keys=frozenset({API_KEY}),
            switches=switches,
        )
        self.node.skip_slots(40)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, key: str | None = API_KEY) -> Answer:
        where, _, query = path.partition("?")
        sent = {} if key is None else {"authorization": f"Bearer {key}"}
        raw = b"" if body is None else json.dumps(body).encode()
        return Answer(self.mint.handle(Request(method, where, query, sent, raw)))

    def get(self, path: str) -> Answer:
        return self.call("GET", f"{ROOT}{path}")

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        return self.call("POST", f"{ROOT}{path}", body)

    def control(self, path: str, **body: Any) -> Answer:
        return self.call("POST", f"/_sandbox/{path}", body, None)

    def new_key(self) -> str:
        return str(uuid.UUID(bytes=self._keys.randbytes(16), version=4))

    def order(self, address_id: str, amount: str, key: str | None = None) -> dict[str, Any]:
        return {
            "idempotencyKey": key or self.new_key(),
            "destination": {"type": "verified_blockchain", "addressId": address_id},
            "amount": {"amount": amount, "currency": "USD"},
        }

    def funded(self, usd: str) -> str:
        """Dollars in the account and the platform's address verified; the recipient's id."""
        recipient = self.control("recipients", address=PLATFORM).json["id"]
        self.control("wire", usd=usd)
        self.pass_ms(10_000)
        return str(recipient)

    def usdc_of(self, address: str) -> int:
        """Base units in the owner's USDC accounts, as the chain has them."""
        accounts = self.node.token_accounts(Pubkey.from_string(address), mint=Pubkey.from_string(USDC_MINT))
        return sum(int.from_bytes(account.data[64:72], "little") for _, account in accounts)

    def pass_ms(self, span_ms: int) -> None:
        end = self.now_ms + span_ms
        for _ in itertools.repeat(None, 100_000):
            due = self.mint.next_due_ms()
            if due is None or due > end:
                break
            self.now_ms = max(self.now_ms, due)
            self.mint.tick(self.now_ms)
        self.now_ms = end
        self.mint.tick(end)
