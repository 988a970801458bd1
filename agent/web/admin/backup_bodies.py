"""Bodies of the operator's endpoints for backups."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from agent.web.bodies import Answer, Asked, Line, Moment


def _moment(told: object) -> object:
    """Bodies are read strictly, and JSON has no moments: one is a text in RFC 3339."""
    try:
        return datetime.fromisoformat(told) if isinstance(told, str) else told
    except ValueError:
        return told


Told = Annotated[datetime, BeforeValidator(_moment)]


class BackupWish(Asked):
    """Without anything: copy the SQLite file now. With `external` (where it is) and `started_at` (when it was begun):
    take note of a backup that other means have made. With `hand_over`: copy it for you to take away; it is not
    recorded, and the first copy after a day removes it."""

    hand_over: bool = False
    external: Annotated[Line, Field(min_length=1, max_length=4096)] | None = None
    kind: Literal["external", "sqlite", "postgresql"] = "external"
    started_at: Told | None = None
    size_bytes: Annotated[int, Field(ge=0)] | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None


class Backup(Answer):
    """`name` is where it lies. Everything committed before `started_at` is in it."""

    kind: str
    name: str
    started_at: Moment
    finished_at: Moment
    size_bytes: int | None
    sha256: str | None


class BackupPage(Answer):
    items: list[Backup]
