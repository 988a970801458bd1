"""Publish and subscribe without sockets: what is told, when, and in which exact form."""

from typing import Any

import orjson

from sandbox.solana_node import Endpoint
from sandbox.solana_node.subscriptions import Connection
from tests.sandbox.solana.world import SOL, World


class Client:
    def __init__(self, world: World, path: str = "/") -> None:
        self.connection: Connection = world.node.subscriptions.connect(path)

    def ask(self, method: str, *params: Any) -> dict[str, Any]:
        """The answer; notifications that follow at once stay for `told`."""
        body = {"jsonrpc": "2.0", "id": 9, "method": method, "params": list(params)}
        self.connection.receive(orjson.dumps(body))
        answer, *self.early = [orjson.loads(text) for text in self.connection.take()]
        return answer  # type: ignore[no-any-return]

    def told(self) -> list[Any]:
        early, self.early = getattr(self, "early", []), []
        return early + [orjson.loads(text) for text in self.connection.take()]


def test_a_signature_is_told_once_when_its_commitment_is_reached(world: World) -> None:
    client = Client(world)
    signature = world.send(world.pay(SOL))
    landed = world.node.tip()
    number = client.ask("signatureSubscribe", signature, {"commitment": "finalized"})["result"]
    world.pass_slots(31)
    assert client.told() == []
    world.pass_slots(1)
    assert client.told() == [
        {
            "jsonrpc": "2.0",
            "method": "signatureNotification",
            "params": {
                "result": {"context": {"apiVersion": "4.2.1", "slot": landed}, "value": {"err": None}},
                "subscription": number,
            },
        }
    ]
    world.pass_slots(50)
    assert client.told() == []
    assert client.ask("signatureUnsubscribe", number)["error"]["code"] == -32602


def test_a_signature_that_has_long_landed_is_told_at_once_with_its_error(world: World) -> None:
    signature = world.send(world.pay(1000 * SOL), skipPreflight=True)
    world.pass_slots(2)
    client = Client(world)
    client.ask("signatureSubscribe", signature, {"commitment": "confirmed"})
    assert client.told()[0]["params"]["result"]["value"] == {"err": {"InstructionError": [0, {"Custom": 1}]}}


def test_a_receipt_of_the_transaction_can_be_asked_for(world: World) -> None:
    signature = world.send(world.pay(SOL))
    client = Client(world)
    client.ask("signatureSubscribe", signature, {"commitment": "finalized", "enableReceivedNotification": True})
    world.pass_slots(40)
    assert [entry["params"]["result"]["value"] for entry in client.told()] == ["receivedSignature", {"err": None}]


