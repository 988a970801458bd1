"""What is for sale. Functions run in the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, exists, insert, select, update

from domain.errors import KeyUsed, RequestError
from domain.keys import published_uuid
from domain.money import SHARE_WHOLE_BPS
from storage.errors import StoreBusy
from storage.history import note
from storage.sales import session_ends
from storage.statements import insert_into
from storage.tables import content_shares, contents, users


@dataclass(frozen=True, slots=True)
class NewContent:
    """`uuid` is random and chosen before the transaction; with the author's own `idempotency_key` it comes from that.
    `shares` is user id → basis points; empty = author alone."""

    uuid: str
    title: str
    description: str
    price_cents: int
    editions: int | None
    ipfs_hash: str | None
    teaser_link: str | None
    shares: Mapping[int, int] = field(default_factory=dict)
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A content with its author's name and the shares named for it."""

    row: Row[Any]
    author_name: str
    shares: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class NamedPart:
    """`name` is None where it is not told."""

    user_id: int
    name: str | None
    share_bps: int


@dataclass(frozen=True, slots=True)
class NamedParts:
    """Who shares in a content's sales."""

    author_id: int
    shares: Sequence[NamedPart]


def publish(conn: Connection, author_id: int, content: NewContent, now: datetime) -> int:
    """Store a content, once where the author has named a key. Raises RequestError 422 `unknown_collaborator`, KeyUsed,
    and StoreBusy while another transaction stores the same. Returns its id."""
    uuid = content.uuid
    if content.idempotency_key is not None:
        author = conn.execute(select(users.c.uuid).where(users.c.id == author_id)).scalar_one()
        uuid = str(published_uuid(UUID(author), content.idempotency_key))
        before = _published_before(conn, uuid, content)
        if before is not None:
            return before
    wanted = sorted(content.shares)
    require_known(conn, wanted)
    content_id = conn.scalar(
        insert_into(contents, conn.dialect.name)
        .values(
            uuid=uuid,
            author_id=author_id,
            title=content.title,
            description=content.description,
            price_cents=content.price_cents,
            editions=content.editions,
            ipfs_hash=content.ipfs_hash,
            teaser_link=content.teaser_link,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=[contents.c.uuid])
        .returning(contents.c.id)
    )
    if content_id is None:
        raise StoreBusy("this content is being published")
    if wanted:
        conn.execute(
            insert(content_shares),
            [{"content_id": content_id, "user_id": user, "share_bps": content.shares[user]} for user in wanted],
        )
    return int(content_id)


def require_known(conn: Connection, wanted: Sequence[int]) -> None:
    """Raises RequestError 422 `unknown_collaborator` for a number that is no user's."""
    known = set(conn.scalars(select(users.c.id).where(users.c.id.in_(wanted)))) if wanted else set()
    missing = [user for user in wanted if user not in known]
    if missing:
        raise RequestError(422, "unknown_collaborator", f"there is no user {missing[0]}", "collaborators")


def named_shares(conn: Connection, content_id: int, asker_id: int) -> NamedParts | None:
    """Who shares in the sales of a content, the largest part first; one that was taken down too. Named are the asker
    and whom the shop names as an author: shares are taken by number too, and who counts would read everybody's name.
    """
    author_id = conn.scalar(select(contents.c.author_id).where(contents.c.id == content_id))
    if author_id is None:
        return None
    parts = _shares(conn, [content_id]).get(content_id, {author_id: SHARE_WHOLE_BPS})
    sells = exists().where(contents.c.author_id == users.c.id, contents.c.taken_down_at.is_(None))
    told = select(users.c.id, users.c.username).where(users.c.id.in_(parts), (users.c.id == asker_id) | sells)
    names = {row.id: row.username for row in conn.execute(told)}
    found = [NamedPart(user, names.get(user), bps) for user, bps in parts.items()]
    return NamedParts(author_id, sorted(found, key=lambda one: (-one.share_bps, one.user_id)))


def _published_before(conn: Connection, uuid: str, content: NewContent) -> int | None:
    """The id of this very content. Raises KeyUsed where its author's key is another one's."""
    row = conn.execute(select(contents).where(contents.c.uuid == uuid)).one_or_none()
    if row is None:
        return None
    names = ("title", "description", "price_cents", "editions", "ipfs_hash", "teaser_link")
    was = [getattr(row, name) for name in names], _shares(conn, [row.id]).get(row.id, {})
    if was != ([getattr(content, name) for name in names], dict(content.shares)):
        raise KeyUsed
    return int(row.id)


def one(conn: Connection, content_id: int, *, taken_down: bool = False) -> Listed | None:
    """A content; one that was taken down only if asked for (the metadata of its sold NFTs must stay)."""
    query = select(contents, users.c.username).join(users, users.c.id == contents.c.author_id)
    row = conn.execute(query.where(contents.c.id == content_id)).one_or_none()
    if row is None or (row.taken_down_at is not None and not taken_down):
        return None
    return Listed(row, row.username, _shares(conn, [content_id]).get(content_id, {}))


def page(conn: Connection, before: int | None, limit: int) -> list[Listed]:
    """Up to `limit` contents, newest first, with ids below `before`."""
    query = select(contents, users.c.username).join(users, users.c.id == contents.c.author_id)
    query = query.where(contents.c.taken_down_at.is_(None)).order_by(contents.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(contents.c.id < before)
    rows = conn.execute(query).all()
    shares = _shares(conn, [row.id for row in rows])
    return [Listed(row, row.username, shares.get(row.id, {})) for row in rows]


def every_page(conn: Connection, taken_down: bool | None, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` contents for the operator, newest first, those taken down too (None: all)."""
    query = select(contents, users.c.username).join(users, users.c.id == contents.c.author_id)
    if taken_down is not None:
        query = query.where(contents.c.taken_down_at.is_not(None) if taken_down else contents.c.taken_down_at.is_(None))
    if before is not None:
        query = query.where(contents.c.id < before)
    return conn.execute(query.order_by(contents.c.id.desc()).limit(limit)).all()


def set_taken_down(conn: Connection, content_id: int, is_down: bool, reason: str, now: datetime) -> None:
    """Take a content out of the shop, or put it back. What is sold stays sold, and its NFTs keep their metadata; its
    open Sessions end. Idempotent. Raises RequestError 404 `content_not_found`."""
    row = conn.execute(
        select(contents.c.taken_down_at).where(contents.c.id == content_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise RequestError(404, "content_not_found", f"there is no content {content_id}")
    if (row.taken_down_at is not None) == is_down:
        return
    conn.execute(update(contents).where(contents.c.id == content_id).values(taken_down_at=now if is_down else None))
    note(conn, "content", content_id, None, "taken_down" if is_down else "restored", now, reason)
    if is_down:
        session_ends.end_all(conn, content_id, now)


def _shares(conn: Connection, content_ids: list[int]) -> dict[int, dict[int, int]]:
    found: dict[int, dict[int, int]] = {}
    query = select(content_shares).where(content_shares.c.content_id.in_(content_ids))
    for share in conn.execute(query.order_by(content_shares.c.content_id, content_shares.c.user_id)):
        found.setdefault(share.content_id, {})[share.user_id] = share.share_bps
    return found
