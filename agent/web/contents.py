"""What is for sale: publishing, looking, and the metadata that NFTs without an IPFS hash point to."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from agent.web.bodies import Paging, Warned
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.messages import not_found
from agent.web.rates import Rate
from agent.web.settings import CardFee, WebSettings
from agent.web.shop_bodies import (
    Collaborator,
    ContentBody,
    ContentChecked,
    ContentPage,
    ExpectedShare,
    NewContentBody,
    NftFile,
    NftMetadata,
    NftProperties,
    PublishedContent,
    Share,
)
from domain.content_ids import is_content_id
from domain.errors import RequestError
from domain.money import BASE_UNITS_PER_CENT, SHARE_WHOLE_BPS, cents_to_base_units, format_cents, format_usdc
from domain.nft_texts import URI_LIMIT_BYTES, metadata_uri, title_limit_bytes
from domain.split import Split, SplitRule, share_out, split_net
from ports.clock import Clock
from ports.ids import Ids
from storage.sales import contents
from storage.store import Store

CONTENTS = Rate(burst=300, per_second=0.5)
"""Of one author: a row that everybody's list shows."""
CHECKS = Rate(burst=300, per_second=1.0)
NO_CONTENT_ID = (
    "the ipfs_hash is no content identifier (CID) of IPFS: one that begins with Qm has 46 letters and digits, one that "
    "begins with bafy or bafk has 59; copy it whole"
)


