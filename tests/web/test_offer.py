"""Selling something: what was filled in is kept until it is right, shown back, and only then put up for sale; and
collaborators are named by the code that they gave."""

import re
from collections.abc import AsyncIterator

import pytest

from storage import tables
from tests.web.accessible import complaints
from tests.web.shop import CONTENT, PASSWORD, Shop
from tests.web.visitor import Page, Visitor, visiting

WISH = {"title": "Night", "price": "3.00", "teaser_link": "https://res.cloudinary.com/x/y.jpg", "editions": "3"}
NAME = "Zoë <b>&</b> مرحبا"
NO_CODE = "1-ZZZZZZ"
WRONG_OFFERS = (
    ({"price": "12.505"}, "The price is written in digits", "price"),
    ({"price": "0.49"}, "from 0.50 to", "price"),
    ({"editions": "1.5"}, "The number of editions is written in digits, like 25", "editions"),
    ({"ipfs_hash": "ipfs://Qm"}, "leave out ipfs://", "ipfs_hash"),
    ({"ipfs_hash": "QmSunrise"}, "That is no IPFS hash (CID)", "ipfs_hash"),
    ({"teaser_link": ""}, "Give the IPFS hash of its metadata, or a Cloudinary link", "ipfs_hash"),
    ({"title": " "}, "A title has letters", "title"),
    ({"title": ""}, "Give it a title", "title"),
    ({"code_1": NO_CODE, "share_1": "10"}, f"Nobody has the code {NO_CODE}", "code_1"),
    ({"code_1": "Zoë", "share_1": "10"}, "Nobody has the code Zoë", "code_1"),
    ({"share_2": "10"}, "Collaborator 1: whose share is it?", "code_1"),
)


@pytest.fixture
async def seller(shop: Shop) -> AsyncIterator[Visitor]:
    """The author, signed in."""
    await shop.member("author@example.com")
    async with visiting(shop.public.port) as visitor:
        await visitor.send("/signin", "/signin", email="author@example.com", password=PASSWORD)
        yield visitor


async def code_of(shop: Shop, token: str) -> str:
    return str((await shop.send("GET", "/api/profile/", token=token)).body["collaborator_code"])


async def other(shop: Shop, number: int, **more: str) -> tuple[int, str]:
    """Somebody else's id and code."""
    email = f"other-{number}@example.com"
    await shop.send(
        "POST",
        "/api/auth/signup/",
        {"email": email, "password": PASSWORD, "invite_code": "come-in-please", "username": NAME, **more},
    )
    entered = await shop.send("POST", "/api/auth/login/", {"email": email, "password": PASSWORD})
    profile = await shop.send("GET", "/api/profile/", token=entered.body["token"])
    return profile.body["user_id"], profile.body["collaborator_code"]


def marked(page: Page) -> list[str]:
    """The fields that a page blames."""
    return [part.rpartition('name="')[2].partition('"')[0] for part in page.text.split(' aria-invalid="true"')[:-1]]


async def test_what_was_filled_in_is_kept_until_it_is_right_and_put_up_for_sale_only_then(
    shop: Shop, seller: Visitor
) -> None:
    for changed, said, field in WRONG_OFFERS:
        wrong = await seller.send("/sales/new", "/sales/new", **{**WISH, **changed})
        assert (wrong.status, marked(wrong)) == (422, [field]), changed
        assert said.lower() in wrong.words.lower()
        assert wrong.form("/sales/new")["editions"] == changed.get("editions", "3")
        assert complaints(wrong.text) == []
    seen = await seller.send("/sales/new", "/sales/new", **WISH)
    assert (seen.status, await shop.rows(tables.contents)) == (200, 0), "it was only to be looked at"
    assert complaints(seen.text) == []
    for said in ("Night", "$3.00", "minting costs about 1.00 USD.", "Stripe takes about $0.39", "2.35"):
        assert said in seen.words
    changed_mind = await seller.post("/sales/new/change", seen.form("/sales/new/publish"))
    assert changed_mind.form("/sales/new")["title"] == "Night"
    made = await seller.post("/sales/new/publish", seen.form("/sales/new/publish"))
    (content,) = await shop.all(tables.contents)
    assert (content["title"], content["price_cents"], content["editions"]) == ("Night", 300, 3)
    page = f"/content/{content['id']}"
    assert made.headers["Location"] == f"{page}?done=published", "loaded again, the answer would publish it twice"
    again = await seller.post("/sales/new/publish", seen.form("/sales/new/publish"))
    assert (again.headers["Location"], await shop.rows(tables.contents)) == (made.headers["Location"], 1)
    assert "It is for sale." in (await seller.follow(made)).words
    assert "minting costs about 1.00 USD. Only you see this." in (await seller.get(page)).words
    other_one = seen.form("/sales/new/publish") | {"title": "Another night"}
    refused = await seller.post("/sales/new/publish", other_one)
    assert (refused.status, "put something up for sale already" in refused.words) == (409, True)
    seller.forget()
    assert "minting costs" not in (await seller.get(page)).words


