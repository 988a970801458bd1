"""Settings that contradict each other: what each says is fine, both together are not."""

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING

from config.hosts import MINT_SANDBOX_URL, MINT_URL
from config.lists import listed

if TYPE_CHECKING:
    from config.settings import Settings

ADMIN_TOKEN_LEAST = 24
"""Characters; at six bits each more than 128 bits."""
_SOLANA_ADDRESS = r"[1-9A-HJ-NP-Za-km-z]{32,44}"
_ARGON2 = ((47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5))
"""OWASP's sets for Argon2id with one lane, as good as each other: KiB of memory, and passes."""


def contradictions(s: "Settings") -> list[str]:
    """One line for each, the most telling first: the variable and the remedy, never a secret."""
    return [*_wrong_keys(s), *_wrong_accounts(s), *_wrong_addresses(s), *_wrong_choices(s), *_wrong_conversion(s)]


def _wrong_keys(s: "Settings") -> list[str]:
    wanted, flag = ("LIVE", "true") if s.live else ("TEST", "false")
    found: list[str] = []
    circle_key = s.circle_w3s_api_key.get_secret_value()
    if re.fullmatch(r"(TEST|LIVE)_API_KEY:[^:]+:[^:]+", circle_key) is None:
        found.append("CIRCLE_W3S_API_KEY: has the form TEST_API_KEY:<id>:<secret> or LIVE_API_KEY:<id>:<secret>")
    elif not circle_key.startswith(wanted):
        found.append(
            f"CIRCLE_W3S_API_KEY: with CIRCLE_W3S_PRODUCTION={flag} it is a {wanted}_API_KEY; change one of them"
        )
    stripe_key = s.stripe_secret_key.get_secret_value()
    if re.match(r"(sk|rk)_(test|live)_", stripe_key) is None:
        found.append("STRIPE_SECRET_KEY: starts with sk_test_, rk_test_, sk_live_ or rk_live_")
    elif f"_{wanted.lower()}_" not in stripe_key[:9]:
        found.append(
            f"STRIPE_SECRET_KEY: with CIRCLE_W3S_PRODUCTION={flag} it is a {wanted.lower()} key; change one of them"
        )
    if not s.webhook_secrets or any(not secret.startswith("whsec_") for secret in s.webhook_secrets):
        found.append("STRIPE_WEBHOOK_SECRET: one or more secrets that start with whsec_, separated by commas")
    return found


def _wrong_accounts(s: "Settings") -> list[str]:
    """What is taken for clients of one's own: a secret in the place of what everybody may read is refused."""
    mode, found = "live" if s.live else "test", []
    if s.stripe_publishable_key and not s.stripe_publishable_key.startswith(f"pk_{mode}_"):
        found.append(f"STRIPE_PUBLISHABLE_KEY: starts with pk_{mode}_, as CIRCLE_W3S_PRODUCTION says; or empty")
    cloudinary = s.cloudinary_url.get_secret_value()
    if cloudinary and not cloudinary.startswith("cloudinary://"):
        found.append("CLOUDINARY_URL: has the form cloudinary://<key>:<secret>@<cloud>; or empty")
    return found


def _wrong_addresses(s: "Settings") -> list[str]:
    found: list[str] = []
    for name, url in (
        ("AGENT_STRIPE_API_URL", s.agent_stripe_api_url),
        ("AGENT_CIRCLE_API_URL", s.agent_circle_api_url),
        ("AGENT_CIRCLE_PIN_URL", s.agent_circle_pin_url),
    ):
        if s.live and not url.startswith("https://"):
            found.append(f"{name}: live keys are sent over https only")
    if not s.rpc_urls or any(re.match(r"https?://", url) is None for url in s.rpc_urls):
        found.append("SOLANA_RPC_URLS: one or more http(s) addresses, separated by commas; two providers are better")
    found += _wrong_shares(s)
    if s.ws_url and re.match(r"wss?://", s.ws_url) is None:
        found.append("SOLANA_WS_URL: a ws(s) address, or empty to poll only")
    if re.match(r"https?://[^/]+", s.public_base_url) is None:
        found.append("PUBLIC_BASE_URL: the http(s) address under which buyers reach the shop")
    alerts = s.agent_alert_webhook_url.get_secret_value()
    if alerts and re.match(r"https?://[^/]+", alerts) is None:
        found.append("AGENT_ALERT_WEBHOOK_URL: the http(s) address of a Slack-compatible incoming webhook, or empty")
    if s.live and alerts.startswith("http://"):
        found.append("AGENT_ALERT_WEBHOOK_URL: its address is a secret, so in live over https only")
    admin_host = s.agent_admin_listen.rsplit(":", 1)[0]
    if admin_host not in {"127.0.0.1", "localhost", "[::1]"} and not s.agent_allow_public_admin:
        found.append("AGENT_ADMIN_LISTEN: not a loopback address; set AGENT_ALLOW_PUBLIC_ADMIN=true only behind TLS")
    if not all(_is_some_network(text) for text in s.trusted_proxies):
        found.append(
            "AGENT_TRUSTED_PROXIES: addresses or networks of your proxies, like 127.0.0.1 or 10.1.2.0/24, separated by "
            "commas; never everybody"
        )
    return found


