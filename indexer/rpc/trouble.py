"""Why the chain can't be read, or nothing can be proven of it: for the operator, and in the error of who asked."""

from collections.abc import Collection, Sequence

from domain.errors import Retryable
from indexer.rpc.errors import EndpointError
from indexer.rpc.roster import Roster
from ports.clock import Clock

DOUBT_SECONDS = 60.0
"""For so long one endpoint may lie behind another in what it calls final before that is trouble."""


class Trouble:
    """Is told of every answer and of every question that got none."""

    def __init__(self, roster: Roster, clock: Clock) -> None:
        self._roster, self._clock = roster, clock
        self._unanswered_since: float | None = None
        self._doubted: dict[str, float] = {}

    def sentences(self) -> list[str]:
        """One for each trouble there is now, without an address; empty while all is well."""
        if self._unanswered_since is not None:
            seconds = self._clock.monotonic() - self._unanswered_since
            return [f"no RPC endpoint has answered for {seconds:.0f} s"]
        return [*self._too_few_well(), *self._contradictions()]

    def answered(self) -> None:
        """At least one endpoint did."""
        self._unanswered_since = None

    def none_answered(self, failed: Sequence[EndpointError], needed: int = 1, answered: int = 0) -> Retryable:
        """What to raise where fewer than `needed` answered: with each one's reason, and the longest rest that one of
        them asked for."""
        if not answered and self._unanswered_since is None:
            self._unanswered_since = self._clock.monotonic()
        retry_after = max((error.retry_after_seconds or 0.0 for error in failed), default=0.0) or None
        reasons = "; ".join([*(str(error) for error in failed), *self._exclusions()])
        want = "no RPC endpoint answered" if needed == 1 else f"fewer than {needed} RPC endpoints answered"
        return Retryable(f"{want}: {reasons}", retry_after)

    def doubt(self, signatures: Collection[str]) -> None:
        """These are final by the word of one endpoint alone, and no others are."""
        now = self._clock.monotonic()
        self._doubted = {signature: self._doubted.get(signature, now) for signature in signatures}

    def _too_few_well(self) -> list[str]:
        endpoints, needed = self._roster.endpoints, self._roster.memory.witnesses
        well = [endpoint for endpoint in endpoints if endpoint.is_well]
        if len(well) >= needed:
            return []
        unwell = ", ".join(endpoint.name for endpoint in endpoints if not endpoint.is_well)
        return [f"{len(well)} of {len(endpoints)} RPC endpoints are well, {needed} needed; not: {unwell}"]

    def _contradictions(self) -> list[str]:
        now = self._clock.monotonic()
        lasting = sum(now - since >= DOUBT_SECONDS for since in self._doubted.values())
        return [f"{lasting} transactions are final by the word of one RPC endpoint alone"] if lasting else []

    def _exclusions(self) -> list[str]:
        return [f"{one.label} is left out: {one.excluded}" for one in self._roster.endpoints if one.excluded]
