"""Stripe, Circle and the chain, each asked for something harmless with the keys that the daemon will use."""

import json
from collections.abc import AsyncIterator
from typing import Any

from agent.checkup.findings import Finding, failed, ok, skipped, warning
from agent.checkup.heard import Listener
from agent.stripe_endpoint import flaw
from config.settings import Settings
from domain.errors import PaymentSystemError, Rejected
from domain.money import format_usdc
from gateways.circle_api import CircleGateway, Rates, WalletFacts
from gateways.circle_mint import MintGateway
from gateways.stripe_api import StripeGateway
from ports.clock import Clock
from ports.ids import Ids
from ports.transport import HttpRequest, HttpResponse, TransportError

DEADLINE_SECONDS = 10.0
STRIPE_RIGHTS = {
    "checkout/sessions": "Checkout Sessions",
    "refunds": "Refunds",
    "payment_intents": "PaymentIntents",
    "charges": "Charges",
    "balance_transactions": "Balance transactions",
    "disputes": "Disputes",
    "events": "Events",
}
"""What the daemon reads, and how Stripe's dashboard calls the right."""
RIGHTS = "docs/runbooks/least-rights.md"
OTHER_KEY = "STRIPE_SECRET_KEY: copy it anew from Stripe's dashboard, of the right mode"
REACH = "check DNS, proxy and firewall of this machine"


async def stripe(settings: Settings, listener: Listener, clock: Clock) -> AsyncIterator[Finding]:
    try:
        balance = await _stripe(settings, listener, "balance")
        if balance.status == 401:
            yield failed("stripe", "Stripe does not know the key", OTHER_KEY)
            return
        told = _object(balance)
        if balance.status == 200 and told.get("livemode") is not settings.live:
            yield failed("stripe", "the key is of the other mode", OTHER_KEY)
            return
        lacking = [] if balance.status == 200 else ["Balance"]
        for path, name in STRIPE_RIGHTS.items():
            answer = await _stripe(settings, listener, f"{path}?limit=1")
            if answer.status != 200:
                lacking.append(name)
    except TransportError as error:
        yield failed("stripe", f"no answer: {error}", REACH)
        return
    if lacking:
        yield failed("stripe", f"the key may not read: {', '.join(lacking)}", f"add the rights: {RIGHTS}#stripe")
    else:
        yield ok("stripe", "answers, and the key may read what is needed")
    yield await _stripe_endpoint(settings, listener, clock)


async def _stripe_endpoint(settings: Settings, listener: Listener, clock: Clock) -> Finding:
    """A warning at most: events that no webhook brings are found by the sweep, up to an hour late."""
    check, key = "stripe endpoint", settings.stripe_secret_key.get_secret_value()
    try:
        found = await StripeGateway(listener, key, settings.agent_stripe_api_url, clock).webhook_endpoints()
    except PaymentSystemError as error:
        return skipped(check, f"can't be looked at: {error}; the key needs the right to read Webhook Endpoints")
    wrong = flaw(found, settings.public_base_url)
    return ok(check, "enabled, and told of every event that is needed") if wrong is None else warning(check, *wrong)


async def _stripe(settings: Settings, listener: Listener, path: str) -> HttpResponse:
    key = settings.stripe_secret_key.get_secret_value()
    url = f"{settings.agent_stripe_api_url}/v1/{path}"
    return await listener.send(HttpRequest("GET", url, {"authorization": f"Bearer {key}"}, b"", DEADLINE_SECONDS))


