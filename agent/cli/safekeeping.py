"""What `backup` and `restore` do: through the daemon, alone under the lock, or with PostgreSQL's own tools."""

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import typer
from pydantic import ValidationError
from sqlalchemy import URL, Connection, make_url

from agent.backup import Backups
from agent.cli.client import AdminClient, CommandFailed, DaemonDown
from agent.cli.encryption import opened, require_age
from agent.cli.filing import file_copy, file_dump
from agent.cli.lock import locked_store
from agent.cli.programs import run_program, told_to_postgresql
from agent.cli.terminal import Terminal
from agent.cli.texts import counted
from agent.identity import FINGERPRINT, GENESIS_HASH, REMEDIES
from agent.web.admin.backup_bodies import Backup, BackupWish
from config.admin_access import load_admin_access
from config.settings import Settings, load_settings
from domain.errors import PaymentSystemError
from domain.keys import derivation_fingerprint
from ports.executor import ThreadExecutor
from ports.system import SystemClock, SystemIds
from storage import schema
from storage.engines.database_file import DIRECTORY_MODE
from storage.engines.opening import database_path, open_store
from storage.engines.whole_file import clear_left_behind
from storage.recovery import backups, restoring
from storage.recovery.backups import Taken
from storage.store import Store

BACKUP_SECONDS = 3_600.0
"""For a file of some 100 GB on a slow disk."""
NOBODY_TO_ASK = 2
WHO = "command"
NO_PG_DUMP = (
    "pg_dump is not installed here: install PostgreSQL's client of the server's version, or back up by your own means "
    "(snapshots, WAL archiving) and tell of it: `python main.py backup --external NAME --started-at …`"
)
NO_PG_RESTORE = "pg_restore is not installed here: install PostgreSQL's client of the server's version"


async def back_up(file: Path, as_json: bool) -> int:
    """Copy, check, record once it stands at `file`. Raises CommandFailed."""
    settings = load_settings()
    if settings.agent_backup_recipient:
        require_age()
    try:
        file = _new(file)
        clear_left_behind(file.parent, SystemClock().now())
        if database_path(settings.database_url.get_secret_value()) is None:
            made = await _dumped(settings, file)
        else:
            made = await _copied(file, settings.agent_backup_recipient)
    except PaymentSystemError as error:
        raise CommandFailed(str(error)) from None
    except OSError as error:
        raise CommandFailed(f"the backup can't be written to {file}: {error.strerror}") from None
    _show(made, as_json, encrypted=bool(settings.agent_backup_recipient))
    return 0


def _new(file: Path) -> Path:
    """The whole path of a file that is to be made. Raises CommandFailed, OSError."""
    file = file.resolve()
    _wish(external=str(file))
    if file.exists():
        raise CommandFailed(f"{file} exists; backups never overwrite")
    if not file.parent.is_dir():
        raise CommandFailed(f"{file.parent} is no folder")
    return file


def _wish(**told: Any) -> BackupWish:
    """Raises CommandFailed."""
    try:
        return BackupWish(**told)
    except ValidationError as error:
        raise CommandFailed(f"that can't be recorded: {error.errors()[0]['msg']}") from None


async def tell_of(name: str, started_at: datetime, as_json: bool) -> int:
    """Record a backup that other means have made."""
    _show(await _told(_wish(external=name, started_at=started_at.replace(tzinfo=UTC))), as_json)
    return 0


async def _copied(file: Path, recipient: str) -> Backup:
    """SQLite: the daemon copies beside its database, and hands the copy over; or alone."""
    async with AdminClient(load_admin_access(), BACKUP_SECONDS) as client:
        try:
            made = await client.back_up(BackupWish(hand_over=True))
        except DaemonDown:
            return await _copied_alone(file, recipient)
    try:
        await file_copy(Path(made.name), made.sha256, file, recipient)
    except FileNotFoundError:
        raise CommandFailed(
            f"the daemon's copy, {made.name}, is not seen from here: `backup` must run where the daemon does"
        ) from None
    return await _recorded("sqlite", file, made.started_at)