def _is_some_network(text: str) -> bool:
    """An address, or a network that is not the whole internet: whoever is trusted may say who he is."""
    try:
        return ip_network(text).prefixlen > 0
    except ValueError:
        return False


def _wrong_shares(s: "Settings") -> list[str]:
    """What is said of each RPC address: as many numbers as there are addresses."""
    found: list[str] = []
    count, digits = len(s.rpc_urls), re.compile(r"\d{1,5}")
    rates, weights = listed(s.agent_rpc_per_second), listed(s.agent_rpc_weights)
    if not all(digits.fullmatch(rate) and 1 <= int(rate) <= 10_000 for rate in rates) or len(rates) not in {1, count}:
        found.append(
            f"AGENT_RPC_PER_SECOND: one number from 1 to 10000, or {count} separated by commas, one an address"
        )
    proper = all(digits.fullmatch(weight) and int(weight) <= 1_000 for weight in weights)
    if weights and not (proper and len(weights) == count and any(int(weight) for weight in weights)):
        found.append(
            f"AGENT_RPC_WEIGHTS: empty, or {count} numbers from 0 to 1000 separated by commas, not all of them 0"
        )
    return found


def _wrong_choices(s: "Settings") -> list[str]:
    found: list[str] = []
    tokens = {"AGENT_ADMIN_TOKEN": s.agent_admin_token, "AGENT_METRICS_TOKEN": s.agent_metrics_token}
    for name, secret in tokens.items():
        if 0 < len(secret.get_secret_value()) < ADMIN_TOKEN_LEAST:
            found.append(f"{name}: needs at least {ADMIN_TOKEN_LEAST} random characters")
    if s.agent_metrics_token.get_secret_value() and s.agent_metrics_token == s.agent_admin_token:
        found.append("AGENT_METRICS_TOKEN: is the admin token; give the scraper one of its own")
    if s.live and (s.agent_rail == "solana" or s.agent_atomic_settlement) and not s.denied_addresses:
        found.append(
            "AGENT_SCREENING_DENY: screening is off, and what Circle only signs it does not screen; name the addresses "
            "that must never be paid, or use AGENT_RAIL=circle and AGENT_ATOMIC_SETTLEMENT=false"
        )
    if not all(re.fullmatch(_SOLANA_ADDRESS, address) for address in s.denied_addresses):
        found.append("AGENT_SCREENING_DENY: Solana addresses, separated by commas; one that is none would stop nobody")
    if s.live and not any(s.agent_argon2_memory_kib >= kib and s.agent_argon2_iterations >= n for kib, n in _ARGON2):
        found.append("AGENT_ARGON2_MEMORY_KIB: passwords would be hashed with less than OWASP's least; leave it out")
    if s.agent_backup_recipient and re.fullmatch(r"age1[0-9a-z]{58}", s.agent_backup_recipient) is None:
        found.append("AGENT_BACKUP_RECIPIENT: the public key that `age-keygen` prints (age1…), or empty")
    if s.agent_atomic_settlement and s.agent_payout_mode != "realtime":
        found.append("AGENT_ATOMIC_SETTLEMENT: pays sales at once, so it needs AGENT_PAYOUT_MODE=realtime")
    if s.agent_user_wallets == "developer" and not s.agent_wallet_set_id:
        found.append("AGENT_WALLET_SET_ID: needed with AGENT_USER_WALLETS=developer; the set of the platform wallet")
    return found


def _wrong_conversion(s: "Settings") -> list[str]:
    """What Circle Mint needs; with `manual` nothing of it is used, whatever is set."""
    if not s.converts:
        return []
    found: list[str] = []
    key, url = s.agent_circle_mint_api_key.get_secret_value(), s.circle_mint_url
    mode, others = ("live", ("TEST_", "SAND_")) if s.live else ("test", ("LIVE_",))
    if not key:
        found.append(
            "AGENT_CIRCLE_MINT_API_KEY: needed with AGENT_CONVERSION=circle_mint; Circle Mint's console makes it"
        )
    elif key.startswith(others):
        found.append(f"AGENT_CIRCLE_MINT_API_KEY: is of the other mode; this installation is {mode}")
    if re.match(r"https?://[^/]+", url) is None or (s.live and not url.startswith("https://")):
        found.append("AGENT_CIRCLE_MINT_API_URL: the http(s) address of Circle Mint, in live over https only; or empty")
    elif url.rstrip("/") == (MINT_SANDBOX_URL if s.live else MINT_URL):
        found.append(f"AGENT_CIRCLE_MINT_API_URL: is of the other mode; this installation is {mode}; leave it empty")
    for name, cap in (
        ("AGENT_CAP_CONVERSION", s.agent_cap_conversion),
        ("AGENT_CAP_CONVERSION_DAY", s.agent_cap_conversion_day),
    ):
        if not cap:
            found.append(f"{name}: needed with AGENT_CONVERSION=circle_mint: what it may move at most, in base units")
    return found
