"""Invites, and users from before: who may come in."""

from sqlalchemy import Connection

from agent.web.account_bodies import SignedUp
from agent.web.accounts import Accounts, AddressCheck, check_wallet_address, normal_email
from agent.web.admin_bodies import FormerUserBody, Invite, NewInvite
from agent.web.audit import audited
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.passwords import Passwords
from domain.errors import RequestError
from ports.clock import Clock
from ports.ids import Ids
from storage import users
from storage.store import Store


class AdminPeople:
    """Endpoints under /admin/api that let people in."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        passwords: Passwords,
        check_address: AddressCheck,
        accounts: Accounts,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._passwords = passwords
        self._check_address = check_address
        self._accounts = accounts

    def endpoints(self) -> list[Endpoint]:
        operator, root = Access.OPERATOR, "/admin/api"
        return [
            Endpoint(
                "POST",
                f"{root}/invites",
                operator,
                self.invite,
                "Make an invite code",
                Invite,
                status=201,
                takes=NewInvite,
                errors=(409,),
            ),
            Endpoint(
                "POST",
                f"{root}/users",
                operator,
                self.bring_over,
                "Bring over a user from before, with his external address",
                SignedUp,
                status=201,
                takes=FormerUserBody,
                errors=(409,),
            ),
        ]

    async def invite(self, call: Call) -> Invite:
        wish, now = call.taken(NewInvite), self._clock.now()
        code = wish.code or self._ids.token()

        def make(conn: Connection) -> None:
            if not users.ensure_invite(conn, code, wish.uses, now, wish.note):
                raise RequestError(409, "invite_exists", "there is an invite with this code already", "code")

        await self._store.write(audited(call, "invite", wish.note[:64], now, make))
        return Invite(code=code, uses=wish.uses)

    async def bring_over(self, call: Call) -> SignedUp:
        wish, now = call.taken(FormerUserBody), self._clock.now()
        email = normal_email(wish.email)
        self._accounts.check_password(wish.password)
        check_wallet_address(self._check_address, wish.wallet_address)
        former = users.FormerUser(
            account=users.NewUser(
                uuid=str(self._ids.uuid()),
                email=email,
                username=wish.username or email.partition("@")[0][:64],
                password_hash=await self._passwords.hash(wish.password),
            ),
            wallet_provider=wish.wallet_provider,
            wallet_address=wish.wallet_address,
            web3auth_sub=wish.web3auth_sub,
        )
        return SignedUp(
            user_id=await self._store.write(
                audited(call, "bring_over", email[:64], now, lambda conn: users.bring_over(conn, former, now))
            )
        )
