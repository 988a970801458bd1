"""Every state and every allowed move, as tables. Nothing else decides what may follow what.

The database's CHECKs are made from these enums, `advance` is the only way a state changes, and each change leaves a
row in `state_history` in the same transaction.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from domain.errors import IllegalTransition

STATE_CHARS = 24
"""What a column of a state holds. Names of states that others may add some day are cut to it at the border."""


class PurchaseStatus(StrEnum):
    PENDING = "pending"
    """Known, not paid yet (a delayed payment method)."""
    PAYMENT_COMPLETED = "payment_completed"
    """Paid. Also while the mint waits for the buyer's wallet."""
    MINTING = "minting"
    """The mint's intent is committed; its outcome may be unknown."""
    COMPLETED = "completed"
    """The NFT is finalized in the buyer's wallet and was read back."""
    FAILED = "failed"
    """The automatic retries are used up, or a delayed payment failed."""
    REFUNDED = "refunded"


class UsdcStatus(StrEnum):
    """State of one recipient's payout; `usdc_payment_status` of the purchase is derived from these."""

    NONE = ""
    """No payout yet: the NFT is not minted or the fee is not final."""
    PENDING_CONVERSION = "pending_conversion"
    """Owed; the platform wallet's free USDC does not cover it yet."""
    PENDING_DISTRIBUTION = "pending_distribution"
    """Covered by free USDC; also while sent and not yet proven."""
    DISTRIBUTED = "distributed"
    """Finalized on chain and read back."""
    FAILED = "failed"
    """Proven not paid, retries used up; can be retried."""
    CANCELLED = "cancelled"
    """Refunded before it was paid."""
    ON_HOLD = "on_hold"
    """Held with a reason; leaving returns to the state before."""
    NETTED = "netted"
    """Fully used up by the recipient's debt."""


PAYOUT_PENDING = (UsdcStatus.PENDING_CONVERSION, UsdcStatus.PENDING_DISTRIBUTION)
"""Owed, and nothing is in the way."""
PAYOUT_DUE = (*PAYOUT_PENDING, UsdcStatus.FAILED)
"""Owed, and not held: a failed one can always be retried."""
PAYOUT_OWED = (*PAYOUT_DUE, UsdcStatus.ON_HOLD)


class BatchStatus(StrEnum):
    PLANNED = "planned"
    WAITING_APPROVAL = "waiting_approval"
    WAITING_FUNDS = "waiting_funds"
    SENDING = "sending"
    SETTLED = "settled"


class MintState(StrEnum):
    """One signed try to mint; tries are never edited, a proven-dead one gets a successor."""

    INTENDED = "intended"
    SIGNED = "signed"
    SENT = "sent"
    FINALIZED = "finalized"
    DEAD = "dead"


class TransferState(StrEnum):
    """One try at a Circle transfer. SUBMITTED covers everything whose outcome is not proven, and what did not leave at
    its first call, as when that was refused: it then has no time at which it was sent first."""

    INTENDED = "intended"
    SUBMITTED = "submitted"
    FINALIZED = "finalized"
    DEAD = "dead"


class GroupState(StrEnum):
    """One group of a packed payout: its members never change, and the chain pays it at most once."""

    OPEN = "open"
    PAID = "paid"
    """Its transaction is finalized and was read back."""
    DISSOLVED = "dissolved"
    """No attempt of it can take effect any more; its unpaid members may join other groups."""


class PackedState(StrEnum):
    """One signed try at a group's transaction; tries are never edited, a proven-dead one gets a successor."""

    INTENDED = "intended"
    SIGNED = "signed"
    SENT = "sent"
    FINALIZED = "finalized"
    DEAD = "dead"


class UpkeepState(StrEnum):
    """One transaction of the rail's upkeep: token accounts made, receipts closed. Safe to repeat by its nature."""

    INTENDED = "intended"
    SIGNED = "signed"
    SENT = "sent"
    FINALIZED = "finalized"
    DEAD = "dead"


class ReceiptState(StrEnum):
    PRESENT = "present"
    """It stands on the chain: its group can't be paid again."""
    CLOSED = "closed"


class WalletState(StrEnum):
    NONE = "none"
    """No Circle wallet asked for (users from before)."""
    QUEUED = "queued"
    CHALLENGE = "challenge"
    """User-controlled: the PIN step waits for the user."""
    READY = "ready"
    FAILED = "failed"


class CheckoutState(StrEnum):
    CREATING = "creating"
    OPEN = "open"
    COMPLETED = "completed"
    EXPIRED = "expired"


