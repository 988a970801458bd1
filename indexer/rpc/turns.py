"""Which endpoint is asked first: weights share the questions out, and what is unwell comes last."""

from collections.abc import Sequence

from indexer.rpc.endpoint import Endpoint


class Turns:
    """Smooth weighted round robin: with weights 3 and 1 the second endpoint is asked first every fourth time.

    Weight 0 is a reserve: asked when those before it fail, and whenever a fact needs several witnesses.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = list(endpoints)
        self._total = sum(endpoint.weight for endpoint in endpoints)
        self._credits = [0] * len(self._endpoints)

    def next(self) -> list[Endpoint]:
        """All that may be asked, best first: well ones, those that lag, those that rest after an error, those that told
        what can't be."""
        for place, endpoint in enumerate(self._endpoints):
            self._credits[place] += endpoint.weight
        first = max(range(len(self._endpoints)), key=lambda place: self._credits[place])
        self._credits[first] -= self._total
        return _best([self._endpoints[first], *(one for one in self._endpoints if one is not self._endpoints[first])])

    def as_they_are(self) -> list[Endpoint]:
        """All that may be asked, best first, for a second opinion: nobody's turn is used up."""
        return _best(self._endpoints)

    def soonest(self) -> list[Endpoint]:
        """All that may be asked, whoever can answer soonest first, weights or not: where much is to be read that needs
        several of them anyway."""
        return _best(sorted(self._endpoints, key=lambda one: one.waits_for()))


def _best(ordered: Sequence[Endpoint]) -> list[Endpoint]:
    asked = [one for one in ordered if not one.excluded]
    return sorted(asked, key=lambda one: (one.claim is not None, one.rests_for(), one.is_lagging))
