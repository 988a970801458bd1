"""Bodies of the treasury: balances, what the next Monday needs, conversions, deposits, outflows. Amounts are decimal
strings."""

from typing import Annotated

from pydantic import Field

from agent.web.bodies import INT_MAX, Answer, Asked, IdempotencyKey, Line, Moment, Money, Paging, Reason, RowId, Usdc


class Balance(Answer):
    name: str
    amount: Money
    slot: int
    read_at: Moment


class Treasury(Answer):
    """`readings` were read from the chain at finalized; `to_convert` is owed beyond what is free of the wallet."""

    readings: list[Balance]
    to_convert: Money


class Outlook(Answer):
    """The next Monday's batch and how long the wallet lasts. USDC as decimal strings.

    `need` = `owed` (known, unpaid) + `unminted` (owed once the NFT exists) + `expected` (at the pace of the last four
    weeks). Convert `to_convert` by `convert_by`, 48 hours ahead (`convert_late`: that is over); `to_convert_known` is
    without what is only expected, `to_order` without what is `on_its_way`: announced or ordered, and not arrived.
    `sales_left` and `days_left` tell how long the wallet's SOL lasts; null while nobody can tell.
    """

    monday: Moment
    convert_by: Moment
    convert_late: bool
    need: Money
    owed: Money
    unminted: Money
    unpriced_sales: int
    expected: Money
    wallet_usdc: Money
    promised: Money
    to_convert: Money
    to_convert_known: Money
    on_its_way: Money
    to_order: Money
    wallet_sol: Money | None
    lamports_per_sale: int
    sales_per_week: int
    sales_left: int | None
    days_left: int | None


class CostQuery(Asked):
    days: Annotated[int, Field(ge=1, le=366)] = 28


class Costs(Answer):
    """Sales paid in the last `days`. `refunded` went back to their buyers, by refunds and lost disputes; `creators` is
    their due after that, `platform` what these sales leave then, less `dispute_fees` and all other fees of Stripe's.
    `network_lamports` is what the chain took for mints and payouts; `margin` is `platform` less `network_cents_assumed`
    (AGENT_NETWORK_COST_CENTS) for each sale minted. The two `…_per_sale` figures are averages, rounded down."""

    days: int
    sales: int
    gross: Money
    stripe_fees: Money
    net: Money
    refunded: Money
    dispute_fees: Money
    creators: Money
    platform: Money
    minted: int
    mint_lamports: int
    payouts: int
    payout_lamports: int
    network_lamports: int
    network_lamports_per_sale: int
    network_cents_assumed: int
    margin: Money
    margin_per_sale: Money


class NewConversion(Asked):
    """What was sent to be converted; `expected_usdc` left out = the same number of dollars."""

    usd_cents: Annotated[int, Field(ge=1, le=INT_MAX // 10_000)]
    expected_usdc: Usdc | None = None
    note: Annotated[Line, Field(max_length=200)] = ""
    idempotency_key: IdempotencyKey | None = None


class ConversionShare(Answer):
    deposit_id: int
    amount: Money


class Conversion(Answer):
    id: int
    uuid: str
    usd_cents: int
    expected_usdc: Money
    received: Money
    """By the deposits that it explains."""
    settled_at: Moment | None
    withdrawn_at: Moment | None
    can_be_withdrawn: bool
    """As far as its own row says: it was announced by hand, and nothing has come for it."""
    shares: list[ConversionShare]
    """The deposits of which it is a part; `can_be_undone` where a person announced it, who may have been wrong."""
    can_be_undone: bool
    note: str
    created_at: Moment


class DepositShare(Answer):
    conversion_id: int
    amount: Money


class Deposit(Answer):
    """`sender` is empty where the chain names several or none; `unexplained` no announced conversion explains, nor a
    debt that was repaid by it; `own`: a person has said that it was his own money."""

    id: int
    signature: str
    sender: str
    amount: Money
    unexplained: Money
    own: Money
    shares: list[DepositShare]
    slot: int
    block_time: Moment | None


class DepositQuery(Paging):
    """`unexplained`: only those of which something has no explanation."""

    unexplained: bool = False


class OwnDeposit(Reason):
    """`amount` is what of it had no explanation when it was looked at: all of it was the operator's own money."""

    amount: Usdc


class WrongMatch(Reason):
    """`amount` is what of the deposit was the conversion's when it was looked at: none of it was."""

    conversion_id: RowId
    amount: Usdc


class DepositPage(Answer):
    items: list[Deposit]
    next: int | None


class ConversionPage(Answer):
    items: list[Conversion]
    next: int | None


class OwedPayout(Answer):
    """An unpaid payout of whoever is paid at an outflow's destination. `netted`: what debts have used up of it;
    `paid_at`: when the buyer paid."""

    id: int
    purchase_id: int
    creator: str
    state: str
    unpaid: Money
    netted: Money
    paid_at: Moment


class OutflowPart(Answer):
    """What one recipient got of an outflow to several."""

    owner: str
    amount: Money
    payouts: list[OwedPayout]


class Outflow(Answer):
    """USDC that left the platform wallet and that no payout explains. `may_be_a_payout`: somebody whom it may have paid
    is still to be paid. `payouts`: up to 50 unpaid ones of the recipient that were due at that time, the oldest sale
    first; none where it went to several. `parts`: who got how much then, where a receipt of ours says that it was a
    packed payout, and the chain can be read now."""

    id: int
    signature: str
    amount: Money
    counterparty: str | None
    slot: int
    block_time: Moment | None
    may_be_a_payout: bool
    payouts: list[OwedPayout]
    parts: list[OutflowPart]


class Outflows(Answer):
    """While there is one, nothing is sent."""

    items: list[Outflow]
    next: int | None


class Acceptance(Reason):
    """`not_a_payout`: none of it went to somebody who is still to be paid; asked for only where that is in doubt."""

    not_a_payout: bool = False


class Adoption(Reason):
    """The payouts, all of one recipient, that the outflow has paid together: with what they are or were due, less what
    debts had used up. Of a packed payout those of each recipient whose part does not fit by itself."""

    payout_ids: Annotated[list[Annotated[int, Field(ge=1, le=INT_MAX)]], Field(min_length=1, max_length=500)]


class SendsSwitch(Answer):
    """`paused` is the reason why nothing is sent, null while sends go on."""

    paused: str | None
