"""What one world is made from: a seed and a few figures. Everything else is drawn from the seed."""

from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What can go wrong, by the names that `--faults` takes."""

    DEATH = "death"
    """A process dies, before or after a commit or a call."""
    LOST_REQUESTS = "lost_requests"
    LOST_ANSWERS = "lost_answers"
    LATE_ANSWERS = "late_answers"
    RATE_LIMITS = "rate_limits"
    """429, with and without Retry-After, which may be a date or nonsense."""
    SERVER_ERRORS = "server_errors"
    """500, 502 and 503, with and without the same."""
    HTML_BODIES = "html_bodies"
    CUT_BODIES = "cut_bodies"
    LOST_EVENTS = "lost_events"
    """Webhooks that never arrive, or arrive with a signature that does not fit."""
    DUPLICATE_EVENTS = "duplicate_events"
    REORDERED_EVENTS = "reordered_events"
    """Webhooks that overtake one another, by seconds or by hours; events of one second."""
    RPC_LAG = "rpc_lag"
    """An endpoint is up to a minute behind, unwell, or forgets its history."""
    RPC_LIES = "rpc_lies"
    """One endpoint denies transactions that it knows, or answers nonsense."""
    RPC_FORKS = "rpc_forks"
    """An endpoint follows a dead branch for some seconds, and lacks what the others have confirmed."""
    FORKS = "forks"
    """The newest slots turn out to be on a dead branch."""
    LATE_LANDING = "late_landing"
    """Transactions are dropped, or land so late that their blockhash may have expired."""
    CIRCLE_DISORDER = "circle_disorder"
    """Notifications out of order, states that turn back, transfers that Circle refuses or gives up."""
    ROTATED_KEYS = "rotated_keys"
    CLOCK_JUMPS = "clock_jumps"
    """The machine's clock is set, forwards or backwards, by seconds or by days, and later set right."""
    TWO_WORKERS = "two_workers"
    """Two processes with leases of their own over the one store."""
    PAUSES = "pauses"
    """A process is stopped where it stands, and goes on later."""
    DISK_FULL = "disk_full"
    OUTAGES = "outages"
    """Nobody is there for days, also over a Monday."""
    FORGOTTEN_KEYS = "forgotten_keys"
    """Circle takes a key that it was sent a day before for a new one."""
    LATE_FEES = "late_fees"
    """Stripe names its fee minutes, hours or a day after the payment."""
    NO_SOL = "no_sol"
    """The platform wallet has no SOL left for rents, or for fees."""
    OLD_BACKUP = "old_backup"
    """The database is put back from a backup made hours or days before."""
    REDIRECTS = "redirects"
    """What a service is asked it answers with the way to another place, or to itself, whether it did it or not."""
    LATE_BUYERS = "late_buyers"
    """People pay in the seconds around a Monday's cut-off and in the hour behind it; webhooks are late then, and the
    machine's clock is behind by less than anybody minds."""
    MINT_KEYS = "mint_keys"
    """Circle Mint's API key is replaced, or loses its rights, in the middle of a conversion."""
    BY_HAND = "by_hand"
    """Somebody makes transfers in Circle Mint's console, to the platform wallet or elsewhere, also of the very amount
    that is ordered; and a day's cap holds orders back."""
    LOST_COMMITS = "lost_commits"
    """The connection to the database breaks in a COMMIT, which took effect or did not, or in a read; the process lives
    on and can't tell."""
    FULL_BLOCKS = "full_blocks"
    """For minutes to a day no block takes what bids less than others do, also beyond all that the daemons may bid."""
    PENDING_REFUNDS = "pending_refunds"
    """Our balance at Stripe covers no refunds for minutes to days: they stay pending, and succeed or fail then."""
    PREVENTED_DISPUTES = "prevented_disputes"
    """Stripe ends complaints before they are disputes, mostly by giving the buyer his money back at once."""
    PRUNED_NODES = "pruned_nodes"
    """Both nodes keep nothing of what landed before some moment, in which USDC has just been paid: Circle may lose
    sight of it."""
    GONE_ACCOUNTS = "gone_accounts"
    """A creator's USDC account is frozen, or he gives it away, for minutes to days."""


ALL_FAULTS = frozenset(FaultKind)
CONVERTING = frozenset({FaultKind.MINT_KEYS, FaultKind.BY_HAND})
"""These meet nothing where the daemons don't convert through Circle Mint."""
WITH_DICE_OF_THEIR_OWN = CONVERTING | {
    FaultKind.REDIRECTS,
    FaultKind.LOST_COMMITS,
    FaultKind.LATE_BUYERS,
    FaultKind.FULL_BLOCKS,
    FaultKind.PENDING_REFUNDS,
    FaultKind.PREVENTED_DISPUTES,
    FaultKind.PRUNED_NODES,
    FaultKind.GONE_ACCOUNTS,
}
"""Whether and when they strike moves nothing of what the others draw: a world without them is what it was before there
were any."""


FEW_FAULTS = 3
"""So many and fewer are all at work: somebody who names them means them together."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One world. The same scenario gives the same world, to the last byte of its trace."""

    seed: int
    weeks: int = 1
    purchases: int = 50
    """A week."""
    faults: frozenset[FaultKind] = frozenset()
    operators: bool = False
    """People who retry what is parked, decide about outflows, approve and let go on."""
    payout_mode: str = "weekly"
    """Or `realtime`."""
    settings: tuple[tuple[str, str], ...] = ()
    """Of the daemons, in place of what the seed would draw."""
    commits_most: int = 200_000
    """A week. A world in which more is written has work that never comes to rest."""
