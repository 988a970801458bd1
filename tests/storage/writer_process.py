"""A process of its own that writes notes for ever and says which were acknowledged: `python -m … DATABASE_URL`."""

from storage.engines import engine_library

engine_library.install()

import asyncio  # noqa: E402
import sys  # noqa: E402

from storage.engines.opening import open_store  # noqa: E402
from storage.errors import StorageError  # noqa: E402
from storage.store import Store  # noqa: E402
from tests.storage import scratch  # noqa: E402

WRITERS = 16


async def main(database_url: str) -> None:
    store = open_store(database_url)
    await store.start()
    await asyncio.gather(*[write_notes(store, writer) for writer in range(WRITERS)])


async def write_notes(store: Store, writer: int) -> None:
    number = 0
    while True:
        acknowledged = await store.write(scratch.note(f"{writer}-{number}"))
        sys.stdout.write(f"{acknowledged}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except StorageError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(3)
