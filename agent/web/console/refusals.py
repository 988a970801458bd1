"""A form that is not done, shown again on the page that it stands on: with what was typed, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

from agent.web import strict_json
from agent.web.endpoint import Call, Endpoint, Face, Refused
from agent.web.messages import WebResponse
from agent.web.pages.entrance import RESERVED
from domain.errors import RequestError


class ShownAgain:
    """The pages on which forms stand, by their addresses."""

    def __init__(self, pages: Sequence[Endpoint]) -> None:
        self._pages = [(one.pattern(), one) for one in pages if one.method == "GET" and one.face is Face.PAGE]

    async def page(self, call: Call, back: str, fields: Mapping[str, str], error: RequestError) -> WebResponse:
        """The page at `back` as it is now, with the form of this call as it was filled in.

        Raises the error itself where that page can't be shown.
        """
        address = urlsplit(back)
        if call.visit is None or error.status == 401:
            raise error
        typed = {name: text for name, text in fields.items() if name not in RESERVED}  # each try is confirmed anew
        visit = replace(call.visit, refused=Refused(call.request.path, typed, error))
        query = dict(parse_qsl(address.query))
        query.pop("done", None)
        request = replace(call.request, method="GET", path=address.path, query=query, body=b"")
        try:
            page, ids = self._found(call, address.path)
            asked = None if page.query is None else strict_json.read_text_as(page.query, query)
            shown = await page.handler(replace(call, request=request, ids=ids, body=None, query=asked, visit=visit))
        except RequestError:
            raise error from None
        if not isinstance(shown, WebResponse) or shown.status != error.status:
            raise error
        return shown

    def _found(self, call: Call, path: str) -> tuple[Endpoint, Mapping[str, str]]:
        for pattern, page in self._pages:
            match = pattern.fullmatch(path)
            if match is not None and call.bearer is not None and page.admits(call.bearer):
                return page, match.groupdict()
        raise RequestError(404, "not_found", f"there is no page {path}")
