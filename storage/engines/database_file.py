"""The SQLite file as a thing on disk: its directory, its rights, its lock, and where it must not lie."""

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from storage.errors import DatabaseLocked, StoreUnavailable, UnsafePlace

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "glusterfs", "fuse.glusterfs"}
    | {"fuse.sshfs", "fuse.s3fs", "beegfs", "ocfs2", "gfs2"}
)
MOUNTS = Path("/proc/self/mounts")


class FileLock:
    """The right to be the one process on this file. The kernel drops it with the process, however that ends."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises DatabaseLocked, naming the process that has it."""
        if not self._path.exists():
            with contextlib.suppress(FileExistsError):
                make_file(self._path)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise DatabaseLocked(f"another process (pid {owner}) uses this database; stop it first") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
        self._descriptor = descriptor

    def release(self) -> None:
        """The file stays: removing it would let two processes hold locks on two files of the same name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of the write-ahead log, and free on its disk for us."""

    wal: int
    free: int


def footprint(database: Path) -> Footprint | None:
    """What the file needs and has left; None while it is not there."""
    wal = database.with_name(database.name + "-wal")
    try:
        disk = os.statvfs(database.parent)
        return Footprint(wal.stat().st_size if wal.exists() else 0, disk.f_bavail * disk.f_frsize)
    except OSError:
        return None


def prepare_place(database: Path) -> None:
    """Make the directory and the file, readable by the owner only. A directory that exists keeps its rights.

    What is new is on the disk under its name: a synced row in a file that no directory lists is lost with the power.
    """
    try:
        new = [place for place in (database, *database.parents) if not place.exists()]
        database.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        refuse_network_file_system(database.parent)
        if database in new:
            with contextlib.suppress(FileExistsError):  # by another start, or a link to where it is not yet
                make_file(database)
        os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
        database.chmod(FILE_MODE)
        for place in new:
            sync(place.parent)
    except OSError as error:
        raise StoreUnavailable(f"the database file cannot be opened: {error.strerror}") from error


def make_file(place: Path) -> None:
    """A new, empty file, readable by its owner alone. That is the owner of its folder where root makes it, as somebody
    does who restores at night: the daemon's user could not open it otherwise. Raises FileExistsError, OSError."""
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        owned_like_folder(descriptor, place.parent)
    finally:
        os.close(descriptor)


def owned_like_folder(descriptor: int, folder: Path) -> None:
    """Give what root has just made to the owner of its folder."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def sync(place: Path) -> None:
    """Have a file's content, or the names in a directory, on the disk."""
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_network_file_system(directory: Path, mounts: Path = MOUNTS) -> None:
    """Raises UnsafePlace. Where the system lists no mounts (not Linux) nothing is checked."""
    if not mounts.exists():
        return
    kind = _file_system_of(directory.resolve(), mounts.read_text(errors="replace"))
    if kind in NETWORK_FILE_SYSTEMS:
        raise UnsafePlace(f"the database lies on a network file system ({kind}); use a local disk or PostgreSQL")


def _file_system_of(directory: Path, mounts: str) -> str:
    best, found = -1, ""
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        place = Path(point.replace("\\040", " "))
        if directory.is_relative_to(place) and len(place.parts) >= best:
            best, found = len(place.parts), kind
    return found
