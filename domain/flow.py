"""The map of all steps: what makes each due, what it asks outside, what comes after. Data only; a test holds it against
the wiring, and docs/FLOW.md is rendered from it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """One kind of work. `module` is where its step lives; with `waits_for_gate` none runs before the start gate."""

    kind: str
    subject: str
    module: str
    due_when: str
    asks: str
    then: tuple[str, ...]
    waits_for_gate: bool = False


FLOW: tuple[Stage, ...] = (
    Stage(
        "stripe_event",
        "Stripe event",
        "agent.steps.stripe_event",
        "a signed webhook was stored, or the sweep found an event",
        "nobody",
        ("fee", "mint", "refund", "refunds"),
    ),
    Stage(
        "circle_notification",
        "Circle notification",
        "agent.steps.circle_notification",
        "a signed notification was stored",
        "nobody: it is a hint",
        ("wallet", "transfer"),
    ),
    Stage(
        "events_sweep",
        "stripe",
        "agent.steps.events_sweep",
        "every start and every hour",
        "Stripe: list of events",
        ("stripe_event",),
    ),
    Stage(
        "wallet",
        "user",
        "agent.steps.wallet",
        "somebody signed up",
        "Circle: user, challenge or wallet",
        ("mint",),
    ),
    Stage("fee", "purchase", "agent.steps.fee", "a sale was paid", "Stripe: balance transaction", ("fund",)),
    Stage(
        "mint",
        "purchase",
        "agent.steps.mint",
        "a sale is paid and holds an edition; its signature's fate is known",
        "Circle: one signature; Solana: send, read back",
        ("fund",),
        waits_for_gate=True,
    ),
    Stage("refund", "purchase", "agent.steps.refund", "a sale lost a sold-out race", "Stripe: refund", ()),
    Stage(
        "refunds",
        "purchase",
        "agent.steps.refunds_sync",
        "a charge's refunded total was told",
        "Stripe: list of refunds",
        ("fund",),
    ),
    Stage(
        "fund",
        "treasury",
        "payouts.fund",
        "a deposit is finalized, or money became owed or free",
        "nobody",
        ("batch",),
    ),
    Stage("plan", "weekly", "payouts.plan", "a nudge: Monday 09:00 UTC and every few minutes", "nobody", ("batch",)),
    Stage(
        "batch",
        "batch",
        "payouts.batch",
        "it was planned, approved or covered, or a transfer of it ended",
        "nobody",
        ("transfer",),
    ),
    Stage(
        "transfer",
        "transfer",
        "payouts.rails.circle_transfer",
        "its batch is covered; Circle or the chain has news",
        "Circle: transfer; Solana: read back",
        ("batch", "fund"),
        waits_for_gate=True,
    ),
)
