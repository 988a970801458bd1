"""The admin API as the commands use it: one call each, with a deadline, and errors that say what to do."""

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol, TypeVar

import aiohttp
import orjson
from pydantic import BaseModel, ValidationError

from agent.cli.texts import plain
from agent.web.admin.backup_bodies import Backup, BackupWish
from agent.web.admin.batch_bodies import BatchPage, BatchPlanned, BatchRow, Preview
from agent.web.admin.treasury_bodies import Conversion, NewConversion
from agent.web.admin.work_bodies import Status, WorkPage
from agent.web.books_bodies import Rule, RulePage, Rules, Trace
from agent.web.index_bodies import BackfillRow, BackfillWish, IndexStatus
from agent.web.messages import NOTHING_HERE
from config.admin_access import AdminAccess

M = TypeVar("M", bound=BaseModel)
DEADLINE_SECONDS = 60.0
"""A plan over 100,000 purchases takes well under a second; the preview reads the chain, up to 10 s an endpoint."""
CONNECT_SECONDS = 5.0
POLL_SECONDS = 0.5
"""Between looks at how far something is that the daemon works on."""


class CommandFailed(Exception):
    """The command can't do what was asked; the text is for the operator. The process ends with code 1."""


class DaemonDown(CommandFailed):
    """Nobody answers at AGENT_ADMIN_URL: surely nothing of the request was taken."""


class AnswerLost(CommandFailed):
    """The connection broke, the deadline passed or the daemon had a failure: what was asked may have happened."""


class Asker(Protocol):
    """The operator's API, by the daemon or, for some of it, without one."""

    async def ask(
        self,
        method: str,
        path: str,
        answers: type[M],
        *,
        body: BaseModel | None = None,
        query: Mapping[str, str] | None = None,
    ) -> M:
        """One call. Raises CommandFailed."""
        ...


class Looker(Protocol):
    """What can be looked at without a daemon too."""

    async def preview(self) -> Preview: ...

    async def status(self) -> Status: ...

    async def batches(self, before: int | None = None, limit: int = 20) -> list[BatchRow]: ...

    async def parked(self, limit: int) -> WorkPage: ...

    async def gate_is_open(self) -> bool | None:
        """Whether the daemon may sign and send; None when no daemon runs."""
        ...

    async def rules(self) -> list[Rule]:
        """The rules that the database keeps, in the order of checking."""
        ...

    async def rule_page(self, rule: str, after: str | None) -> RulePage:
        """Check the next page of rows against a rule."""
        ...

    async def trace(self, sale: str) -> Trace:
        """One sale, by its number or its payment_intent."""
        ...

    async def index_status(self) -> IndexStatus: ...

    async def backfill(self, from_signature: str | None, tell: Callable[[BackfillRow], None]) -> BackfillRow:
        """Read the platform wallet's history again, to its end; `tell` hears how far it is."""
        ...


