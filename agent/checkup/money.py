"""What the platform wallet holds against what is wanted."""

from collections.abc import AsyncIterator

from agent.checkup.findings import Finding, ok, skipped, warning
from agent.checkup.heard import Listener
from agent.checkup.services import ask
from chain.addresses import ata
from config.settings import Settings
from domain.money import format_sol, format_usdc
from gateways.circle_api import WalletFacts
from ports.transport import TransportError

FINALIZED = {"commitment": "finalized"}


async def funding(settings: Settings, listener: Listener, wallet: WalletFacts | None) -> AsyncIterator[Finding]:
    """From the first endpoint that answers."""
    if wallet is None:
        yield skipped("funding", "the platform wallet's address is not known")
        return
    balances = await _balances(settings, listener, wallet.address)
    if balances is None:
        yield skipped("funding", "no RPC endpoint answers")
        return
    usdc, lamports = balances
    if lamports < settings.agent_balance_alert_lamports:
        yield warning("sol", f"{format_sol(lamports)} SOL", f"send SOL to {wallet.address}: mints are paid with it")
    else:
        yield ok("sol", f"{format_sol(lamports)} SOL")
    if usdc < settings.agent_balance_alert_usdc:
        yield warning("usdc", f"{format_usdc(usdc)} USDC", f"send USDC to {wallet.address}: creators are paid from it")
    else:
        yield ok("usdc", f"{format_usdc(usdc)} USDC")


async def _balances(settings: Settings, listener: Listener, owner: str) -> tuple[int, int] | None:
    account = ata(owner, settings.usdc_mint)
    for url in settings.rpc_urls:
        try:
            lamports = await ask(listener, url, "getBalance", owner, FINALIZED)
            found = await ask(listener, url, "getAccountInfo", account, {**FINALIZED, "encoding": "jsonParsed"})
            return _usdc(found), int(lamports["value"])
        except (TransportError, ValueError, KeyError, TypeError):
            continue
    return None


def _usdc(found: dict[str, object]) -> int:
    """Base units; an account that was never opened holds nothing."""
    value = found["value"]
    if not isinstance(value, dict):
        return 0
    return int(value["data"]["parsed"]["info"]["tokenAmount"]["amount"])
