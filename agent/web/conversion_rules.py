"""What the web room is told of conversion, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConversionRules:
    """`is_on`: AGENT_CONVERSION is circle_mint. Caps in base units; so many `approvers` an order needs."""

    is_on: bool = False
    cap: int = 0
    day_cap: int = 0
    approvers: int = 1
