"""How far the chain is finalized, by the word of endpoints of which one may lie: what is older does not count."""

from collections.abc import Callable, Sequence

import structlog

from indexer.rpc.endpoint import LAG_SLOTS_MOST, Claim, Endpoint
from indexer.rpc.pace import SlotPace
from ports.clock import Clock

_log = structlog.get_logger(__name__)

WITNESSES = 2
"""Endpoints that must say the same before something final follows from it, where so many are configured."""
JUMP_SLOTS = 1000
FASTEST_FACTOR = 2.5
"""How far the chain may have moved since a slot that is known: some minutes of slots, and with the time that has passed
so many times what the settings say of it. Further ahead is no endpoint, unless it is not alone there."""
CLAIM_GOOD_SECONDS = 60.0
"""For so long a slot that was not believed is remembered: another endpoint that shows it too makes it true."""
STAND_SECONDS = 15.0
"""Where only one endpoint is configured it must stand by a leap for so long, as after a machine that slept."""
STALE_SLOTS_MOST = 150
"""No node that calls itself well is so far behind: a slot so much lower takes back one that nobody else has shown."""


class SlotMemory:
    """`witnessed`: the highest finalized slot that as many endpoints have reached as there must be witnesses. What
    something final follows from is held to it: no single endpoint can make others look old by it."""

    def __init__(
        self, endpoints: Sequence[Endpoint], clock: Clock, pace: SlotPace, disbelieved: Callable[[str], None]
    ) -> None:
        """`disbelieved` is told the label of an endpoint each time that it shows a slot where the chain can't be."""
        self._endpoints, self._clock, self._pace, self._disbelieved = endpoints, clock, pace, disbelieved
        self._witnessed_at = clock.monotonic()
        self.witnesses = min(WITNESSES, len(endpoints))
        self.witnessed = 0

    @property
    def finalized(self) -> int:
        """The highest slot shown, to which everything else is held: one endpoint's word counts as far as the others may
        be by now if they lag as little as those that are well."""
        if not self.witnessed:
            return 0
        slot_seconds = max(self._pace.seconds, self._pace.configured_seconds)
        moved = int((self._clock.monotonic() - self._witnessed_at) / slot_seconds)
        most = self.witnessed + moved + LAG_SLOTS_MOST
        return next((slot for slot, _ in self._shown() if slot <= most), self.witnessed)

    @property
    def newest(self) -> int:
        """What an endpoint lags behind: not the one that is alone in front, where two others tell that it is."""
        shown = [slot for slot, _ in self._shown()]
        return shown[1] if len(shown) > WITNESSES else max(shown, default=0)

    def see(self, endpoint: Endpoint, slot: int) -> bool:
        """Whether the chain may be at the slot that an endpoint shows, for all that is known."""
        now = self._clock.monotonic()
        if endpoint.excluded:
            return True  # it is on another cluster
        if not self._is_possible(endpoint, slot, now):
            if endpoint.claim is None:
                _log.error("rpc_slot_impossible", endpoint=endpoint.label, slot=slot, witnessed=self.witnessed)
            endpoint.doubt(self._claim(endpoint.claim, slot, now))
            self._disbelieved(endpoint.label)
            return False
        endpoint.claim = None
        may_lie = self.witnesses == 1 or endpoint.finalized_slot > self.witnessed
        takes_back = may_lie and slot + STALE_SLOTS_MOST < endpoint.finalized_slot
        if takes_back or slot > endpoint.finalized_slot:
            endpoint.finalized_slot, endpoint.finalized_at = slot, now
        self._judge()
        return True

    def _shown(self) -> list[tuple[int, float]]:
        """The highest slot of each, and when it was shown; the highest first."""
        shown = [(one.finalized_slot, one.finalized_at) for one in self._endpoints if not one.excluded]
        return sorted(shown, reverse=True)

    def _judge(self) -> None:
        shown = self._shown()
        if len(shown) >= self.witnesses and shown[self.witnesses - 1][0] != self.witnessed:
            self.witnessed, self._witnessed_at = shown[self.witnesses - 1]
            self._pace.see(self.witnessed, self._witnessed_at)

    def _is_possible(self, endpoint: Endpoint, slot: int, now: float) -> bool:
        if not self.witnessed or slot <= self._furthest(self.witnessed, self._witnessed_at, now):
            return True
        if self.witnesses == 1:
            claim = endpoint.claim
            return claim is not None and self._goes_on(claim, slot, now) and now - claim.at >= STAND_SECONDS
        beside = [one for one in self._endpoints if one is not endpoint and self._is_beside(one, slot, now)]
        for one in beside:
            assert one.claim is not None
            one.finalized_slot, one.finalized_at, one.claim = one.claim.slot, one.claim.at, None
        return bool(beside)

    def _is_beside(self, other: Endpoint, slot: int, now: float) -> bool:
        claim = other.claim
        if claim is None or now - claim.at > CLAIM_GOOD_SECONDS:
            return False
        return claim.slot - JUMP_SLOTS <= slot <= self._furthest(claim.slot, claim.at, now)

    def _claim(self, before: Claim | None, slot: int, now: float) -> Claim:
        """The first of those that the chain may have gone on from."""
        keeps = before is not None and now - before.at <= CLAIM_GOOD_SECONDS and self._goes_on(before, slot, now)
        return before if before is not None and keeps else Claim(slot, now)

    def _goes_on(self, claim: Claim, slot: int, now: float) -> bool:
        return claim.slot <= slot <= self._furthest(claim.slot, claim.at, now)

    def _furthest(self, slot: int, at: float, now: float) -> int:
        return slot + JUMP_SLOTS + int((now - at) * FASTEST_FACTOR / self._pace.configured_seconds)
