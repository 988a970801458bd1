"""A Circle on the sandbox's own chain, without sockets, on a clock that moves when told."""

import base64
import itertools
import json
import random
import uuid
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from solders.pubkey import Pubkey

from sandbox.circle_service import CircleService, Platform, Switches, setup_platform
from sandbox.circle_service.settings import Limits
from sandbox.service import Delivery, Request, Response
from sandbox.solana_node import SolanaNode

API_KEY = "TEST_API_KEY:sandbox-id:sandbox-secret"
SECRET = "ab" * 32
START_MS = 1_795_000_000_000
USDC_ID = "8fb3cadb-0ef4-573d-8fcd-e194f961c728"
USDC_MINT = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"
SOL = 1_000_000_000
USDC = 1_000_000
OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
RSA_PEM = rsa.generate_private_key(65537, 2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


class Answer:
    """A response with its JSON read."""

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.headers = response.headers
        self.json: Any = json.loads(response.body) if response.body else None

    @property
    def data(self) -> Any:
        assert self.status in (200, 201), self.json
        return self.json["data"]

    @property
    def failure(self) -> tuple[int, int]:
        return self.status, self.json["code"]

    @property
    def bad_fields(self) -> dict[str, str]:
        return {error["location"]: error["error"] for error in self.json["errors"]}


class World:
    """`call` speaks as the developer; `pass_ms` lets time pass, waking the service whenever it asked for it."""

    def __init__(
        self, *, seed: int = 7, limits: Limits = "fast", secret: str | None = SECRET, switches: Switches | None = None
    ) -> None:
        self.now_ms = START_MS
        self._keys = random.Random(seed + 1)
        self.node = SolanaNode(lambda: self.now_ms, random.Random(seed))
        self.circle = CircleService(
            clock=lambda: self.now_ms,
            rng=random.Random(seed),
            chain=self.node,
            api_keys=frozenset({API_KEY}),
            entity_secret=secret,
            limits=limits,
            switches=switches,
            rsa_pem=RSA_PEM,
        )
        self.node.skip_slots(40)
        self.endpoint_status: Callable[[Delivery], int | None] = lambda _delivery: 200
        self.deliveries: list[Delivery] = []

    def platform(self, *, usdc: int = 0, sol: int = 1) -> Platform:
        made = setup_platform(self.circle, usdc_base_units=usdc * USDC, lamports=sol * SOL)
        self.pass_ms(10_000)
        return made

    def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        headers: dict[str, str] | None = None,
        key: str | None = API_KEY,
    ) -> Answer:
        where, _, query = path.partition("?")
        sent = {} if key is None else {"authorization": f"Bearer {key}"}
        raw = b"" if body is None else json.dumps(body).encode()
        return Answer(self.circle.handle(Request(method, where, query, sent | (headers or {}), raw)))

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, body: dict[str, Any], **headers: str) -> Answer:
        return self.call("POST", path, body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def new_key(self) -> str:
        return str(uuid.UUID(bytes=self._keys.randbytes(16), version=4))

    def seal(self, secret: str = SECRET) -> str:
        """A fresh ciphertext of the entity secret, made as a client makes it."""
        pem = self.get("/v1/w3s/config/entity/publicKey").data["publicKey"]
        key = serialization.load_pem_public_key(pem.encode())
        assert isinstance(key, rsa.RSAPublicKey)
        return base64.b64encode(key.encrypt(bytes.fromhex(secret), OAEP)).decode()

    def signed(self, **body: Any) -> dict[str, Any]:
        """A body with a fresh idempotency key and ciphertext, unless given."""
        return {"idempotencyKey": self.new_key(), "entitySecretCiphertext": self.seal()} | body

    def order(self, wallet_id: str, destination: str, amount: str, **more: Any) -> dict[str, Any]:
        return self.signed(
            walletId=wallet_id,
            destinationAddress=destination,
            amounts=[amount],
            tokenId=USDC_ID,
            feeLevel="MEDIUM",
            **more,
        )

    def transfer(self, body: dict[str, Any]) -> Answer:
        return self.post("/v1/w3s/developer/transactions/transfer", body)

    def transaction(self, transaction_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v1/w3s/transactions/{transaction_id}").data["transaction"]
        return found

    def usdc_of(self, address: str) -> int:
        """Base units in the owner's USDC accounts, as the chain has them."""
        accounts = self.node.token_accounts(Pubkey.from_string(address), mint=Pubkey.from_string(USDC_MINT))
        return sum(int.from_bytes(account.data[64:72], "little") for _, account in accounts)

    def lamports_of(self, address: str) -> int:
        account = self.node.account(Pubkey.from_string(address))
        return 0 if account is None else account.lamports

    def pass_ms(self, span_ms: int) -> None:
        end = self.now_ms + span_ms
        for _ in itertools.repeat(None, 100_000):
            self._deliver()
            due = self.circle.next_due_ms()
            if due is None or due > end:
                break
            self.now_ms = max(self.now_ms, due)
            self.circle.tick(self.now_ms)
        self.now_ms = end
        self.circle.tick(end)
        self._deliver()

    def _deliver(self) -> None:
        for delivery in self.circle.take_deliveries():
            self.deliveries.append(delivery)
            self.circle.delivered(delivery.id, self.endpoint_status(delivery))

    def notifications(self, kind: str = "") -> list[dict[str, Any]]:
        """The bodies that were handed over, of one type or of all."""
        bodies = [json.loads(delivery.body) for delivery in self.deliveries if delivery.method == "POST"]
        return [body for body in bodies if body["notificationType"].startswith(kind)]
