"""Does a transaction do what was planned, and nothing beside it? Pure comparisons of facts with intents."""

from dataclasses import dataclass
from enum import StrEnum

from chain import programs
from chain.addresses import ata
from chain.nft_plan import NftPlan
from chain.packed_plan import PackedPlan
from indexer.effects.facts import NftMetadata, TokenMovement, TransactionFacts


class Mismatch(StrEnum):
    """Why a transaction is not the planned one."""

    FAILED_ON_CHAIN = "failed_on_chain"
    WRONG_SOURCE = "wrong_source"
    WRONG_DESTINATION = "wrong_destination"
    WRONG_AMOUNT = "wrong_amount"
    WRONG_PROGRAM = "wrong_program"
    OTHER_MOVEMENTS = "other_movements"
    NO_SUCH_MINT = "no_such_mint"
    NO_RECEIPT = "no_receipt"
    AUTHORITY_NOT_REMOVED = "authority_not_removed"
    WRONG_METADATA = "wrong_metadata"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is None when everything matches; `detail` is one line for the operator."""

    reason: Mismatch | None
    detail: str

    @property
    def matches(self) -> bool:
        """Whether the effect counts as the planned one."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class Counterparty:
    """Another token account that moved the other way in the same mint. `delta` in base units."""

    account: str
    owner: str | None
    delta: int


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What a transaction did to a token account: `delta` > 0 came in, < 0 went out. Base units."""

    account: str
    owner: str | None
    mint: str
    delta: int
    balance_after: int
    counterparties: tuple[Counterparty, ...]


def check_transfer(  # noqa: PLR0911 - one return for each way to differ
    facts: TransactionFacts,
    *,
    mint: str,
    source_owner: str,
    source_account: str,
    destination_owner: str,
    amount_base_units: int,
) -> Verdict:
    """Whether exactly this amount of `mint` went from the platform's token account to the owner's associated one.

    Any other movement of the mint in the same transaction is a mismatch: one transfer explains one payout. Who paid the
    fee does not matter (`is_sponsored`). Addresses as frozen in the intent.
    """
    if not facts.succeeded:
        return Verdict(Mismatch.FAILED_ON_CHAIN, f"{facts.signature} failed on chain: {facts.err}")
    destination = ata(destination_owner, mint, programs.TOKEN)
    moved = [one for one in facts.token_movements if one.mint == mint and one.delta]
    out = [one for one in moved if (one.account, one.owner) == (source_account, source_owner)]
    into = [one for one in moved if (one.account, one.owner) == (destination, destination_owner)]
    if len(out) != 1 or source_account != ata(source_owner, mint, programs.TOKEN):
        return Verdict(Mismatch.WRONG_SOURCE, f"nothing left {source_account} of {source_owner}; {_shown(moved)}")
    if len(into) != 1 or into[0] is out[0]:
        return Verdict(Mismatch.WRONG_DESTINATION, f"nothing reached {destination}; {_shown(moved)}")
    if {out[0].program, into[0].program} != {programs.TOKEN}:
        return Verdict(Mismatch.WRONG_PROGRAM, f"not moved by the Token program; {_shown(moved)}")
    if amount_base_units <= 0 or (out[0].delta, into[0].delta) != (-amount_base_units, amount_base_units):
        return Verdict(Mismatch.WRONG_AMOUNT, f"planned {amount_base_units} base units; {_shown(moved)}")
    if len(moved) != 2:
        return Verdict(Mismatch.OTHER_MOVEMENTS, f"other accounts moved beside the transfer; {_shown(moved)}")
    return Verdict(None, f"{amount_base_units} base units to {destination_owner} in {facts.signature}")


def check_landed(facts: TransactionFacts) -> Verdict:
    """Whether its instructions took effect, whatever they are."""
    if facts.succeeded:
        return Verdict(None, f"{facts.signature} took effect")
    return Verdict(Mismatch.FAILED_ON_CHAIN, f"{facts.signature} failed on chain: {facts.err}")


def check_packed(facts: TransactionFacts, plan: PackedPlan) -> Verdict:  # noqa: PLR0911 - as check_transfer
    """Whether this transaction made the plan's receipt and paid exactly the plan's owners, each at his own account."""
    if not facts.succeeded:
        return Verdict(Mismatch.FAILED_ON_CHAIN, f"{facts.signature} failed on chain: {facts.err}")
    if plan.receipt not in receipts_made(facts, plan.platform_wallet, plan.mint, plan.source_account):
        return Verdict(Mismatch.NO_RECEIPT, f"{facts.signature} makes no receipt at {plan.receipt}")
    moved = [one for one in facts.token_movements if one.mint == plan.mint and one.delta]
    out = [one for one in moved if (one.account, one.owner) == (plan.source_account, plan.platform_wallet)]
    if len(out) != 1:
        return Verdict(Mismatch.WRONG_SOURCE, f"nothing left {plan.source_account}; {_shown(moved)}")
    if {one.program for one in moved} != {programs.TOKEN}:
        return Verdict(Mismatch.WRONG_PROGRAM, f"not moved by the Token program; {_shown(moved)}")
    planned = {(ata(one.owner, plan.mint, programs.TOKEN), one.owner): one.amount for one in plan.transfers}
    got = {(one.account, one.owner): one.delta for one in moved if one is not out[0]}
    if got.keys() != planned.keys() or len(moved) != len(planned) + 1:
        return Verdict(Mismatch.WRONG_DESTINATION, f"other accounts moved than planned; {_shown(moved)}")
    if got != planned or out[0].delta != -plan.total:
        return Verdict(Mismatch.WRONG_AMOUNT, f"planned {plan.total} base units; {_shown(moved)}")
    return Verdict(None, f"{plan.total} base units to {len(planned)} owners in {facts.signature}")


def receipts_made(facts: TransactionFacts, wallet: str, mint: str, usdc_account: str) -> tuple[str, ...]:
    """Token accounts of the wallet, beside its associated one, that came into being: receipts of packed payouts."""
    return tuple(one.account for one in _side_accounts(facts, wallet, mint, usdc_account) if one.before is None)


def receipts_closed(facts: TransactionFacts, wallet: str, mint: str, usdc_account: str) -> tuple[str, ...]:
    """Those that ended."""
    return tuple(one.account for one in _side_accounts(facts, wallet, mint, usdc_account) if one.after is None)


def _side_accounts(facts: TransactionFacts, wallet: str, mint: str, usdc_account: str) -> list[TokenMovement]:
    if not facts.succeeded:
        return []
    mine = (wallet, mint, programs.TOKEN)
    found = [one for one in facts.token_movements if (one.owner, one.mint, one.program) == mine]
    return [one for one in found if one.account != usdc_account]


def check_mint(facts: TransactionFacts, plan: NftPlan) -> Verdict:  # noqa: PLR0911 - one return for each way to differ
    """Whether this transaction made the plan's NFT: one token, to the buyer, supply locked, metadata as planned."""
    if not facts.succeeded:
        return Verdict(Mismatch.FAILED_ON_CHAIN, f"{facts.signature} failed on chain: {facts.err}")
    made = next((one for one in facts.nft_mints if one.mint == plan.mint_address), None)
    if made is None:
        return Verdict(Mismatch.NO_SUCH_MINT, f"{facts.signature} makes no NFT at {plan.mint_address}")
    if made.program != programs.TOKEN_2022:
        return Verdict(Mismatch.WRONG_PROGRAM, f"{plan.mint_address} is not a Token-2022 mint")
    if (made.account, made.owner) != (plan.buyer_account, plan.buyer):
        return Verdict(Mismatch.WRONG_DESTINATION, f"the NFT went to {made.account} of {made.owner}, not to the buyer")
    if not made.authority_removed or made.freeze_authority is not None:
        return Verdict(Mismatch.AUTHORITY_NOT_REMOVED, f"{plan.mint_address} can still be minted or frozen")
    planned = NftMetadata(plan.name, plan.symbol, plan.uri)
    if made.metadata != planned or made.metadata_address != plan.mint_address:
        return Verdict(Mismatch.WRONG_METADATA, f"{plan.mint_address} says {made.metadata}, planned {planned}")
    return Verdict(None, f"{plan.mint_address} with {plan.buyer} in {facts.signature}")


