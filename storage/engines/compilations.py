"""What SQLAlchemy has compiled in this process, found without hashing what a statement is made of.

Its own cache hashes a deep tuple at each execution, which takes longer than SQLite needs for a row. A statement that
is built once has one such tuple for life, and is known by that. It also compiles anew for each engine; ours of one
database differ in nothing that a statement could show.
"""

from typing import Any

Key = tuple[Any, ...]
"""SQLAlchemy's: the dialect, the statement's structure, the names of its parameters, and two switches."""

KEPT_MOST = 2_000
"""Of either kind; a daemon says some 700 different statements. Beyond it all is compiled anew."""


class Compilations(dict[Key, Any]):
    """For the execution option `compiled_cache` of engines with one driver. Kept by all of a key but the dialect."""

    def __init__(self) -> None:
        super().__init__()
        self._near: dict[Key, tuple[Any, Any]] = {}
        """By the identity of the structure, which is kept with it so that nothing else can take its place."""

    def get(self, key: Key, default: Any = None) -> Any:
        _, structure, *rest = key
        near = (id(structure), *rest)
        found = self._near.get(near)
        if found is not None:
            return found[1]
        compiled = super().get(key[1:], default)
        if compiled is not None:
            if len(self._near) >= KEPT_MOST:
                self._near.clear()
            self._near[near] = (structure, compiled)
        return compiled

    def __setitem__(self, key: Key, compiled: Any) -> None:
        if len(self) >= KEPT_MOST:
            self.clear()
            self._near.clear()
        super().__setitem__(key[1:], compiled)


OF_SQLITE = Compilations()
OF_POSTGRESQL = Compilations()
