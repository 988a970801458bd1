"""How creators are paid, as the operator has chosen it: for status, overview and console."""

from dataclasses import dataclass

from agent.web.bodies import Answer


class PayoutWayBody(Answer):
    """`mode` is `weekly` or `realtime`, `rail` `circle` or `solana`, `grouping` `purchase` or `creator`: what one
    transfer is of. `atomic_settlement`: mints pay too, where the rules hold."""

    mode: str
    rail: str
    grouping: str
    atomic_settlement: bool


@dataclass(frozen=True, slots=True)
class PayoutWay:
    """The settings AGENT_PAYOUT_MODE, AGENT_RAIL, AGENT_GROUPING and AGENT_ATOMIC_SETTLEMENT."""

    mode: str = "weekly"
    rail: str = "circle"
    grouping: str = "purchase"
    atomic_settlement: bool = False

    def body(self) -> PayoutWayBody:
        return PayoutWayBody(
            mode=self.mode, rail=self.rail, grouping=self.grouping, atomic_settlement=self.atomic_settlement
        )


def told(way: PayoutWayBody) -> str:
    """In words: when, over which rail, how many payments in one."""
    when = "in real time" if way.mode == "realtime" else "weekly"
    mint = ", with the mint where the rules hold" if way.atomic_settlement else ""
    each = "many creators in one transaction" if way.rail == "solana" else f"one transfer for each {way.grouping}"
    return f"{when}{mint}, over the {way.rail} rail: {each}"
