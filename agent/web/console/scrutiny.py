"""The rules that the books keep, each checked before one's eyes, and the books held against the outside."""

from typing import Annotated

from pydantic import Field

from agent.web.bodies import Paging
from agent.web.books_bodies import FindingPage, FindingQuery, PageOfRule, Report, ReportPage, RulePage, Rules
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import Renderer
from agent.web.pages.site import Looked
from agent.web.pages.texts import with_query

ROOT = "/console/ledger/rules"
REPORTS = "/console/ledger/reconciliations"


class RuleAsked(PageOfRule, Looked):
    """`looked` counts the rows of the pages before."""

    looked: Annotated[int, Field(ge=0)] = 0


class ReportsAsked(Paging, Looked):
    """As the API takes it."""


class FindingsAsked(FindingQuery, Looked):
    """As the API takes it."""


class ScrutinyPages:
    def __init__(self, api: Api, renderer: Renderer) -> None:
        self._api, self._renderer = api, renderer

    def endpoints(self) -> list[Endpoint]:
        viewer, page = Access.VIEWER, Face.PAGE
        return [
            Endpoint("GET", ROOT, viewer, self.rules, "The rules of the books", query=Looked, face=page),
            Endpoint("GET", f"{ROOT}/check", viewer, self.check, "Check one rule", query=RuleAsked, face=page),
            Endpoint("GET", REPORTS, viewer, self.reports, "Reconciliations", query=ReportsAsked, face=page),
            Endpoint(
                "GET",
                f"{REPORTS}/{{report_id}}",
                viewer,
                self.report,
                "One reconciliation",
                query=FindingsAsked,
                face=page,
            ),
        ]

    async def rules(self, call: Call) -> WebResponse:
        seen = await self._api.get(call, "/verification", Rules)
        return self._renderer.page(call, "rules.html", seen=seen)

    async def check(self, call: Call) -> WebResponse:
        """One page of rows; while there are more the browser goes on to the next by itself."""
        asked = call.asked(RuleAsked)
        found = await self._api.get(call, "/verification/page", RulePage, rule=asked.rule, after=asked.after)
        looked = asked.looked + found.looked
        away = ""
        if found.after is not None:
            away = with_query(with_query(f"{ROOT}/check?rule={asked.rule}", "after", found.after), "looked", looked)
        return self._renderer.page(call, "rule.html", away=away, found=found, rule=asked.rule, looked=looked)

    async def reports(self, call: Call) -> WebResponse:
        seen = await self._api.find(call, "/reconciliations", ReportPage, call.asked(ReportsAsked))
        return self._renderer.page(call, "reconciliations.html", seen=seen)

    async def report(self, call: Call) -> WebResponse:
        report_id, path = call.row_id("report_id"), "/reconciliations/{report_id}"
        seen = await self._api.get(call, path, Report, report_id=report_id)
        findings = await self._api.find(
            call, f"{path}/findings", FindingPage, call.asked(FindingsAsked), report_id=report_id
        )
        return self._renderer.page(call, "reconciliation.html", seen=seen, findings=findings)