class RefundState(StrEnum):
    INTENDED = "intended"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class WithdrawalState(StrEnum):
    """A user's own transfer out of his Circle wallet; the money is his, and only his PIN moves it."""

    INTENDED = "intended"
    """The wish and its key are committed; Circle may not know of it."""
    CHALLENGE = "challenge"
    """Circle waits for the owner's PIN."""
    SENDING = "sending"
    """The PIN was given; Circle sends it."""
    COMPLETED = "completed"
    """Circle calls it complete."""
    FAILED = "failed"
    DROPPED = "dropped"
    """Given up by its owner before the PIN."""


class ConversionState(StrEnum):
    """One order of USDC from Circle Mint; a failed one is never sent again, another one is proposed."""

    PROPOSED = "proposed"
    """Waits for its approvers."""
    APPROVED = "approved"
    """Waits for the dollars that a person or a bank wires to Circle Mint."""
    SENDING = "sending"
    """Key and body of the transfer are committed; its outcome may be unknown."""
    ARRIVING = "arriving"
    """Circle calls it complete: an announced conversion, whose deposit is not booked yet."""
    DONE = "done"
    """Its deposit is finalized, booked, and explained by it."""
    FAILED = "failed"
    """Proven not to have happened."""
    CANCELLED = "cancelled"
    """Taken back by a person before it was sent."""


class WorkState(StrEnum):
    """State of a job or an inbox row."""

    DUE = "due"
    PARKED = "parked"
    """Waits for a person: visible, alerted, retriable."""
    DONE = "done"


class WatchState(StrEnum):
    """What the chain is known to say of one signature of ours."""

    WATCHING = "watching"
    CONFIRMED = "confirmed"
    """In a block that a fork can still undo: nothing final follows from it."""
    FINALIZED = "finalized"
    EXPIRED = "expired"
    """Proven never to land: finalized height is past its last valid block and no history knows it."""


P, U, B, M, T, W, C, R, G, K, Y, Z, D, V = (
    PurchaseStatus,
    UsdcStatus,
    BatchStatus,
    MintState,
    TransferState,
    WalletState,
    CheckoutState,
    RefundState,
    GroupState,
    PackedState,
    UpkeepState,
    ReceiptState,
    WithdrawalState,
    ConversionState,
)

