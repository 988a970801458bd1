"""Bodies of contents and checkout."""

from typing import Annotated

from pydantic import Field

from agent.web.bodies import INT_MAX, Answer, Asked, Bps, IdempotencyKey, Line, Moment, Money, Prose, RowId, Warned

PRICE_MIN_CENTS = 50
"""Stripe's least charge."""
PRICE_MAX_CENTS = 99_999_999
"""Stripe's greatest charge."""
COLLABORATORS_MAX = 50
IpfsHash = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9]{1,100}$", examples=["QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKhcPL"])
]


class Collaborator(Asked):
    user_id: RowId
    share_bps: Bps


class NewContentBody(Asked):
    """`editions` left out = unlimited. One of `ipfs_hash` and `teaser_link` (a Cloudinary URL) is needed."""

    title: Annotated[Line, Field(min_length=1, max_length=200)]
    description: Annotated[Prose, Field(max_length=10_000)] = ""
    price_cents: Annotated[int, Field(ge=PRICE_MIN_CENTS, le=PRICE_MAX_CENTS)]
    editions: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    ipfs_hash: IpfsHash | None = None
    teaser_link: Annotated[Line, Field(max_length=500)] | None = None
    collaborators: Annotated[list[Collaborator], Field(max_length=COLLABORATORS_MAX, default_factory=list)]
    idempotency_key: IdempotencyKey | None = None


class Share(Answer):
    user_id: int
    share_bps: int


class CodeQuery(Asked):
    """A collaborator code, such as 17-K7QF92, as somebody writes it."""

    code: Annotated[Line, Field(min_length=1, max_length=60)]


class PersonNamed(Answer):
    user_id: int
    name: str


class NamedShare(Share):
    """`name` is null of whoever sells nothing in the shop himself: who may not be found by counting."""

    name: str | None


class NamedShares(Answer):
    items: list[NamedShare]


class ContentBody(Answer):
    id: int
    title: str
    description: str
    author_id: int
    author_name: str
    price_cents: int
    price: Money
    editions: int | None
    editions_left: int | None
    sold_out: bool
    ipfs_hash: str | None
    teaser_link: str | None
    metadata_uri: str
    collaborators: list[Share]
    created_at: Moment


class PublishedContent(ContentBody):
    warnings: list[Warned]


class ExpectedShare(Share):
    """`amount` in USDC."""

    amount: Money


class ContentChecked(Answer):
    """What one sale would bring by the card fee's price list: `price` and `stripe_fee` in USD, of what is left
    `platform` and `creators` in USDC, and of the latter each one's part."""

    price: Money
    stripe_fee: Money
    platform: Money
    creators: Money
    shares: list[ExpectedShare]
    warnings: list[Warned]


class ContentPage(Answer):
    items: list[ContentBody]
    next: int | None


class NftFile(Answer):
    uri: str
    type: str


class NftProperties(Answer):
    files: list[NftFile]
    category: str


class NftMetadata(Answer):
    """Metaplex's field names."""

    name: str
    symbol: str
    description: str
    image: str
    external_url: str
    properties: NftProperties


class CheckoutWish(Asked):
    content_id: Annotated[int, Field(ge=1, le=INT_MAX)]
    payment_method: Annotated[Line, Field(max_length=32)] = "card"
    currency: Annotated[Line, Field(max_length=8)] = "usd"


class CheckoutBegun(Answer):
    session_id: str
    redirect_url: str
