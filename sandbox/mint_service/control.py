"""The sandbox's own controls under /_sandbox/: no part of Circle Mint's API, open to whoever reaches the port."""

from sandbox.circle_service.control import add_fault, set_switches
from sandbox.circle_service.errors import no_such_route
from sandbox.circle_service.fields import Fields, Json
from sandbox.circle_service.wire import parse_amount
from sandbox.faults import Faults
from sandbox.mint_service.api import Account
from sandbox.mint_service.books import USDC_DECIMALS, Recipient


class Control:
    """What a bank, Circle's console, a test or the demo does to the account from behind the curtain."""

    def __init__(self, account: Account, faults: Faults) -> None:
        self._account, self._faults = account, faults

    def answer(self, method: str, path: str, body: Json) -> dict[str, object]:
        """`path` without the prefix. Raises ApiError."""
        call = Fields(body)
        match (method, *path.split("/")):
            case ("POST", "wire"):
                return self._wire(call)
            case ("POST", "transfer"):
                return self._transfer(call)
            case ("POST", "recipients"):
                return self._recipient(call)
            case ("GET" | "POST", "switches"):
                return set_switches(self._account.books.switches, call)
            case ("POST", "faults", "add"):
                return add_fault(self._faults, call)
            case ("POST", "faults", "clear"):
                self._faults.clear()
                return {"rules": 0}
            case _:
                raise no_such_route()

    def _wire(self, call: Fields) -> dict[str, object]:
        """`usd` as a decimal string arrives from the linked bank account."""
        usd = call.text("usd", required=True) or ""
        call.done()
        books = self._account.books
        deposit = books.wired(books.wires[0], parse_amount(usd, USDC_DECIMALS))
        self._account.sending.expect(deposit)
        return deposit.view()

    def _recipient(self, call: Fields) -> dict[str, object]:
        """`address` was added and approved in Circle's console."""
        address = call.text("address", required=True) or ""
        call.done()
        return self._known(address).view()

    def _transfer(self, call: Fields) -> dict[str, object]:
        """`usd` as a decimal string leaves the account by somebody's hand in Circle's console, to `address`, or to the
        first of the recipients."""
        usd, address = call.text("usd", required=True) or "", call.text("address")
        call.done()
        books = self._account.books
        recipient = books.recipients[0] if address is None else self._known(address)
        made = books.order("", recipient, parse_amount(usd, USDC_DECIMALS))
        self._account.sending.begin(made)
        return made.view()

    def _known(self, address: str) -> Recipient:
        books = self._account.books
        found = next((one for one in books.recipients if one.address == address), None)
        if found is None:
            return books.know(address, "added in the console", verified=True)
        found.status = "active"
        return found
