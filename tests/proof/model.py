"""Money moved at random beside the reference model, history after history."""

from simulator.progress import Progress
from simulator.until import Until
from tests.proof.document import Account
from tests.storage.test_money_machine import Money, play

MOVES = 50
AT_ONCE = 10
"""Histories between two looks at the clock."""


def run(histories: int, seed: int, until: Until) -> Account:
    """So many histories, or as many as fit into the time; the first that differs from the model ends it."""
    found, progress = list[str](), Progress("model", histories, "histories")
    played = moved = batches = 0
    while played < histories and not until.over() and not found:
        before = Money.histories, Money.moves
        try:
            play(min(AT_ONCE, histories - played), MOVES, seed + batches)
        except Exception as error:  # noqa: BLE001 (whatever it is, the history does not hold)
            found.append(f"seed {seed + batches}: {type(error).__name__}: {error}".splitlines()[0])
        played += Money.histories - before[0]
        moved += Money.moves - before[1]
        batches += 1
        progress.at(played)
    return Account(
        f"{histories} histories of up to {MOVES} moves",
        f"{played} histories, {moved} moves",
        until.taken,
        {"seeds": f"{seed} to {seed + max(0, batches - 1)}, {AT_ONCE} histories each"},
        found,
    )
