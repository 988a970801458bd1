"""Publishing content, and what its bounds are."""

from dataclasses import replace
from typing import Any

import pytest

from storage import tables
from storage.engines.sqlite import SqliteStore
from tests.web.shop import CONTENT, START, Shop, opened


async def test_published_content_is_listed_newest_first_with_its_price_and_editions(shop: Shop) -> None:
    author_id, token = await shop.member()
    ids = [await shop.content(token, title=f"Work {n}") for n in range(5)]
    first = await shop.send("GET", "/api/content/?limit=3")
    assert [item["id"] for item in first.body["items"]] == ids[:1:-1]
    rest = await shop.send("GET", f"/api/content/?limit=3&before={first.body['next']}")
    assert [item["id"] for item in rest.body["items"]] == ids[1::-1]
    assert rest.body["next"] is None
    one = (await shop.send("GET", f"/api/content/{ids[0]}/")).body
    assert (one["price"], one["price_cents"], one["editions"], one["editions_left"]) == ("3.00", 300, 10, 10)
    assert one["collaborators"] == [{"user_id": author_id, "share_bps": 10_000}]


async def test_metadata_has_metaplex_s_fields_and_lives_under_the_public_base_url(shop: Shop) -> None:
    _, token = await shop.member()
    content_id = await shop.content(token)
    one = (await shop.send("GET", f"/api/content/{content_id}/")).body
    assert one["metadata_uri"] == f"https://shop.example/api/content/{content_id}/metadata/"
    metadata = (await shop.send("GET", f"/api/content/{content_id}/metadata/")).body
    assert metadata["name"] == "Still life"
    assert metadata["image"] == CONTENT["teaser_link"]
    assert metadata["symbol"] == "RBLK"
    assert metadata["properties"]["files"] == [{"uri": CONTENT["teaser_link"], "type": "image/*"}]
    on_ipfs = await shop.content(token, ipfs_hash="QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKhcPL")
    listed = (await shop.send("GET", f"/api/content/{on_ipfs}/")).body
    assert listed["metadata_uri"] == "ipfs://QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKhcPL"


async def test_a_content_from_before_hashes_were_checked_is_shown_and_sold_as_it_is(shop: Shop) -> None:
    _, token = await shop.member()
    content_id = await shop.content(token)
    await shop.store.write(lambda conn: conn.execute(tables.contents.update().values(ipfs_hash="QmSunrise")))
    one = (await shop.send("GET", f"/api/content/{content_id}/")).body
    assert (one["ipfs_hash"], one["metadata_uri"]) == ("QmSunrise", "ipfs://QmSunrise")
    begun = await shop.send(
        "POST", "/api/checkout/stripe/", {"content_id": content_id, "payment_method": "card"}, token
    )
    assert begun.status == 200