def usdc_paid(facts: TransactionFacts, mint: str, wallet: str, account: str) -> tuple[tuple[str, int], ...] | None:
    """What the wallet's USDC account paid to whom, by owner and amount; None when USDC moved in any other way: into the
    account, to other accounts than the owners' associated ones, or between others."""
    if not facts.succeeded:
        return ()
    moved = [one for one in facts.token_movements if one.mint == mint and one.delta]
    legs = [one for one in moved if one.account != account]
    paid = tuple((one.owner, one.delta) for one in legs if one.owner is not None and one.delta > 0)
    at_home = all(one.owner is not None and one.account == ata(one.owner, mint, programs.TOKEN) for one in legs)
    left = sum(one.delta for one in moved if (one.account, one.owner) == (account, wallet))
    plain = at_home and len(paid) == len(legs) and {one.program for one in moved} <= {programs.TOKEN}
    return paid if plain and left == -sum(amount for _, amount in paid) else None


def platform_cost_lamports(facts: TransactionFacts, platform_wallet: str) -> int:
    """Lamports the platform wallet lost: fee and rents (`network_cost_lamports`); negative if it gained."""
    return -sum(one.delta for one in facts.lamport_movements if one.account == platform_wallet)


def is_sponsored(facts: TransactionFacts, source_owner: str) -> bool:
    """Whether somebody else (Circle's Gas Station) paid the fee of the owner's transfer."""
    return facts.fee_payer != source_owner


def account_changes(facts: TransactionFacts, account: str) -> tuple[AccountChange, ...]:
    """What a transaction did to a token account, for the treasury watch. Empty when it failed or left it as it was.

    Usually one; two where the account changed hands within the transaction. Counterparties are all accounts of the mint
    that moved the other way: with several, which of them it was is not the chain's to say.
    """
    if not facts.succeeded:
        return ()
    return tuple(
        AccountChange(account, one.owner, one.mint, one.delta, one.after or 0, _counterparties(facts, one))
        for one in facts.token_movements
        if one.account == account and one.delta
    )


def _counterparties(facts: TransactionFacts, ours: TokenMovement) -> tuple[Counterparty, ...]:
    return tuple(
        Counterparty(one.account, one.owner, one.delta)
        for one in facts.token_movements
        if one.mint == ours.mint and one.delta * ours.delta < 0
    )


def _shown(moved: list[TokenMovement]) -> str:
    shown = ", ".join(f"{one.account} of {one.owner}: {one.delta:+d}" for one in moved[:6])
    return f"moved: {shown or 'nothing'}"
