"""Who shares in a sale: found by the code that he gave, and shown to those who share with him."""

from uuid import UUID

from agent.web.endpoint import Access, Call, Endpoint
from agent.web.messages import not_found
from agent.web.rates import Rate
from agent.web.shop_bodies import CodeQuery, NamedShare, NamedShares, PersonNamed
from domain.collaborators import collaborator_code, read_code
from domain.errors import RequestError
from storage.people import users
from storage.sales import contents
from storage.store import Store

CODES = Rate(burst=200, per_second=0.5)
"""Of one account: a form has fifty, and thirty bits can't be guessed at this pace."""


class Collaborators:
    """The endpoints of those who share in sales."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "GET",
                "/api/collaborators/",
                Access.USER,
                self.find,
                "Whose collaborator code it is",
                PersonNamed,
                query=CodeQuery,
                errors=(404,),
                rate=CODES,
            ),
            Endpoint(
                "GET",
                "/api/content/{content_id}/shares/",
                Access.USER,
                self.shares,
                "Who shares in its sales; for its author and for them",
                NamedShares,
            ),
        ]

    async def find(self, call: Call) -> PersonNamed:
        known = read_code(call.asked(CodeQuery).code)
        if known is not None:
            user_id, code = known
            user = await self._store.read(lambda conn: users.by_id(conn, user_id))
            if user is not None and collaborator_code(user.id, UUID(user.uuid)) == code:
                return PersonNamed(user_id=user.id, name=user.username)
        raise RequestError(404, "code_unknown", "nobody has this collaborator code", "code")

    async def shares(self, call: Call) -> NamedShares:
        content_id, me = call.row_id("content_id"), call.user_id
        found = await self._store.read(lambda conn: contents.named_shares(conn, content_id, me))
        if found is None or me not in {found.author_id, *(one.user_id for one in found.shares)}:
            raise not_found("content")
        return NamedShares(
            items=[NamedShare(user_id=one.user_id, name=one.name, share_bps=one.share_bps) for one in found.shares]
        )
