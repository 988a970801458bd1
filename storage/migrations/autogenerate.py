"""`python -m storage.migrations.autogenerate "what changes"`: write the next migration from `storage/tables/`.

It replays the migrations there are into an empty database and writes down the difference as revision NNNN. With
`--replace` the newest one is written anew instead: only for a revision that was never released.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command

from storage import schema
from storage.engines import engine_library
from storage.engines.sqlite import open_writer


def main(arguments: list[str]) -> None:
    """Write one file below `versions/`."""
    engine_library.install()
    replace = "--replace" in arguments
    message = " ".join(word for word in arguments if word != "--replace") or "Create all tables"
    written = sorted((Path(__file__).parent / "versions").glob("[0-9]*.py"))
    if replace and written:
        written.pop().unlink()
    number = f"{len(written) + 1:04d}"
    with tempfile.TemporaryDirectory() as directory:
        _write_revision(Path(directory) / "empty.db", number, message)


def _write_revision(database: Path, number: str, message: str) -> None:
    engine = open_writer(database, synchronous="OFF")
    with engine.begin() as connection:
        if number != "0001":
            schema.upgrade(connection)
        command.revision(schema.configuration(connection), message, autogenerate=True, rev_id=number)
    engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1:])
