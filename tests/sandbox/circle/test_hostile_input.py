"""Nothing that a client sends makes the service raise or answer 5xx."""

import json
import random
from typing import Any

import pytest

from sandbox.circle_service.routes import ROUTES, Route
from sandbox.service import Request
from tests.sandbox.circle.world import API_KEY, Answer, World

ID = "0f6b3d1c-2a54-4c8e-9b7f-1d2e3f4a5b6c"
FIELDS = (
    "idempotencyKey entitySecretCiphertext walletSetId blockchains accountType count metadata name refId userId amounts"
    " destinationAddress walletId walletAddress sourceAddress tokenId tokenAddress blockchain feeLevel gasLimit"
    " gasPrice priorityFee maxFee rawTransaction message encodedByHex memo endpoint notificationTypes enabled address"
    " native usdc"
).split()
QUERY = (
    "pageSize pageBefore pageAfter from to order blockchain address walletSetId refId amount__gte tokenAddress state"
    " txType operation custodyType walletIds includeAll name standard pinStatus status"
).split()
VALUES: list[Any] = [
    None,
    "",
    "x",
    ID,
    "\x00",
    "é" * 44,
    "1" * 44,
    "SOL-DEVNET",
    "2026-01-01",
    "-1",
    "1e9",
    "0x",
    "true",
    0,
    -1,
    10**30,
    1.5,
    True,
    [],
    ["SOL-DEVNET"],
    [None],
    [[]],
    {},
    [{"name": 1}],
    {"a": []},
    "MEDIUM",
    "1",
    ["1"],
]


def send(world: World, route: Route, body: bytes, query: str = "", **headers: str) -> Answer:
    path = route.template.replace("*", ID)
    sent = {"authorization": f"Bearer {API_KEY}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(world.circle.handle(Request(route.method, path, query, sent, body)))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.template}")
def test_random_bodies_and_queries_are_answered_in_circles_format(route: Route) -> None:
    world = World()
    world.post("/v1/w3s/users", {"userId": "user-1"})
    token = world.post("/v1/w3s/users/token", {"userId": "user-1"}).data["userToken"]
    rng = random.Random(route.template)
    for _ in range(40):
        body = {name: rng.choice(VALUES) for name in FIELDS if rng.random() < 0.6}
        if rng.random() < 0.5:
            body |= {"idempotencyKey": world.new_key(), "entitySecretCiphertext": world.seal()}
        query = "&".join(f"{name}={rng.choice(VALUES)}" for name in QUERY if rng.random() < 0.1)
        headers = {"x_user_token": token} if rng.random() < 0.5 else {}
        answer = send(world, route, json.dumps(body).encode(), query, **headers)
        assert answer.status < 500
        assert answer.status < 300 or {"code", "message"} <= set(answer.json)


@pytest.mark.parametrize("body", [b'{"name": "\\ud800"}', b'{"name": NaN}', b'{"count": ' + b"9" * 5_000 + b"}"])
def test_json_that_cannot_be_written_again_is_refused(world: World, body: bytes) -> None:
    assert send(world, ROUTES[5], body).failure == (400, 2)


def test_the_private_controls_refuse_in_the_same_format(world: World) -> None:
    for path in (
        "faucet",
        "faults/add",
        "switches",
        "pin",
        "deny",
        f"wallets/{ID}/freeze",
        f"challenges/{ID}/complete",
    ):
        for value in VALUES:
            body = {name: value for name in ("address", "usdc", "sol", "mode", "match", "fault", "auto_pin")}
            assert world.call("POST", f"/_sandbox/{path}", body, key=None).status < 500
