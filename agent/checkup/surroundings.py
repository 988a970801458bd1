"""This machine: how the secrets come, and the database."""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

from agent.checkup.findings import Finding, failed, ok, skipped, warning
from config.settings import SECRET_NAMES, Settings
from domain.errors import PaymentSystemError
from ports.clock import Clock
from storage import schema
from storage.engines import durability
from storage.engines.database_file import footprint
from storage.engines.opening import database_path, names_file, open_store
from storage.errors import DatabaseLocked, SchemaDiffers
from storage.recovery import backups

DISK_LEAST = 2 * 1024**3
BACKUP_AGE_MOST = timedelta(hours=26)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
TAKE_ONE = "python main.py backup FILE, daily"


def keys(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """That keys and modes agree, the settings have checked already."""
    yield ok("settings", "live: real money" if settings.live else "test mode")
    secret = SECRET_NAMES - {"DATABASE_URL"} if names_file(settings.database_url.get_secret_value()) else SECRET_NAMES
    plain = sorted(name for name in secret if environ.get(name))
    if plain:
        yield warning(
            "secrets",
            f"in the environment, where every child sees them: {', '.join(plain)}",
            "give them as files: <NAME>_FILE, systemd's LoadCredential or container secrets",
        )
    else:
        yield ok("secrets", "come from files")
    if settings.stripe_secret_key.get_secret_value().startswith("sk_"):
        yield warning("stripe key", "may do everything", "make a restricted key: docs/runbooks/least-rights.md")
    yield _witnesses(settings)
    if settings.public_base_url.startswith("https://"):
        yield _callers(settings)


def _callers(settings: Settings) -> Finding:
    """The daemon itself speaks no TLS, so that a proxy stands before it."""
    if settings.trusted_proxies:
        return ok("callers", f"are told apart by what {', '.join(settings.trusted_proxies)} says")
    remedy = "AGENT_TRUSTED_PROXIES: the address from which the TLS proxy calls"
    return warning("callers", "all count as one, and who guesses passwords slows down everybody", remedy)


def _durable(lacking: list[str]) -> Finding:
    if lacking:
        remedy = "turn them on in postgresql.conf; a pooler between must pass session settings on"
        return failed("durability", f"a power cut loses what was answered for: {', '.join(lacking)}", remedy)
    return ok("durability", "an answered commit is on the disk")


def _replicated(unwaited: int) -> Finding:
    text = f"no commit waits for the {unwaited} that follow this server: after a fail-over the last ones are missing"
    return warning("replication", text, "synchronous_standby_names: docs/runbooks/databaseunusable.md")


def _witnesses(settings: Settings) -> Finding:
    """One provider's word ends sales and credits deposits where it is the only one. Two addresses of one host are one
    provider, but for those on this machine."""
    hosts = {urlsplit(url).hostname or "" for url in settings.rpc_urls}
    remedy = "a provider of another company in SOLANA_RPC_URLS"
    if len(settings.rpc_urls) < 2:
        stake = "all your money rests on it: " if settings.live else ""
        return warning("rpc", f"one endpoint: {stake}its word alone completes sales and credits deposits", remedy)
    if len(hosts) < 2 and not hosts & LOOPBACK:
        return warning("rpc", "all endpoints are of one host: one provider vouches for itself", remedy)
    return ok("rpc", f"{len(settings.rpc_urls)} endpoints: nothing ends on the word of one")


def backup_age(newest: datetime | None, clock: Clock) -> Finding:
    if newest is None:
        return warning("backup", "none is known", TAKE_ONE)
    age = clock.now() - newest
    text = f"the newest is {age.total_seconds() / 3600:.0f} hours old"
    return ok("backup", text) if age <= BACKUP_AGE_MOST else warning("backup", text, TAKE_ONE)


async def database(settings: Settings, clock: Clock) -> AsyncIterator[Finding]:
    """Opens it if no daemon has it, makes nothing, and reads schema and backups."""
    url = settings.database_url.get_secret_value()
    try:
        file = database_path(url)
        if file is not None and not file.exists():
            remedy = "the first start makes it; check DATABASE_URL if there was one"
            yield warning("database", f"{file} is not there yet", remedy)
            return
        store = open_store(url)
        await store.start()
    except DatabaseLocked:
        yield ok("database", "in use by a running daemon")
        return
    except (PaymentSystemError, OSError) as error:
        yield failed("database", str(error), "check DATABASE_URL, the server or the file's rights")
        return
    try:
        await store.read(schema.check)
        yield ok("database", f"{store.dialect}, schema {schema.head()}")
        yield _durable(await store.read(durability.lacking))
        if unwaited := await store.read(durability.unwaited):
            yield _replicated(unwaited)
        yield backup_age(await store.read(partial(backups.last_started, now=clock.now())), clock)
    except SchemaDiffers as error:
        yield failed("database", str(error), "python main.py db upgrade, or install the version that fits")
    except PaymentSystemError as error:
        yield failed("database", str(error), "check the server's or the disk's health")
    finally:
        await store.stop()
    place = None if file is None else footprint(file)
    if place is None:
        yield skipped("disk", "not a file of this machine")
    elif place.free < DISK_LEAST:
        yield failed("disk", f"{place.free / 1024**3:.1f} GiB free", "free some, or move the database")
    else:
        yield ok("disk", f"{place.free / 1024**3:.0f} GiB free")