async def _copied_alone(file: Path, recipient: str) -> Backup:
    """Also what still waits for its upgrade: it is copied as it is, and can be recorded after that."""
    async with locked_store(any_schema=True) as (settings, store):
        database = database_path(settings.database_url.get_secret_value())
        if await store.read(schema.is_empty):
            raise CommandFailed(f"{database} is empty: there is nothing to copy")
        taker = Backups(SystemClock(), SystemIds(), ThreadExecutor(), database)
        taken = await taker.copy(taker.passing() if recipient else file)
        if recipient:
            await file_copy(Path(taken.name), taken.sha256, file, recipient)
    return await _recorded("sqlite", file, taken.started_at)


async def _dumped(settings: Settings, file: Path) -> Backup:
    """PostgreSQL: pg_dump's own format, consistent while everything runs."""
    if shutil.which("pg_dump") is None:
        raise CommandFailed(NO_PG_DUMP)
    started_at = SystemClock().now()
    address, surroundings = told_to_postgresql(make_url(settings.database_url.get_secret_value()))
    command = ("pg_dump", "--format=custom", address)
    await file_dump(command, surroundings, file, settings.agent_backup_recipient)
    return await _recorded("postgresql", file, started_at)


async def _recorded(kind: str, file: Path, started_at: datetime) -> Backup:
    """A backup that stands at `file`. Raises CommandFailed, which says what to do."""
    size_bytes, sha256 = await _measured(file)
    try:
        return await _told(
            _wish(kind=kind, external=str(file), started_at=started_at, size_bytes=size_bytes, sha256=sha256)
        )
    except CommandFailed as error:
        again = f"python main.py backup --external '{file}' --started-at {started_at:%Y-%m-%dT%H:%M:%SZ}"
        raise CommandFailed(f"the backup stands at {file}, but it could not be recorded ({error}): `{again}`") from None


async def _measured(file: Path) -> tuple[int, str]:
    return await ThreadExecutor().run(lambda: (file.stat().st_size, backups.digest(file)))


async def _told(wish: BackupWish) -> Backup:
    async with AdminClient(load_admin_access()) as client:
        try:
            return await client.back_up(wish)
        except DaemonDown:
            pass
    clock = SystemClock()
    async with locked_store() as (_, store):
        now = clock.now()
        if wish.external is None or wish.started_at is None or wish.started_at > now:
            raise CommandFailed("--started-at must be a moment in the past")
        told = Taken(wish.kind, wish.external, wish.started_at, now, wish.size_bytes, wish.sha256)
        await store.write(Backups(clock, SystemIds(), ThreadExecutor(), None).recorded(told, WHO))
        return Backup.model_validate(told, from_attributes=True)


@dataclass(frozen=True, slots=True)
class Wish:
    """How to restore: without a question, with age's key for an encrypted backup, with all sends paused."""

    yes: bool = False
    as_json: bool = False
    identity: Path | None = None
    paused: bool = False


async def put_back(file: Path, terminal: Terminal, wish: Wish) -> int:
    """Restore. Raises CommandFailed."""
    settings = load_settings()
    database = database_path(settings.database_url.get_secret_value())
    try:
        folder = Path(tempfile.gettempdir()) if database is None else _folder_of(database)
        async with opened(file, wish.identity, folder) as plain:
            if database is None:
                return await _put_back_dump(settings, file, plain, terminal, wish)
            return _put_back_file(settings, file, plain, database, terminal, wish)
    except PaymentSystemError as error:
        raise CommandFailed(str(error)) from None
    except OSError as error:
        raise CommandFailed(f"{error.filename or file}: {error.strerror}") from None


def _folder_of(database: Path) -> Path:
    database.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    return database.parent


def _put_back_file(settings: Settings, file: Path, plain: Path, database: Path, terminal: Terminal, wish: Wish) -> int:
    restoring.require_alone(database)
    found = restoring.content(plain)
    _refuse_foreign(settings, found)
    newest = "nothing yet" if found.newest is None else f"{found.newest:%Y-%m-%d %H:%M:%S} UTC"
    sold = counted(found.purchases, "purchase")
    terminal.say(f"Backup     {file}: schema {found.revision}, {sold}, newest change {newest}")
    terminal.say(f"Database   {database}: set aside beside the new one, not deleted")
    if (code := _agreed(terminal, wish.yes)) is not None:
        return code
    aside = restoring.put_in_place(plain, database, SystemClock().now(), file.name, paused=wish.paused)
    _tell_restored(terminal, file, found.revision, aside, wish)
    return 0