class Contents:
    """The endpoints of contents."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, settings: WebSettings) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._settings = settings

    def endpoints(self) -> list[Endpoint]:
        public, path = Access.PUBLIC, "/api/content/"
        return [
            Endpoint(
                "POST",
                path,
                Access.USER,
                self.publish,
                "Put something up for sale",
                PublishedContent,
                status=201,
                takes=NewContentBody,
                errors=(409,),
                rate=CONTENTS,
            ),
            Endpoint(
                "POST",
                path + "check/",
                Access.USER,
                self.check,
                "What it would bring; stores nothing",
                ContentChecked,
                takes=NewContentBody,
                rate=CHECKS,
            ),
            Endpoint("GET", path, public, self.page, "What is for sale, newest first", ContentPage, query=Paging),
            Endpoint("GET", path + "{content_id}/", public, self.one, "One content", ContentBody),
            Endpoint("GET", path + "{content_id}/metadata/", public, self.metadata, "The NFT's metadata", NftMetadata),
        ]

    def _checked(self, wish: NewContentBody) -> list[Warned]:
        """What its author should know of it. Raises RequestError 422 for what is not put up for sale."""
        check_title(wish.title, wish.editions)
        self._check_media(wish)
        return self._price_warnings(wish.price_cents)

    async def check(self, call: Call) -> ContentChecked:
        wish = call.taken(NewContentBody)
        warnings, shares = self._checked(wish), read_shares(wish.collaborators)
        await self._store.read(lambda conn: contents.require_known(conn, sorted(shares)))
        fee, parts = expected_sale(wish.price_cents, self._settings.card_fee, self._settings.split)
        bps = shares or {call.user_id: SHARE_WHOLE_BPS}
        dues = share_out(parts.creator, bps)
        return ContentChecked(
            price=format_cents(wish.price_cents),
            stripe_fee=format_cents(fee),
            platform=format_usdc(parts.platform),
            creators=format_usdc(parts.creator),
            shares=[
                ExpectedShare(user_id=user, share_bps=bps[user], amount=format_usdc(due)) for user, due in dues.items()
            ],
            warnings=warnings,
        )

    async def publish(self, call: Call) -> PublishedContent:
        wish = call.taken(NewContentBody)
        warnings = self._checked(wish)
        new = contents.NewContent(
            uuid=str(self._ids.uuid()),
            title=wish.title,
            description=wish.description,
            price_cents=wish.price_cents,
            editions=wish.editions,
            ipfs_hash=wish.ipfs_hash,
            teaser_link=wish.teaser_link,
            shares=read_shares(wish.collaborators),
            idempotency_key=wish.idempotency_key,
        )
        author_id, now = call.user_id, self._clock.now()
        content_id = await self._store.write(lambda conn: contents.publish(conn, author_id, new, now))
        listed = await self._listed(content_id)
        return PublishedContent(**dict(self._body(listed)), warnings=warnings)

    async def page(self, call: Call) -> ContentPage:
        asked = call.asked(Paging)
        found = await self._store.read(lambda conn: contents.page(conn, asked.before, asked.limit))
        return ContentPage(
            items=[self._body(listed) for listed in found],
            next=found[-1].row.id if len(found) == asked.limit else None,
        )

    async def one(self, call: Call) -> ContentBody:
        return self._body(await self._listed(call.row_id("content_id")))

    async def metadata(self, call: Call) -> NftMetadata:
        """Also of content that was taken down: NFTs of it were sold."""
        row = (await self._listed(call.row_id("content_id"), taken_down=True)).row
        image = row.teaser_link or f"ipfs://{row.ipfs_hash}"
        return NftMetadata(
            name=row.title,
            symbol=self._settings.nft_symbol,
            description=row.description,
            image=image,
            external_url=f"{self._settings.public_base_url}/api/content/{row.id}/",
            properties=NftProperties(files=[NftFile(uri=image, type="image/*")], category="image"),
        )

    async def _listed(self, content_id: int, *, taken_down: bool = False) -> contents.Listed:
        found = await self._store.read(lambda conn: contents.one(conn, content_id, taken_down=taken_down))
        if found is None:
            raise not_found("content")
        return found

    def _body(self, listed: contents.Listed) -> ContentBody:
        row = listed.row
        left = None if row.editions is None else max(0, row.editions - row.editions_taken)
        shares = listed.shares or {row.author_id: SHARE_WHOLE_BPS}
        return ContentBody(
            id=row.id,
            title=row.title,
            description=row.description,
            author_id=row.author_id,
            author_name=listed.author_name,
            price_cents=row.price_cents,
            price=format_cents(row.price_cents),
            editions=row.editions,
            editions_left=left,
            sold_out=left == 0,
            ipfs_hash=row.ipfs_hash,
            teaser_link=row.teaser_link,
            metadata_uri=metadata_uri(row.ipfs_hash, self._settings.public_base_url, row.id),
            collaborators=[Share(user_id=user, share_bps=bps) for user, bps in sorted(shares.items())],
            created_at=row.created_at,
        )

    def _check_media(self, wish: NewContentBody) -> None:
        if wish.ipfs_hash is None and wish.teaser_link is None:
            raise RequestError(422, "media_missing", "give an ipfs_hash or a teaser_link", "ipfs_hash")
        if wish.ipfs_hash is not None and not is_content_id(wish.ipfs_hash):
            raise RequestError(422, "ipfs_hash_invalid", NO_CONTENT_ID, "ipfs_hash")
        if wish.teaser_link is not None and not is_teaser_link(wish.teaser_link, self._settings.teaser_hosts):
            raise RequestError(
                422, "teaser_link_invalid", "the teaser_link is an https address at Cloudinary", "teaser_link"
            )
        longest = metadata_uri(wish.ipfs_hash, self._settings.public_base_url, 10**18)
        if len(longest.encode()) > URI_LIMIT_BYTES:
            raise RequestError(422, "uri_too_long", f"the NFT's uri has more than {URI_LIMIT_BYTES} bytes", "ipfs_hash")

    def _price_warnings(self, price_cents: int) -> list[Warned]:
        message = price_shortfall(price_cents, self._settings)
        if message is None:
            return []
        if self._settings.refuse_unprofitable:
            raise RequestError(422, "price_below_cost", message, "price_cents")
        return [Warned(code="price_below_cost", message=message)]


def check_title(title: str, editions: int | None) -> None:
    """Raises RequestError 422 `title_too_long`, unless the name of its last edition fits on chain."""
    limit, found = title_limit_bytes(editions), len(title.encode())
    if found > limit:
        said = f"the title takes {found} bytes, and {limit} fit on the NFT beside its number: most letters take one, "
        raise RequestError(
            422, "title_too_long", said + "those with accents two, other scripts and emoji more; shorten it", "title"
        )
    if not title.strip():
        raise RequestError(422, "title_empty", "a title has letters", "title")


def is_teaser_link(link: str, hosts: Sequence[str]) -> bool:
    """Whether a link is an https address at one of the hosts."""
    try:
        parts = urlsplit(link)
        plain = parts.port in (None, 443) and parts.username is None and link.isascii() and " " not in link
    except ValueError:
        return False
    return plain and parts.scheme == "https" and parts.hostname in hosts and len(parts.path) > 1


def read_shares(collaborators: Sequence[Collaborator]) -> dict[int, int]:
    """User id → basis points. Raises RequestError 422 for a user named twice or a sum that is not 10,000."""
    shares = {one.user_id: one.share_bps for one in collaborators}
    if len(shares) != len(collaborators):
        raise RequestError(422, "collaborator_twice", "a collaborator is named twice", "collaborators")
    if collaborators and sum(shares.values()) != SHARE_WHOLE_BPS:
        raise RequestError(422, "shares_wrong", f"shares sum to {SHARE_WHOLE_BPS} basis points", "collaborators")
    return shares


def price_shortfall(price_cents: int, settings: WebSettings) -> str | None:
    """What an author should know of a price that does not carry its mint; None for one that does."""
    share = expected_sale(price_cents, settings.card_fee, settings.split)[1].platform
    cost = settings.network_cost_cents
    if share >= cost * BASE_UNITS_PER_CENT:
        return None
    return (
        f"the platform's share of this price is about {format_usdc(share)} USDC, "
        f"minting costs about {format_cents(cost)} USD"
    )


def expected_sale(price_cents: int, card_fee: CardFee, rule: SplitRule) -> tuple[int, Split]:
    """Stripe's fee in cents by the card fee's price list, and how what is left would be divided."""
    listed = (price_cents * card_fee.bps + SHARE_WHOLE_BPS // 2) // SHARE_WHOLE_BPS + card_fee.fixed_cents
    fee = min(price_cents, listed)
    return fee, split_net(cents_to_base_units(price_cents - fee), rule)
