"""The map of all steps, as data: what each moves, what makes it due, whom it asks, and what it makes due.

Nothing runs from this map. It is where reading begins, `docs/FLOW.md` is rendered from it, and a test holds it against
what `agent/assembly.py` and `agent/step_assembly.py` wire. In the order in which a sale meets the steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """What brings a fact in from outside; it is stored, and makes steps due."""

    WEBHOOKS = "webhooks"
    """agent/web/intake.py: Stripe's events and Circle's notifications."""
    SHOP = "shop"
    """agent/web: signing up, asking for a wallet."""
    SCHEDULE = "schedule"
    """agent/schedule.py: every few minutes or hours, and Mondays 09:00 UTC."""
    CHAIN = "chain"
    """indexer: a signature's fate, a deposit."""
    OPERATOR = "operator"
    """agent/cli and the admin endpoints: batches, retries, decisions."""


class Party(StrEnum):
    """Whom a step asks, with no transaction open."""

    STRIPE = "Stripe"
    CIRCLE = "Circle"
    MINT = "Circle Mint"
    SOLANA = "Solana"
    CHAT = "the operator's chat"


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One kind of work. `due_by` names sources and other kinds; `leads_to` the kinds that it can make due.

    `sends`: it signs or moves something outside, or decides by itself that something is paid, so it waits for the start
    gate.
    """

    kind: str
    subject: str
    does: str
    module: str
    due_by: tuple[Source | str, ...]
    asks: tuple[Party, ...] = ()
    leads_to: tuple[str, ...] = ()
    sends: bool = False


STEPS: tuple[FlowStep, ...] = (
    FlowStep(
        kind="wallet",
        subject="user",
        does="gives the user a Circle wallet, or finds it once the PIN step is done",
        module="agent/steps/wallet.py",
        due_by=(Source.SHOP, Source.OPERATOR, "circle_notification", "wallet_look"),
        asks=(Party.CIRCLE,),
        leads_to=("mint",),
    ),
    FlowStep(
        kind="wallet_listing",
        subject="since when",
        does="after a restore, before the start gate opens: lists whom Circle has come to know since the backup",
        module="agent/steps/wallet_listing.py",
        due_by=(Source.OPERATOR,),
        asks=(Party.CIRCLE,),
        leads_to=("wallet_look",),
    ),
    FlowStep(
        kind="wallet_look",
        subject="user",
        does="asks Circle for the wallet of a user from before whom it has come to know",
        module="agent/steps/wallet_look.py",
        due_by=("wallet_listing",),
        asks=(Party.CIRCLE,),
        leads_to=("wallet", "mint"),
    ),
    FlowStep(
        kind="stripe_event",
        subject="row of the inbox",
        does="works one stored event into the purchase: paid, edition taken, refunded, disputed",
        module="agent/steps/stripe_event.py",
        due_by=(Source.WEBHOOKS, "events_sweep"),
        leads_to=("fee", "mint", "refund", "refunds", "session_end", "fund"),
    ),
    FlowStep(
        kind="events_sweep",
        subject="`stripe`",
        does="lists Stripe's events and stores those that no webhook brought",
        module="agent/steps/events_sweep.py",
        due_by=(Source.SCHEDULE,),
        asks=(Party.STRIPE,),
        leads_to=("stripe_event",),
    ),
    FlowStep(
        kind="fee",
        subject="purchase",
        does="fetches the balance transaction: the real fee, and with it the split",
        module="agent/steps/fee.py",
        due_by=("stripe_event",),
        asks=(Party.STRIPE,),
        leads_to=("fund",),
    ),
    FlowStep(
        kind="refund",
        subject="purchase",
        does="gives a buyer his money back: the loser of a sold-out race, or whom an operator names",
        module="agent/steps/refund.py",
        due_by=("stripe_event", "mint_look", Source.OPERATOR),
        asks=(Party.STRIPE, Party.SOLANA),
        leads_to=("mint_look",),
    ),
    FlowStep(
        kind="session_end",
        subject="checkout",
        does="ends an open Checkout Session of a work that is sold out or taken down",
        module="agent/steps/session_end.py",
        due_by=("stripe_event", "mint_look", "refunds", Source.SHOP, Source.OPERATOR, Source.CHAIN),
        asks=(Party.STRIPE,),
    ),
    FlowStep(
        kind="refunds",
        subject="purchase",
        does="fetches the refunds of a charge of which only the total was told",
        module="agent/steps/refunds_sync.py",
        due_by=("stripe_event",),
        asks=(Party.STRIPE,),
        leads_to=("fund", "mint", "session_end"),
    ),
    FlowStep(
        kind="mint",
        subject="purchase",
        does="builds, has signed, stores, sends and reads back the NFT's transaction; it may pay the sale too",
        module="agent/steps/mint.py",
        due_by=("stripe_event", "wallet", "wallet_look", "refunds", "mint_look", Source.CHAIN, Source.OPERATOR),
        asks=(Party.CIRCLE, Party.SOLANA),
        leads_to=("fund", "mint_listing", "batch"),
        sends=True,
    ),
    FlowStep(
        kind="mint_look",
        subject="purchase",
        does="before the start gate opens: looks whether the NFT of a paid sale is on chain already; it decides a race",
        module="agent/steps/mint.py",
        due_by=("refund", Source.CHAIN),
        asks=(Party.SOLANA,),
        leads_to=("fund", "mint_listing", "mint", "refund", "session_end"),
    ),
    FlowStep(
        kind="mint_listing",
        subject="purchase",
        does="asks Circle how it lists the NFT that came into the buyer's wallet",
        module="agent/steps/mint_listing.py",
        due_by=("mint", "mint_look", "circle_notification"),
        asks=(Party.CIRCLE,),
    ),
    FlowStep(
        kind="fund",
        subject="`treasury`",
        does="lets owed purchases go as far as the wallet's finalized USDC carries them",
        module="payouts/fund.py",
        due_by=(
            *(
                "stripe_event",
                "fee",
                "refunds",
                "mint",
                "mint_look",
                "transfer",
                "transfer_look",
                "pack",
                "packed_sign",
                "packed_settle",
            ),
            *(Source.CHAIN, Source.OPERATOR),
        ),
        leads_to=("batch", "realtime"),
    ),
    FlowStep(
        kind="realtime",
        subject="`payouts`",
        does="in real time: plans what is minted, covered and within the caps, at once",
        module="payouts/realtime.py",
        due_by=("fund", Source.SCHEDULE),
        asks=(Party.SOLANA,),
        leads_to=("batch",),
        sends=True,
    ),
    FlowStep(
        kind="conversion",
        subject="order",
        does="waits for wired dollars, has Circle Mint send USDC to the platform wallet, follows it to its deposit",
        module="payouts/conversion.py",
        due_by=("conversion_listing", Source.CHAIN, Source.OPERATOR),
        asks=(Party.MINT,),
        sends=True,
    ),
    FlowStep(
        kind="conversion_listing",
        subject="`circle_mint`",
        does="looks for transfers at Circle Mint that the database does not know, and adopts them",
        module="payouts/conversion_listing.py",
        due_by=(Source.SCHEDULE,),
        asks=(Party.MINT,),
        leads_to=("conversion",),
    ),
    FlowStep(
        kind="plan",
        subject="`weekly`",
        does="plans the latest Monday's batch if it is due and not planned yet",
        module="payouts/plan.py",
        due_by=(Source.SCHEDULE,),
        leads_to=("batch",),
    ),
    FlowStep(
        kind="batch",
        subject="batch",
        does="waits for approvals and for all of its funds, starts its transfers, settles",
        module="payouts/batch.py",
        due_by=(
            "plan",
            "realtime",
            "fund",
            "mint",
            "transfer",
            "transfer_look",
            "pack",
            "packed_sign",
            "packed_settle",
            Source.OPERATOR,
        ),
        leads_to=("transfer", "pack"),
    ),
    FlowStep(
        kind="transfer",
        subject="transfer",
        does="has Circle pay one recipient; proves it on chain, or proves that nothing left",
        module="payouts/rails/circle_transfer.py",
        due_by=("batch", "circle_notification", Source.CHAIN, Source.OPERATOR),
        asks=(Party.CIRCLE, Party.SOLANA),
        leads_to=("batch", "fund"),
        sends=True,
    ),
    FlowStep(
        kind="transfer_look",
        subject="transfer",
        does="before the start gate opens: looks whether an order of before has landed, by whatever signature",
        module="payouts/rails/transfer_look.py",
        due_by=(Source.CHAIN,),
        asks=(Party.CIRCLE, Party.SOLANA),
        leads_to=("batch", "fund"),
    ),
    FlowStep(
        kind="stripe_watch",
        subject="`stripe`",
        does="looks whether Stripe still sends us events, and whether its balance is below zero",
        module="agent/steps/stripe_watch.py",
        due_by=(Source.SCHEDULE,),
        asks=(Party.STRIPE,),
    ),
    FlowStep(
        kind="reconcile",
        subject="`books`",
        does="holds Stripe, the ledger, Circle and the chain against each other, sale by sale, and writes a report",
        module="payouts/reconcile.py",
        due_by=(Source.SCHEDULE, Source.OPERATOR),
        asks=(Party.STRIPE, Party.CIRCLE, Party.SOLANA),
    ),
    FlowStep(
        kind="seal",
        subject="`books`",
        does="seals what was booked since the last time into its hash chain",
        module="agent/steps/seal.py",
        due_by=(Source.SCHEDULE,),
    ),
    FlowStep(
        kind="prune",
        subject="`sign_ins`",
        does="forgets sessions and users' tokens that ran out a month ago",
        module="agent/steps/prune.py",
        due_by=(Source.SCHEDULE,),
    ),
    FlowStep(
        kind="pack",
        subject="batch",
        does="reads the recipients' token accounts and packs covered transfers into groups",
        module="payouts/rails/pack.py",
        due_by=("batch", "upkeep", "packed_sign", "packed_settle"),
        asks=(Party.SOLANA,),
        leads_to=("packed_sign", "upkeep", "batch", "fund"),
        sends=True,
    ),
    FlowStep(
        kind="upkeep",
        subject="upkeep",
        does="makes missing token accounts in waves, closes receipts whose time has come",
        module="payouts/rails/upkeep.py",
        due_by=("pack", "receipts", Source.CHAIN),
        asks=(Party.CIRCLE, Party.SOLANA),
        leads_to=("pack",),
        sends=True,
    ),
    FlowStep(
        kind="packed_sign",
        subject="group",
        does="reads all accounts, builds and checks the group's transaction, has it signed and stores it",
        module="payouts/rails/packed_sign.py",
        due_by=("pack", "packed_settle"),
        asks=(Party.CIRCLE, Party.SOLANA),
        leads_to=("packed_send", "pack", "batch", "fund"),
        sends=True,
    ),
    FlowStep(
        kind="packed_send",
        subject="group",
        does="sends the stored bytes until the chain has decided",
        module="payouts/rails/packed_send.py",
        due_by=("packed_sign",),
        asks=(Party.SOLANA,),
        sends=True,
    ),
    FlowStep(
        kind="packed_settle",
        subject="group",
        does="reads the payouts back, or proves the attempt dead: halves the group, or has it signed anew",
        module="payouts/rails/packed_settle.py",
        due_by=(Source.CHAIN,),
        asks=(Party.SOLANA,),
        leads_to=("batch", "packed_sign", "pack", "fund"),
    ),
    FlowStep(
        kind="receipts",
        subject="`closing`",
        does="chooses receipts that a backup knows and that are old enough to be closed",
        module="payouts/rails/closing.py",
        due_by=(Source.SCHEDULE,),
        leads_to=("upkeep",),
    ),
    FlowStep(
        kind="circle_notification",
        subject="row of the inbox",
        does="turns Circle's hint into the job that fetches the object itself",
        module="agent/steps/circle_notification.py",
        due_by=(Source.WEBHOOKS,),
        leads_to=("wallet", "transfer", "mint_listing"),
    ),
    FlowStep(
        kind="balance_watch",
        subject="`platform`",
        does="holds the platform wallet's balances against their least, and writes down what changed",
        module="agent/steps/balance_watch.py",
        due_by=(Source.SCHEDULE,),
        leads_to=("alert",),
    ),
    FlowStep(
        kind="alert",
        subject="row of alert_messages",
        does="tells the operator's chat of one change of a balance alert",
        module="agent/steps/alert.py",
        due_by=("balance_watch",),
        asks=(Party.CHAT,),
    ),
)

BY_KIND: Mapping[str, FlowStep] = {step.kind: step for step in STEPS}
