"""The transactions of an account of the platform's in their order, most of them by the word of one endpoint.

Strangers can name the account, or send it next to nothing, in any number of transactions. What two endpoints show of
one transaction and of a later one proves what all those between them have brought together: what stood in the account
after the first and before the second. So of many that bring little each, only every so many is read twice.
"""

from collections.abc import Callable, Collection, Sequence

from indexer.effects.facts import TransactionFacts
from indexer.movements import BeforeAndAfter
from indexer.readback import ReadBack
from indexer.rpc.testimony import Testimony
from indexer.together import together


class Statement:
    """Keeps what stood in the account after the last transaction that was read.

    `held`: what it held before and after a transaction; None has two endpoints show it. Who brings less than
    `small` is one endpoint's word, how much all of them bring is not. Whatever leaves the account, or brings more, two
    show.
    """

    def __init__(
        self, read_back: ReadBack, held: Callable[[TransactionFacts], BeforeAndAfter | None], small: int
    ) -> None:
        self._read_back, self._held, self._small = read_back, held, small
        self._end: tuple[str, int | None] = "", None

    async def read(self, since: str | None, signatures: Sequence[str], until: str) -> list[TransactionFacts]:
        """The facts of these, in their order. `since`: the entry of the account's history before them, `until` the last
        one of them, which may be of transactions that failed and are not read. Raises Retryable."""
        heard = await together([self._read_back.hear(one) for one in signatures])
        facts = [one.answer for one in heard]
        balance = self._end[1] if self._end[0] == since else None
        marks = [place for place in range(len(facts)) if self._is_mark(place, facts, balance)]
        await self._prove(facts, heard, marks)
        unproven, balance = self._unproven(facts, marks, balance)
        await self._prove(facts, heard, unproven)
        self._end = until, balance
        return facts

    def _is_mark(self, place: int, facts: Sequence[TransactionFacts], balance: int | None) -> bool:
        """Whether two endpoints must show it. The last one ends the stretch before it, the first begins one where what
        stood in the account before it is not known."""
        is_edge = place == len(facts) - 1 or (place == 0 and balance is None)
        return is_edge or not self._is_small(facts[place])

    def _is_small(self, facts: TransactionFacts) -> bool:
        brought = self._brought(facts)
        return brought == 0 or (brought is not None and facts.succeeded and 0 < brought < self._small)

    def _brought(self, facts: TransactionFacts) -> int | None:
        held = self._held(facts)
        return None if held is None else held.after - held.before

    def _unproven(
        self, facts: Sequence[TransactionFacts], marks: Sequence[int], balance: int | None
    ) -> tuple[list[int], int | None]:
        """Those between two marks that have not brought together what the marks show, and the balance at the end."""
        unproven: list[int] = []
        begun, slot = 0, 0
        for mark in marks:
            between, held = range(begun, mark), self._held(facts[mark])
            in_order = all(slot <= facts[place].slot <= facts[mark].slot for place in between)
            brought = sum(self._brought(facts[place]) or 0 for place in between)
            if not in_order or balance is None or held is None or balance + brought != held.before:
                unproven += between
            balance, slot, begun = None if held is None else held.after, facts[mark].slot, mark + 1
        return unproven, balance

    async def _prove(
        self, facts: list[TransactionFacts], heard: Sequence[Testimony[TransactionFacts]], places: Collection[int]
    ) -> None:
        """Put what two endpoints show in the place of what one has shown."""
        proven = await together([self._read_back.read_back(facts[one].signature, heard[one]) for one in places])
        for place, shown in zip(places, proven, strict=True):
            facts[place] = shown
