"""A disk that keeps what was synced and nothing else: a shim over the file system that SQLite itself runs on.

`install` registers, in the SQLite library that this process uses, a VFS that is the default one with four calls
watched: every write and truncation goes to the real file and is noted; `xSync` flushes the real file and only then
carries what was noted over into a copy in another directory. So that copy is, at any instant, what a machine has on its
disk when the power fails and every page that was not synced is lost. The store above is the product's, unchanged.

The calls are C functions of the library (sqlite.org/vfs.html, `sqlite3.h`), reached through ctypes; a build that does
not export them fails at `install`.
"""

import ctypes
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OK = 0

_Pointer = ctypes.c_void_p
_Write = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, _Pointer, ctypes.c_int, ctypes.c_int64)
_Truncate = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_int64)
_Sync = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_int)
_Open = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, _Pointer, _Pointer, ctypes.c_int, ctypes.POINTER(ctypes.c_int))
_Delete = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_char_p, ctypes.c_int)


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`, version 3."""

    _fields_ = [
        ("iVersion", ctypes.c_int),
        ("xClose", _Pointer),
        ("xRead", _Pointer),
        ("xWrite", _Write),
        ("xTruncate", _Truncate),
        ("xSync", _Sync),
        *((name, _Pointer) for name in ("xFileSize", "xLock", "xUnlock", "xCheckReservedLock", "xFileControl")),
        *((name, _Pointer) for name in ("xSectorSize", "xDeviceCharacteristics", "xShmMap", "xShmLock")),
        *((name, _Pointer) for name in ("xShmBarrier", "xShmUnmap", "xFetch", "xUnfetch")),
    ]


class _File(ctypes.Structure):
    """The public head of `sqlite3_file`."""

    _fields_ = [("pMethods", ctypes.POINTER(_Methods))]


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs`, version 3."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("iVersion", "szOsFile", "mxPathname")),
        ("pNext", _Pointer),
        ("zName", ctypes.c_char_p),
        ("pAppData", _Pointer),
        ("xOpen", _Open),
        ("xDelete", _Delete),
        *((name, _Pointer) for name in ("xAccess", "xFullPathname", "xDlOpen", "xDlError", "xDlSym", "xDlClose")),
        *((name, _Pointer) for name in ("xRandomness", "xSleep", "xCurrentTime", "xGetLastError")),
        *((name, _Pointer) for name in ("xCurrentTimeInt64", "xSetSystemCall", "xGetSystemCall", "xNextSystemCall")),
    ]


Noted = tuple[int, bytes | None]
"""An offset and what was written there; None: the file was cut to that size."""


@dataclass(slots=True)
class Disk:
    """What has been synced, as files of the same names in `kept`."""

    kept: Path
    syncs: int = 0
    _noted: dict[str, list[Noted]] = field(default_factory=dict)

    def note(self, name: str, offset: int, data: bytes | None) -> None:
        self._noted.setdefault(name, []).append((offset, data))

    def synced(self, name: str) -> None:
        self.syncs += 1
        noted, self._noted[name] = self._noted.get(name, []), []
        descriptor = os.open(self.kept / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            for offset, data in noted:
                if data is None:
                    os.ftruncate(descriptor, offset)
                else:
                    os.pwrite(descriptor, data, offset)
        finally:
            os.close(descriptor)

    def removed(self, name: str) -> None:
        self._noted.pop(name, None)
        (self.kept / name).unlink(missing_ok=True)


@dataclass(slots=True)
class _Shim:
    """Keeps alive what the library holds pointers to; one for the whole process, for ever."""

    disk: Disk
    vfs: _Vfs
    below: _Vfs
    methods: dict[int, _Methods] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def open(self, vfs: int, name: int | None, file: int, flags: int, out: Any) -> int:
        """`name` is handed on as the pointer that it is: the file below keeps it until it is closed."""
        code: int = self.below.xOpen(vfs, name, file, flags, out)
        if code != OK or name is None:
            return code
        self.names[file] = Path(os.fsdecode(ctypes.string_at(name))).name
        head = _File.from_address(file)
        if head.pMethods:
            address = ctypes.addressof(head.pMethods.contents)
            head.pMethods = ctypes.pointer(self._watched(address))
        return code

    def delete(self, vfs: int, name: bytes, sync_folder: int) -> int:
        code: int = self.below.xDelete(vfs, name, sync_folder)
        if code == OK:
            self.disk.removed(Path(os.fsdecode(name)).name)
        return code

    def _watched(self, address: int) -> _Methods:
        """The methods of this kind of file with three of them watched; made once for each kind."""
        if address in self.methods:
            return self.methods[address]
        below = _Methods.from_address(address)
        own = _Methods.from_buffer_copy(below)

        def write(file: int, data: int, size: int, offset: int) -> int:
            code: int = below.xWrite(file, data, size, offset)
            if code == OK:
                self.disk.note(self.names[file], offset, ctypes.string_at(data, size))
            return code

        def truncate(file: int, size: int) -> int:
            code: int = below.xTruncate(file, size)
            if code == OK:
                self.disk.note(self.names[file], size, None)
            return code

        def sync(file: int, flags: int) -> int:
            code: int = below.xSync(file, flags)
            if code == OK:
                self.disk.synced(self.names[file])
            return code

        own.xWrite, own.xTruncate, own.xSync = _Write(write), _Truncate(truncate), _Sync(sync)
        self.methods[address] = own
        return own


_installed: list[_Shim] = []


def install(kept: Path) -> Disk:
    """Every SQLite file that this process opens from now on lies on a disk of which `kept` is what survives.

    Files of the same names that stand in `kept` already are taken for what was synced before.
    """
    from pysqlite3 import _sqlite3

    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    library.sqlite3_vfs_register.argtypes = [ctypes.POINTER(_Vfs), ctypes.c_int]
    below = library.sqlite3_vfs_find(None).contents
    shim = _Shim(Disk(kept), _Vfs.from_buffer_copy(below), below)
    shim.vfs.zName = b"lossy"
    shim.vfs.pNext = None
    shim.vfs.xOpen, shim.vfs.xDelete = _Open(shim.open), _Delete(shim.delete)
    if library.sqlite3_vfs_register(ctypes.byref(shim.vfs), 1) != OK:
        raise OSError("the library refuses the shim")
    _installed.append(shim)
    return shim.disk