class AdminClient:
    """Speaks to a running daemon; use with `async with`. All methods raise CommandFailed."""

    def __init__(self, access: AdminAccess, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._access = access
        self._deadline = deadline_seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "AdminClient":
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._deadline, sock_connect=CONNECT_SECONDS),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def preview(self) -> Preview:
        return await self.ask("GET", "/admin/api/distribution/preview", Preview)

    async def status(self) -> Status:
        return await self.ask("GET", "/admin/api/status", Status)

    async def batches(self, before: int | None = None, limit: int = 20) -> list[BatchRow]:
        """Batches with ids below `before`, newest first."""
        query = {"limit": str(limit)} | ({} if before is None else {"before": str(before)})
        return (await self.ask("GET", "/admin/api/batches", BatchPage, query=query)).items

    async def batch(self, batch_id: int) -> BatchRow:
        found = await self.batches(batch_id + 1, 1)
        if not found or found[0].id != batch_id:
            raise CommandFailed(f"the daemon knows no batch {batch_id}")
        return found[0]

    async def parked(self, limit: int) -> WorkPage:
        return await self.ask("GET", "/admin/api/work", WorkPage, query={"state": "parked", "limit": str(limit)})

    async def rules(self) -> list[Rule]:
        return (await self.ask("GET", "/admin/api/verification", Rules)).rules

    async def rule_page(self, rule: str, after: str | None) -> RulePage:
        query = {"rule": rule} | ({} if after is None else {"after": after})
        return await self.ask("GET", "/admin/api/verification/page", RulePage, query=query)

    async def trace(self, sale: str) -> Trace:
        return await self.ask("GET", "/admin/api/trace", Trace, query={"sale": sale})

    async def index_status(self) -> IndexStatus:
        return await self.ask("GET", "/admin/api/index", IndexStatus)

    async def backfill(self, from_signature: str | None, tell: Callable[[BackfillRow], None]) -> BackfillRow:
        """Begun in the daemon, which works it to its end whether or not somebody waits."""
        wish = BackfillWish(from_signature=from_signature)
        row = await self.ask("POST", "/admin/api/index/backfill", BackfillRow, body=wish)
        while row.finished_at is None:
            tell(row)
            await asyncio.sleep(POLL_SECONDS)
            row = (await self.index_status()).backfill or row
        return row

    async def gate_is_open(self) -> bool | None:
        body = await self._exchange("GET", "/metrics", None, {})
        for line in body.decode("utf-8", "replace").splitlines():
            name, _, value = line.partition(" ")
            if name == "payment_agent_start_gate_open":
                return float(value) == 1.0
        return None

    async def plan(self) -> BatchRow | None:
        """Plan and approve a batch of what is payable now; None when nothing is. Raises AnswerLost when it may have
        been planned all the same."""
        return (await self.ask("POST", "/admin/api/batches", BatchPlanned)).batch

    async def announce(self, wish: NewConversion) -> Conversion:
        return await self.ask("POST", "/admin/api/conversions", Conversion, body=wish)

    async def back_up(self, wish: BackupWish) -> Backup:
        return await self.ask("POST", "/admin/api/backups", Backup, body=wish)

    async def ask(
        self,
        method: str,
        path: str,
        answers: type[M],
        *,
        body: BaseModel | None = None,
        query: Mapping[str, str] | None = None,
    ) -> M:
        """One call. Raises CommandFailed, DaemonDown or AnswerLost."""
        sent = None if body is None else body.model_dump_json(exclude_none=True).encode()
        raw = await self._exchange(method, path, sent, query or {})
        try:
            return answers.model_validate_json(raw)
        except ValidationError:
            raise CommandFailed(f"AGENT_ADMIN_URL: {self._access.url} is not the admin port of this daemon") from None

    async def _exchange(self, method: str, path: str, body: bytes | None, query: Mapping[str, str]) -> bytes:
        if self._session is None:
            raise CommandFailed("the connection is not open")
        headers = {"Authorization": f"Bearer {self._access.token}"} if self._access.token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method, self._access.url + path, data=body, params=query, headers=headers, allow_redirects=False
            ) as answer:
                raw = await answer.read()
                status = answer.status
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL):
            raise DaemonDown(
                f"the daemon is not running at {self._access.url}; start it with `python main.py run`, "
                "or set AGENT_ADMIN_URL"
            ) from None
        except TimeoutError:
            raise AnswerLost(f"the daemon at {self._access.url} did not answer in {self._deadline:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise AnswerLost(f"the connection to {self._access.url} broke: {type(error).__name__}") from None
        if status >= 300:
            raise self._refusal(status, raw)
        return raw

    def _refusal(self, status: int, raw: bytes) -> CommandFailed:
        if status == 401:
            wrong = "is not valid at" if self._access.token else "is not set, and is needed by"
            return CommandFailed(f"AGENT_ADMIN_TOKEN {wrong} the daemon at {self._access.url}")
        message = _error(raw)
        if status == 403:
            return CommandFailed(f"AGENT_ADMIN_TOKEN: {message}")
        if status == 405 or (status == 404 and message in ("", NOTHING_HERE)):
            return CommandFailed(f"AGENT_ADMIN_URL: {self._access.url} is not the admin port of this daemon")
        if status == 421:
            return CommandFailed("AGENT_ADMIN_URL: the daemon does not answer to this host; see AGENT_ADMIN_HOSTS")
        kind = AnswerLost if status >= 500 else CommandFailed
        return kind(message or f"the daemon at {self._access.url} answered {status}")


def _error(raw: bytes) -> str:
    """The message of an error in the one shape; empty for anything else."""
    try:
        return plain(str(orjson.loads(raw)["error"]["message"]))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
