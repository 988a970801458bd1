"""All settings: one frozen object, read once at the start from the environment, a TOML file and secret files.

Names are the environment variables of the product (product.md, section 10); what is not listed there carries the
prefix `AGENT_`. In the TOML file (`AGENT_CONFIG`) keys are the same names in lower case. A secret may also be given as
`<NAME>_FILE`, or as a file of that name in systemd's credentials folder. Order: environment, secret file, TOML.
"""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from config.confidential import confidential_parts
from config.contradictions import contradictions
from config.hosts import MINT_SANDBOX_URL, MINT_URL
from config.lists import listed, numbers

MAINNET_GENESIS = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
DEVNET_GENESIS = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"
"""Genesis hashes of Solana's clusters: what an RPC answers to getGenesisHash."""
MAINNET_USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
LIVE_PRIORITY_FEE_LAMPORTS = 100_000
"""A cent or two; a transaction that lands at once bids what others do, which is mostly nothing."""
DEVNET_USDC = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"
MAINNET_USDC_TOKEN_ID = "33ca4ef6-2500-5d79-82bf-e3036139cc29"  # noqa: S105 (a public id of Circle's)
DEVNET_USDC_TOKEN_ID = "8fb3cadb-0ef4-573d-8fcd-e194f961c728"  # noqa: S105 (a public id of Circle's)
SECRET_NAMES = frozenset(
    {
        "STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "CIRCLE_W3S_API_KEY",
        "CIRCLE_W3S_ENTITY_SECRET",
        "AGENT_DERIVATION_SECRET",
        "CLOUDINARY_URL",
        "DATABASE_URL",
        "AGENT_ADMIN_TOKEN",
        "AGENT_METRICS_TOKEN",
        "AGENT_ALERT_WEBHOOK_URL",
        "AGENT_CIRCLE_MINT_API_KEY",
        "AGENT_INVITE_CODES",
        "SOLANA_RPC_URLS",
        "SOLANA_WS_URL",
    }
)
DERIVATION_SECRET_LEAST = 32
"""Characters; below 128 bits of hex it could be guessed, and with it every mint address."""
SECRET_MODE_FORBIDDEN = stat.S_IRWXG | stat.S_IRWXO


class SettingsError(Exception):
    """A setting is missing, malformed or contradicts another. The text names the variable and the remedy."""


