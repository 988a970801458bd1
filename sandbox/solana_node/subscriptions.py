"""The publish/subscribe side of the node, without sockets: connections take texts in and give texts out.

What is due follows from the slot alone: every subscription remembers up to which slot of its commitment it has told,
and `pump` tells the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from sandbox.solana_node.account_encoding import encode_account
from sandbox.solana_node.call import with_context
from sandbox.solana_node.errors import INTERNAL_ERROR, INVALID_PARAMS, PARSE_ERROR, NodeError, invalid_params
from sandbox.solana_node.history import Landed
from sandbox.solana_node.params import Config, Params, parse_key, parse_signature
from sandbox.solana_node.slots import Commitment
from sandbox.solana_node.transaction_encoding import all_keys

if TYPE_CHECKING:
    from sandbox.solana_node.node import SolanaNode

MAX_SLOTS_TOLD = 64
"""After a jump of the clock only so many slot notifications follow, not one for each slot of a night."""


@dataclass(slots=True)
class Watch:
    """One subscription. `told` is the newest slot of its commitment already dealt with."""

    id: int
    method: str
    commitment: Commitment
    config: Config
    told: int
    target: str | None = None
    """A signature, or the address that logs must mention."""
    address: Pubkey | None = None
    received: bool = False
    """The early "received" notification of a signature has been given."""
    done: bool = False


class Connection:
    """One client. `on_output` is called when `take` has something new, and when the node has `dropped` it."""

    def __init__(self, hub: "Subscriptions", path: str, on_output: Callable[[], None]) -> None:
        self.watches: dict[int, Watch] = {}
        self.path = path
        self.dropped = False
        self._hub = hub
        self._on_output = on_output
        self._out: list[str] = []

    def receive(self, text: str | bytes) -> None:
        """Take in one frame: a request or a batch."""
        try:
            body = orjson.loads(text)
        except orjson.JSONDecodeError:
            error = NodeError(PARSE_ERROR, "Parse error").to_json()
            self.give({"jsonrpc": "2.0", "error": error, "id": None})
            return
        if isinstance(body, list):
            answers = [answer for entry in body if (answer := self._hub.answer(self, entry)) is not None]
            if answers:
                self.give(answers)
        elif (answer := self._hub.answer(self, body)) is not None:
            self.give(answer)
        self._hub.pump_connection(self)

    def take(self) -> list[str]:
        """The frames to send now, in order."""
        out, self._out = self._out, []
        return out

    def give(self, body: Any) -> None:
        self._out.append(orjson.dumps(body).decode())
        self._on_output()

    def close(self) -> None:
        self._hub.forget(self)

    def drop(self) -> None:
        """The node ends it: what was not taken yet is lost."""
        self.dropped, self._out = True, []
        self._hub.forget(self)
        self._on_output()


class Subscriptions:
    """All connections of one node."""

    def __init__(self, node: "SolanaNode") -> None:
        self._node = node
        self._connections: list[Connection] = []
        self._next_id = 0
        self._subscribe: dict[str, Callable[[Params, str], Watch]] = {
            "signatureSubscribe": self._watch_signature,
            "accountSubscribe": self._watch_account,
            "logsSubscribe": self._watch_logs,
            "slotSubscribe": self._watch_slots,
            "rootSubscribe": self._watch_roots,
        }
        self._tell: dict[str, Callable[[Connection, Watch, int], None]] = {
            "signature": self._tell_signature,
            "account": self._tell_account,
            "logs": self._tell_logs,
            "slot": self._tell_slots,
            "root": self._tell_roots,
        }

    def connect(self, path: str = "/", on_output: Callable[[], None] = lambda: None) -> Connection:
        connection = Connection(self, path, on_output)
        self._connections.append(connection)
        return connection

    def forget(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)

    def drop(self, path: str | None = None) -> int:
        """End all connections (of one endpoint), as a provider does that restarts; answers how many there were."""
        found = [one for one in self._connections if path in (None, one.path)]
        for connection in found:
            connection.drop()
        return len(found)

    def active(self) -> bool:
        return any(connection.watches for connection in self._connections)

    def pump(self) -> None:
        """Tell every connection what has become due."""
        for connection in list(self._connections):
            self.pump_connection(connection)

    def pump_connection(self, connection: Connection) -> None:
        for watch in list(connection.watches.values()):
            bank = self._bank(watch.method, watch.commitment, connection.path)
            if not self._node.endpoint(connection.path).silent:
                self._tell[watch.method](connection, watch, bank)
            watch.told = max(watch.told, bank)
            if watch.done:
                del connection.watches[watch.id]

    def answer(self, connection: Connection, body: Any) -> dict[str, Any] | None:
        """The answer to a request on this connection; every HTTP method works here too."""
        method = body.get("method") if isinstance(body, dict) else None
        subscribe = self._subscribe.get(method) if isinstance(method, str) else None
        kind = method.removesuffix("Unsubscribe") if isinstance(method, str) else ""
        if subscribe is None and (kind == method or kind not in self._tell):
            return self._node.answer_call(connection.path, body)
        try:
            params = Params(body.get("params"))
            if subscribe is None:
                result: Any = self._cancel(connection, params)
            else:
                self._require_room(connection)
                watch = subscribe(params, connection.path)
                connection.watches[watch.id] = watch
                result = watch.id
        except NodeError as error:
            return {"jsonrpc": "2.0", "error": error.to_json(), "id": body.get("id")}
        return {"jsonrpc": "2.0", "result": result, "id": body.get("id")}

    def _require_room(self, connection: Connection) -> None:
        if len(connection.watches) >= self._node.endpoint(connection.path).subscriptions_most:
            raise NodeError(INTERNAL_ERROR, "Internal error: Node subscription limit reached")

    def _cancel(self, connection: Connection, params: Params) -> bool:
        if connection.watches.pop(params.integer(0), None) is None:
            raise NodeError(INVALID_PARAMS, "Invalid subscription id.")
        return True

    def _watch(self, method: str, config: Config, path: str, commitment: Commitment | None = None) -> Watch:
        level = config.commitment() if commitment is None else commitment
        self._next_id += 1
        return Watch(self._next_id, method, level, config, self._bank(method, level, path))

    def _bank(self, method: str, commitment: Commitment, path: str) -> int:
        bank = self._node.bank(commitment, path)
        # More may still happen in the newest slot: like a node, tell what it did once it is closed.
        return min(bank, self._node.advance() - 1) if method in ("account", "logs") else bank

    def _watch_signature(self, params: Params, path: str) -> Watch:
        watch = self._watch("signature", params.config(1), path)
        watch.target = parse_signature(params.text(0))
        return watch

    def _watch_account(self, params: Params, path: str) -> Watch:
        watch = self._watch("account", params.config(1), path)
        watch.address = params.key(0)
        return watch

    def _watch_logs(self, params: Params, path: str) -> Watch:
        which = params.need(0)
        watch = self._watch("logs", params.config(1), path)
        if isinstance(which, dict) and isinstance(which.get("mentions"), list):
            if len(which["mentions"]) != 1 or not isinstance(which["mentions"][0], str):
                raise invalid_params("Invalid Request: Only 1 address supported")
            watch.address = parse_key(which["mentions"][0])
        elif which not in ("all", "allWithVotes"):
            raise invalid_params("Invalid params: expected `all`, `allWithVotes` or `mentions`.")
        return watch

    def _watch_slots(self, params: Params, path: str) -> Watch:
        return self._watch("slot", Config({}), path, Commitment.PROCESSED)

    def _watch_roots(self, params: Params, path: str) -> Watch:
        return self._watch("root", Config({}), path, Commitment.FINALIZED)

    def _tell_signature(self, connection: Connection, watch: Watch, bank: int) -> None:
        landed = self._node.history.get(watch.target or "")
        if landed is None or landed.signature in self._node.endpoint(connection.path).hides:
            return
        tip = self._node.tip(connection.path)
        if watch.config.flag("enableReceivedNotification") and not watch.received and landed.slot <= tip:
            watch.received = True
            _notify(connection, watch, with_context(tip, "receivedSignature"))
        if landed.slot <= bank:
            _notify(connection, watch, with_context(landed.slot, {"err": landed.err}))
            watch.done = True

    def _tell_account(self, connection: Connection, watch: Watch, bank: int) -> None:
        assert watch.address is not None
        for slot in self._node.accounts.changes(watch.address, watch.told, bank):
            account = self._node.accounts.at(watch.address, slot)
            value = (
                {"data": ["", "base64"], "executable": False, "lamports": 0, "owner": str(Pubkey.default())}
                | {"rentEpoch": 0, "space": 0}
                if account is None
                else encode_account(self._node, account, watch.config, slot)
            )
            _notify(connection, watch, with_context(slot, value))

    def _tell_logs(self, connection: Connection, watch: Watch, bank: int) -> None:
        history = self._node.history
        for number in range(history.count_up_to(watch.told), history.count_up_to(bank)):
            landed = history.landed[number]
            meta = landed.meta()
            if watch.address is None or str(watch.address) in _mentioned(landed, meta):
                value = {"signature": landed.signature, "err": landed.err, "logs": meta["logMessages"]}
                _notify(connection, watch, with_context(landed.slot, value))

    def _tell_slots(self, connection: Connection, watch: Watch, bank: int) -> None:
        behind = self._node.slots.depth[Commitment.FINALIZED]
        for slot in range(max(watch.told, bank - MAX_SLOTS_TOLD) + 1, bank + 1):
            _notify(connection, watch, {"parent": slot - 1, "root": slot - behind, "slot": slot})

    def _tell_roots(self, connection: Connection, watch: Watch, bank: int) -> None:
        for slot in range(max(watch.told, bank - MAX_SLOTS_TOLD) + 1, bank + 1):
            _notify(connection, watch, slot)


def _mentioned(landed: Landed, meta: dict[str, Any]) -> list[str]:
    return all_keys(VersionedTransaction.from_bytes(landed.raw).message, meta)


def _notify(connection: Connection, watch: Watch, result: Any) -> None:
    connection.give(
        {
            "jsonrpc": "2.0",
            "method": f"{watch.method}Notification",
            "params": {"result": result, "subscription": watch.id},
        }
    )
