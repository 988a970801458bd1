"""I2, I3, I6: who bought what, whose it is and where he is paid, by what the people themselves wanted: what the daemon
wrote down of it may be wrong from the first row on."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from simulator.checker.reading import Database
from simulator.checker.records import People, Records, Wish

NOTHING: Mapping[str, object] = {}


def parties(db: Database, records: Records) -> Iterator[str]:
    """At any instant: sales, shares and destinations are what people wanted."""
    if records.people is None:
        return
    yield from _sold(db, records.people)
    yield from _shared(db, records.people)
    yield from _sent_where(db, records, records.people)
    yield from _asked_once(db)


def _sold(db: Database, people: People) -> Iterator[str]:
    """I2: each sale is of what somebody wanted, to him, at the price that he saw; no work is sold more often than its
    author allows."""
    held: Counter[int] = Counter()
    for row in db.rows("SELECT * FROM purchases"):
        wish = people.wishes.get(row["stripe_checkout_session_id"])
        if wish is None:
            continue
        ours = (row["buyer_id"], row["content_id"], row["gross_amount"])
        if ours != (wish.buyer, wish.content, wish.price_cents):
            yield f"I2: purchase {row['id']} is of (buyer, content, cents) {ours}, and {wish} was wanted"
        held[wish.content] += row["edition_held"]
    for wish in people.wishes.values():
        if wish.editions is not None and held[wish.content] > wish.editions:
            yield f"content {wish.content} has {wish.editions} editions by its author and sold {held[wish.content]}"


def _shared(db: Database, people: People) -> Iterator[str]:
    """I3: a sale is owed to those whom its work's author named, by the shares that he named."""
    sql = (
        "SELECT y.id, y.recipient_id, y.share_bps, p.stripe_checkout_session_id s FROM payouts y "
        "JOIN purchases p ON p.id = y.purchase_id"
    )
    for row in db.rows(sql):
        wish = people.wishes.get(row["s"])
        if wish is not None and wish.shares.get(row["recipient_id"]) != row["share_bps"]:
            yield f"I3: payout {row['id']} is not what its work's author wanted"


def _sent_where(db: Database, records: Records, people: People) -> Iterator[str]:
    """I6: payouts and NFTs go to a wallet that Circle made for that very person, or to where he asked to be paid."""
    sql = (
        "SELECT u.uuid, u.email, t.destination_address place FROM payouts p "
        "JOIN transfers t ON t.id = p.transfer_id JOIN users u ON u.id = p.recipient_id "
        "UNION SELECT u.uuid, u.email, m.destination_address FROM mint_payouts m JOIN users u ON u.id = m.recipient_id "
        "UNION SELECT u.uuid, u.email, a.buyer_address FROM mint_attempts a JOIN purchases p ON p.id = a.purchase_id "
        "JOIN users u ON u.id = p.buyer_id"
    )
    wallets = records.wallets()
    for row in db.rows(sql):
        if wallets.get(row["place"]) != row["uuid"] and row["place"] not in people.addresses.get(row["email"], ()):
            yield f"I6: what is {row['email']}'s goes to {row['place']}, which is not his"


def _asked_once(db: Database) -> Iterator[str]:
    """I7: no two wishes of one person bear the same title, or the same note, however often he asked."""
    for table, name, whose in (("contents", "title", "author_id, title"), ("conversions", "note", "note")):
        sql = f"SELECT {name} named, COUNT(*) n FROM {table} WHERE {name} <> '' GROUP BY {whose} HAVING COUNT(*) > 1"
        for row in db.rows(sql):
            yield f"I7: {row['named']!r} was asked for once and is in {table} {row['n']} times"


def nfts(db: Database, records: Records) -> Iterator[str]:
    """At rest: each NFT is one of its work, says so, bears a number of its own, and no more of it can be made."""
    wishes = {} if records.people is None else records.people.wishes
    numbers: dict[int, set[str]] = defaultdict(set)
    for row in db.rows("SELECT * FROM purchases WHERE minted_at IS NOT NULL"):
        wish = wishes.get(row["stripe_checkout_session_id"])
        if wish is None:
            continue
        said = records.minted_as(row["nft_mint_address"])
        told = next(
            (one["state"] for one in said.get("extensions", ()) if one["extension"] == "tokenMetadata"), NOTHING
        )
        title, _, number = str(told.get("name")).rpartition(" #")
        if (title, told.get("uri")) != (wish.title, wish.uri) or not _is_one_of(wish, number):
            yield f"the NFT of purchase {row['id']} is called {dict(told)}, and {wish} was wanted"
        if number in numbers[wish.content]:
            yield f"two NFTs of content {wish.content} bear the number {number}"
        numbers[wish.content].add(number)
        if (said.get("supply"), said.get("decimals"), said.get("mintAuthority")) != ("1", 0, None):
            yield f"the NFT of purchase {row['id']} is not the only one of its mint for good"


def _is_one_of(wish: Wish, number: str) -> bool:
    return number.isdecimal() and 1 <= int(number) <= (wish.editions or int(number))
