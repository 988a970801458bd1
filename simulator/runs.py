"""Many worlds, one after the other, from one seed."""

from collections.abc import Iterator

from simulator.scenario import FaultKind, Scenario

WEEKS_OF_A_WORLD = 4
"""So long one world lives: debts meet later payouts and Monday follows Monday; then a new one begins with the next
seed, so that no file grows without end and a failure is short to play again."""


def scenarios(
    weeks: int,
    seed: int,
    purchases: int,
    faults: frozenset[FaultKind],
    operators: bool,
    payout_mode: str = "weekly",
) -> Iterator[Scenario]:
    """As many worlds as the weeks need, with seeds that follow one another."""
    while weeks > 0:
        part = min(weeks, WEEKS_OF_A_WORLD)
        yield Scenario(seed, part, purchases, faults, operators, payout_mode)
        weeks, seed = weeks - part, seed + 1


def faults_named(text: str) -> frozenset[FaultKind]:
    """`all`, `none`, or kinds separated by commas. Raises ValueError with what there is."""
    if text == "all":
        return frozenset(FaultKind)
    if text == "none":
        return frozenset()
    known = {kind.value for kind in FaultKind}
    named = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [part for part in named if part not in known]
    if unknown or not named:
        raise ValueError(f"no such fault: {', '.join(unknown) or text!r}; there are {', '.join(sorted(known))}")
    return frozenset(FaultKind(part) for part in named)
