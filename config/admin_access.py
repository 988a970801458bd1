"""What a command needs to speak to a running daemon: two settings, so that no other secret has to be at hand."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from config.settings import Settings, SettingsError, _from_file, _from_toml

URL, TOKEN = "AGENT_ADMIN_URL", "AGENT_ADMIN_TOKEN"


@dataclass(frozen=True, slots=True)
class AdminAccess:
    """`url` has no slash at its end. An empty token is left for the daemon to refuse."""

    url: str
    token: str = field(repr=False)


def load_admin_access(environ: Mapping[str, str] | None = None) -> AdminAccess:
    """Read the admin port's address and token as `load_settings` would. Raises SettingsError."""
    env = dict(os.environ if environ is None else environ)  # noqa: TID251 (settings are read here)
    toml = _from_toml(env.get("AGENT_CONFIG"))
    default = Settings.model_fields["agent_admin_url"].default
    url = str(env.get(URL) or toml.get(URL.lower()) or default).strip().rstrip("/")
    token = str(env.get(TOKEN) or _from_file(TOKEN, env) or toml.get(TOKEN.lower()) or "").strip()
    return AdminAccess(_checked_url(url), _checked_token(token))


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise SettingsError(f"{URL}: an address like http://127.0.0.1:8081")
    return url


def _checked_token(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(f"{TOKEN}: a token has plain characters only; was something else pasted with it?")
    return token