async def circle(
    settings: Settings, listener: Listener, clock: Clock, ids: Ids
) -> tuple[WalletFacts | None, list[Finding]]:
    """The platform wallet if it could be read, and what was found. The entity secret is tried by no read; the contract
    checks sign with it."""
    gateway = CircleGateway(
        listener,
        settings.agent_circle_api_url,
        settings.circle_w3s_api_key.get_secret_value(),
        settings.circle_w3s_entity_secret.get_secret_value(),
        ids,
        clock,
        Rates(),
    )
    try:
        wallet = await gateway.fetch_wallet(settings.circle_w3s_platform_wallet_id)
        await gateway.app_id()
    except Rejected as error:
        name = "CIRCLE_W3S_API_KEY" if error.code in {"401", "403"} else "CIRCLE_W3S_PLATFORM_WALLET_ID"
        return None, [failed("circle", str(error), f"{name}: compare it with Circle's console")]
    except PaymentSystemError as error:
        return None, [failed("circle", str(error), REACH)]
    if wallet.blockchain != settings.blockchain or wallet.custody_type != "DEVELOPER":
        text = f"the platform wallet is {wallet.custody_type} on {wallet.blockchain}"
        remedy = f"CIRCLE_W3S_PLATFORM_WALLET_ID: a developer-controlled wallet on {settings.blockchain}"
        return None, [failed("circle", text, remedy)]
    return wallet, [ok("circle", f"answers; the platform wallet is {wallet.address}")]


async def circle_mint(
    settings: Settings, listener: Listener, clock: Clock, ids: Ids, wallet: WalletFacts | None
) -> AsyncIterator[Finding]:
    """Nothing where conversion is manual."""
    if not settings.converts:
        return
    key = settings.agent_circle_mint_api_key.get_secret_value()
    gateway = MintGateway(listener, settings.circle_mint_url, key, ids, clock)
    try:
        available, wires, recipients = (
            await gateway.available(),
            await gateway.wire_instructions(),
            await gateway.recipients(),
        )
    except Rejected as error:
        yield failed("circle mint", str(error), "AGENT_CIRCLE_MINT_API_KEY: make one in Circle Mint's console")
        return
    except PaymentSystemError as error:
        yield failed("circle mint", str(error), REACH)
        return
    if wallet is None:
        yield skipped("circle mint", "the platform wallet's address is not known")
    elif not any((one.address, one.chain) == (wallet.address, "SOL") and one.is_verified for one in recipients):
        remedy = f"add {wallet.address} on SOL to the recipients in Circle Mint's console, and approve it"
        yield failed("circle mint", "the platform wallet is no verified recipient: nothing can be sent to it", remedy)
    elif not wires:
        yield warning("circle mint", "no bank account is linked", "link the one that wires in Circle Mint's console")
    else:
        yield ok("circle mint", f"answers, holds {format_usdc(available)} USDC, and may pay the platform wallet")


async def rpc(settings: Settings, listener: Listener) -> AsyncIterator[Finding]:
    """Each endpoint by its place in the setting: an address may hold the provider's key."""
    heights: dict[int, int] = {}
    for number, url in enumerate(settings.rpc_urls, 1):
        check = f"rpc {number}"
        try:
            genesis = await ask(listener, url, "getGenesisHash")
            height = await ask(listener, url, "getSlot", {"commitment": "finalized"})
            mint = await ask(listener, url, "getAccountInfo", settings.usdc_mint, {"encoding": "base64"})
        except (TransportError, ValueError) as error:
            yield failed(check, f"no usable answer: {error}", f"SOLANA_RPC_URLS, number {number}: {REACH}")
            continue
        if genesis != settings.genesis_hash:
            yield failed(check, "is of another cluster", f"SOLANA_RPC_URLS, number {number}: {settings.blockchain}")
        elif not isinstance(mint, dict) or mint.get("value") is None:
            yield failed(check, "does not know the USDC mint", f"SOLANA_RPC_URLS, number {number}: another provider")
        else:
            heights[number] = int(height)
            yield ok(check, f"answers, finalized slot {height}")
    behind = [number for number, height in heights.items() if max(heights.values()) - height > LAG_SLOTS_MOST]
    for number in behind:
        yield warning(f"rpc {number}", "lies behind the others", "another provider: its word comes too late")


LAG_SLOTS_MOST = 150
"""A blockhash's life."""


async def ask(listener: Listener, url: str, method: str, *params: Any) -> Any:
    """One JSON-RPC call's result. Raises TransportError or ValueError."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
    request = HttpRequest("POST", url, {"content-type": "application/json"}, body, DEADLINE_SECONDS)
    answer = await listener.send(request)
    told = _object(answer)
    if answer.status != 200 or "result" not in told:
        raise ValueError(f"{method} was answered with {answer.status}")
    return told["result"]


def _object(answer: HttpResponse) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
