"""What the checker must know of a world on sockets: which events were answered 200, and what was sent to Circle."""

import json
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, insert, select

from sandbox.service import Delivery, Request, Response, Service
from sandbox.world import World
from simulator.checker import Checker, Records
from storage import tables
from storage.engines.opening import open_store

TRANSFER = "/v1/w3s/developer/transactions/transfer"


class Witness:
    """Stands between a service and its front, and notes what passes."""

    def __init__(self, inner: Service, records: Records) -> None:
        self._inner, self._sent = inner, records.sent
        self._under_way: dict[int, str] = {}
        self.next_due_ms, self.tick = inner.next_due_ms, inner.tick

    def handle(self, request: Request) -> Response:
        if request.path == TRANSFER:
            body = json.loads(request.body)
            key, _ = body.pop("idempotencyKey"), body.pop("entitySecretCiphertext")
            self._sent.keys[key].add(json.dumps(body, sort_keys=True))
        return self._inner.handle(request)

    def take_deliveries(self) -> list[Delivery]:
        found = self._inner.take_deliveries()
        for delivery in found:
            if delivery.body.startswith(b"{"):
                self._under_way[delivery.id] = str(json.loads(delivery.body).get("id", ""))
        return found

    def delivered(self, delivery_id: int, status: int | None) -> None:
        event = self._under_way.pop(delivery_id, "")
        if status == 200 and event.startswith("evt_"):
            self._sent.acknowledged.add(event)
        self._inner.delivered(delivery_id, status)


def records_of(world: World) -> Records:
    """The worlds' own records; from now on they note what passes the fronts too."""
    records = Records(world.stripe, world.circle, world.node, world.platform.address, world.identity.stripe_secret_key)
    _, circle, stripe, _ = world.fronts
    circle.service, stripe.service = Witness(world.circle, records), Witness(world.stripe, records)
    return records


async def judged(url: str, records: Records, now_us: int) -> list[str]:
    """Every broken invariant of a world that is at rest, in words; from one consistent look at the database."""
    with tempfile.TemporaryDirectory() as folder:
        path = await copied(url, Path(folder))
        return Checker(path, records).all_served(now_us)


async def copied(url: str, folder: Path) -> Path:
    """The database as an SQLite file of the same tables: the file itself, or the rows of PostgreSQL."""
    if url.startswith("sqlite:///"):
        return Path(url.removeprefix("sqlite:///"))
    store = open_store(url)
    await store.start()
    try:
        rows = await store.read(_all_rows)
    finally:
        await store.stop()
    path = folder / "copy.db"
    engine = create_engine(f"sqlite:///{path}")
    tables.metadata.create_all(engine)
    with engine.begin() as connection:
        for name, found in rows.items():
            if found:
                connection.execute(insert(tables.metadata.tables[name]), found)
    engine.dispose()
    return path


def _all_rows(conn: Connection) -> dict[str, list[dict[str, Any]]]:
    """A week of a world fits into memory many times over."""
    return {
        table.name: [dict(row) for row in conn.execute(select(table)).mappings()]
        for table in tables.metadata.sorted_tables
    }
