"""The runbooks of `docs/runbooks`, on the operator's port: at hand when the repository is not."""

from pathlib import Path

from agent.web.endpoint import Access, Call, Endpoint
from agent.web.messages import WebResponse, not_found

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
PLAIN_TEXT = "text/plain; charset=utf-8"
"""Markdown that a browser shows rather than saves."""


class Runbooks:
    """Alerts name these addresses. They hold no figure and no secret, so that they need no token."""

    def endpoints(self) -> list[Endpoint]:
        access = Access.PUBLIC
        return [
            Endpoint(
                "GET",
                "/runbooks/{runbook}.md",
                access,
                self.runbook,
                "What to do about an alert",
                errors=(404,),
                content_type="text/plain",
            )
        ]

    async def runbook(self, call: Call) -> WebResponse:
        """The name is letters and hyphens only, by the path's pattern."""
        page = FOLDER / f"{call.ids['runbook']}.md"
        if not page.is_file():
            raise not_found("runbook")
        return WebResponse(200, page.read_bytes(), PLAIN_TEXT)
