"""The web room in a process of its own, to be killed: `python -m tests.soak.intake_process URL [KEPT [LEVEL]]`.

With KEPT its SQLite file lies on a lossy disk (`tests.soak.lossy_disk`) that survives there; LEVEL is another value of
`PRAGMA synchronous` than the product's own, for the control that must lose. Prints its port.
"""

from storage.engines import engine_library

engine_library.install()

import functools  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import uvloop  # noqa: E402

from bench.intake_server import serve_intake  # noqa: E402
from storage.engines import sqlite  # noqa: E402
from tests.soak import lossy_disk  # noqa: E402


def main(database_url: str, kept: str | None = None, level: str | None = None) -> None:
    if kept is not None:
        lossy_disk.install(Path(kept))
    if level is not None:
        opened = sqlite.open_writer
        sqlite.open_writer = functools.wraps(opened)(lambda path, synchronous: opened(path, synchronous=level))
    uvloop.run(serve_intake(database_url))


if __name__ == "__main__":
    main(*sys.argv[1:])
