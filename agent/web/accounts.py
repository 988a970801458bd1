"""Signing up, signing in, the profile, and the wallet as its owner sees it."""

from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

import email_validator

from agent.web.account_bodies import (
    ExternalAddress,
    LoggedIn,
    LogIn,
    Profile,
    SignedUp,
    SignUp,
    WalletAsked,
    WalletSetup,
)
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.lockout import Lockout
from agent.web.passwords import Passwords
from agent.web.rates import Rate
from agent.web.settings import WebSettings
from domain.collaborators import collaborator_code
from domain.errors import OutcomeUnknown, Rejected, RequestError, Retryable
from domain.states import WalletState
from ports.clock import Clock
from ports.ids import Ids
from storage.people import tokens, users
from storage.store import Store

SIGN_UPS = Rate(burst=200, per_second=0.5)
"""From one address: a hall full of people behind one router comes in, a script that makes accounts does not get far."""
LOG_INS = Rate(burst=200, per_second=5.0)
"""From one address, whatever accounts are tried: each costs a hash, a wrong one too."""
PIN_SESSIONS = Rate(burst=60, per_second=0.5)
"""Of one account: two calls of Circle's each; a client may ask every second until its wallet is ready."""
ADDRESS_CHANGES = Rate(burst=20, per_second=1 / 60)
PIN_TAKES = timedelta(seconds=30)
"""Choosing one, in Circle's window; then the wallet is looked for, should its notification be lost."""
WALLET_PROMPT = (
    "Your payouts go to a wallet from before. Ask for a Circle wallet with POST /api/wallet/circle/ "
    "to have NFTs and payouts in one place."
)
_NO_SETUP = {
    WalletState.NONE: ("wallet_not_asked_for", "ask for a wallet first with POST /api/wallet/circle/"),
    WalletState.QUEUED: ("wallet_queued", "the wallet is being prepared; try again in a moment"),
    WalletState.READY: ("wallet_ready", "the wallet is set up already"),
    WalletState.FAILED: ("wallet_failed", "the wallet could not be made; support has been told"),
}


class UserToken(Protocol):
    """A fresh session of a user at Circle (60 minutes)."""

    @property
    def user_token(self) -> str: ...

    @property
    def encryption_key(self) -> str: ...


class CircleUsers(Protocol):
    """The two calls of Circle's that the PIN step needs."""

    async def user_token(self, user_id: str) -> UserToken:
        """`user_id` is our user's UUID. Raises Retryable, OutcomeUnknown or Rejected."""
        ...

    async def app_id(self) -> str:
        """Raises as above."""
        ...


class AddressCheck(Protocol):
    """Whether an address can be the owner of a payout."""

    def __call__(self, address: str) -> None:
        """Raises Rejected with a code."""
        ...


def normal_email(text: str) -> str:
    """The address in the one form it is stored in. Raises RequestError 422 `email_invalid`.

    No DNS is asked. A domain needs a dot; special-use domains pass, since test installations use them.
    """
    try:
        found = email_validator.validate_email(text, check_deliverability=False, globally_deliverable=False)
    except email_validator.EmailNotValidError as error:
        raise RequestError(422, "email_invalid", f"this is not an e-mail address: {error}", "email") from None
    if "." not in found.domain:
        raise RequestError(422, "email_invalid", "the e-mail address has no full domain", "email")
    return found.normalized.lower()


def _stored_form(text: str) -> str:
    """The address as signing up would have stored it; one that is none is simply unknown."""
    try:
        return normal_email(text)
    except RequestError:
        return text.lower()


