"""What is asked of Circle Mint with a sandbox key: what its documents leave open (reference/circle.md, section 10).

Skipped where AGENT_CONVERSION is manual, and never needed for a start: who does not convert through it needs none.
"""

from uuid import UUID

from agent.contract.check import Answer, Check, Failed, Finding, Skipped
from agent.contract.ground import Ground
from chain.addresses import ata
from domain.errors import PaymentSystemError, Retryable
from domain.money import format_usdc
from gateways.circle_mint import MintTransfer
from indexer.movements import usdc_movement
from indexer.readback import ReadBack

ORDERED_UNITS = 1_000_000
"""1.00 USDC."""
READ_BACK_SECONDS = 60.0
SECONDS = 600.0
"""Circle's sandbox sends in minutes."""
CHAIN = "SOL"
CONSOLE = "Circle Mint's console"


async def account(ground: Ground) -> Finding:
    """The key reads the balance and the linked bank account; the platform wallet is a verified recipient."""
    _require_on(ground)
    available, wires = await ground.mint.available(), await ground.mint.wire_instructions()
    await _recipient(ground)
    if not wires:
        raise Failed("no bank account is linked", f"link the one that wires in {CONSOLE}")
    return Finding(f"holds {format_usdc(available)} USDC, may pay the platform wallet")


async def transfer(ground: Ground) -> Finding:
    """A repeated order moves its USDC once, and what arrives is the amount that was ordered."""
    _require_on(ground)
    body = {
        "destination": {"type": "verified_blockchain", "addressId": await _recipient(ground)},
        "amount": {"amount": format_usdc(ORDERED_UNITS), "currency": "USD"},
    }
    if await ground.mint.available() < ORDERED_UNITS:
        raise Skipped("the account holds less than 1.00 USDC", "let a mock wire arrive: POST /v1/mocks/payments/wire")
    key = ground.ids.uuid()
    first, again = await ground.mint.order_transfer(key, body), await ground.mint.order_transfer(key, body)
    if again.id != first.id:
        raise Failed("the same key made two transfers", "report it: a lost answer could order twice")
    other = await _with_another_amount(ground, key, body)
    done = await _ended(ground, first)
    if not done.is_complete or done.signature is None:
        raise Failed(f"the transfer is {done.status}: {done.error_code}", f"look at it in {CONSOLE}")
    arrived = await _arrived(ground, done.signature)
    if arrived != ORDERED_UNITS:
        raise Failed(
            f"{format_usdc(ORDERED_UNITS)} USDC were ordered, {format_usdc(arrived)} arrived",
            "report it: fees are taken from the amount, and an order must be larger by them",
        )
    return Finding("ordered twice, sent once, arrived whole", {"mint_same_key_other_body": other})


def _require_on(ground: Ground) -> None:
    if not ground.settings.converts:
        raise Skipped("AGENT_CONVERSION is manual", "set AGENT_CONVERSION=circle_mint to ask Circle Mint")


async def _recipient(ground: Ground) -> str:
    address = ground.found.platform_address
    if address is None:
        raise Skipped("the platform wallet's address is not known", "mend circle.platform_wallet first")
    for one in await ground.mint.recipients():
        if (one.address, one.chain) == (address, CHAIN) and one.is_verified:
            return one.id
    raise Failed(
        "the platform wallet is no verified recipient", f"add {address} on {CHAIN} in {CONSOLE}, and approve it"
    )


async def _with_another_amount(ground: Ground, key: UUID, body: dict[str, dict[str, str]]) -> Answer:
    """What the key of one order answers to another."""
    larger = {**body, "amount": {**body["amount"], "amount": format_usdc(ORDERED_UNITS + 10_000)}}
    try:
        other = await ground.mint.order_transfer(key, larger)
    except PaymentSystemError as refusal:
        return f"refused: {refusal}"
    if other.units != ORDERED_UNITS:
        raise Failed("a known key ordered another transfer", "report it: a key no longer stands for one order")
    return "the old transfer"


async def _ended(ground: Ground, first: MintTransfer) -> MintTransfer:
    seen = first

    async def is_over() -> bool:
        nonlocal seen
        seen = await ground.mint.fetch_transfer(first.id)
        return seen.is_complete or seen.has_failed

    await ground.until(is_over, SECONDS, 2.0)
    return seen


async def _arrived(ground: Ground, signature: str) -> int:
    """Base units that the finalized transaction brought to the platform wallet; 0 if it never shows."""
    address, mint = ground.found.platform_address or "", ground.settings.usdc_mint
    witness, brought = ReadBack(ground.rpc, address, mint), 0

    async def is_shown() -> bool:
        nonlocal brought
        try:
            moved = usdc_movement(await witness.read_back(signature), ata(address, mint), mint)
        except Retryable:
            return False
        brought = 0 if moved is None else moved.amount
        return True

    await ground.until(is_shown, READ_BACK_SECONDS, 2.0)
    return brought


CHECKS = (
    Check(
        "circle_mint.account",
        "Can Circle Mint pay the platform wallet?",
        account,
        needed=False,
        after=("circle.platform_wallet",),
    ),
    Check(
        "circle_mint.transfer",
        "Does a repeated order move its USDC once, and whole; what does its key answer to another?",
        transfer,
        needed=False,
        after=("circle_mint.account",),
    ),
)
