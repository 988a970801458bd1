"""Who may operate, and who did what: the operator's tokens, and the audit log."""

import json
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from agent.web.admin.people_bodies import (
    AuditPage,
    AuditQuery,
    AuditRow,
    MadeToken,
    NewTokenBody,
    TokenPage,
    TokenRow,
)
from agent.web.audit import audited, born
from agent.web.bodies import Paging
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.messages import not_found
from ports.clock import Clock
from ports.ids import Ids
from storage.books import audit
from storage.people import tokens
from storage.store import Store


class AdminTokens:
    """Endpoints under /admin/api/tokens and /admin/api/audit."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def endpoints(self) -> list[Endpoint]:
        viewer, approver, root = Access.VIEWER, Access.APPROVER, "/admin/api"
        return [
            Endpoint("GET", f"{root}/tokens", viewer, self.tokens, "Operators' tokens", TokenPage, query=Paging),
            Endpoint(
                "POST",
                f"{root}/tokens",
                approver,
                self.make,
                "Make a token for an operator; its secret is shown once",
                MadeToken,
                status=201,
                takes=NewTokenBody,
                errors=(409,),
            ),
            Endpoint(
                "POST", f"{root}/tokens/{{token_id}}/revoke", approver, self.revoke, "End a token at once", TokenRow
            ),
            Endpoint(
                "GET",
                f"{root}/audit",
                viewer,
                self.audit,
                "What operators did, newest first",
                AuditPage,
                query=AuditQuery,
            ),
        ]

    async def tokens(self, call: Call) -> TokenPage:
        asked, now = call.asked(Paging), self._clock.now()
        rows = await self._store.read(lambda conn: tokens.operators_page(conn, asked.before, asked.limit))
        return TokenPage(
            items=[token_row(row, now) for row in rows], next=rows[-1].id if len(rows) == asked.limit else None
        )

    async def make(self, call: Call) -> MadeToken:
        wish, now = call.taken(NewTokenBody), self._clock.now()
        expires_at = now + timedelta(days=wish.days)
        token = tokens.NewToken(self._ids.token(), wish.name, wish.role, expires_at, call.operator)
        make = born(call, "make_token", "token", now, lambda conn: tokens.make(conn, token, now))

        def write(conn: Connection) -> TokenRow:
            return _shown(conn, make(conn), now)

        return MadeToken(secret=token.secret, token=await self._store.write(write))

    async def revoke(self, call: Call) -> TokenRow:
        token_id, now = call.row_id("token_id"), self._clock.now()

        def write(conn: Connection) -> TokenRow:
            _shown(conn, token_id, now)
            tokens.revoke(conn, token_id, now)
            return _shown(conn, token_id, now)

        return await self._store.write(audited(call, "revoke_token", "token", token_id, now, write))

    async def audit(self, call: Call) -> AuditPage:
        asked = call.asked(AuditQuery)
        rows = await self._store.read(
            lambda conn: audit.page(
                conn, asked.before, asked.limit, actor=asked.actor, kind=asked.kind, subject=asked.subject
            )
        )
        return AuditPage(
            items=[_audit_row(row) for row in rows], next=rows[-1].id if len(rows) == asked.limit else None
        )


def _shown(conn: Connection, token_id: int, now: datetime) -> TokenRow:
    row = tokens.operator_token(conn, token_id)
    if row is None:
        raise not_found("token")
    return token_row(row, now)


def token_row(row: Any, now: datetime) -> TokenRow:
    """An operator's token without its secret."""
    return TokenRow(
        id=row.id,
        name=row.name,
        role=row.role,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        valid=row.revoked_at is None and row.expires_at > now,
    )


def _audit_row(row: Any) -> AuditRow:
    return AuditRow(
        id=row.id,
        at=row.at,
        actor=row.actor,
        remote=row.remote,
        request_id=row.request_id,
        action=row.action,
        kind=row.kind,
        subject=row.subject,
        reason=row.reason,
        before=None if row.before is None else json.loads(row.before),
        after=None if row.after is None else json.loads(row.after),
    )