class Settings(BaseModel):
    """Every setting of the daemon. Amounts are integers: cents, base units, lamports, basis points."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    stripe_secret_key: SecretStr
    stripe_publishable_key: str = ""
    stripe_webhook_secret: SecretStr
    circle_w3s_api_key: SecretStr
    circle_w3s_entity_id: str = ""
    circle_w3s_entity_secret: SecretStr
    circle_w3s_platform_wallet_id: str
    circle_w3s_production: bool = False
    cloudinary_url: SecretStr = SecretStr("")
    solana_rpc_urls: SecretStr
    """RPC providers put the customer's key into the address."""
    solana_ws_url: SecretStr = SecretStr("")
    database_url: SecretStr = SecretStr("sqlite:///data/agent.db")
    public_base_url: str
    agent_derivation_secret: SecretStr

    agent_stripe_api_url: str = "https://api.stripe.com"
    agent_circle_api_url: str = "https://api.circle.com"
    agent_circle_pin_url: str = "https://pw-auth.circle.com"
    agent_listen: str = "127.0.0.1:8080"
    agent_admin_listen: str = "127.0.0.1:8081"
    agent_admin_url: str = "http://127.0.0.1:8081"
    agent_admin_token: SecretStr = SecretStr("")
    agent_metrics_token: SecretStr = SecretStr("")
    agent_admin_hosts: str = ""
    agent_intake_metrics_listen: str = "127.0.0.1:8082"
    agent_allow_public_admin: bool = False
    agent_trusted_proxies: str = ""
    agent_invite_codes: SecretStr = SecretStr("")
    agent_user_wallets: Literal["user", "developer"] = "user"
    agent_wallet_set_id: str = ""
    agent_grouping: Literal["purchase", "creator"] = "purchase"
    agent_rail: Literal["circle", "solana"] = "circle"
    agent_payout_mode: Literal["weekly", "realtime"] = "weekly"
    agent_atomic_settlement: bool = False
    agent_packed_format: Literal["v0", "v1"] = "v0"
    agent_packed_memo: bool = False
    agent_packed_fee_ceiling_lamports: int = Field(20_000_000, ge=5_000)
    agent_priority_fee_lamports: int | None = Field(None, ge=0)
    agent_sol_price_cents: int = Field(15_000, ge=0)
    agent_receipt_days: int = Field(90, ge=1)
    agent_creator_bps: int = Field(9_000, ge=0, le=10_000)
    agent_rounding_step: int = Field(10_000, ge=1, le=1_000_000)
    agent_rounding: Literal["half_up", "down", "up"] = "half_up"
    agent_payout_minimum: int = Field(10_000, ge=1)
    agent_require_available: bool | None = None
    agent_hold_days: int = Field(0, ge=0, le=365)
    agent_approvers: int = Field(1, ge=1, le=2)
    agent_cap_payout: int = Field(0, ge=0)
    agent_cap_batch: int = Field(0, ge=0)
    agent_cap_day: int = Field(0, ge=0)
    agent_conversion: Literal["manual", "circle_mint"] = "manual"
    agent_circle_mint_api_url: str = ""
    agent_circle_mint_api_key: SecretStr = SecretStr("")
    agent_cap_conversion: int = Field(0, ge=0)
    agent_cap_conversion_day: int = Field(0, ge=0)
    agent_address_cool_off_hours: int = Field(24, ge=0)
    agent_screening_deny: str = ""
    agent_mint_wait_days: int = Field(14, ge=1)
    agent_attempts_max: int = Field(8, ge=1, le=100)
    agent_retries_max: int = Field(20, ge=1, le=1_000)
    agent_mint_fee_ceiling_lamports: int = Field(20_000_000, ge=5_000)
    agent_network_cost_cents: int = Field(100, ge=0)
    agent_refuse_unprofitable: bool = False
    agent_argon2_memory_kib: int = Field(19_456, ge=8)
    agent_argon2_iterations: int = Field(2, ge=1)
    agent_session_days: int = Field(30, ge=1)
    agent_console_hours: int = Field(8, ge=1, le=168)
    agent_balance_alert_usdc: int = Field(500_000_000, ge=0)
    agent_balance_alert_lamports: int = Field(500_000_000, ge=0)
    agent_alert_webhook_url: SecretStr = SecretStr("")
    agent_slot_ms: int = Field(200, ge=5, le=10_000)
    agent_rpc_per_second: str = "10"
    agent_rpc_weights: str = ""
    agent_nft_watch_minutes: int = Field(60, ge=1, le=43_200)
    agent_treasury_poll_ms: int = Field(30_000, ge=50, le=86_400_000)
    agent_idle_seconds: int = Field(30, ge=1, le=86_400)
    agent_circle_limits: Literal["real", "fast"] = "real"
    agent_nft_symbol: str = Field("RBLK", min_length=1, max_length=10)
    agent_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    agent_backup_recipient: str = ""
    agent_contract_report: str = ""
    agent_skip_contract_report: bool = False

    @property
    def live(self) -> bool:
        """Real money: `CIRCLE_W3S_PRODUCTION`."""
        return self.circle_w3s_production

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        return listed(self.stripe_webhook_secret.get_secret_value())

    @property
    def rpc_urls(self) -> tuple[str, ...]:
        return listed(self.solana_rpc_urls.get_secret_value())

    @property
    def rpc_rates(self) -> tuple[int, ...]:
        """Requests a second, one for each RPC address."""
        rates = numbers(self.agent_rpc_per_second)
        return rates * len(self.rpc_urls) if len(rates) == 1 else rates

    @property
    def rpc_weights(self) -> tuple[int, ...]:
        """One for each RPC address; empty: the first is asked, the others are its reserve."""
        return numbers(self.agent_rpc_weights)

    @property
    def ws_url(self) -> str:
        return self.solana_ws_url.get_secret_value()

    @property
    def confidential(self) -> frozenset[str]:
        """Every text that no log line may show, and the parts of keys and addresses that could leak alone."""
        held = (getattr(self, name) for name in type(self).model_fields)
        texts = [value.get_secret_value() for value in held if isinstance(value, SecretStr)]
        for key in (self.circle_w3s_api_key, self.agent_circle_mint_api_key):
            texts += key.get_secret_value().split(":")[1:]
        return frozenset(
            found for text in texts for part in (text, *listed(text)) for found in confidential_parts(part)
        )

    @property
    def invite_codes(self) -> tuple[str, ...]:
        return listed(self.agent_invite_codes.get_secret_value())

    @property
    def denied_addresses(self) -> frozenset[str]:
        return frozenset(listed(self.agent_screening_deny))

    @property
    def admin_hosts(self) -> tuple[str, ...]:
        """Host headers that the admin port answers to."""
        url_host = re.sub(r"^https?://", "", self.agent_admin_url).rstrip("/")
        return tuple(dict.fromkeys((*listed(self.agent_admin_hosts), url_host, self.agent_admin_listen)))

    @property
    def trusted_proxies(self) -> tuple[str, ...]:
        """Addresses and networks whose word on who calls is believed."""
        return listed(self.agent_trusted_proxies)

    @property
    def require_available(self) -> bool:
        """Pay only once Stripe's money is available: on in live unless set."""
        return self.live if self.agent_require_available is None else self.agent_require_available

    @property
    def priority_fee_lamports(self) -> int:
        """Most that one transaction of ours bids for its place: in live something unless set."""
        live = LIVE_PRIORITY_FEE_LAMPORTS if self.live else 0
        return live if self.agent_priority_fee_lamports is None else self.agent_priority_fee_lamports

    @property
    def alerts_directly(self) -> bool:
        """Balance alerts go to a chat by themselves."""
        return bool(self.agent_alert_webhook_url.get_secret_value())

    @property
    def pays_in_real_time(self) -> bool:
        """Sales are paid as soon as they are minted, within the caps."""
        return self.agent_payout_mode == "realtime"

    @property
    def converts(self) -> bool:
        """Dollars are turned into USDC through Circle Mint."""
        return self.agent_conversion == "circle_mint"

    @property
    def circle_mint_url(self) -> str:
        return self.agent_circle_mint_api_url or (MINT_URL if self.live else MINT_SANDBOX_URL)

    @property
    def grouping(self) -> str:
        """One transfer for each purchase or for each creator; a packed payout is always a creator's."""
        return "creator" if self.agent_rail == "solana" else self.agent_grouping

    @property
    def blockchain(self) -> str:
        """Circle's name of the chain."""
        return "SOL" if self.live else "SOL-DEVNET"

    @property
    def usdc_mint(self) -> str:
        return MAINNET_USDC if self.live else DEVNET_USDC

    @property
    def usdc_token_id(self) -> str:
        return MAINNET_USDC_TOKEN_ID if self.live else DEVNET_USDC_TOKEN_ID

    @property
    def genesis_hash(self) -> str:
        return MAINNET_GENESIS if self.live else DEVNET_GENESIS

    @field_validator("agent_derivation_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < DERIVATION_SECRET_LEAST:
            raise ValueError(
                f"needs at least {DERIVATION_SECRET_LEAST} characters; make one with `openssl rand -hex 32`"
            )
        return value

    @field_validator("circle_w3s_entity_secret")
    @classmethod
    def _entity_secret_form(cls, value: SecretStr) -> SecretStr:
        if re.fullmatch(r"[0-9a-fA-F]{64}", value.get_secret_value()) is None:
            raise ValueError("is 64 hexadecimal digits (32 bytes), as registered in Circle's console")
        return value

    @field_validator("agent_rpc_per_second", "agent_rpc_weights", mode="before")
    @classmethod
    def _one_number(cls, value: object) -> object:
        """A TOML file may have a single number without quotes."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("agent_listen", "agent_admin_listen")
    @classmethod
    def _address_form(cls, value: str) -> str:
        if re.fullmatch(r"[^\s:]+:[0-9]{1,5}", value) is None or int(value.rsplit(":", 1)[1]) > 65_535:
            raise ValueError("is an address like 127.0.0.1:8080")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        problems = contradictions(self)
        if problems:
            raise ValueError(problems[0])
        return self


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read all settings. Raises SettingsError with one line for each wrong variable, never with a secret in it."""
    env = dict(os.environ if environ is None else environ)  # noqa: TID251 (settings are read here, once)
    values = _from_toml(env.get("AGENT_CONFIG"))
    fields = Settings.model_fields
    for field in fields:
        name = field.upper()
        text = _from_file(name, env) if name in SECRET_NAMES else None
        text = env.get(name, text)
        if text is not None and (text.strip() or not fields[field].is_required()):
            values[field] = text.strip()
    _refuse_unknown(env, fields)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = _explain(error)
    raise SettingsError("\n".join(lines))  # outside the handler: the caught error holds the values


_PLAIN = {
    "missing": "is not set; see docs/SETTINGS.md",
    "extra_forbidden": "no such setting; check its spelling or remove it",
    "bool_parsing": "is true or false",
    "bool_type": "is true or false",
    "int_parsing": "is a whole number, written in digits",
    "int_type": "is a whole number, written in digits",
    "finite_number": "is a whole number, written in digits",
    "int_from_float": "is a whole number, written in digits",
    "string_type": "is a text; put it in quotes, several of them in one text separated by commas",
}
"""What pydantic finds, by its error type, as what to do about it."""


NOTHING_SET = (
    "nothing is set here: `set -a; . FILE` takes the settings from a file, as from the sandbox.env of a sandbox; "
    "`python main.py sandbox` needs none"
)
"""For whoever has just come, or has forgotten to read his settings in."""


def _explain(error: ValidationError) -> list[str]:
    required = [name.upper() for name, field in Settings.model_fields.items() if field.is_required()]
    everything = {f"{name}: {_PLAIN['missing']}" for name in required}
    lines = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        text = problem["msg"].removeprefix("Value error, ")
        name = ".".join(str(part) for part in problem["loc"]).upper()
        text = _PLAIN.get(problem["type"], text)
        lines.append(f"{name}: {text}" if name else text)
    return [*lines, NOTHING_SET] if everything <= set(lines) else lines


def _refuse_unknown(env: Mapping[str, str], fields: Mapping[str, Any]) -> None:
    known = {name.upper() for name in fields} | {"AGENT_CONFIG"} | {f"{name}_FILE" for name in SECRET_NAMES}
    unknown = sorted(name for name in env if name.startswith("AGENT_") and name not in known)
    if unknown:
        raise SettingsError(f"{unknown[0]}: no such setting; check its spelling or remove it")


def _from_toml(path: str | None) -> dict[str, Any]:
    if not path:
        return {}
    try:
        return {key.lower(): value for key, value in tomllib.loads(Path(path).read_text(encoding="utf-8")).items()}
    except OSError as error:
        why = error.strerror
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except tomllib.TOMLDecodeError as error:
        why = _place_in_toml(error)
    raise SettingsError(f"AGENT_CONFIG: {path} can't be read: {why}")  # outside the handlers, as above


def _place_in_toml(error: tomllib.TOMLDecodeError) -> str:
    """Where the file is wrong; the error's own words may quote a value."""
    place = re.search(r"\(at .*\)$", str(error))
    return f"it is not valid TOML {place.group()}" if place else "it is not valid TOML"


def _from_file(name: str, env: Mapping[str, str]) -> str | None:
    explicit = env.get(f"{name}_FILE")
    folder = env.get("CREDENTIALS_DIRECTORY")
    if explicit:
        path = Path(explicit)
    elif folder and (Path(folder) / name).is_file():
        path = Path(folder) / name
    else:
        return None
    try:
        if explicit and path.stat().st_mode & SECRET_MODE_FORBIDDEN:
            raise SettingsError(f"{name}_FILE: {path} is readable by others; `chmod 600` it")
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        why = error.strerror
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    raise SettingsError(f"{name}_FILE: {path} can't be read: {why}")  # outside the handlers, as above
