"""Ids in Stripe's shapes, drawn from the seeded generator that the service was given."""

import random
import string

_ALPHABET = string.ascii_letters + string.digits


class Ids:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def make(self, prefix: str, chars: int = 23) -> str:
        return prefix + "".join(self._rng.choices(_ALPHABET, k=chars))
