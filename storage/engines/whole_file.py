"""Files that stand under their name only once they are whole and on the disk: whoever finds one may trust it."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from storage.engines.database_file import owned_like_folder, sync

_PREFIX, _SUFFIX = ".backup-", ".partial"
LEFT_BEHIND = timedelta(days=1)
"""Nothing is written for so long: what is older was left by a process that was killed."""


@contextmanager
def appearing(file: Path) -> Iterator[Path]:
    """Where to write what `file` is to hold. At the end of the block it stands there: whole, on the disk, readable by
    its owner alone, and never in the place of another file. If the block fails nothing is left.

    Raises FileExistsError, OSError.
    """
    descriptor, name = tempfile.mkstemp(_SUFFIX, _PREFIX, file.parent)
    partial = Path(name)
    try:
        owned_like_folder(descriptor, file.parent)
        os.close(descriptor)
        yield partial
        sync(partial)
        give_name(partial, file)
        sync(file.parent)
    finally:
        partial.unlink(missing_ok=True)


def give_name(partial: Path, file: Path) -> None:
    """A second name where the file system has such: that never replaces. Raises FileExistsError, OSError."""
    try:
        os.link(partial, file)
    except FileExistsError:
        raise
    except OSError:
        if file.exists():
            raise FileExistsError(errno.EEXIST, "File exists", str(file)) from None
        partial.rename(file)


def passing(folder: Path, mark: str) -> Path:
    """The name of a file that somebody takes away at once: what stays is removed like any that was left behind."""
    return folder / f"{_PREFIX}{mark}{_SUFFIX}"


def clear_left_behind(folder: Path, now: datetime) -> None:
    """Remove what killed processes have left there, as large as the database and as readable. Raises OSError."""
    for partial in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        if partial.stat().st_mtime < (now - LEFT_BEHIND).timestamp():
            partial.unlink(missing_ok=True)
