"""The double-entry ledger: which accounts exist and which postings each movement makes.

An entry is a set of postings that sums to zero in each asset. Amounts are signed integers of the asset's smallest
unit: plus where value arrives, minus where it comes from. So what we own shows plus, what we owe shows minus.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import LedgerImbalance


class Asset(StrEnum):
    USD = "usd_cents"
    USDC = "usdc_base_units"
    SOL = "lamports"


STRIPE_PENDING = "stripe:pending"
"""Paid by cards, Stripe's fee not known yet."""
STRIPE_BALANCE = "stripe:balance"
STRIPE_FEES = "stripe:fees"
SALES = "sales"
SALES_DUE = "sales:due"
"""Counterpart of what a sale owes to creators and platform, in USDC."""
PLATFORM_SHARE = "platform:share"
TREASURY = "treasury"
"""The platform wallet's own USDC account and SOL."""
CONVERSION_CLEARING = "conversion:clearing"
"""USD out and USDC in pass here; what stays is fees, slippage and conversions on their way."""
OUTSIDE = "outside"
"""Movements of the platform wallet that are no payout of ours and no deposit, and what a person has settled by hand:
together nothing, where it left the wallet and was accepted as his own."""
WRITTEN_OFF = "written:off"
"""What recipients owed and an operator has forgiven."""
NETWORK_COSTS = "network:costs"


def owed_to(user_id: int) -> str:
    """The account of what we owe one recipient (minus = owed)."""
    return f"owed:{user_id}"


def debt_of(user_id: int) -> str:
    """The account of what a recipient got beyond his due (plus = he owes it)."""
    return f"debt:{user_id}"


@dataclass(frozen=True, slots=True)
class Posting:
    account: str
    asset: Asset
    amount: int


@dataclass(frozen=True, slots=True)
class Entry:
    """`key` is unique: the same movement is never booked twice. `subject` is the id of what it is about."""

    key: str
    kind: str
    subject: str
    postings: tuple[Posting, ...]


def balanced(entry: Entry) -> Entry:
    """The entry itself, or LedgerImbalance with the assets that do not sum to zero."""
    sums: dict[Asset, int] = defaultdict(int)
    for posting in entry.postings:
        sums[posting.asset] += posting.amount
    wrong = {asset.value: amount for asset, amount in sums.items() if amount}
    if wrong or not entry.postings:
        raise LedgerImbalance(f"entry {entry.key} does not balance: {wrong}")
    return entry


def imbalance(balances: Mapping[Asset, Sequence[int]]) -> int:
    """Sum over assets of the absolute sum of all account balances; 0 when the ledger holds."""
    return sum(abs(sum(amounts)) for amounts in balances.values())


def _entry(key: str, kind: str, subject: str, *postings: tuple[str, Asset, int]) -> Entry:
    return balanced(Entry(key, kind, subject, tuple(Posting(*row) for row in postings if row[2])))


def sale_paid(payment_intent_id: str, gross_cents: int) -> Entry:
    """A card paid; Stripe has the money, its fee is not known."""
    return _entry(
        f"paid:{payment_intent_id}",
        "sale_paid",
        payment_intent_id,
        (STRIPE_PENDING, Asset.USD, gross_cents),
        (SALES, Asset.USD, -gross_cents),
    )


def fee_final(payment_intent_id: str, gross_cents: int, fee_cents: int) -> Entry:
    """The balance transaction named the fee."""
    return _entry(
        f"fee:{payment_intent_id}",
        "fee_final",
        payment_intent_id,
        (STRIPE_PENDING, Asset.USD, -gross_cents),
        (STRIPE_BALANCE, Asset.USD, gross_cents - fee_cents),
        (STRIPE_FEES, Asset.USD, fee_cents),
    )


def sale_due(payment_intent_id: str, net_base_units: int, platform: int, owed: Mapping[int, int]) -> Entry:
    """Minted and priced: the net is owed, to recipients (user id → base units) and to the platform."""
    return _entry(
        f"due:{payment_intent_id}",
        "sale_due",
        payment_intent_id,
        (SALES_DUE, Asset.USDC, net_base_units),
        (PLATFORM_SHARE, Asset.USDC, -platform),
        *((owed_to(user), Asset.USDC, -amount) for user, amount in sorted(owed.items())),
    )


def refund_succeeded(refund_id: str, payment_intent_id: str, amount_cents: int) -> Entry:
    """Stripe gave money back to the buyer; its fee stays with it, the platform bears it."""
    return _entry(
        f"refund:{refund_id}",
        "refund_succeeded",
        payment_intent_id,
        (SALES, Asset.USD, amount_cents),
        (STRIPE_BALANCE, Asset.USD, -amount_cents),
    )


def due_changed(cause: str, payout_uuid: str, user_id: int, owed: int, debt: int) -> Entry:
    """What came back, or did not after all, changed one recipient's due by `owed + debt` (plus = less is due).

    `owed` of it had not been paid, `debt` had been: the recipient owes it now.
    """
    return _entry(
        f"due:{payout_uuid}:{cause}",
        "due_changed",
        payout_uuid,
        (owed_to(user_id), Asset.USDC, owed),
        (debt_of(user_id), Asset.USDC, debt),
        (SALES_DUE, Asset.USDC, -owed - debt),
    )


def debt_netted(key: str, payout_uuid: str, user_id: int, amount: int) -> Entry:
    """Debt used up part of a due (`amount` minus: it is undone)."""
    return _entry(
        key,
        "debt_netted",
        payout_uuid,
        (owed_to(user_id), Asset.USDC, amount),
        (debt_of(user_id), Asset.USDC, -amount),
    )