async def test_collaborators_are_named_by_their_codes_shown_back_and_paid_their_shares(
    shop: Shop, seller: Visitor
) -> None:
    first, code = await other(shop, 1)
    second, second_code = await other(shop, 2, username="Bo")
    lines = {"code_1": f" {code.lower().replace('0', 'o')} ", "share_1": "33.33 %", "code_2": second_code}
    seen = await seller.send("/sales/new", "/sales/new", **WISH, **lines, share_2="0.01")
    assert (seen.status, complaints(seen.text)) == (200, [])
    table = seen.text.partition('id="earners"')[2].partition("</table>")[0]
    assert re.findall(r"([0-9.]+) %", table) == ["66.66", "33.33", "0.01"]
    assert NAME in seen.words and "<b>&</b>" not in seen.text
    for amount in ("1.56651", "0.783255", "0.000235"):
        assert amount in seen.words
    made = await seller.post("/sales/new/publish", seen.form("/sales/new/publish"))
    page = made.headers["Location"].partition("?")[0]
    content = (await shop.send("GET", f"/api{page}/")).body
    assert {one["user_id"]: one["share_bps"] for one in content["collaborators"]} == {
        content["author_id"]: 6_666,
        first: 3_333,
        second: 1,
    }
    assert "You 66.66 %" in " ".join((await seller.get(page)).words.split())
    await seller.send("/sales", "/signout")
    assert "66.66" not in (await seller.get(page)).words, "a guest reads who shares in it"
    await seller.send("/signin", "/signin", email="other-2@example.com", password=PASSWORD)
    named = " ".join((await seller.get(page)).words.split())
    assert "You 0.01 %" in named and "author 66.66 %" in named and f"Collaborator {first} 33.33 %" in named
    assert second_code in (await seller.get("/sales")).words


async def test_all_can_be_given_to_others_and_not_more_than_all(shop: Shop, seller: Visitor) -> None:
    _, code = await other(shop, 1)
    _, second = await other(shop, 2, username="Bo")
    own = await code_of(shop, (await shop.send("POST", "/api/auth/login/", LOGIN)).body["token"])
    wrong: tuple[tuple[dict[str, str], str, str], ...] = (
        ({"code_1": code, "share_1": "60", "code_2": second, "share_2": "40.01"}, "100.01 % together", "share_2"),
        ({"code_1": code, "share_1": "0"}, "from 0.01 to 100", "share_1"),
        ({"code_1": code, "share_1": "12.345"}, "from 0.01 to 100", "share_1"),
        ({"code_1": code}, "The share is written in per cent", "share_1"),
        ({"code_1": own, "share_1": "10"}, "That is your own code", "code_1"),
        ({"code_1": code, "share_1": "1", "code_9": code, "share_9": "2"}, "is named twice", "code_2"),
    )
    for lines, said, field in wrong:
        refused = await seller.send("/sales/new", "/sales/new", **WISH, **lines)
        assert (refused.status, marked(refused)) == (422, [field]), lines
        assert said.lower() in refused.words.lower()
    whole = {"code_1": code, "share_1": "60", "code_2": second, "share_2": "40"}
    seen = await seller.send("/sales/new", "/sales/new", **WISH, **whole)
    assert "nothing is left for you" in seen.words
    made = await seller.post("/sales/new/publish", seen.form("/sales/new/publish"))
    assert made.status == 303
    assert {one["share_bps"] for one in await shop.all(tables.content_shares)} == {6_000, 4_000}


LOGIN = {"email": "author@example.com", "password": PASSWORD}


