"""Backups through the running daemon: take one, tell of one, list them."""

from agent.backup import Backups
from agent.web.admin.backup_bodies import Backup, BackupPage, BackupWish
from agent.web.audit import audited, born
from agent.web.endpoint import Access, Call, Endpoint
from domain.errors import RequestError
from ports.clock import Clock
from storage.recovery import backups
from storage.recovery.backups import Taken
from storage.store import Store

LISTED_MOST = 50


class AdminBackups:
    """Endpoints under /admin/api/backups."""

    def __init__(self, store: Store, clock: Clock, taker: Backups) -> None:
        self._store, self._clock, self._taker = store, clock, taker

    def endpoints(self) -> list[Endpoint]:
        path = "/admin/api/backups"
        return [
            Endpoint("GET", path, Access.VIEWER, self.listed, "The latest backups", BackupPage),
            Endpoint(
                "POST",
                path,
                Access.OPERATOR,
                self.take,
                "Copy the database, or tell of a backup made by other means",
                Backup,
                takes=BackupWish,
                errors=(409, 422),
            ),
        ]

    async def listed(self, _: Call) -> BackupPage:
        rows = await self._store.read(lambda conn: backups.listed(conn, LISTED_MOST))
        return BackupPage(items=[Backup.model_validate(row, from_attributes=True) for row in rows])

    async def take(self, call: Call) -> Backup:
        wish, now = call.taken(BackupWish), self._clock.now()
        if wish.hand_over:
            return await self._handed_over(call)
        if wish.external is None:
            taken = await self._taker.copy()
        elif wish.started_at is None or wish.started_at.tzinfo is None or wish.started_at > now:
            raise RequestError(422, "invalid", "when was it begun? A moment in the past, with its zone", "started_at")
        else:
            taken = Taken(wish.kind, wish.external, wish.started_at, now, wish.size_bytes, wish.sha256)
        record = self._taker.recorded(taken, call.operator)
        await self._store.write(born(call, "take", "backup", now, record))
        return Backup.model_validate(taken, from_attributes=True)

    async def _handed_over(self, call: Call) -> Backup:
        """Whoever takes it away tells of it once it is where it shall stay: only what is kept counts as a backup."""
        taken, now = await self._taker.copy(self._taker.passing()), self._clock.now()
        await self._store.write(audited(call, "copy", "backup", taken.name, now, lambda _: None))
        return Backup.model_validate(taken, from_attributes=True)