TRANSITIONS: Mapping[type[StrEnum], Mapping[StrEnum, frozenset[StrEnum]]] = {
    PurchaseStatus: {
        P.PENDING: frozenset({P.PAYMENT_COMPLETED, P.FAILED}),
        P.PAYMENT_COMPLETED: frozenset({P.MINTING, P.FAILED, P.REFUNDED}),
        P.MINTING: frozenset({P.COMPLETED, P.FAILED, P.REFUNDED}),
        P.FAILED: frozenset({P.PAYMENT_COMPLETED, P.MINTING, P.COMPLETED, P.REFUNDED}),
        P.COMPLETED: frozenset({P.REFUNDED}),
        P.REFUNDED: frozenset({P.PAYMENT_COMPLETED, P.MINTING, P.COMPLETED, P.FAILED}),
    },
    UsdcStatus: {
        U.NONE: frozenset({U.PENDING_CONVERSION, U.ON_HOLD}),
        U.PENDING_CONVERSION: frozenset({U.PENDING_DISTRIBUTION, U.ON_HOLD, U.CANCELLED, U.NETTED}),
        U.PENDING_DISTRIBUTION: frozenset(
            {U.DISTRIBUTED, U.FAILED, U.ON_HOLD, U.CANCELLED, U.NETTED, U.PENDING_CONVERSION}
        ),
        U.FAILED: frozenset({U.PENDING_CONVERSION, U.PENDING_DISTRIBUTION, U.DISTRIBUTED, U.ON_HOLD, U.CANCELLED}),
        U.ON_HOLD: frozenset({U.PENDING_CONVERSION, U.PENDING_DISTRIBUTION, U.FAILED, U.CANCELLED}),
        U.CANCELLED: frozenset({U.PENDING_CONVERSION}),
        U.DISTRIBUTED: frozenset(),
        U.NETTED: frozenset({U.PENDING_CONVERSION}),
    },
    BatchStatus: {
        B.PLANNED: frozenset({B.WAITING_APPROVAL, B.WAITING_FUNDS, B.SENDING, B.SETTLED}),
        B.WAITING_APPROVAL: frozenset({B.WAITING_FUNDS, B.SENDING, B.SETTLED}),
        B.WAITING_FUNDS: frozenset({B.SENDING, B.SETTLED}),
        B.SENDING: frozenset({B.WAITING_FUNDS, B.SETTLED}),
        B.SETTLED: frozenset({B.SENDING}),
    },
    MintState: {
        M.INTENDED: frozenset({M.SIGNED, M.FINALIZED, M.DEAD}),
        M.SIGNED: frozenset({M.SENT, M.FINALIZED, M.DEAD}),
        M.SENT: frozenset({M.FINALIZED, M.DEAD}),
        M.FINALIZED: frozenset(),
        M.DEAD: frozenset(),
    },
    TransferState: {
        T.INTENDED: frozenset({T.SUBMITTED, T.FINALIZED, T.DEAD}),
        T.SUBMITTED: frozenset({T.FINALIZED, T.DEAD}),
        T.FINALIZED: frozenset(),
        T.DEAD: frozenset(),
    },
    GroupState: {
        G.OPEN: frozenset({G.PAID, G.DISSOLVED}),
        G.PAID: frozenset(),
        G.DISSOLVED: frozenset(),
    },
    PackedState: {
        K.INTENDED: frozenset({K.SIGNED, K.FINALIZED, K.DEAD}),
        K.SIGNED: frozenset({K.SENT, K.FINALIZED, K.DEAD}),
        K.SENT: frozenset({K.FINALIZED, K.DEAD}),
        K.FINALIZED: frozenset(),
        K.DEAD: frozenset(),
    },
    UpkeepState: {
        Y.INTENDED: frozenset({Y.SIGNED, Y.DEAD}),
        Y.SIGNED: frozenset({Y.SENT, Y.FINALIZED, Y.DEAD}),
        Y.SENT: frozenset({Y.FINALIZED, Y.DEAD}),
        Y.FINALIZED: frozenset(),
        Y.DEAD: frozenset(),
    },
    ReceiptState: {
        Z.PRESENT: frozenset({Z.CLOSED}),
        Z.CLOSED: frozenset(),
    },
    WalletState: {
        W.NONE: frozenset({W.QUEUED}),
        W.QUEUED: frozenset({W.CHALLENGE, W.READY, W.FAILED}),
        W.CHALLENGE: frozenset({W.QUEUED, W.READY, W.FAILED}),
        W.FAILED: frozenset({W.QUEUED, W.READY}),
        W.READY: frozenset(),
    },
    CheckoutState: {
        C.CREATING: frozenset({C.OPEN, C.COMPLETED, C.EXPIRED}),
        C.OPEN: frozenset({C.COMPLETED, C.EXPIRED}),
        C.COMPLETED: frozenset(),
        C.EXPIRED: frozenset({C.COMPLETED}),
    },
    RefundState: {
        R.INTENDED: frozenset({R.PENDING, R.SUCCEEDED, R.FAILED}),
        R.PENDING: frozenset({R.SUCCEEDED, R.FAILED}),
        R.SUCCEEDED: frozenset({R.FAILED}),
        R.FAILED: frozenset(),
    },
    WithdrawalState: {
        D.INTENDED: frozenset({D.CHALLENGE, D.FAILED, D.DROPPED}),
        D.CHALLENGE: frozenset({D.SENDING, D.FAILED, D.DROPPED}),
        D.SENDING: frozenset({D.COMPLETED, D.FAILED}),
        D.COMPLETED: frozenset(),
        D.FAILED: frozenset(),
        D.DROPPED: frozenset(),
    },
    ConversionState: {
        V.PROPOSED: frozenset({V.APPROVED, V.SENDING, V.CANCELLED}),
        V.APPROVED: frozenset({V.SENDING, V.CANCELLED}),
        V.SENDING: frozenset({V.ARRIVING, V.FAILED}),
        V.ARRIVING: frozenset({V.DONE}),
        V.DONE: frozenset(),
        V.FAILED: frozenset(),
        V.CANCELLED: frozenset(),
    },
}
"""INTENDED → FINALIZED of a mint or a group: it was made before, by a process whose database was lost; so was a
conversion that goes PROPOSED → SENDING.
EXPIRED → COMPLETED of a checkout: our clock may call a Session expired a moment before Stripe reports it paid."""


def require_transition(before: StrEnum, after: StrEnum) -> None:
    """Raise IllegalTransition unless the table has the edge. Both members are of one enum."""
    if after not in TRANSITIONS[type(before)][before]:
        raise IllegalTransition(type(before).__name__, before.value, after.value)


def derive_usdc_status(payouts: Iterable[UsdcStatus], held: bool) -> UsdcStatus:
    """`usdc_payment_status` of a purchase from its recipients' payouts (product.md, section 5).

    `held`: the purchase itself is held, which shows as on_hold while it has no payouts yet.
    """
    states = set(payouts)
    if not states:
        return U.ON_HOLD if held else U.NONE
    if len(states) == 1:
        return next(iter(states))
    if U.FAILED in states and U.PENDING_DISTRIBUTION not in states:
        return U.FAILED
    if states <= {U.DISTRIBUTED, U.NETTED}:
        return U.DISTRIBUTED
    return U.PENDING_DISTRIBUTION
