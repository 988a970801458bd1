"""The simulator's checker, for the stories of this folder."""

import json
import sqlite3
from collections.abc import Iterable, Mapping

from simulator.checker import Checker, Records
from simulator.checker.reading import Database
from simulator.outside import CIRCLE_URL, STRIPE_KEY
from simulator.stage import terms_of
from simulator.world import DATABASE
from tests.week.virtual_world import VirtualWorld

TRANSFER_URL = f"{CIRCLE_URL}/v1/w3s/developer/transactions/transfer"


def checker_of(world: VirtualWorld) -> Checker:
    """A checker of this world, which has seen all that was sent."""
    records = Records(world.stripe, world.circle, world.node, world.platform.address, STRIPE_KEY)
    for request in world.transport.sent:
        if request.url == TRANSFER_URL:
            body = json.loads(request.body)
            key, _ = body.pop("idempotencyKey"), body.pop("entitySecretCiphertext")
            records.sent.keys[key].add(json.dumps(body, sort_keys=True))
    return Checker(world.folder / DATABASE, records, terms_of(world.settings))


def rows_of(world: VirtualWorld, sql: str) -> list[sqlite3.Row]:
    """Rows of the daemon's database, read through a connection of its own."""
    return Database(world.folder / DATABASE).rows(sql)


def violations(world: VirtualWorld, accepted: Iterable[str] = ()) -> list[str]:
    """Every broken invariant, in words; `accepted` are signatures of outflows that a person declared his own."""
    return checker_of(world).at_rest(accepted)


def usdc_of(world: VirtualWorld, owner: str) -> int:
    """Finalized base units of any owner's associated account."""
    return checker_of(world).records.usdc_of(owner)


def outflows(world: VirtualWorld) -> Mapping[str, Mapping[str, int]]:
    """Every finalized transaction that took USDC from the platform wallet: signature → owner → base units."""
    return checker_of(world).records.outflows()
