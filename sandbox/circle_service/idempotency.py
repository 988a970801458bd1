"""Idempotency keys: the same key and payload give the same resource again (reference/circle.md, section 9)."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sandbox.circle_service.errors import key_reused

NOT_PAYLOAD = frozenset({"idempotencyKey", "entitySecretCiphertext"})
"""A retry carries a fresh ciphertext, so the comparison leaves it out."""

View = Callable[[], dict[str, object]]


@dataclass(frozen=True, slots=True)
class _Kept:
    payload: str
    view: View


class Replays:
    """What each key made. Keys are scoped to an endpoint (and to the user, on user calls).

    A request that fails before `keep` does not use up its key.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._forgotten: set[str] = set()
        self.taken_for_new = 0
        """So many requests came under keys that were forgotten."""

    def find(self, scope: str, key: str, body: Mapping[str, object], *, original_on_conflict: bool) -> View | None:
        """The view of the resource made earlier, in its current state. Raises 403/156020 on another payload."""
        kept = self._kept.get((scope, key))
        if kept is None:
            self.taken_for_new += key in self._forgotten
            return None
        if kept.payload != _payload(body) and not original_on_conflict:
            raise key_reused()
        return kept.view

    def knows(self, key: str) -> bool:
        """Whether a request under this key made something, at any endpoint."""
        return key in self._forgotten or any(known == key for _, known in self._kept)

    def remembered(self) -> frozenset[tuple[str, str]]:
        """What is remembered now, for `forget` at a later time."""
        return frozenset(self._kept)

    def forget(self, keys: Iterable[tuple[str, str]]) -> int:
        """Take the next request under each of these for a new one; how many they were. Circle publishes no retention
        (reference/circle.md, section 9)."""
        forgotten = [one for one in keys if self._kept.pop(one, None) is not None]
        self._forgotten.update(key for _, key in forgotten)
        return len(forgotten)

    def keep(self, scope: str, key: str, body: Mapping[str, object], view: View) -> None:
        self._kept[scope, key] = _Kept(_payload(body), view)


def _payload(body: Mapping[str, object]) -> str:
    return json.dumps({name: value for name, value in body.items() if name not in NOT_PAYLOAD}, sort_keys=True)
