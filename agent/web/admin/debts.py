"""What a creator owes and no later payout has used up: a person says that he has repaid it, or forgives it."""

from typing import Literal

from sqlalchemy import Connection

from agent.web.audit import audited
from agent.web.bodies import Answer, Money, Reason, RowId, Usdc
from agent.web.endpoint import Access, Call, Endpoint
from domain.errors import RequestError
from domain.money import USDC_DECIMALS, format_usdc, parse_decimal
from ports.clock import Clock
from storage.operation import by_hand
from storage.operation.by_hand import DebtSettled
from storage.store import Store


class DebtWish(Reason):
    """`owes` is all that he owed when it was looked at: where it is another figure by now, nothing is changed.
    `deposit_id`: the deposit by which he repaid, where it came to the platform wallet and no conversion explains it."""

    way: Literal["repaid", "forgiven"]
    amount: Usdc
    owes: Usdc
    deposit_id: RowId | None = None


class Debt(Answer):
    """What he still owes."""

    user_id: int
    owes: Money


class AdminDebts:
    """One endpoint under /admin/api/users."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/admin/api/users/{user_id}/debt/settle",
                Access.APPROVER,
                self.settle,
                "Say that a creator has repaid what he owes, or forgive it, all or a part",
                Debt,
                takes=DebtWish,
                errors=(409,),
            )
        ]

    async def settle(self, call: Call) -> Debt:
        user_id, now, asked = call.row_id("user_id"), self._clock.now(), call.taken(DebtWish)
        if asked.way == "forgiven" and asked.deposit_id is not None:
            raise RequestError(422, "invalid_request", "deposit_id: what is forgiven came by no deposit", "deposit_id")
        amount, owes = (parse_decimal(one, USDC_DECIMALS) for one in (asked.amount, asked.owes))
        wish = DebtSettled(asked.way, amount, owes, asked.deposit_id, asked.reason)

        def write(conn: Connection) -> int:
            return by_hand.settle_debt(conn, user_id, wish, now)

        left = await self._store.write(audited(call, "settle_debt", "debt", user_id, now, write, asked.reason))
        return Debt(user_id=user_id, owes=format_usdc(left))