async def test_there_are_lines_for_as_many_collaborators_as_there_can_be(seller: Visitor) -> None:
    form = (await seller.get("/sales/new")).form("/sales/new")
    assert {name for name in form if name.startswith("code_")} == {"code_1", "code_2"}
    filled = {f"{part}_{number}": str(number) for number in range(1, 51) for part in ("code", "share")}
    for lines, shown in ((4, 5), (98, 50), (100, 50)):
        some = dict(list(filled.items())[:lines])
        more = await seller.post("/sales/new/change", {**form, **some})
        fields = more.form("/sales/new")
        assert sum(name.startswith("code_") for name in fields) == shown
        assert some.items() <= fields.items()
        assert complaints(more.text) == []
    refused = await seller.post("/sales/new/change", {**form, **filled, "code_51": "x"})
    assert refused.status == 422


async def test_whose_code_it_is_is_told_to_whoever_has_the_whole_of_it(shop: Shop) -> None:
    user_id, token = await shop.member()
    code = await code_of(shop, token)
    _, asking = await shop.member("asking@example.com")
    found = await shop.send("GET", f"/api/collaborators/?code={code}", token=asking)
    assert found.body == {"user_id": user_id, "name": "buyer"}
    changed = code[:-1] + ("2" if code[-1] == "3" else "3")
    for wrong in (changed, f"{user_id}", f"{user_id}-", f"{user_id + 1}-{code.partition('-')[2]}", "0", "%20"):
        refused = await shop.send("GET", f"/api/collaborators/?code={wrong}", token=asking)
        assert (refused.status, refused.code) == (404, "code_unknown"), wrong
    assert (await shop.send("GET", f"/api/collaborators/?code={code}")).status == 401


async def test_who_shares_in_a_content_is_told_to_those_who_do_and_who_counts_reads_no_names(shop: Shop) -> None:
    """By the API collaborators are named by their numbers, which are everybody's."""
    author_id, author = await shop.member("author@example.com")
    second, token = await shop.member("second@example.com")
    _, stranger = await shop.member()
    shares = [{"user_id": author_id, "share_bps": 4_000}, {"user_id": second, "share_bps": 6_000}]
    path = f"/api/content/{await shop.content(author, collaborators=shares)}/shares/"
    for allowed, seen in ((author, None), (token, "second")):
        items = (await shop.send("GET", path, token=allowed)).body["items"]
        assert items == [
            {"user_id": second, "name": seen, "share_bps": 6_000},
            {"user_id": author_id, "name": "author", "share_bps": 4_000},
        ]
    assert (await shop.send("GET", path, token=stranger)).status == 404
    of_second = await shop.content(token)
    assert (await shop.send("GET", path, token=author)).body["items"][0]["name"] == "second", "the shop names him now"
    taken_down = (
        tables.contents.update().where(tables.contents.c.id == of_second).values(taken_down_at=shop.clock.now())
    )
    await shop.store.write(lambda conn: conn.execute(taken_down))
    assert (await shop.send("GET", path, token=author)).body["items"][0]["name"] is None
    alone = f"/api/content/{await shop.content(author)}/shares/"
    (own,) = (await shop.send("GET", alone, token=author)).body["items"]
    assert (own["user_id"], own["share_bps"]) == (author_id, 10_000)
    assert (await shop.send("GET", "/api/content/99/shares/", token=author)).status == 404


async def test_a_check_tells_what_a_sale_would_bring_and_stores_nothing(shop: Shop) -> None:
    author_id, token = await shop.member()
    second, _ = await shop.member("second@example.com")
    shares = [{"user_id": author_id, "share_bps": 5_001}, {"user_id": second, "share_bps": 4_999}]
    answer = await shop.send("POST", "/api/content/check/", {**CONTENT, "collaborators": shares}, token)
    warned = answer.body.pop("warnings")
    assert [one["code"] for one in warned] == ["price_below_cost"]
    assert answer.body == {
        "price": "3.00",
        "stripe_fee": "0.39",
        "platform": "0.26",
        "creators": "2.35",
        "shares": [
            {"user_id": author_id, "share_bps": 5_001, "amount": "1.175235"},
            {"user_id": second, "share_bps": 4_999, "amount": "1.174765"},
        ],
    }
    least = await shop.send("POST", "/api/content/check/", {**CONTENT, "price_cents": 50}, token)
    assert (least.body["stripe_fee"], least.body["creators"]) == ("0.31", "0.17")
    unknown = [{"user_id": 99, "share_bps": 10_000}]
    for change, code in (({"collaborators": unknown}, "unknown_collaborator"), ({"title": " "}, "title_empty")):
        refused = await shop.send("POST", "/api/content/check/", {**CONTENT, **change}, token)
        assert (refused.status, refused.code) == (422, code)
    assert await shop.rows(tables.contents) == 0
