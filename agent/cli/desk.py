"""The operator's API without a daemon: the same handlers on the database itself, for commands that may work alone."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel

from agent.cli.client import CommandFailed
from agent.web import strict_json
from agent.web.admin.imports import AdminImport
from agent.web.admin.people import AdminPeople
from agent.web.admin.tokens import AdminTokens
from agent.web.endpoint import Access, Call
from agent.web.messages import WebRequest
from agent.web.passwords import QUICK, PasswordCost, Passwords
from agent.web.settings import WebSettings
from chain.addresses import check_payout_owner
from config.settings import Settings
from domain.errors import Misuse, RequestError
from ports.executor import ThreadExecutor
from ports.system import SystemClock, SystemIds
from storage.people.tokens import Bearer
from storage.store import Store

M = TypeVar("M", bound=BaseModel)
WHO = "command line"
"""The actor in the audit log: whoever can read the settings and the database."""


class Desk:
    """Answers for tokens, invites and users from before. What it changes is on record like any other act."""

    def __init__(self, settings: Settings, store: Store) -> None:
        clock, ids, executor = SystemClock(), SystemIds(), ThreadExecutor()
        web = WebSettings(settings.public_base_url, settings.live)
        cost = PasswordCost(settings.agent_argon2_memory_kib, settings.agent_argon2_iterations)
        people = AdminPeople(store, clock, ids, Passwords(executor, cost), check_payout_owner, web)
        imports = AdminImport(store, clock, ids, Passwords(executor, QUICK), check_payout_owner)
        endpoints = [*AdminTokens(store, clock, ids).endpoints(), *people.endpoints(), *imports.endpoints()]
        self._patterns = [(endpoint.pattern(), endpoint) for endpoint in endpoints]

    async def ask(
        self,
        method: str,
        path: str,
        answers: type[M],
        *,
        body: BaseModel | None = None,
        query: Mapping[str, str] | None = None,
    ) -> M:
        """As `AdminClient.ask`."""
        for pattern, endpoint in self._patterns:
            match = pattern.fullmatch(path)
            if match is None or endpoint.method != method:
                continue
            asked = None if endpoint.query is None else strict_json.read_text_as(endpoint.query, query or {})
            bearer = Bearer(0, Access.APPROVER, None, WHO, "")
            try:
                answer = await endpoint.handler(Call(WebRequest(method, path), bearer, match.groupdict(), body, asked))
            except RequestError as error:
                raise CommandFailed(str(error)) from None
            if isinstance(answer, answers):
                return answer
        raise Misuse(f"{method} {path} is not answered without a daemon")
