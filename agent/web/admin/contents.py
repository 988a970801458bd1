"""What is for sale, on the operator's port: listed, taken out of the shop, put back."""

from sqlalchemy import Connection

from agent.web.admin.purchase_bodies import Because
from agent.web.audit import audited
from agent.web.bodies import Answer, Moment, Money, Paging
from agent.web.endpoint import Access, Call, Endpoint
from domain.money import format_cents
from ports.clock import Clock
from storage.sales import contents
from storage.store import Store


class ContentQuery(Paging):
    taken_down: bool | None = None


class ContentLine(Answer):
    """`editions` null = unlimited; `editions_taken` are held by purchases now."""

    id: int
    title: str
    author_id: int
    author_name: str
    price: Money
    editions: int | None
    editions_taken: int
    taken_down_at: Moment | None
    created_at: Moment


class ContentPage(Answer):
    items: list[ContentLine]
    next: int | None


class ContentShelf(Answer):
    """Where a content stands now."""

    id: int
    taken_down: bool


class AdminContents:
    """Endpoints under /admin/api/contents."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def endpoints(self) -> list[Endpoint]:
        root, operator = "/admin/api/contents", Access.OPERATOR
        one = f"{root}/{{content_id}}"
        return [
            Endpoint("GET", root, Access.VIEWER, self.contents, "All contents", ContentPage, query=ContentQuery),
            Endpoint(
                "POST",
                f"{one}/take-down",
                operator,
                self.take_down,
                "Take it out of the shop; what is sold stays sold",
                ContentShelf,
                takes=Because,
            ),
            Endpoint("POST", f"{one}/restore", operator, self.restore, "Put it back", ContentShelf, takes=Because),
        ]

    async def contents(self, call: Call) -> ContentPage:
        asked = call.asked(ContentQuery)
        rows = await self._store.read(
            lambda conn: contents.every_page(conn, asked.taken_down, asked.before, asked.limit)
        )
        return ContentPage(
            items=[
                ContentLine(
                    id=row.id,
                    title=row.title,
                    author_id=row.author_id,
                    author_name=row.username,
                    price=format_cents(row.price_cents),
                    editions=row.editions,
                    editions_taken=row.editions_taken,
                    taken_down_at=row.taken_down_at,
                    created_at=row.created_at,
                )
                for row in rows
            ],
            next=rows[-1].id if len(rows) == asked.limit else None,
        )

    async def take_down(self, call: Call) -> ContentShelf:
        return await self._set(call, "take_down", is_down=True)

    async def restore(self, call: Call) -> ContentShelf:
        return await self._set(call, "restore", is_down=False)

    async def _set(self, call: Call, action: str, *, is_down: bool) -> ContentShelf:
        content_id, reason, now = call.row_id("content_id"), call.taken(Because).reason, self._clock.now()

        def write(conn: Connection) -> None:
            contents.set_taken_down(conn, content_id, is_down, reason, now)

        await self._store.write(audited(call, action, "content", content_id, now, write, reason))
        return ContentShelf(id=content_id, taken_down=is_down)
