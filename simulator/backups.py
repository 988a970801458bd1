"""How a backup comes back: by the daemon's own command, or as a file that somebody copies over the other."""

import shutil
from datetime import datetime
from pathlib import Path

from storage.recovery import restoring

BACKUP = "backup.db"


def put_back(folder: Path, database: str, now: datetime, *, by_command: bool) -> None:
    """Of no process that lives. The rows know that they are a copy only after the command (ADR 59)."""
    if by_command:
        restoring.put_in_place(folder / BACKUP, folder / database, now)
        return
    for suffix in ("", "-wal", "-shm"):
        (folder / f"{database}{suffix}").unlink(missing_ok=True)
    shutil.copy(folder / BACKUP, folder / database)
