"""One question put to several endpoints: what something final follows from needs two that agree, be it there or not
there."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from indexer.rpc.errors import Disagreement, EndpointError
from indexer.rpc.node import Node
from indexer.rpc.patience import Patience
from indexer.rpc.roster import Roster
from indexer.rpc.testimony import Testimony, attempt
from indexer.rpc.trouble import Trouble
from indexer.together import together

T = TypeVar("T")


class Witnesses:
    """All of them raise Retryable when too few endpoints answer; that never means "not found"."""

    def __init__(self, roster: Roster, trouble: Trouble, patience: Patience) -> None:
        self._roster, self._trouble, self._patience = roster, trouble, patience

    @property
    def witnesses(self) -> int:
        """How many endpoints must say something before it holds: two, or one where only one is configured."""
        return self._roster.memory.witnesses

    async def others(self, question: Callable[[Node], Awaitable[T]], beside: str) -> AsyncIterator[T]:
        """What the endpoints other than `beside` say, one after the other, for as long as the caller asks."""
        for node in self._roster.beside(beside):
            told = await attempt(question, node)
            if isinstance(told, Testimony):
                yield told.answer

    async def vouched(self, question: Callable[[Node], Awaitable[T]], told: Testimony[T] | None = None) -> T:
        """What something final follows from: the first answer that as many endpoints give as there must be witnesses.

        No more of them are asked than that takes, and not again the one whose answer is `told`. Raises Disagreement
        when no two say the same, Retryable when too few answer.
        """
        given = [] if told is None else [told]
        if len(given) >= self.witnesses:
            return given[0].answer
        nodes = self._roster.in_turn(self._roster.memory.witnessed)
        nodes = [node for node in nodes if told is None or node.label != told.label]
        most = len(given)
        failed: list[EndpointError] = []
        while nodes and most < self.witnesses:
            asked, nodes = nodes[: self.witnesses - most], nodes[self.witnesses - most :]
            answered, lost = await self._put(question, asked)
            given, failed = [*given, *answered], [*failed, *lost]
            answers = [one.answer for one in given]
            most = max(map(answers.count, answers), default=0)
            if most >= self.witnesses:
                return next(one for one in answers if answers.count(one) == most)
        if len(given) < self.witnesses:
            raise self._trouble.none_answered(failed, self.witnesses, answered=len(given))
        raise Disagreement(f"no two endpoints say the same: {', '.join(one.label for one in given)}")

    async def agree(self, question: Callable[[Node], Awaitable[T]], *, floor: int | None = None) -> T:
        """A fact that counts only if all endpoints that answer say the same, two at least where two are configured.

        For what is *not* there. Raises Disagreement, or Retryable when too few answered. `floor`: the slot they must
        have reached, by default the highest that two have shown. One that has not is waited for, as long as one that is
        well may need: by the time of a later try the highest slot would again be one that it has not reached.
        """
        nodes = self._roster.in_turn(self._roster.memory.witnessed if floor is None else floor)
        given = await self._ask_all(self._patience.patiently(question), nodes, self.witnesses)
        if any(one.answer != given[0].answer for one in given):
            raise Disagreement(f"endpoints disagree: {', '.join(one.label for one in given)}")
        return given[0].answer

    async def testify(self, question: Callable[[Node], Awaitable[T]], *, floor: int = 0) -> list[Testimony[T]]:
        """Put a question to all endpoints at once; at least `witnesses` must answer, from slot `floor` or later.

        The floor is the question's own and not the pool's: an endpoint some slots behind another is a good witness of
        what happened before both.
        """
        return await self._ask_all(question, self._roster.in_turn(floor), self.witnesses)

    async def hear(self, question: Callable[[Node], Awaitable[T]]) -> list[Testimony[T]]:
        """What each endpoint answers that does, at least one of them, from any slot."""
        return await self._ask_all(question, self._roster.in_turn(0), 1)

    async def survey(self, question: Callable[[Node], Awaitable[T]]) -> list[T]:
        """What each endpoint answers, excluded ones too; those that do not answer are left out, at least one does."""
        return [one.answer for one in await self._ask_all(question, self._roster.everybody(), 1)]

    async def _ask_all(
        self, question: Callable[[Node], Awaitable[T]], nodes: Sequence[Node], needed: int
    ) -> list[Testimony[T]]:
        answered, failed = await self._put(question, nodes)
        if len(answered) < needed:
            raise self._trouble.none_answered(failed, needed, answered=len(answered))
        return answered

    async def _put(
        self, question: Callable[[Node], Awaitable[T]], nodes: Sequence[Node]
    ) -> tuple[list[Testimony[T]], list[EndpointError]]:
        """What they answer, asked at once, and why the others do not."""
        results = await together([attempt(question, node) for node in nodes])
        answered = [one for one in results if isinstance(one, Testimony)]
        if answered:
            self._trouble.answered()
        return answered, [one for one in results if isinstance(one, EndpointError)]