def _refuse_foreign(settings: Settings, found: restoring.Content) -> None:
    secret = settings.agent_derivation_secret.get_secret_value().encode()
    for name, ours in ((FINGERPRINT, derivation_fingerprint(secret)), (GENESIS_HASH, settings.genesis_hash)):
        if found.facts.get(name, ours) != ours:
            raise CommandFailed(f"this backup is of another installation. {REMEDIES[name]}")
    if found.revision is None or not schema.knows(found.revision):
        raise CommandFailed(f"this backup has schema {found.revision}: install the version that made it, then restore")


def _agreed(terminal: Terminal, yes: bool) -> int | None:
    """None: go on."""
    if yes:
        return None
    if not terminal.can_ask:
        typer.echo("error: nobody to ask; say --yes", err=True)
        return NOBODY_TO_ASK
    return None if terminal.ask("Restore?") else 1


def _tell_restored(terminal: Terminal, file: Path, revision: str | None, aside: Path | None, wish: Wish) -> None:
    if aside is not None:
        terminal.say(f"Set aside  {aside}")
    if revision is None or not schema.knows(revision):
        terminal.say(f"Next       install the version that made it: schema {revision} is not of this one")
    elif revision != schema.head():
        terminal.say("Next       python main.py db upgrade")
    terminal.say("The next start fetches what Stripe, Circle and the chain know more, and sends nothing before that.")
    terminal.say("Operators' tokens end, but for those of the settings: `python main.py token create` makes new ones.")
    if wish.paused:
        terminal.say("All sends are paused, also after that: python main.py sends resume, or the console.")
    if wish.as_json:
        document = {"restored": str(file), "schema": revision, "aside": aside and str(aside), "paused": wish.paused}
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


async def _put_back_dump(settings: Settings, file: Path, plain: Path, terminal: Terminal, wish: Wish) -> int:
    """PostgreSQL: only into an empty database, so that nothing is overwritten; the old one stays as it is."""
    if shutil.which("pg_restore") is None:
        raise CommandFailed(NO_PG_RESTORE)
    url = make_url(settings.database_url.get_secret_value())
    store = open_store(settings.database_url.get_secret_value())
    try:
        await store.start()
        if not await store.read(schema.is_empty):
            raise CommandFailed(
                "this database is not empty: make a new one (`createdb`), point DATABASE_URL at it, and restore there"
            )
        terminal.say(f"Backup     {file}")
        terminal.say(f"Database   {url.host or 'local'}/{url.database}: empty")
        if (code := _agreed(terminal, wish.yes)) is not None:
            return code
        await _fill(store, url, plain, file.name, paused=wish.paused)
        revision = await store.read(schema.revision)
    finally:
        await store.stop()
    _tell_restored(terminal, file, revision, None, wish)
    return 0


async def _fill(store: Store, url: URL, plain: Path, name: str, *, paused: bool) -> None:
    """Whoever is killed in between leaves a database that no daemon starts on."""
    await store.write(schema.begin_to_fill)
    address, surroundings = told_to_postgresql(url)
    options = ("--no-owner", "--exit-on-error", "--single-transaction", address)
    try:
        await run_program("pg_restore", *options, str(plain), environment=surroundings)
    except CommandFailed:
        await store.write(schema.not_filled)
        raise
    now = SystemClock().now()

    def whole(conn: Connection) -> None:
        restoring.mark_restored(conn, name, now, paused=paused)
        schema.filled(conn)

    await store.write(whole)


def _show(made: Backup, as_json: bool, *, encrypted: bool = False) -> None:
    if as_json:
        typer.echo(made.model_dump_json(indent=2))
        return
    size = "" if made.size_bytes is None else f", {made.size_bytes} bytes"
    kind = "Encrypted backup" if encrypted else "Backup"
    typer.echo(f"{kind} {made.name}{size}, holds everything committed before {made.started_at:%Y-%m-%d %H:%M:%S} UTC")
    if made.sha256 is not None:
        typer.echo(f"SHA-256 {made.sha256}")
