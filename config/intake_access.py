"""What the intake needs to take Stripe's webhooks: a few settings, and none of the keys that move money."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.lists import listed
from config.settings import Settings, SettingsError, _from_file

MUST_NOT_HAVE = (
    *("STRIPE_SECRET_KEY", "CIRCLE_W3S_API_KEY", "CIRCLE_W3S_ENTITY_SECRET"),
    *("AGENT_CIRCLE_MINT_API_KEY", "AGENT_DERIVATION_SECRET"),
)
"""Whoever takes over the process that faces the internet must find none of these."""

LOOPBACK = ("127.0.0.1:", "localhost:")
PORT_MOST = 65_535


@dataclass(frozen=True, slots=True)
class IntakeAccess:
    """`database_url` names PostgreSQL: an SQLite file belongs to one process. `metrics_listen` is empty where nobody
    scrapes; `metrics_hosts` are the names by which a scraper on another machine calls it."""

    webhook_secrets: tuple[str, ...] = field(repr=False)
    database_url: str = field(repr=False)
    live: bool
    listen: str
    metrics_listen: str
    metrics_hosts: tuple[str, ...]
    log_level: str


def load_intake_access(environ: Mapping[str, str] | None = None) -> IntakeAccess:
    """Read them as `load_settings` would, from the environment or from secret files. Raises SettingsError, also when
    one of MUST_NOT_HAVE is at hand."""
    env = dict(os.environ if environ is None else environ)  # noqa: TID251 (settings are read here)
    _refuse_keys(env)
    fields = Settings.model_fields
    database = _secret("DATABASE_URL", env)
    if re.match(r"postgres(ql)?(\+asyncpg)?://", database) is None:
        raise SettingsError(
            "DATABASE_URL: the intake shares a PostgreSQL with the daemon, and an SQLite file has one process"
        )
    secrets = listed(_secret("STRIPE_WEBHOOK_SECRET", env))
    if not secrets or any(not secret.startswith("whsec_") for secret in secrets):
        raise SettingsError("STRIPE_WEBHOOK_SECRET: one or more secrets that start with whsec_, separated by commas")
    listen = env.get("AGENT_LISTEN", fields["agent_listen"].default)
    if not _is_address(listen):
        raise SettingsError("AGENT_LISTEN: an address like 127.0.0.1:8080")
    return IntakeAccess(
        webhook_secrets=secrets,
        database_url=database,
        live=_truth("CIRCLE_W3S_PRODUCTION", env),
        listen=listen,
        metrics_listen=_scraped_at(env),
        metrics_hosts=listed(env.get("AGENT_ADMIN_HOSTS", "")),
        log_level=env.get("AGENT_LOG_LEVEL", fields["agent_log_level"].default),
    )


def _scraped_at(env: Mapping[str, str]) -> str:
    """Beyond loopback only where the operator says that the network is his own, as a container's is: no token is asked
    for."""
    default: str = Settings.model_fields["agent_intake_metrics_listen"].default
    found = env.get("AGENT_INTAKE_METRICS_LISTEN", default).strip()
    if found and not (_is_address(found) and (found.startswith(LOOPBACK) or _truth("AGENT_ALLOW_PUBLIC_ADMIN", env))):
        raise SettingsError(
            "AGENT_INTAKE_METRICS_LISTEN: a loopback address like 127.0.0.1:8082, or empty; it asks for no token, "
            "so elsewhere only with AGENT_ALLOW_PUBLIC_ADMIN=true"
        )
    return found


def _truth(name: str, env: Mapping[str, str]) -> bool:
    told = env.get(name, "false").strip().lower()
    if told not in ("true", "false"):
        raise SettingsError(f"{name}: is true or false")
    return told == "true"


def _is_address(text: str) -> bool:
    return re.fullmatch(r"[^\s:]+:[0-9]{1,5}", text) is not None and int(text.rsplit(":", 1)[1]) <= PORT_MOST


def _refuse_keys(env: Mapping[str, str]) -> None:
    folder = env.get("CREDENTIALS_DIRECTORY")
    for name in MUST_NOT_HAVE:
        if env.get(name) or env.get(f"{name}_FILE") or (folder and (Path(folder) / name).exists()):
            raise SettingsError(f"{name}: the intake must not have this key; take it out of its environment and files")


def _secret(name: str, env: Mapping[str, str]) -> str:
    text = (env.get(name) or _from_file(name, env) or "").strip()
    if not text:
        raise SettingsError(f"{name}: is not set; see docs/SETTINGS.md")
    return text
