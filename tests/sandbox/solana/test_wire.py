"""JSON-RPC as a protocol: envelopes, batches, bad input, HTTP faults."""

import base64

import orjson
import pytest

from sandbox.faults import Fault, Rule
from sandbox.service import Request
from sandbox.solana_node import Endpoint
from tests.sandbox.solana.world import World


def test_unknown_methods_are_answered_with_32601(world: World) -> None:
    assert world.error("getNothing") == {"code": -32601, "message": "Method not found"}


def test_a_batch_is_answered_one_by_one_in_order(world: World) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": "a", "method": "getHealth"},
        {"jsonrpc": "2.0", "id": 2, "method": "nope"},
        {"jsonrpc": "2.0", "method": "getHealth"},
        {"jsonrpc": "2.0", "id": None, "method": "getGenesisHash", "params": []},
        17,
    ]
    answers = orjson.loads(world.post(orjson.dumps(batch)).body)
    assert [answer["id"] for answer in answers] == ["a", 2, None, None]
    assert answers[0]["result"] == "ok"
    assert answers[1]["error"]["code"] == -32601
    assert answers[2]["result"] == "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"
    assert answers[3]["error"]["code"] == -32600


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", -32700), (b"[]", -32600), (b"{}", -32600), (b'{"jsonrpc":"1.0","id":1,"method":"getSlot"}', -32600)],
)
def test_what_is_no_request_gets_the_protocol_s_error(world: World, body: bytes, code: int) -> None:
    assert orjson.loads(world.post(body).body)["error"]["code"] == code


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("getBalance", []),
        ("getBalance", [5]),
        ("getBalance", ["short"]),
        ("getBalance", ["0" * 44]),
        ("getBalance", ["11111111111111111111111111111111", {"commitment": "sure"}]),
        ("getBalance", ["11111111111111111111111111111111", "confirmed"]),
        ("getSlot", [{"commitment": {}}]),
        ("getSlot", [{"minContextSlot": "1"}]),
        ("getAccountInfo", ["11111111111111111111111111111111", {"encoding": "hex"}]),
        ("getMinimumBalanceForRentExemption", [-1]),
        ("getSignatureStatuses", [["x"]]),
        ("getSignatureStatuses", ["x"]),
        ("getTransaction", ["x"]),
        ("sendTransaction", ["!!", {"encoding": "base64"}]),
        ("sendTransaction", ["0OIl"]),
        ("sendTransaction", [None]),
        ("simulateTransaction", [{}]),
        ("getFeeForMessage", ["AAAA"]),
        ("isBlockhashValid", ["x"]),
        ("requestAirdrop", ["11111111111111111111111111111111", 1.5]),
        ("getTokenAccountsByOwner", ["11111111111111111111111111111111", {}]),
    ],
)
def test_bad_parameters_are_answered_with_32602(world: World, method: str, params: list[object]) -> None:
    assert world.error(method, *params)["code"] == -32602


def test_the_cluster_introduces_itself(world: World) -> None:
    assert set(world.rpc("getVersion")) == {"solana-core", "feature-set"}
    epoch = world.rpc("getEpochInfo")
    assert epoch["absoluteSlot"] == epoch["epoch"] * epoch["slotsInEpoch"] + epoch["slotIndex"]
    assert epoch["blockHeight"] == world.rpc("getBlockHeight") < epoch["absoluteSlot"]
    latest = world.rpc("getLatestBlockhash")
    assert latest["value"]["lastValidBlockHeight"] == world.rpc("getBlockHeight") + 150
    assert latest["context"]["slot"] == world.rpc("getSlot")
    assert world.error("getSlot", {"minContextSlot": latest["context"]["slot"] + 1})["code"] == -32016
    assert world.error("getBlockTime", latest["context"]["slot"] + 500)["code"] == -32004


def test_prioritization_fees_are_what_was_set(world: World) -> None:
    world.node.prioritization_fee = 1234
    fees = world.rpc("getRecentPrioritizationFees", [str(world.alice.pubkey())])
    assert (len(fees), {entry["prioritizationFee"] for entry in fees}) == (150, {1234})
    assert fees[-1]["slot"] == world.node.tip()


def test_a_fault_names_one_method_and_is_used_up(world: World) -> None:
    world.node.faults.add(Rule("POST / getSlot", Fault.STATUS, status=429, body=b"slow down"))
    request = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "getSlot"})
    assert world.rpc("getHealth") == "ok"
    assert [world.post(request).status for _ in range(2)] == [429, 200]


def test_a_lost_answer_has_happened(world: World) -> None:
    world.node.faults.add(Rule("sendTransaction", Fault.LOSE_ANSWER))
    raw = base64.b64encode(world.pay(10**9)).decode()
    body = {"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": [raw, {"encoding": "base64"}]}
    assert world.post(orjson.dumps(body)).cut
    assert world.lamports(world.bob) == 10**9


def test_health_is_a_page_too_and_other_verbs_are_refused(world: World) -> None:
    assert world.node.handle(Request("GET", "/health")).body == b"ok"
    world.node.endpoints["/rpc2"] = Endpoint(lag_slots=140)
    assert world.node.handle(Request("GET", "/rpc2/health")).body == b"behind { distance: 140 }"
    assert world.node.handle(Request("GET", "/")).status == 405
    plain = world.node.handle(Request("POST", "/", headers={"content-type": "text/plain"}, body=b"{}"))
    assert plain.status == 415