def test_every_change_of_an_account_is_told_at_its_commitment(world: World) -> None:
    client = Client(world)
    client.ask("accountSubscribe", str(world.bob.pubkey()), {"encoding": "base64", "commitment": "confirmed"})
    for _ in range(3):
        world.send(world.pay(SOL))
        world.node.skip_slots(1)
    assert client.told() == []
    world.pass_slots(1)
    told = client.told()
    assert [entry["params"]["result"]["value"]["lamports"] // SOL for entry in told] == [1, 2, 3]
    assert told[0]["method"] == "accountNotification"
    assert told[0]["params"]["result"]["value"]["data"] == ["", "base64"]


def test_logs_are_told_for_all_or_for_one_address(world: World) -> None:
    everything, bobs = Client(world), Client(world)
    everything.ask("logsSubscribe", "all", {"commitment": "processed"})
    bobs.ask("logsSubscribe", {"mentions": [str(world.bob.pubkey())]}, {"commitment": "processed"})
    world.node.airdrop(world.alice.pubkey(), 1)
    signature = world.send(world.pay(SOL))
    world.pass_slots(1)
    assert len(everything.told()) == 2
    (told,) = bobs.told()
    assert told["method"] == "logsNotification"
    value = told["params"]["result"]["value"]
    assert (value["signature"], value["err"]) == (signature, None)
    assert value["logs"][-1] == "Program 11111111111111111111111111111111 success"


def test_slots_are_told_one_by_one_until_unsubscribed(world: World) -> None:
    client = Client(world)
    number = client.ask("slotSubscribe")["result"]
    tip = world.node.tip()
    world.pass_slots(2)
    assert [entry["params"]["result"] for entry in client.told()] == [
        {"parent": tip, "root": tip - 31, "slot": tip + 1},
        {"parent": tip + 1, "root": tip - 30, "slot": tip + 2},
    ]
    assert client.ask("slotUnsubscribe", number)["result"] is True
    world.pass_slots(2)
    assert client.told() == []
    assert client.ask("slotUnsubscribe", number)["error"] == {"code": -32602, "message": "Invalid subscription id."}


def test_a_dropped_transaction_is_told_again_when_it_lands_again(world: World) -> None:
    client = Client(world)
    client.ask("logsSubscribe", "all", {"commitment": "processed"})
    raw = world.pay(SOL)
    world.send(raw)
    world.pass_slots(1)
    world.node.fork(2)
    world.send(raw)
    world.pass_slots(1)
    assert len(client.told()) == 2


def test_a_subscriber_of_a_lagging_endpoint_hears_later(world: World) -> None:
    world.node.endpoints["/rpc2"] = Endpoint(lag_slots=10)
    client = Client(world, "/rpc2")
    client.ask("logsSubscribe", "all", {"commitment": "processed"})
    world.send(world.pay(SOL))
    world.pass_slots(9)
    assert client.told() == []
    world.pass_slots(1)
    assert len(client.told()) == 1


def test_plain_methods_unknown_ones_and_broken_frames_are_answered_on_a_socket_too(world: World) -> None:
    client = Client(world)
    assert client.ask("getHealth")["result"] == "ok"
    assert client.ask("voteSubscribe")["error"]["code"] == -32601
    assert client.ask("logsSubscribe", {"mentions": []})["error"]["code"] == -32602
    assert client.ask("accountSubscribe", "x")["error"]["code"] == -32602
    client.connection.receive("{")
    assert client.told()[0]["error"]["code"] == -32700


def test_the_node_wants_to_be_woken_at_the_next_slot_only_while_someone_listens(world: World) -> None:
    assert world.node.next_due_ms() is None
    client = Client(world)
    client.ask("slotSubscribe")
    assert world.node.next_due_ms() == world.now_ms + 10
    client.connection.close()
    assert world.node.next_due_ms() is None


def test_a_silent_endpoint_never_tells_what_happened_meanwhile(world: World) -> None:
    world.node.endpoints["/rpc2"] = Endpoint(silent=True)
    client = Client(world, "/rpc2")
    client.ask("logsSubscribe", "all", {"commitment": "processed"})
    world.send(world.pay(SOL))
    world.pass_slots(2)
    world.node.endpoints["/rpc2"].silent = False
    world.pass_slots(2)
    assert client.told() == []
    world.send(world.pay(SOL + 1))
    world.pass_slots(1)
    assert len(client.told()) == 1


def test_a_dropped_connection_is_told_of_nothing_more_and_others_stay(world: World) -> None:
    world.node.endpoints["/rpc2"] = Endpoint()
    here, there = Client(world), Client(world, "/rpc2")
    for client in (here, there):
        client.ask("slotSubscribe")
    assert world.node.subscriptions.drop("/rpc2") == 1
    world.pass_slots(2)
    assert there.connection.dropped
    assert there.told() == []
    assert len(here.told()) == 2


def test_a_connection_takes_no_more_subscriptions_than_its_provider_allows(world: World) -> None:
    world.node.endpoints["/"].subscriptions_most = 2
    client = Client(world)
    client.ask("slotSubscribe")
    number = client.ask("rootSubscribe")["result"]
    assert client.ask("logsSubscribe", "all")["error"]["code"] == -32603
    client.ask("rootUnsubscribe", number)
    assert "result" in client.ask("logsSubscribe", "all")
