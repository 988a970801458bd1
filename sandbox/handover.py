"""What the world leaves in its data dir: `sandbox.json` for outside clients, `sandbox.env` for the daemon."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

ACCESS_FILE = "sandbox.json"
ENVIRONMENT_FILE = "sandbox.env"
DATABASE_FILE = "agent.db"
ENTITY_KEY_FILE = "circle-entity-key.pem"
OWNER_ONLY = 0o600
OLD_DATABASES_MAX = 1_000


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, at once or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)


def write_access(data_dir: Path, access: Mapping[str, str]) -> Path:
    """`sandbox.json`."""
    path = data_dir / ACCESS_FILE
    write_private(path, json.dumps(access, indent=2).encode() + b"\n")
    return path


def write_environment(data_dir: Path, environment: Mapping[str, str]) -> Path:
    """`sandbox.env`, to be read by a shell: `set -a; . sandbox.env`."""
    path = data_dir / ENVIRONMENT_FILE
    lines = [f"{name}={_quoted(value)}\n" for name, value in environment.items()]
    write_private(path, "".join(lines).encode())
    return path


def _quoted(value: str) -> str:
    """In single quotes a shell expands nothing; the quote itself is closed, escaped and opened again."""
    return "'" + value.replace("'", "'\\''") + "'"


def set_old_database_aside(data_dir: Path) -> Path | None:
    """A new world is a new chain, on which a database from before knows only things that never happened.

    Renames it with its side files and answers its new name; None when there is none.
    """
    database = data_dir / DATABASE_FILE
    if not database.exists():
        return None
    number = next(n for n in range(1, OLD_DATABASES_MAX) if not _old(database, n).exists())
    for suffix in ("-wal", "-shm", ".lock", ""):
        part = database.with_name(database.name + suffix)
        if part.exists():
            part.rename(_old(database, number).with_name(_old(database, number).name + suffix))
    return _old(database, number)


def _old(database: Path, number: int) -> Path:
    return database.with_name(f"{database.stem}.old-{number}{database.suffix}")
