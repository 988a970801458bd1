"""Bodies of people on the operator's port: users, creators, invites, tokens, and what the operators did."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from agent.web.account_bodies import PASSWORD_MAX_CHARS, Profile
from agent.web.admin.purchase_bodies import HistoryRow, Text
from agent.web.bodies import Answer, Asked, Line, Moment, Money, Paging
from domain.states import WalletState

Role = Literal["viewer", "operator", "approver"]


class UserQuery(Paging):
    """`text` is an id, an address, or the beginning of the e-mail address."""

    text: Text | None = None
    wallet_state: WalletState | None = None
    wallet_provider: Literal["circle_w3s", "external", "web3auth"] | None = None


class UserLine(Answer):
    id: int
    email: str
    username: str
    wallet_provider: str
    wallet_chain: str
    wallet_state: WalletState
    address: str | None
    created_at: Moment


class UserPage(Answer):
    items: list[UserLine]
    next: int | None


class CreatorMoney(Answer):
    """USDC, as on his dashboard: `owed` is due, unpaid and not held, of sales that wait for their NFT too; `debt` is
    what later payouts use up."""

    sales: int
    owed: Money
    held: Money
    paid: Money
    debt: Money
    failed_payouts: int


class CreatorLine(CreatorMoney):
    id: int
    name: str
    email: str
    address: str | None


class CreatorPage(Answer):
    items: list[CreatorLine]
    next: int | None


class AdminUser(Answer):
    """One user with the history of his wallet and his payout address. `owes`: what he got beyond his dues and no later
    payout has used up, which he may repay or be forgiven."""

    profile: Profile
    uuid: str
    created_at: Moment
    address_changed_at: Moment | None
    purchases: int
    contents: int
    creator: CreatorMoney
    owes: Money
    history: list[HistoryRow]


class NewInvite(Asked):
    """`code` left out = a random one. `uses` left out = unlimited."""

    code: Annotated[str, Field(pattern=r"^[\x21-\x7e]{8,128}$")] | None = None
    uses: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    note: Annotated[Line, Field(max_length=200)] = ""


class Invite(Answer):
    """The only time that the code is shown."""

    code: str
    uses: int | None


class InviteRow(Answer):
    """The code is stored hashed and can't be shown. `uses_left` null = unlimited, 0 = used up or closed."""

    id: int
    uses_left: int | None
    note: str
    created_at: Moment


class InvitePage(Answer):
    items: list[InviteRow]
    next: int | None


class FormerUserBody(Asked):
    """A user from before, with the wallet he has outside."""

    email: Annotated[Line, Field(max_length=320)]
    password: Annotated[str, Field(max_length=PASSWORD_MAX_CHARS)]
    username: Annotated[Line, Field(min_length=1, max_length=64)] | None = None
    wallet_provider: Literal["external", "web3auth"] = "external"
    wallet_address: Annotated[Line, Field(max_length=128)]
    web3auth_sub: Annotated[Line, Field(max_length=255)] | None = None


class NewTokenBody(Asked):
    """`name` says whose it is: approvals and the audit log know people by it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}$")]
    role: Role = "viewer"
    days: Annotated[int, Field(ge=1, le=366)] = 90


class TokenRow(Answer):
    id: int
    name: str
    role: str
    created_by: str
    created_at: Moment
    expires_at: Moment
    revoked_at: Moment | None
    valid: bool


class TokenPage(Answer):
    items: list[TokenRow]
    next: int | None


class MadeToken(Answer):
    """The only time that `secret` is shown."""

    secret: str
    token: TokenRow


class AuditQuery(Paging):
    actor: Annotated[Line, Field(min_length=1, max_length=64)] | None = None
    kind: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")] | None = None
    subject: Annotated[Line, Field(min_length=1, max_length=128)] | None = None


class AuditRow(Answer):
    """`before` and `after` are the subject's facts, null where there were none."""

    id: int
    at: Moment
    actor: str
    remote: str
    request_id: str
    action: str
    kind: str
    subject: str
    reason: str | None
    before: JsonValue
    after: JsonValue


class AuditPage(Answer):
    items: list[AuditRow]
    next: int | None
