"""Cash out: USDC from a user's own Circle wallet to an address of his. Only his PIN, given to Circle, moves it."""

from datetime import datetime
from typing import Annotated, Any, Protocol
from uuid import UUID

from pydantic import Field

from agent.web.account_bodies import WalletSetup
from agent.web.accounts import PIN_SESSIONS, AddressCheck
from agent.web.bodies import Answer, Asked, Line, Moment, Money, Paging, Usdc
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.rates import Rate
from agent.web.settings import WebSettings
from agent.web.shelves import ReadUsdc
from domain.errors import KeyRefused, OutcomeUnknown, Rejected, RequestError, Retryable
from domain.keys import withdrawal_key
from domain.money import USDC_DECIMALS, format_usdc, parse_decimal
from domain.states import WithdrawalState
from gateways.circle_api import ChallengeFacts, CircleTransaction, UserToken
from ports.clock import Clock
from ports.ids import Ids
from storage.people import users, withdrawals
from storage.store import Store

WITHDRAWALS = Rate(burst=30, per_second=0.1)
"""Of one account: each asks the chain and Circle, and is a row."""
LOOKS = Rate(burst=120, per_second=2.0)
"""Of one account: up to two calls of Circle's each, by a page that looks every five seconds."""
SENT = frozenset({"COMPLETE"})
LOST = frozenset({"FAILED", "DENIED", "CANCELLED"})
OVER = frozenset({"FAILED", "EXPIRED"})


class NewWithdrawal(Asked):
    """`amount` in USDC."""

    destination_address: Annotated[Line, Field(min_length=32, max_length=64)]
    amount: Usdc


class Withdrawal(Answer):
    """`state`: `challenge` waits for the owner's PIN, `sending` and `completed` are Circle's word."""

    id: int
    destination_address: str
    amount: Money
    state: WithdrawalState
    signature: str | None
    reason: str | None
    created_at: Moment


class WithdrawalPage(Answer):
    items: list[Withdrawal]
    next: int | None


class CashDesk(Protocol):
    """Circle's calls for a transfer that a user confirms. All raise Retryable, OutcomeUnknown or Rejected."""

    async def user_token(self, user_id: str) -> UserToken: ...

    async def app_id(self) -> str: ...

    async def user_transfer(
        self, token: UserToken, key: UUID, wallet_id: str, token_id: str, address: str, amount: str
    ) -> str:
        """The challenge's id; the same key gives the same challenge."""
        ...

    async def fetch_challenge(self, token: UserToken, challenge_id: str) -> ChallengeFacts: ...

    async def user_transaction(self, token: UserToken, transaction_id: str) -> CircleTransaction: ...


