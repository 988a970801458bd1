"""Reconciliations for the operator: ask for one, follow it, read what it found."""

import json
from typing import Any

from sqlalchemy import Connection

from agent.web.audit import born
from agent.web.bodies import Paging
from agent.web.books_bodies import FindingPage, FindingQuery, Report, ReportFinding, ReportPage
from agent.web.endpoint import Access, Call, Endpoint
from domain.errors import RequestError
from domain.reconciliation import Colour
from ports.clock import Clock
from storage.reconciliation import reports
from storage.store import Store
from storage.work import revive


class AdminReports:
    """Endpoints under /admin/api/reconciliations."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def endpoints(self) -> list[Endpoint]:
        viewer, root = Access.VIEWER, "/admin/api/reconciliations"
        return [
            Endpoint("GET", root, viewer, self.reports, "Reconciliations, newest first", ReportPage, query=Paging),
            Endpoint(
                "POST",
                root,
                Access.OPERATOR,
                self.ask,
                "Reconcile now; a reconciliation that is under way serves too",
                Report,
                status=202,
            ),
            Endpoint("GET", f"{root}/{{report_id}}", viewer, self.report, "One reconciliation", Report),
            Endpoint(
                "GET",
                f"{root}/{{report_id}}/findings",
                viewer,
                self.findings,
                "What is not green, oldest first",
                FindingPage,
                query=FindingQuery,
            ),
        ]

    async def reports(self, call: Call) -> ReportPage:
        asked = call.asked(Paging)

        def look(conn: Connection) -> list[Report]:
            return [_report(conn, row) for row in reports.page(conn, asked.before, asked.limit)]

        found = await self._store.read(look)
        return ReportPage(items=found, next=found[-1].id if len(found) == asked.limit else None)

    async def ask(self, call: Call) -> Report:
        now = self._clock.now()

        def want(conn: Connection) -> int:
            report_id = reports.ask(conn, call.operator, now)
            revive(conn, "reconcile", "books", now)
            return report_id

        report_id = await self._store.write(born(call, "ask", "reconciliation", now, want))
        return await self._store.read(lambda conn: self._found(conn, report_id))

    async def report(self, call: Call) -> Report:
        return await self._store.read(lambda conn: self._found(conn, call.row_id("report_id")))

    async def findings(self, call: Call) -> FindingPage:
        report_id, asked = call.row_id("report_id"), call.asked(FindingQuery)
        colour = None if asked.colour is None else Colour(asked.colour)

        def look(conn: Connection) -> list[Any]:
            self._found(conn, report_id)
            return list(reports.findings(conn, report_id, colour, asked.after, asked.limit))

        rows = await self._store.read(look)
        return FindingPage(
            items=[
                ReportFinding(
                    id=row.id, colour=row.colour, book=row.book, subject=row.subject, code=row.code, why=row.why
                )
                for row in rows
            ],
            next=rows[-1].id if len(rows) == asked.limit else None,
        )

    def _found(self, conn: Connection, report_id: int) -> Report:
        row = reports.by_id(conn, report_id)
        if row is None:
            raise RequestError(404, "report_not_found", f"there is no reconciliation {report_id}")
        return _report(conn, row)


def _report(conn: Connection, row: Any) -> Report:
    figures = json.loads(row.figures)
    return Report(
        id=row.id,
        asked_by=row.asked_by,
        started_at=row.started_at,
        finished_at=row.finished_at,
        phase=row.phase,
        done=row.done,
        green=row.green,
        explained=row.explained,
        red=row.red,
        reasons=figures.get("reasons") or reports.reasons(conn, row.id),
        stripe=figures.get("stripe", {}),
    )
