"""Who sells what to whom in one week. Pure: the same seed and numbers give the same week."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.content_ids import content_id

PRICES_CENTS = (300, 500, 750, 999, 1_250, 1_500, 2_000, 2_500, 4_900)
EXAMPLE_PRICE_CENTS = 300
"""The sale of the documents' worked example: fee 39, net 261, creator 2.35."""
EDITIONS = (1, 3, 5, 10, 25)
IPFS_SHARE = 0.4
LIMITED_SHARE = 0.4
COLLABORATION = {2: 3_334, 0: 3_333, 1: 3_333}
"""Basis points of the first three creators in piece 2: thirds, so that remainders are left over."""
FIRST_NAMES = (
    "Ada",
    "Bao",
    "Chloé",
    "Dara",
    "Emre",
    "Fatou",
    "Goran",
    "Hana",
    "Imani",
    "João",
    "Kemal",
    "Lena",
    "Mila",
)
LAST_NAMES = ("Abebe", "Brandt", "Costa", "Duval", "Eriksen", "Fujita", "Ganz", "Haddad", "Ivers", "Jansen", "Kaya")
MOODS = ("Amber", "Blue", "Cobalt", "Distant", "Electric", "Fading", "Golden", "Hidden", "Indigo", "Quiet", "Wild")
THINGS = ("Café", "Desert", "Echo", "Forest", "Garden", "Harbour", "Island", "Jungle", "Lagoon", "Mirror", "River")
"""The longest pair has 16 bytes; 23 is the bound for a title of unlimited edition."""
PICTURE_BYTES = 352
"""Of which the IPFS hash of a piece is made."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account. The password is the sandbox's own."""

    name: str
    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Piece:
    """One content. `author` and the keys of `shares` are places in `WeekPlan.creators`; shares are basis points."""

    author: int
    title: str
    description: str
    price_cents: int
    editions: int | None
    ipfs_hash: str | None
    teaser_link: str | None
    shares: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class WeekPlan:
    """`sales[n]` is the piece that buyer n buys."""

    creators: tuple[Person, ...]
    buyers: tuple[Person, ...]
    pieces: tuple[Piece, ...]
    sales: tuple[int, ...]


def plan_week(seed: int, purchases: int, creators: int) -> WeekPlan:
    """A varied week: every creator publishes, and sells where there are enough purchases; no limited piece is oversold.

    Piece 0 is the worked example's, piece 1 is limited to one edition, piece 2 belongs to several (where there are so
    many creators).
    """
    if purchases < 1 or creators < 1:
        raise ValueError("a week has at least one purchase and one creator")
    rng = random.Random(f"sandbox-week-{seed}")
    names = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    rng.shuffle(names)
    people = tuple(_person(rng, names, "creator", number, seed) for number in range(creators))
    buyers = tuple(_person(rng, names[::-1], "buyer", number, seed) for number in range(purchases))
    pieces = _pieces(rng, creators)
    return WeekPlan(people, buyers, pieces, _sales(rng, pieces, purchases))


def _person(rng: random.Random, names: list[str], role: str, number: int, seed: int) -> Person:
    """Names come again only when all have been used."""
    name = names[number % len(names)]
    email = f"{role}-{number + 1}@week-{abs(seed)}.example.com"
    return Person(name, email, f"pass-{rng.randbytes(9).hex()}")


def _pieces(rng: random.Random, creators: int) -> tuple[Piece, ...]:
    more = [author for author in range(creators) for _ in range(rng.randrange(3))]
    return tuple(_piece(rng, author, number) for number, author in enumerate([*range(creators), *more]))


def _piece(rng: random.Random, author: int, number: int) -> Piece:
    title = f"{rng.choice(MOODS)} {rng.choice(THINGS)}"
    editions = rng.choice(EDITIONS) if rng.random() < LIMITED_SHARE else None
    price = rng.choice(PRICES_CENTS)
    shares = {author: 10_000}
    on_ipfs = rng.random() < IPFS_SHARE
    if number == 0:
        price, editions = EXAMPLE_PRICE_CENTS, None
    elif number == author == 1:
        editions = 1
    elif number == author == 2:
        editions, shares = None, COLLABORATION
    return Piece(
        author=author,
        title=title,
        description=f"Number {number + 1} of this week.",
        price_cents=price,
        editions=editions,
        ipfs_hash=content_id(rng.randbytes(PICTURE_BYTES)) if on_ipfs else None,
        teaser_link=None if on_ipfs else f"https://res.cloudinary.com/sandbox/image/upload/piece-{number + 1}.jpg",
        shares=shares,
    )


def _sales(rng: random.Random, pieces: tuple[Piece, ...], purchases: int) -> tuple[int, ...]:
    """First one sale of each piece in order (so each creator sells), then at random among what is left."""
    left = [piece.editions for piece in pieces]
    sales: list[int] = []
    for number in range(purchases):
        open_pieces = [place for place, editions in enumerate(left) if editions is None or editions > 0]
        chosen = number if number < len(pieces) else rng.choice(open_pieces)
        editions = left[chosen]
        left[chosen] = None if editions is None else editions - 1
        sales.append(chosen)
    return tuple(sales)
