"""How long a slot takes now, measured from the finalized slots that answers show."""

from collections import deque

STEP_SECONDS = 5.0
"""Between two samples: far more than an answer's delay, which is the measurement's error."""
WINDOW_SAMPLES = 13
"""The measure is over the last minute of samples, so that a change of the cluster's pace shows within it."""
LEAST_SECONDS = 10.0
"""Before so much has been seen, what the settings say holds."""
SLOWEST_FACTOR, FASTEST_FACTOR = 10.0, 0.1
"""Bounds against the settings: a cluster that stands still must not stretch a wait without end, and one endpoint's
leap must not turn polling into a storm."""


class SlotPace:
    """`configured_seconds` is what the settings say; `seconds` what waits and time-outs are derived from."""

    def __init__(self, configured_seconds: float) -> None:
        self.configured_seconds = configured_seconds
        self._samples: deque[tuple[float, int]] = deque(maxlen=WINDOW_SAMPLES)

    @property
    def seconds(self) -> float:
        """Seconds of one slot."""
        if len(self._samples) < 2:
            return self.configured_seconds
        (begun, first), (ended, last) = self._samples[0], self._samples[-1]
        if ended - begun < LEAST_SECONDS:
            return self.configured_seconds
        measured = (ended - begun) / max(1, last - first)
        shortest, longest = FASTEST_FACTOR * self.configured_seconds, SLOWEST_FACTOR * self.configured_seconds
        return min(max(measured, shortest), longest)

    def see(self, slot: int, at: float) -> None:
        """A finalized slot was shown at monotonic time `at`; older ones than known say nothing."""
        if self._samples:
            last_at, last = self._samples[-1]
            if slot <= last or at - last_at < STEP_SECONDS:
                return
            if at - last_at > WINDOW_SAMPLES * STEP_SECONDS:
                self._samples.clear()  # nobody looked for long: the pace of then says nothing about now
        self._samples.append((at, slot))