class Accounts:
    """The endpoints of people's own accounts."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        passwords: Passwords,
        circle: CircleUsers,
        check_address: AddressCheck,
        settings: WebSettings,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._passwords = passwords
        self._circle = circle
        self._check_address = check_address
        self._settings = settings
        self._lockout = Lockout(clock)

    def endpoints(self) -> list[Endpoint]:
        public, user = Access.PUBLIC, Access.USER
        return [
            Endpoint(
                "POST",
                "/api/auth/signup/",
                public,
                self.sign_up,
                "Make an account with an invite; its wallet follows by itself",
                SignedUp,
                status=201,
                takes=SignUp,
                errors=(403, 409),
                rate=SIGN_UPS,
            ),
            Endpoint(
                "POST",
                "/api/auth/login/",
                public,
                self.log_in,
                "Get a token",
                LoggedIn,
                takes=LogIn,
                errors=(401, 429),
                rate=LOG_INS,
            ),
            Endpoint("POST", "/api/auth/logout/", user, self.log_out, "Revoke this token", status=204),
            Endpoint("GET", "/api/profile/", user, self.profile, "The signed-in user", Profile),
            Endpoint(
                "GET",
                "/api/wallet/setup/",
                user,
                self.wallet_setup,
                "What the client needs for the wallet's PIN step",
                WalletSetup,
                errors=(409,),
                rate=PIN_SESSIONS,
            ),
            Endpoint(
                "POST",
                "/api/wallet/circle/",
                user,
                self.ask_for_wallet,
                "Ask for a Circle wallet (users from before)",
                WalletAsked,
                status=202,
                errors=(409,),
            ),
            Endpoint(
                "POST",
                "/api/wallet/external/",
                user,
                self.change_external_address,
                "Change the external payout address (users from before); starts a cool-off",
                Profile,
                takes=ExternalAddress,
                errors=(409,),
                rate=ADDRESS_CHANGES,
            ),
        ]

    async def sign_up(self, call: Call) -> SignedUp:
        wish = call.taken(SignUp)
        email = normal_email(wish.email)
        require_long(wish.password, self._settings)
        if not await self._store.read(lambda conn: users.invite_is_open(conn, wish.invite_code)):
            raise users.invite_invalid()
        user = users.NewUser(
            uuid=str(self._ids.uuid()),
            email=email,
            username=wish.username or email.partition("@")[0][:64],
            password_hash=await self._passwords.hash(wish.password),
        )
        now = self._clock.now()
        return SignedUp(user_id=await self._store.write(lambda conn: users.sign_up(conn, user, wish.invite_code, now)))

    async def log_in(self, call: Call) -> LoggedIn:
        wish, remote = call.taken(LogIn), call.request.remote
        email = _stored_form(wish.email)
        self._lockout.begin(email, remote)
        user = await self._store.read(lambda conn: users.by_email(conn, email))
        if not await self._passwords.check(user.password_hash if user else None, wish.password) or user is None:
            raise RequestError(401, "login_failed", "e-mail address or password is wrong")
        self._lockout.succeeded(email, remote)
        if self._passwords.outdated(user.password_hash):
            await self._renew(user.id, user.password_hash, wish.password)
        now, token = self._clock.now(), self._ids.token()
        expires_at = now + self._settings.token_lifetime
        await self._store.write(lambda conn: tokens.issue(conn, token, user.id, expires_at, now))
        return LoggedIn(token=token, expires_at=expires_at)

    async def _renew(self, user_id: int, old: str, password: str) -> None:
        new = await self._passwords.hash(password)
        await self._store.write(lambda conn: users.replace_password_hash(conn, user_id, old, new))

    async def log_out(self, call: Call) -> None:
        assert call.bearer is not None
        token_id, now = call.bearer.token_id, self._clock.now()
        await self._store.write(lambda conn: tokens.revoke(conn, token_id, now))

    async def profile(self, call: Call) -> Profile:
        user_id = call.user_id
        return profile_body(await self._store.read(lambda conn: users.required(conn, user_id)))

    async def wallet_setup(self, call: Call) -> WalletSetup:
        user_id = call.user_id
        user = await self._store.read(lambda conn: users.required(conn, user_id))
        state = WalletState(user.wallet_state)
        if state is not WalletState.CHALLENGE or user.wallet_challenge_id is None:
            raise RequestError(409, *_NO_SETUP.get(state, _NO_SETUP[WalletState.QUEUED]))
        try:
            token = await self._circle.user_token(user.uuid)
            app_id = await self._circle.app_id()
        except (Retryable, OutcomeUnknown, Rejected):
            raise RequestError(503, "circle_unavailable", "Circle does not answer now; try again") from None
        now = self._clock.now()
        await self._store.write(lambda conn: users.look_for_wallet(conn, user_id, now, now + PIN_TAKES))
        return WalletSetup(
            app_id=app_id,
            user_token=token.user_token,
            encryption_key=token.encryption_key,
            challenge_id=user.wallet_challenge_id,
        )

    async def ask_for_wallet(self, call: Call) -> WalletAsked:
        user_id, now = call.user_id, self._clock.now()
        return WalletAsked(wallet_state=await self._store.write(lambda conn: users.ask_for_wallet(conn, user_id, now)))

    async def change_external_address(self, call: Call) -> Profile:
        address = call.taken(ExternalAddress).wallet_address
        check_wallet_address(self._check_address, address)
        user_id, now = call.user_id, self._clock.now()
        await self._store.write(lambda conn: users.change_external_address(conn, user_id, address, now))
        return await self.profile(call)


def profile_body(user: Any) -> Profile:
    """A user's row as he, and the operator, sees it."""
    return Profile(
        user_id=user.id,
        email=user.email,
        username=user.username,
        collaborator_code=collaborator_code(user.id, UUID(user.uuid)),
        wallet_provider=user.wallet_provider,
        wallet_chain=user.wallet_chain,
        wallet_state=WalletState(user.wallet_state),
        circle_wallet_id=user.circle_wallet_id,
        circle_wallet_address=user.circle_wallet_address,
        wallet_address=user.wallet_address,
        web3auth_sub=user.web3auth_sub,
        wallet_prompt=wallet_prompt(user.wallet_provider),
    )


def wallet_prompt(wallet_provider: str) -> str | None:
    """What users from before are told; None for those with a Circle wallet."""
    return None if wallet_provider == "circle_w3s" else WALLET_PROMPT


def require_long(password: str, settings: WebSettings) -> None:
    """Raises RequestError 422 `password_too_short`."""
    least = settings.password_least_chars
    if len(password) < least:
        raise RequestError(422, "password_too_short", f"a password has at least {least} characters", "password")


def check_wallet_address(check: AddressCheck, address: str) -> None:
    """Raises RequestError 422 with the check's code."""
    try:
        check(address)
    except Rejected as error:
        raise RequestError(422, error.code, str(error), "wallet_address") from None
