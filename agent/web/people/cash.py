"""Cash out: the balance, how USDC becomes money in a bank, and a withdrawal that the owner's PIN sends."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from agent.web import strict_json
from agent.web.account_bodies import Profile, WalletSetup
from agent.web.bodies import Asked, Paging
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import Renderer, go_to
from agent.web.pages.site import Looked
from agent.web.people.refusals import in_words
from agent.web.purchase_bodies import DashboardBody
from agent.web.settings import WebSettings
from agent.web.withdrawals import NewWithdrawal, Withdrawal, WithdrawalPage
from domain.errors import RequestError
from domain.states import WithdrawalState

ROOT = "/wallet/withdrawals/"
REFUSALS = (409, 422, 429, 503)
SAID: Mapping[str, str] = {
    "destination_address": "that is no Solana address: it has 32 to 44 letters and digits",
    "amount": "the amount is written in digits with a point, like 112.50, with at most 6 places",
}
"""By the field of a value that does not fit."""
FOLLOWED = (WithdrawalState.CHALLENGE, WithdrawalState.SENDING)
WAITING = (WithdrawalState.INTENDED, WithdrawalState.CHALLENGE)


class CashQuery(Paging, Looked):
    """A page of withdrawals."""


class WithdrawalForm(Asked):
    """As a person fills it in."""

    destination_address: Annotated[str, Field(max_length=200)]
    amount: Annotated[str, Field(max_length=40)]


class CashPages:
    def __init__(self, api: Api, renderer: Renderer, settings: WebSettings) -> None:
        self._api, self._renderer, self._settings = api, renderer, settings

    def endpoints(self) -> list[Endpoint]:
        user, page, root = Access.USER, Face.PAGE, "/cash-out"
        one = f"{root}/{{withdrawal_id}}"
        return [
            Endpoint("GET", root, user, self.cash_out, "Cash out", query=CashQuery, face=page),
            Endpoint("POST", root, user, self.withdraw, "Prepare a withdrawal", takes=WithdrawalForm, face=page),
            Endpoint("GET", f"{one}/pin", user, self.pin, "The PIN of a withdrawal", query=Looked, face=page),
            Endpoint("POST", f"{one}/pin", user, self.session, "What Circle's window needs", face=page),
            Endpoint("POST", f"{one}/drop", user, self.drop, "Give a withdrawal up", face=page),
        ]

    async def cash_out(self, call: Call) -> WebResponse:
        return await self._shown(call, call.asked(CashQuery))

    async def _shown(
        self, call: Call, asked: CashQuery, wish: WithdrawalForm | None = None, problem: RequestError | None = None
    ) -> WebResponse:
        me = await self._api.get(call, "/profile/", Profile)
        path = "/creators/{creator_id}/dashboard/"
        money = await self._api.get(call, path, DashboardBody, creator_id=call.user_id)
        seen = await self._followed(call, asked)
        return self._renderer.page(
            call,
            "cash_out.html",
            status=200 if problem is None else problem.status,
            wish=wish,
            problem=problem,
            money=money,
            seen=seen,
            open=next((one for one in seen.items if one.state in WAITING), None),
            address=me.circle_wallet_address or me.wallet_address,
            external=me.circle_wallet_address is None and me.wallet_address is not None,
            can_send=me.circle_wallet_address is not None and self._settings.user_wallets == "user",
        )

    async def _followed(self, call: Call, asked: CashQuery) -> WithdrawalPage:
        """The list; what is on its way is asked for at Circle first. One can be open, and few are sent at a time."""
        seen = await self._api.find(call, ROOT, WithdrawalPage, asked)
        moving = [one for one in seen.items if one.state in FOLLOWED]
        for one in moving:
            await self._api.get(call, f"{ROOT}{{withdrawal_id}}/", Withdrawal, withdrawal_id=one.id)
        return await self._api.find(call, ROOT, WithdrawalPage, asked) if moving else seen

    async def withdraw(self, call: Call) -> WebResponse:
        """What was wrong stands above the form, which keeps what was filled in."""
        wish = call.taken(WithdrawalForm)
        try:
            made = await self._api.post(call, ROOT, Withdrawal, _withdrawal(wish))
        except RequestError as error:
            if error.status not in REFUSALS:
                raise
            return await self._shown(call, CashQuery(), wish, in_words(error, SAID))
        return go_to(f"/cash-out/{made.id}/pin" if made.state is WithdrawalState.CHALLENGE else "/cash-out")

    async def pin(self, call: Call) -> WebResponse:
        withdrawal_id = call.row_id("withdrawal_id")
        one = await self._api.get(call, f"{ROOT}{{withdrawal_id}}/", Withdrawal, withdrawal_id=withdrawal_id)
        if one.state is not WithdrawalState.CHALLENGE:
            return go_to("/cash-out")
        return self._renderer.page(
            call,
            "pin.html",
            frames=self._settings.circle_pin_url,
            service=self._settings.circle_pin_url,
            session=call.request.path,
            after="/cash-out",
            back="/cash-out",
            heading=f"Send {one.amount} USDC",
            explained=f"To {one.destination_address}. Your PIN sends it; nobody can call it back.",
        )

    async def session(self, call: Call) -> WalletSetup:
        withdrawal_id = call.row_id("withdrawal_id")
        return await self._api.post(
            call, f"{ROOT}{{withdrawal_id}}/challenge/", WalletSetup, withdrawal_id=withdrawal_id
        )

    async def drop(self, call: Call) -> WebResponse:
        """What Circle sends already is not dropped; the list says so."""
        withdrawal_id, path = call.row_id("withdrawal_id"), f"{ROOT}{{withdrawal_id}}/drop/"
        try:
            one = await self._api.post(call, path, Withdrawal, withdrawal_id=withdrawal_id)
        except RequestError as error:
            if error.status not in REFUSALS:
                raise
            return await self._shown(call, CashQuery(), problem=error)
        return go_to("/cash-out?done=dropped" if one.state is WithdrawalState.DROPPED else "/cash-out")


def _withdrawal(wish: WithdrawalForm) -> NewWithdrawal:
    """Raises RequestError 422 naming the field."""
    fields = {"destination_address": wish.destination_address.strip(), "amount": wish.amount.strip()}
    return strict_json.read_as(NewWithdrawal, fields)
