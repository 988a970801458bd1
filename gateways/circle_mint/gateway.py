"""Circle Mint as the steps see it."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from domain.errors import OutcomeUnknown, PaymentSystemError
from gateways.answers import Json, ShapeError, rows, text
from gateways.circle_api.client import DEADLINE_SECONDS, Call, CircleClient, path_part, read_call
from gateways.circle_api.rates import CallClass, Rates
from gateways.circle_api.reading import CircleCalls, Read, moment
from gateways.circle_mint.error_codes import MINT
from gateways.circle_mint.facts import DepositFacts, MintTransfer, RecipientFacts, WireInstructions, units_of
from ports.clock import Clock, SendWindow
from ports.ids import Ids
from ports.transport import Transport

ACCOUNT = "/v1/businessAccount"
TRANSFERS = f"{ACCOUNT}/transfers"
PAGE_ROWS = 50
"""The lists' largest page; they come newest first."""
MINT_RATES = Rates(read=5, write=1)
"""Circle Mint documents no rates; an order needs a handful of calls in minutes."""

T = TypeVar("T")


class MintGateway(CircleCalls):
    """All methods raise Retryable (nothing happened), OutcomeUnknown (`order_transfer` only) or Rejected, whose `code`
    is Circle's number as text, or the HTTP status; AccessRefused when the key is refused whatever is asked."""

    def __init__(
        self, transport: Transport, api_base: str, api_key: str, ids: Ids, clock: Clock, rates: Rates = MINT_RATES
    ) -> None:
        super().__init__(CircleClient(transport, api_base, api_key, None, ids, clock, rates, DEADLINE_SECONDS, MINT))

    def __repr__(self) -> str:
        return f"MintGateway({self._client!r})"

    async def available(self) -> int:
        """USDC base units that a transfer may spend now; what is `unsettled` is not among them."""
        return await self._read("fetch balances", f"{ACCOUNT}/balances", _available)

    async def wire_instructions(self) -> list[WireInstructions]:
        """For each bank account that is linked in Circle Mint's console."""
        call = read_call("list wires", f"{ACCOUNT}/banks/wires")
        found = []
        for wire in await self._rows(call):
            wire_id = self._shaped(call, lambda obj: text(obj, "id"), wire)
            path = f"{ACCOUNT}/banks/wires/{path_part(wire_id)}/instructions"
            found.append(
                await self._read("fetch instructions", path, lambda obj, of=wire_id: WireInstructions.read(obj, of))  # type: ignore[misc]
            )
        return found

    async def deposits(self, since: datetime) -> list[DepositFacts]:
        """Dollars that came in at or after `since`, newest first."""
        pages = self._listed("list deposits", f"{ACCOUNT}/deposits", since, DepositFacts.read)
        return [one async for one in pages if one.currency == "USD"]

    async def recipients(self) -> list[RecipientFacts]:
        """Addresses that may be paid: those that wait for approval in the console are not listed."""
        path = f"{ACCOUNT}/wallets/addresses/recipient"
        return [one async for one in self._listed("list recipients", path, None, RecipientFacts.read)]

    async def order_transfer(
        self, key: UUID, body_fields: Mapping[str, Any], window: SendWindow | None = None
    ) -> MintTransfer:
        """Order a transfer, or find the one that this key ordered before; as fetched afterwards.

        `body_fields` are the saved business fields in Circle's names. Compare address, chain and amount: which answer a
        replayed key gets is not documented beyond "the original response". After OutcomeUnknown, call again with the
        same key and fields.
        """
        call = Call(
            "order transfer",
            "POST",
            TRANSFERS,
            CallClass.WRITE,
            body={**body_fields, "idempotencyKey": str(key)},
            has_effect=True,
            window=window,
        )
        transfer_id = await self._data(call, lambda obj: text(obj, "id"))
        try:
            return await self.fetch_transfer(transfer_id)
        except PaymentSystemError as error:
            ordered = f"Circle Mint: transfer {transfer_id} is ordered but can't be read"
            raise OutcomeUnknown(f"{ordered}: {error}") from error

    async def fetch_transfer(self, transfer_id: str) -> MintTransfer:
        return await self._read("fetch transfer", f"{TRANSFERS}/{path_part(transfer_id)}", MintTransfer.read)

    async def transfers(self, since: datetime) -> AsyncIterator[MintTransfer]:
        """All transfers created at or after `since` (whole seconds), newest first, in every state."""
        async for one in self._listed("list transfers", TRANSFERS, since, MintTransfer.read):
            yield one

    async def _read(self, name: str, path: str, read: Read[T]) -> T:
        call = read_call(name, path)
        return await self._data(call, read)

    async def _rows(self, call: Call) -> list[Json]:
        """A list under `data`, unlike the wallets' lists, which have a name there."""
        answer = await self._client.answer(call)
        return self._shaped(call, lambda obj: rows(obj, "data"), answer)

    async def _listed(self, name: str, path: str, since: datetime | None, read: Read[T]) -> AsyncIterator[T]:
        """Ends because the cursor moves through a list that has an end; one that stands still raises."""
        query = {"pageSize": str(PAGE_ROWS)}
        if since is not None:
            query["from"] = moment(since)
        while True:
            call = read_call(name, path, query)
            found = await self._rows(call)
            for row in found:
                yield self._shaped(call, read, row)
            if len(found) < PAGE_ROWS:
                return
            last = self._shaped(call, lambda obj: text(obj, "id"), found[-1])
            if last == query.get("pageAfter"):
                raise self._client.garbled(call, ShapeError("the list does not move on"))
            query = {**query, "pageAfter": last}


def _available(data: Json) -> int:
    return sum(units_of(one) for one in rows(data, "available") if text(one, "currency") == "USD")
