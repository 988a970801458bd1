"""What one decoded transaction did to the platform wallet, as rows to be booked. Pure."""

from datetime import UTC, datetime

from domain.ledger import Asset
from indexer.effects.facts import TransactionFacts
from indexer.effects.match import account_changes
from storage.movements import Movement


def usdc_movement(facts: TransactionFacts, account: str, usdc_mint: str) -> Movement | None:
    """What a transaction did to a USDC account; None where nothing changed."""
    ours = [one for one in account_changes(facts, account) if one.mint == usdc_mint]
    amount = sum(one.delta for one in ours)
    if not amount:
        return None
    owners = {other.owner for one in ours for other in one.counterparties}
    counterparty = owners.pop() if len(owners) == 1 else None
    return Movement(facts.signature, account, Asset.USDC, amount, facts.slot, moment(facts), counterparty)


def lamport_movement(facts: TransactionFacts, wallet: str) -> Movement | None:
    """What a transaction did to a wallet's lamports, its fee and the rents it paid included."""
    amount = sum(one.delta for one in facts.lamport_movements if one.account == wallet)
    if not amount:
        return None
    return Movement(facts.signature, wallet, Asset.SOL, amount, facts.slot, moment(facts))


def moment(facts: TransactionFacts) -> datetime | None:
    """When its block was made, as the validators voted it; None where the node does not say."""
    return None if facts.block_time is None else datetime.fromtimestamp(facts.block_time, UTC)