class Withdrawals:
    """Endpoints under /api/wallet/withdrawals/."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        circle: CashDesk,
        check_address: AddressCheck,
        read_usdc: ReadUsdc,
        settings: WebSettings,
    ) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._circle, self._check_address, self._settings = circle, check_address, settings
        self._read_usdc = read_usdc

    def endpoints(self) -> list[Endpoint]:
        user, root = Access.USER, "/api/wallet/withdrawals/"
        one = f"{root}{{withdrawal_id}}/"
        return [
            Endpoint("GET", root, user, self.page, "My withdrawals", WithdrawalPage, query=Paging),
            Endpoint(
                "POST",
                root,
                user,
                self.begin,
                "Prepare a transfer of my USDC to an address of mine; my PIN sends it",
                Withdrawal,
                status=201,
                takes=NewWithdrawal,
                errors=(409,),
                rate=WITHDRAWALS,
            ),
            Endpoint("GET", one, user, self.look, "Where a withdrawal stands", Withdrawal, rate=LOOKS),
            Endpoint(
                "POST",
                f"{one}challenge/",
                user,
                self.challenge,
                "What the client needs for the PIN",
                WalletSetup,
                errors=(409,),
                rate=PIN_SESSIONS,
            ),
            Endpoint(
                "POST",
                f"{one}drop/",
                user,
                self.drop,
                "Give a withdrawal up that waits for the PIN",
                Withdrawal,
                rate=LOOKS,
            ),
        ]

    async def page(self, call: Call) -> WithdrawalPage:
        asked, user_id = call.asked(Paging), call.user_id
        rows = await self._store.read(lambda conn: withdrawals.page(conn, user_id, asked.before, asked.limit))
        return WithdrawalPage(
            items=[_body(row) for row in rows], next=rows[-1].id if len(rows) == asked.limit else None
        )

    async def begin(self, call: Call) -> Withdrawal:
        """Intent and key are committed first: an answer that is lost is asked for again with the same wish."""
        if self._settings.user_wallets != "user":
            raise RequestError(409, "wallet_kept", "this platform keeps the wallets: ask its operator to withdraw")
        wish, user_id, now = call.taken(NewWithdrawal), call.user_id, self._clock.now()
        amount = parse_decimal(wish.amount, USDC_DECIMALS)
        if amount == 0:
            raise RequestError(422, "amount_zero", "withdraw more than nothing", "amount")
        self._require_address(wish.destination_address)
        await self._require_covered(user_id, amount)
        new = withdrawals.Wish(str(self._ids.uuid()), wish.destination_address, amount)
        row = await self._store.write(lambda conn: withdrawals.begin(conn, user_id, new, now))
        if row.state == WithdrawalState.INTENDED:
            await self._ask(user_id, row)
        return await self._shown(user_id, row.id)

    def _require_address(self, address: str) -> None:
        try:
            self._check_address(address)
        except Rejected as error:
            raise RequestError(422, error.code, str(error), "destination_address") from None

    async def _require_covered(self, user_id: int, amount: int) -> None:
        """Told at once rather than after the PIN; where the chain can't be read, Circle is the judge."""
        user = await self._store.read(lambda conn: users.required(conn, user_id))
        if user.circle_wallet_address is None:
            return
        try:
            available = await self._read_usdc(user.circle_wallet_address)
        except (Retryable, OutcomeUnknown, Rejected):
            return
        if available is not None and amount > available:
            raise RequestError(422, "amount_too_large", f"the wallet holds {format_usdc(available)} USDC", "amount")

    async def _ask(self, user_id: int, row: Any) -> None:
        user = await self._store.read(lambda conn: users.required(conn, user_id))
        now = self._clock.now()
        try:
            challenge_id = await self._circle.user_transfer(
                await self._circle.user_token(user.uuid),
                withdrawal_key(UUID(row.uuid)),
                row.wallet_id,
                self._settings.usdc_token_id,
                row.destination_address,
                format_usdc(row.amount),
            )
        except (Retryable, OutcomeUnknown, KeyRefused):
            raise _unavailable() from None
        except Rejected as error:
            why = f"Circle refused: {error}"[:500]
            await self._store.write(lambda conn: withdrawals.ended(conn, row.id, WithdrawalState.FAILED, why, now))
            return
        await self._store.write(lambda conn: withdrawals.challenged(conn, row.id, challenge_id, now))

    async def look(self, call: Call) -> Withdrawal:
        """Asks Circle while it is on its way; what was known last is told when Circle does not answer."""
        user_id, withdrawal_id = call.user_id, call.row_id("withdrawal_id")
        row = await self._store.read(lambda conn: withdrawals.of_user(conn, user_id, withdrawal_id))
        try:
            await self._follow(user_id, row)
        except (Retryable, OutcomeUnknown, Rejected):
            return _body(row)
        return await self._shown(user_id, withdrawal_id)

    async def _follow(self, user_id: int, row: Any) -> None:
        if row.state not in (WithdrawalState.CHALLENGE, WithdrawalState.SENDING):
            return
        user = await self._store.read(lambda conn: users.required(conn, user_id))
        token, now = await self._circle.user_token(user.uuid), self._clock.now()
        if row.state == WithdrawalState.CHALLENGE:
            await self._follow_challenge(token, row, now)
        else:
            await self._follow_transaction(token, row, now)

    async def _follow_challenge(self, token: UserToken, row: Any, now: datetime) -> None:
        found = await self._circle.fetch_challenge(token, row.challenge_id)
        if found.status == "COMPLETE" and found.correlation_ids:
            transaction_id = found.correlation_ids[0]
            await self._store.write(lambda conn: withdrawals.confirmed(conn, row.id, transaction_id, now))
        elif found.status in OVER:
            why = f"Circle: {found.error_message or found.status.lower()}"[:500]
            await self._store.write(lambda conn: withdrawals.ended(conn, row.id, WithdrawalState.FAILED, why, now))

    async def _follow_transaction(self, token: UserToken, row: Any, now: datetime) -> None:
        found = await self._circle.user_transaction(token, row.circle_transaction_id)
        if found.state in SENT:
            await self._store.write(lambda conn: withdrawals.completed(conn, row.id, found.tx_hash, now))
        elif found.state in LOST:
            why = f"Circle: {found.error_reason or found.state.lower()}"[:500]
            await self._store.write(lambda conn: withdrawals.ended(conn, row.id, WithdrawalState.FAILED, why, now))

    async def challenge(self, call: Call) -> WalletSetup:
        user_id, withdrawal_id = call.user_id, call.row_id("withdrawal_id")
        row = await self._store.read(lambda conn: withdrawals.of_user(conn, user_id, withdrawal_id))
        if row.state != WithdrawalState.CHALLENGE:
            raise RequestError(409, "no_pin_needed", f"this withdrawal waits for no PIN: {row.state}")
        user = await self._store.read(lambda conn: users.required(conn, user_id))
        try:
            token, app_id = await self._circle.user_token(user.uuid), await self._circle.app_id()
        except (Retryable, OutcomeUnknown, Rejected):
            raise _unavailable() from None
        return WalletSetup(
            app_id=app_id,
            user_token=token.user_token,
            encryption_key=token.encryption_key,
            challenge_id=row.challenge_id,
        )

    async def drop(self, call: Call) -> Withdrawal:
        """Circle is asked first: what the PIN was given for a moment ago is sent, and whoever is told that it is
        dropped sends it once more."""
        user_id, withdrawal_id, now = call.user_id, call.row_id("withdrawal_id"), self._clock.now()
        row = await self._store.read(lambda conn: withdrawals.of_user(conn, user_id, withdrawal_id))
        try:
            if row.state == WithdrawalState.CHALLENGE:
                await self._follow(user_id, row)
        except (Retryable, OutcomeUnknown, Rejected):
            raise _unavailable() from None

        def write(conn: Any) -> None:
            withdrawals.ended(conn, withdrawal_id, WithdrawalState.DROPPED, "given up by its owner", now)

        await self._store.write(write)
        return await self._shown(user_id, withdrawal_id)

    async def _shown(self, user_id: int, withdrawal_id: int) -> Withdrawal:
        return _body(await self._store.read(lambda conn: withdrawals.of_user(conn, user_id, withdrawal_id)))


def _body(row: Any) -> Withdrawal:
    return Withdrawal(
        id=row.id,
        destination_address=row.destination_address,
        amount=format_usdc(row.amount),
        state=WithdrawalState(row.state),
        signature=row.signature,
        reason=row.reason,
        created_at=row.created_at,
    )


def _unavailable() -> RequestError:
    return RequestError(503, "circle_unavailable", "Circle does not answer now; try again, nothing is lost")
