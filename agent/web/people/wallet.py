"""The wallet as its owner sees it: getting one, its PIN, and the address from before."""

from agent.web.account_bodies import ExternalAddress, Profile, WalletAsked, WalletSetup
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import Renderer, go_to
from agent.web.pages.site import Looked
from agent.web.settings import WebSettings
from domain.errors import RequestError
from domain.states import WalletState


class WalletPages:
    def __init__(self, api: Api, renderer: Renderer, settings: WebSettings) -> None:
        self._api, self._renderer, self._settings = api, renderer, settings

    def endpoints(self) -> list[Endpoint]:
        user, page = Access.USER, Face.PAGE
        return [
            Endpoint("GET", "/wallet", user, self.wallet, "My wallet", query=Looked, face=page),
            Endpoint("GET", "/wallet/pin", user, self.pin, "The wallet's PIN", query=Looked, face=page),
            Endpoint("POST", "/wallet/pin", user, self.session, "What Circle's window needs", face=page),
            Endpoint("POST", "/wallet/circle", user, self.ask, "Ask for a Circle wallet", face=page),
            Endpoint(
                "POST", "/wallet/external", user, self.change, "Another address", takes=ExternalAddress, face=page
            ),
        ]

    async def wallet(self, call: Call) -> WebResponse:
        return await self._shown(call)

    async def _shown(
        self, call: Call, wish: ExternalAddress | None = None, problem: RequestError | None = None
    ) -> WebResponse:
        me = await self._api.get(call, "/profile/", Profile)
        status = 200 if problem is None else problem.status
        return self._renderer.page(
            call,
            "wallet.html",
            me=me,
            own_pin=self._settings.user_wallets == "user",
            wish=wish,
            problem=problem,
            status=status,
        )

    async def pin(self, call: Call) -> WebResponse:
        me = await self._api.get(call, "/profile/", Profile)
        if me.wallet_state is not WalletState.CHALLENGE:
            return go_to("/wallet")
        return self._renderer.page(
            call,
            "pin.html",
            frames=self._settings.circle_pin_url,
            service=self._settings.circle_pin_url,
            session=call.request.path,
            after="/wallet?done=pin",
            back="/wallet",
            heading="Choose your PIN",
            explained="It protects everything that is ever in your wallet. Neither we nor Circle can read it.",
        )

    async def session(self, call: Call) -> WalletSetup:
        return await self._api.get(call, "/wallet/setup/", WalletSetup)

    async def ask(self, call: Call) -> WebResponse:
        await self._api.post(call, "/wallet/circle/", WalletAsked)
        return go_to("/wallet?done=wallet")

    async def change(self, call: Call) -> WebResponse:
        """What was wrong stands above the form, which keeps what was filled in."""
        wish = call.taken(ExternalAddress)
        try:
            await self._api.post(call, "/wallet/external/", Profile, wish)
        except RequestError as error:
            if error.status not in (409, 422, 429):
                raise
            return await self._shown(call, wish, error)
        return go_to("/wallet?done=saved")
