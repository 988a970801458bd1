"""The sandbox's own controls under /_sandbox/: no part of Circle's API, open to whoever reaches the port."""

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from sandbox.circle_service.custody import Custody
from sandbox.circle_service.errors import no_such_route
from sandbox.circle_service.faucet import give
from sandbox.circle_service.fields import Fields, Json
from sandbox.circle_service.solana import NATIVE_DECIMALS
from sandbox.circle_service.transfer_api import find_wallet
from sandbox.circle_service.wire import parse_amount
from sandbox.faults import Fault, Faults, Rule

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PREFIX = "/_sandbox/"
USDC_DECIMALS = 6


class Control:
    """What a person, a test or the demo does to Circle from behind the curtain."""

    def __init__(self, custody: Custody, faults: Faults) -> None:
        self._custody = custody
        self._faults = faults

    def answer(self, method: str, path: str, body: Json) -> dict[str, object]:
        """`path` without the prefix. Raises ApiError."""
        call = Fields(body)
        match (method, *path.split("/")):
            case ("POST", "faucet"):
                return self._faucet(call)
            case ("POST", "faults", "add"):
                return add_fault(self._faults, call)
            case ("POST", "faults", "clear"):
                self._faults.clear()
                return {"rules": 0}
            case ("GET" | "POST", "switches"):
                return set_switches(self._custody.switches, call)
            case ("POST", "pin"):
                return self._pin(call)
            case ("GET", "challenges"):
                return {"challenges": [found.notification() for found in self._custody.challenges.open()]}
            case ("POST", "challenges", challenge_id, "complete"):
                return self._complete(challenge_id)
            case ("GET", "challenges", challenge_id):
                found = self._custody.challenges.get(challenge_id)
                return found.notification() | {"result": found.result}
            case ("POST", "wallets", wallet_id, "freeze" | "unfreeze" as verb):
                return self._freeze(wallet_id, frozen=verb == "freeze")
            case ("POST", "deny"):
                return self._deny(call)
            case _:
                raise no_such_route()

    def _faucet(self, call: Fields) -> dict[str, object]:
        """`address`, or `walletId`; `usdc` and `sol` as decimal strings."""
        address, wallet_id = call.text("address"), call.uuid("walletId")
        usdc, sol = call.text("usdc"), call.text("sol")
        call.done()
        if wallet_id is not None:
            address = find_wallet(self._custody, wallet_id, None, None).address
        usdc_units = parse_amount(usdc, USDC_DECIMALS) if usdc else 0
        lamports = parse_amount(sol, NATIVE_DECIMALS) if sol else 0
        owner = give(self._custody.chain, address or "", usdc_units, lamports)
        return {"address": str(owner), "usdc": str(usdc_units), "lamports": str(lamports)}

    def _pin(self, call: Fields) -> dict[str, object]:
        mode = call.choice("mode", ("auto", "manual"))
        call.done()
        if mode is not None:
            self._custody.switches.auto_pin = mode == "auto"
        return {"mode": "auto" if self._custody.switches.auto_pin else "manual"}

    def _complete(self, challenge_id: str) -> dict[str, object]:
        challenge = self._custody.challenges.get(challenge_id)
        self._custody.challenges.complete(challenge)
        return challenge.notification() | {"result": challenge.result}

    def _freeze(self, wallet_id: str, *, frozen: bool) -> dict[str, object]:
        wallet = self._custody.wallets.get(wallet_id)
        wallet.frozen = frozen
        wallet.update_ms = self._custody.clock()
        return wallet.view()

    def _deny(self, call: Fields) -> dict[str, object]:
        """Screening refuses transfers to `address` (until `allow` is true)."""
        address = call.text("address", required=True) or ""
        allow = call.boolean("allow")
        call.done()
        denied = self._custody.transfers.denied_addresses
        if allow:
            denied.discard(address)
        else:
            denied.add(address)
        return {"denied": sorted(denied)}


def add_fault(faults: Faults, call: Fields) -> dict[str, object]:
    """The fields of `sandbox.faults.Rule`; `body` is text."""
    kind = call.choice("fault", [fault.value for fault in Fault])
    match = call.text("match", required=True)
    times, skip = call.integer("times", 1, 1, 1_000_000), call.integer("skip", 0, 0, 1_000_000)
    delay_ms, status = call.integer("delay_ms", 0, 0, 600_000), call.integer("status", 500, 100, 599)
    percent = call.integer("percent", 100, 0, 100)
    body = call.text("body")
    if kind is None:
        call.fail("fault", "required", "may not be empty")
    call.done()
    rule = Rule(match or "", Fault(kind or ""), times, skip, percent / 100, delay_ms, status)
    if body is not None:
        rule.body = body.encode()
    faults.add(rule)
    return {"rules": len(faults.rules)}


def set_switches(switches: "DataclassInstance", call: Fields) -> dict[str, object]:
    """Read all of a service's switches; set those that are given."""
    for field in fields(switches):
        if not call.has(field.name):
            continue
        if isinstance(getattr(switches, field.name), bool):
            value: bool | int | None = call.boolean(field.name)
        else:
            value = call.integer(field.name, 0, 0, 1_000_000_000)
        call.done()
        setattr(switches, field.name, value)
    return asdict(switches)
