"""Bodies of signing up, signing in, the profile and the wallet."""

from typing import Annotated

from pydantic import Field

from agent.web.bodies import Answer, Asked, Line, Moment
from domain.states import WalletState

USERNAME_MAX_CHARS = 64
PASSWORD_MAX_CHARS = 256
"""Argon2 takes any length; a bound keeps the hash's cost the only cost."""


class SignUp(Asked):
    email: Annotated[Line, Field(max_length=320)]
    password: Annotated[str, Field(max_length=PASSWORD_MAX_CHARS)]
    invite_code: Annotated[Line, Field(max_length=128)]
    username: Annotated[Line, Field(min_length=1, max_length=USERNAME_MAX_CHARS)] | None = None


class SignedUp(Answer):
    user_id: int


class LogIn(Asked):
    email: Annotated[Line, Field(max_length=320)]
    password: Annotated[str, Field(max_length=PASSWORD_MAX_CHARS)]


class LoggedIn(Answer):
    token: str
    expires_at: Moment


class Profile(Answer):
    """`collaborator_code` is what he gives to whoever wants to share a sale with him."""

    user_id: int
    email: str
    username: str
    collaborator_code: str
    wallet_provider: str
    wallet_chain: str
    wallet_state: WalletState
    circle_wallet_id: str | None
    circle_wallet_address: str | None
    wallet_address: str | None
    web3auth_sub: str | None
    wallet_prompt: str | None


class WalletSetup(Answer):
    """What Circle's client SDK needs for the PIN step. Fetched anew for each call, never stored."""

    app_id: str
    user_token: str
    encryption_key: str
    challenge_id: str


class WalletAsked(Answer):
    wallet_state: WalletState


class ExternalAddress(Asked):
    wallet_address: Annotated[Line, Field(max_length=128)]
