"""People on the operator's port: users and creators, invites, and users from before."""

from typing import Any

from sqlalchemy import Connection

from agent.web.account_bodies import SignedUp
from agent.web.accounts import AddressCheck, check_wallet_address, normal_email, profile_body, require_long
from agent.web.admin.people_bodies import (
    AdminUser,
    CreatorLine,
    CreatorMoney,
    CreatorPage,
    FormerUserBody,
    Invite,
    InvitePage,
    InviteRow,
    NewInvite,
    UserLine,
    UserPage,
    UserQuery,
)
from agent.web.admin.purchases import history_row
from agent.web.audit import audited, born
from agent.web.bodies import Paging
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.messages import not_found
from agent.web.passwords import Passwords
from agent.web.settings import WebSettings
from domain.money import format_usdc
from domain.states import WalletState
from ports.clock import Clock
from ports.ids import Ids
from storage.payouts.debts import open_debts
from storage.people import users
from storage.reading import search
from storage.reading.search import Creator
from storage.sales.purchases import payout_address
from storage.store import Store


class AdminPeople:
    """Endpoints under /admin/api that show people and let them in."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        passwords: Passwords,
        check_address: AddressCheck,
        settings: WebSettings,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._passwords = passwords
        self._check_address = check_address
        self._settings = settings

    def endpoints(self) -> list[Endpoint]:
        viewer, operator, root = Access.VIEWER, Access.OPERATOR, "/admin/api"
        return [
            Endpoint("GET", f"{root}/users", viewer, self.users, "Find users", UserPage, query=UserQuery),
            Endpoint("GET", f"{root}/users/{{user_id}}", viewer, self.user, "A user's life", AdminUser),
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
            Endpoint(
                "GET", f"{root}/creators", viewer, self.creators, "Creators and their money", CreatorPage, query=Paging
            ),
            Endpoint("GET", f"{root}/invites", viewer, self.invites, "Invites, newest first", InvitePage, query=Paging),
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
                f"{root}/invites/{{invite_id}}/close",
                operator,
                self.close,
                "Close an invite",
                status=204,
            ),
        ]

    async def users(self, call: Call) -> UserPage:
        asked = call.asked(UserQuery)
        wish = search.UserWish(asked.text, asked.wallet_state, asked.wallet_provider)
        rows = await self._store.read(lambda conn: search.users_page(conn, wish, asked.before, asked.limit))
        return UserPage(items=[_user_line(row) for row in rows], next=rows[-1].id if len(rows) == asked.limit else None)

    async def user(self, call: Call) -> AdminUser:
        user_id = call.row_id("user_id")

        def look(conn: Connection) -> AdminUser:
            row = search.user(conn, user_id)
            if row is None:
                raise not_found("user")
            found = search.user_history(conn, user_id)
            return AdminUser(
                profile=profile_body(row),
                uuid=row.uuid,
                created_at=row.created_at,
                address_changed_at=row.address_changed_at,
                purchases=found.purchases,
                contents=found.contents,
                creator=CreatorMoney(**_money(search.creator_of(conn, row))),
                owes=format_usdc(sum(amount for _, amount in open_debts(conn, user_id))),
                history=[history_row(change) for change in found.changes],
            )

        return await self._store.read(look)

    async def creators(self, call: Call) -> CreatorPage:
        asked = call.asked(Paging)
        found = await self._store.read(lambda conn: search.creators_page(conn, asked.before, asked.limit))
        return CreatorPage(
            items=[
                CreatorLine(id=one.user_id, name=one.name, email=one.email, address=one.address, **_money(one))
                for one in found
            ],
            next=found[-1].user_id if len(found) == asked.limit else None,
        )

    async def invites(self, call: Call) -> InvitePage:
        asked = call.asked(Paging)
        rows = await self._store.read(lambda conn: search.invites_page(conn, asked.before, asked.limit))
        return InvitePage(
            items=[
                InviteRow(id=row.id, uses_left=row.uses_left, note=row.note, created_at=row.created_at) for row in rows
            ],
            next=rows[-1].id if len(rows) == asked.limit else None,
        )

    async def invite(self, call: Call) -> Invite:
        wish, now = call.taken(NewInvite), self._clock.now()
        code = wish.code or self._ids.token()
        await self._store.write(
            born(call, "invite", "invite", now, lambda conn: users.make_invite(conn, code, wish.uses, now, wish.note))
        )
        return Invite(code=code, uses=wish.uses)

    async def close(self, call: Call) -> None:
        invite_id, now = call.row_id("invite_id"), self._clock.now()

        def close(conn: Connection) -> None:
            if not users.close_invite(conn, invite_id):
                raise not_found("invite")

        await self._store.write(audited(call, "close_invite", "invite", invite_id, now, close))

    async def bring_over(self, call: Call) -> SignedUp:
        wish, now = call.taken(FormerUserBody), self._clock.now()
        email = normal_email(wish.email)
        require_long(wish.password, self._settings)
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
                born(call, "bring_over", "user", now, lambda conn: users.bring_over(conn, former, now))
            )
        )


def _user_line(row: Any) -> UserLine:
    return UserLine(
        id=row.id,
        email=row.email,
        username=row.username,
        wallet_provider=row.wallet_provider,
        wallet_chain=row.wallet_chain,
        wallet_state=WalletState(row.wallet_state),
        address=payout_address(row),
        created_at=row.created_at,
    )


def _money(one: Creator) -> dict[str, Any]:
    return {
        "sales": one.sales,
        "owed": format_usdc(one.owed),
        "held": format_usdc(one.held),
        "paid": format_usdc(one.paid),
        "debt": format_usdc(one.debt),
        "failed_payouts": one.failed,
    }
