"""What one decoded transaction did to the platform wallet, as rows to be booked. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

from domain.ledger import Asset
from indexer.effects.errors import MalformedAnswer
from indexer.effects.facts import TransactionFacts
from indexer.effects.match import account_changes
from storage.treasury.movement_rows import Movement

_BIGINT = range(-(2**63), 2**63)
_LAST_SECOND = 253_402_300_799
"""End of the year 9999, the last that a datetime knows."""


def usdc_movement(facts: TransactionFacts, account: str, usdc_mint: str) -> Movement | None:
    """What a transaction did to a USDC account; None where nothing changed. Raises MalformedAnswer."""
    ours = [one for one in account_changes(facts, account) if one.mint == usdc_mint]
    amount = sum(one.delta for one in ours)
    owners = {other.owner for one in ours for other in one.counterparties}
    return _movement(facts, account, Asset.USDC, amount, owners.pop() if len(owners) == 1 else None)


def lamport_movement(facts: TransactionFacts, wallet: str) -> Movement | None:
    """What a transaction did to a wallet's lamports, its fee and the rents it paid included. Raises MalformedAnswer."""
    amount = sum(one.delta for one in facts.lamport_movements if one.account == wallet)
    return _movement(facts, wallet, Asset.SOL, amount, None)


@dataclass(frozen=True, slots=True)
class BeforeAndAfter:
    """What an account held before and after a transaction."""

    before: int
    after: int


def usdc_held(facts: TransactionFacts, account: str, usdc_mint: str) -> BeforeAndAfter | None:
    """Base units in a token account; None where it was not one of USDC from beginning to end, or is not named."""
    ours = [one for one in (*facts.token_movements, *facts.tokens_kept) if one.account == account]
    if len(ours) != 1 or ours[0].mint != usdc_mint:
        return None
    return BeforeAndAfter(ours[0].before or 0, ours[0].after or 0)


def lamports_held(facts: TransactionFacts, wallet: str) -> BeforeAndAfter | None:
    """None where the wallet is not named."""
    ours = [one for one in (*facts.lamport_movements, *facts.lamports_kept) if one.account == wallet]
    return BeforeAndAfter(ours[0].before, ours[0].after) if len(ours) == 1 else None


def moment(facts: TransactionFacts) -> datetime | None:
    """When its block was made, as the validators voted it; None where the node does not say. Raises MalformedAnswer."""
    if facts.block_time is None:
        return None
    if not 0 <= facts.block_time <= _LAST_SECOND:
        raise MalformedAnswer(f"malformed answer: blockTime {facts.block_time} of {facts.signature} is no time")
    return datetime.fromtimestamp(facts.block_time, UTC)


def _movement(
    facts: TransactionFacts, account: str, asset: Asset, amount: int, counterparty: str | None
) -> Movement | None:
    if not amount:
        return None
    if amount not in _BIGINT or facts.slot not in _BIGINT:
        raise MalformedAnswer(f"malformed answer: {facts.signature} moves {amount} in slot {facts.slot}")
    return Movement(facts.signature, account, asset, amount, facts.slot, moment(facts), counterparty)