def settled_by_hand(key: str, payout_uuid: str, user_id: int, owed: int, debt: int) -> Entry:
    """A person paid a recipient beside his payout: `owed` of it was owed to him, `debt` was used up by debts in vain.
    From where does not matter: an outflow of the platform wallet that was his own is booked as gone outside."""
    return _entry(
        key,
        "settled_by_hand",
        payout_uuid,
        (owed_to(user_id), Asset.USDC, owed),
        (debt_of(user_id), Asset.USDC, debt),
        (OUTSIDE, Asset.USDC, -owed - debt),
    )


def debt_repaid(key: str, payout_uuid: str, user_id: int, amount: int, *, by_deposit: bool) -> Entry:
    """A recipient paid back what he owed: by a deposit, which was booked as a conversion's, or elsewhere."""
    return _entry(
        key,
        "debt_repaid",
        payout_uuid,
        (debt_of(user_id), Asset.USDC, -amount),
        (CONVERSION_CLEARING if by_deposit else OUTSIDE, Asset.USDC, amount),
    )


def debt_forgiven(key: str, payout_uuid: str, user_id: int, amount: int) -> Entry:
    """An operator wrote off what a recipient owed; `amount` minus: that debt is none any more, nor is it forgiven."""
    return _entry(
        key,
        "debt_forgiven",
        payout_uuid,
        (debt_of(user_id), Asset.USDC, -amount),
        (WRITTEN_OFF, Asset.USDC, amount),
    )


def dispute_money(dispute_id: str, cause: str, payment_intent_id: str, withdrawn: int, fee: int) -> Entry:
    """Stripe took a disputed amount and its fee (cents), or gave them back (minus). The platform bears the fee."""
    return _entry(
        f"dispute:{dispute_id}:{cause}",
        "dispute_money",
        payment_intent_id,
        (SALES, Asset.USD, withdrawn),
        (STRIPE_FEES, Asset.USD, fee),
        (STRIPE_BALANCE, Asset.USD, -withdrawn - fee),
    )


def conversion_sent(conversion_uuid: str, amount_cents: int) -> Entry:
    """The operator turned USD into USDC: the dollars left Stripe's balance for the clearing account."""
    return _entry(
        f"conversion:{conversion_uuid}",
        "conversion_sent",
        conversion_uuid,
        (CONVERSION_CLEARING, Asset.USD, amount_cents),
        (STRIPE_BALANCE, Asset.USD, -amount_cents),
    )


def conversion_withdrawn(conversion_uuid: str, amount_cents: int) -> Entry:
    """It had been announced by mistake: no dollars have left for it. Takes that entry back."""
    return _entry(
        f"conversion-withdrawn:{conversion_uuid}",
        "conversion_withdrawn",
        conversion_uuid,
        (CONVERSION_CLEARING, Asset.USD, -amount_cents),
        (STRIPE_BALANCE, Asset.USD, amount_cents),
    )


def usdc_deposit(signature: str, amount: int) -> Entry:
    """USDC arrived in the platform wallet, finalized."""
    return _entry(
        f"deposit:{signature}",
        "usdc_deposit",
        signature,
        (TREASURY, Asset.USDC, amount),
        (CONVERSION_CLEARING, Asset.USDC, -amount),
    )


def usdc_own(signature: str, amount: int) -> Entry:
    """So much of a deposit was the operator's own money, by his word: no dollars were converted for it."""
    return _entry(
        f"deposit-own:{signature}",
        "usdc_own",
        signature,
        (CONVERSION_CLEARING, Asset.USDC, amount),
        (OUTSIDE, Asset.USDC, -amount),
    )


def usdc_outside(signature: str, amount: int) -> Entry:
    """USDC left the platform wallet by no payout of ours; `amount` is positive."""
    return _entry(
        f"outside:{signature}",
        "usdc_outside",
        signature,
        (OUTSIDE, Asset.USDC, amount),
        (TREASURY, Asset.USDC, -amount),
    )


def payouts_distributed(signature: str, paid: Mapping[int, int]) -> Entry:
    """A finalized transfer, read back: what was owed is paid (user id → base units)."""
    return _entry(
        f"distributed:{signature}",
        "payouts_distributed",
        signature,
        (TREASURY, Asset.USDC, -sum(paid.values())),
        *((owed_to(user), Asset.USDC, amount) for user, amount in sorted(paid.items())),
    )


def network_cost(signature: str, kind: str, lamports: int) -> Entry:
    """What a transaction cost the platform wallet on chain: fee and rents."""
    return _entry(
        f"network:{signature}",
        f"network_{kind}",
        signature,
        (NETWORK_COSTS, Asset.SOL, lamports),
        (TREASURY, Asset.SOL, -lamports),
    )


def sol_moved(signature: str, lamports: int) -> Entry:
    """SOL came to the platform wallet (plus) or left it (minus) from or to outside."""
    return _entry(
        f"sol:{signature}",
        "sol_moved",
        signature,
        (TREASURY, Asset.SOL, lamports),
        (OUTSIDE, Asset.SOL, -lamports),
    )


def usdc_outside_claimed(signature: str, amount: int) -> Entry:
    """An outflow booked as `usdc_outside` turned out to be a payout of ours: takes that entry back."""
    return _entry(
        f"outside-claimed:{signature}",
        "usdc_outside_claimed",
        signature,
        (TREASURY, Asset.USDC, amount),
        (OUTSIDE, Asset.USDC, -amount),
    )


def sol_moved_claimed(signature: str, lamports: int) -> Entry:
    """SOL booked as `sol_moved` turned out to be the cost of a transaction of ours: takes that entry back."""
    return _entry(
        f"sol-claimed:{signature}",
        "sol_moved_claimed",
        signature,
        (TREASURY, Asset.SOL, -lamports),
        (OUTSIDE, Asset.SOL, lamports),
    )