async def test_taken_down_content_is_gone_but_the_metadata_of_its_nfts_stays(shop: Shop) -> None:
    _, token = await shop.member()
    content_id = await shop.content(token)
    await shop.store.write(lambda conn: conn.execute(tables.contents.update().values(taken_down_at=START)))
    assert (await shop.send("GET", f"/api/content/{content_id}/")).status == 404
    assert (await shop.send("GET", f"/api/content/{content_id}/metadata/")).status == 200
    assert (await shop.send("GET", "/api/content/")).body["items"] == []
    refused = await shop.send("POST", "/api/checkout/stripe/", {"content_id": content_id}, token)
    assert (refused.status, refused.code) == (404, "content_not_found")


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"price_cents": 49}, "invalid_request", "price_cents"),
        ({"price_cents": "300"}, "invalid_request", "price_cents"),
        ({"price_cents": 300.0}, "invalid_request", "price_cents"),
        ({"price_cents": True}, "invalid_request", "price_cents"),
        ({"price_cents": 10**30}, "invalid_request", "price_cents"),
        ({"price_cents": -300}, "invalid_request", "price_cents"),
        ({"editions": 0}, "invalid_request", "editions"),
        ({"title": ""}, "invalid_request", "title"),
        ({"title": "   "}, "title_empty", "title"),
        ({"title": "two\nlines"}, "invalid_request", "title"),
        ({"title": "x" * 29}, "title_too_long", "title"),
        ({"title": "é" * 15}, "title_too_long", "title"),
        ({"title": "x" * 24, "editions": None}, "title_too_long", "title"),
        ({"teaser_link": None}, "media_missing", "ipfs_hash"),
        ({"teaser_link": "http://res.cloudinary.com/x.jpg"}, "teaser_link_invalid", "teaser_link"),
        ({"teaser_link": "https://evil.example/x.jpg"}, "teaser_link_invalid", "teaser_link"),
        ({"teaser_link": "https://res.cloudinary.com@evil.example/x"}, "teaser_link_invalid", "teaser_link"),
        ({"teaser_link": "https://[broken/x"}, "teaser_link_invalid", "teaser_link"),
        ({"ipfs_hash": "../../etc"}, "invalid_request", "ipfs_hash"),
        ({"ipfs_hash": "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKhcP"}, "ipfs_hash_invalid", "ipfs_hash"),
        ({"collaborators": [{"user_id": 1, "share_bps": 9_999}]}, "shares_wrong", "collaborators"),
        ({"collaborators": [{"user_id": 1, "share_bps": 5_000}] * 2}, "collaborator_twice", "collaborators"),
        ({"collaborators": [{"user_id": 99, "share_bps": 10_000}]}, "unknown_collaborator", "collaborators"),
        ({"collaborators": [{"user_id": 1, "share_bps": 0}]}, "invalid_request", "collaborators.0.share_bps"),
        ({"price": 300}, "invalid_request", "price"),
    ],
)
async def test_content_out_of_bounds_is_refused_with_its_field_and_leaves_no_row(
    shop: Shop, change: dict[str, Any], code: str, field: str
) -> None:
    _, token = await shop.member()
    answer = await shop.send("POST", "/api/content/", {**CONTENT, **change}, token)
    assert (answer.status, answer.code, answer.body["error"]["field"]) == (422, code, field)
    assert await shop.rows(tables.contents) == 0


async def test_a_title_is_taken_up_to_the_last_byte_that_its_last_edition_leaves(shop: Shop) -> None:
    _, token = await shop.member()
    assert await shop.content(token, title="x" * 28, editions=10)
    assert await shop.content(token, title="x" * 23, editions=None)


async def test_collaborators_divide_the_creator_side_and_the_author_counts_only_if_listed(shop: Shop) -> None:
    _, token = await shop.member()
    second, _ = await shop.member("b@example.com")
    third, _ = await shop.member("c@example.com")
    shares = [{"user_id": second, "share_bps": 6_000}, {"user_id": third, "share_bps": 4_000}]
    content_id = await shop.content(token, collaborators=shares)
    assert (await shop.send("GET", f"/api/content/{content_id}/")).body["collaborators"] == shares


async def test_a_price_that_cannot_carry_its_mint_warns_with_both_figures_or_is_refused_by_setting(
    sqlite_store: SqliteStore,
) -> None:
    shop = Shop(sqlite_store)
    shop.settings = replace(shop.settings, network_cost_cents=60)
    async with opened(shop):
        _, token = await shop.member()
        cheap = await shop.send("POST", "/api/content/", CONTENT, token)
        (warning,) = cheap.body["warnings"]
        assert (cheap.status, warning["code"]) == (201, "price_below_cost")
        assert "0.26 USDC" in warning["message"] and "0.60 USD" in warning["message"]
        dear = await shop.send("POST", "/api/content/", {**CONTENT, "price_cents": 2_000}, token)
        assert dear.body["warnings"] == []
    shop.settings = replace(shop.settings, refuse_unprofitable=True)
    async with opened(shop):
        refused = await shop.send("POST", "/api/content/", CONTENT, token)
        assert (refused.status, refused.code) == (422, "price_below_cost")
