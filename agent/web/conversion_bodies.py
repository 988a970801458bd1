"""Bodies of conversion orders on the operator's port. Amounts are decimal strings of USDC."""

from typing import Annotated

from pydantic import Field

from agent.web.bodies import Answer, Asked, Line, Moment, Money, Usdc


class NewOrder(Asked):
    """`amount` left out = what next Monday needs and what is neither in the wallet nor on its way."""

    amount: Usdc | None = None
    note: Annotated[Line, Field(max_length=200)] = ""


class ConversionOrder(Answer):
    """`to_wire` are the dollars that Circle Mint still lacked for it when last looked at (`looked_at`); all of them
    before the first look, none once it was sent. `conversion_id` is the announced conversion that it became."""

    id: int
    uuid: str
    origin: str
    state: str
    amount: Money
    to_wire: Money
    looked_at: Moment | None
    destination_address: str
    digest: str
    note: str
    proposed_by: str
    approved_by: list[str]
    sent_at: Moment | None
    circle_transfer_id: str | None
    circle_status: str | None
    signature: str | None
    conversion_id: int | None
    created_at: Moment


class OrderPage(Answer):
    """`circle_mint`: whether orders are taken at all (AGENT_CONVERSION)."""

    circle_mint: bool
    items: list[ConversionOrder]
    next: int | None


class MintDepositRow(Answer):
    """Dollars that Circle Mint lists as wired in. They release no money."""

    circle_deposit_id: str
    amount: Money
    status: str
    created_at: Moment
    seen_at: Moment


class MintDeposits(Answer):
    items: list[MintDepositRow]


class WireInstruction(Answer):
    """Where to wire dollars; without `tracking_ref` in the wire's text Circle can't tell whose they are."""

    tracking_ref: str
    beneficiary: str
    bank: str
    account_number: str
    routing_number: str
    swift_code: str


class WireInstructions(Answer):
    items: list[WireInstruction]
