"""Signing up, signing in and the wallet, as people's clients see them."""

import asyncio
from datetime import timedelta

import pytest
from argon2.low_level import Type, verify_secret
from solders.keypair import Keypair
from sqlalchemy import insert, update

from domain.keys import hash_secret
from domain.states import WalletState
from storage import tables
from storage.history import advance
from storage.people.users import ensure_invite
from tests.web.shop import INVITE, PASSWORD, START, Reply, Shop

SIGN_UP = {"email": "a@example.com", "password": PASSWORD, "invite_code": INVITE}
OWNER = "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"


async def test_signing_up_queues_the_wallet_and_asks_circle_nothing(shop: Shop) -> None:
    shop.circle.down = True
    made = await shop.send("POST", "/api/auth/signup/", SIGN_UP)
    assert (made.status, set(made.body)) == (201, {"user_id"})
    (job,) = await shop.all(tables.jobs)
    assert (job["kind"], job["subject"], job["state"]) == ("wallet", str(made.body["user_id"]), "due")
    (user,) = await shop.all(tables.users)
    assert user["wallet_state"] == WalletState.QUEUED
    assert user["password_hash"].startswith("$argon2id$")


async def test_the_password_is_hashed_with_owasp_s_minimum_unless_set_otherwise() -> None:
    from agent.web.passwords import PasswordCost, Passwords
    from ports.executor import InlineExecutor

    passwords = Passwords(InlineExecutor(), PasswordCost())
    stored = await passwords.hash("some password")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.check(stored, "some password")
    assert not await passwords.check(stored, "another password")
    assert not await passwords.check(None, "some password")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"invite_code": "wrong"}, 403, "invite_invalid"),
        ({"email": "no address"}, 422, "email_invalid"),
        ({"email": "a@b"}, 422, "email_invalid"),
        ({"email": "a@exa mple.com"}, 422, "email_invalid"),
        ({"password": "short"}, 422, "password_too_short"),
        ({"password": "x" * 257}, 422, "invalid_request"),
        ({"username": "new\nline"}, 422, "invalid_request"),
        ({"username": "nul\x00"}, 422, "invalid_request"),
        ({"email": 5}, 422, "invalid_request"),
        ({"admin": True}, 422, "invalid_request"),
        ({"password": None}, 422, "invalid_request"),
    ],
)
async def test_a_bad_sign_up_gets_its_own_clear_refusal_and_leaves_no_row(
    shop: Shop, change: dict[str, object], status: int, code: str
) -> None:
    answer = await shop.send("POST", "/api/auth/signup/", {**SIGN_UP, **change})
    assert (answer.status, answer.code) == (status, code)
    assert await shop.rows(tables.users) == 0
    assert await shop.rows(tables.jobs) == 0


async def test_a_taken_address_is_refused_in_any_spelling_and_uses_up_no_invite(shop: Shop) -> None:
    await shop.store.write(lambda conn: ensure_invite(conn, "just-twice", 2, START))
    wish = {**SIGN_UP, "invite_code": "just-twice"}
    assert (await shop.send("POST", "/api/auth/signup/", wish)).status == 201
    taken = await shop.send("POST", "/api/auth/signup/", {**wish, "email": "A@Example.COM"})
    assert (taken.status, taken.code) == (409, "email_taken")
    assert (await shop.send("POST", "/api/auth/signup/", {**wish, "email": "b@example.com"})).status == 201
    used_up = await shop.send("POST", "/api/auth/signup/", {**wish, "email": "c@example.com"})
    assert (used_up.status, used_up.code) == (403, "invite_invalid")


async def test_an_invite_for_one_lets_one_of_eight_in(shop: Shop) -> None:
    await shop.store.write(lambda conn: ensure_invite(conn, "only-one", 1, START))
    wishes = [{**SIGN_UP, "email": f"u{n}@example.com", "invite_code": "only-one"} for n in range(8)]
    answers = await asyncio.gather(*(shop.send("POST", "/api/auth/signup/", wish) for wish in wishes))
    assert sorted(answer.status for answer in answers) == [201] + [403] * 7
    assert await shop.rows(tables.users) == 1


async def test_a_token_signs_in_until_it_expires_or_is_revoked_and_is_stored_hashed(shop: Shop) -> None:
    user_id, token = await shop.member()
    profile = await shop.send("GET", "/api/profile/", token=token)
    assert (profile.status, profile.body["user_id"]) == (200, user_id)
    assert (profile.body["wallet_provider"], profile.body["wallet_chain"]) == ("circle_w3s", "SOL")
    assert profile.body["wallet_prompt"] is None
    stored = [row["token_hash"] for row in await shop.all(tables.tokens)]
    assert hash_secret(token) in stored and token not in stored
    _, second = await shop.member("other@example.com")
    assert (await shop.send("POST", "/api/auth/logout/", token=token)).status == 204
    assert (await shop.send("GET", "/api/profile/", token=token)).status == 401
    shop.clock.pass_(days=29)
    assert (await shop.send("GET", "/api/profile/", token=second)).status == 200
    shop.clock.pass_(days=2)
    assert (await shop.send("GET", "/api/profile/", token=second)).status == 401


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(shop: Shop) -> None:
    await shop.member()
    wrong = await shop.send("POST", "/api/auth/login/", {"email": "buyer@example.com", "password": "wrong one"})
    unknown = await shop.send("POST", "/api/auth/login/", {"email": "nobody@example.com", "password": "wrong one"})
    assert (wrong.status, wrong.body) == (unknown.status, unknown.body) == (401, unknown.body)
    assert wrong.code == "login_failed"


async def test_an_unknown_address_costs_the_same_hash_as_a_wrong_password(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.member()
    computed: list[bytes] = []

    def counted(encoded: bytes, secret: bytes, kind: Type) -> bool:
        computed.append(encoded.rsplit(b"$", 2)[0])
        return verify_secret(encoded, secret, kind)

    monkeypatch.setattr("argon2._password_hasher.verify_secret", counted)
    for email in ("buyer@example.com", "nobody@example.com", "no address at all"):
        assert (await shop.send("POST", "/api/auth/login/", {"email": email, "password": "wrong one"})).status == 401
    assert computed == [b"$argon2id$v=19$m=64,t=1,p=1"] * 3


async def test_guessing_is_slowed_down_and_the_right_password_works_after_the_wait(shop: Shop) -> None:
    await shop.member()
    guess = {"email": "buyer@example.com", "password": "wrong one"}
    answers = [await shop.send("POST", "/api/auth/login/", guess) for _ in range(20)]
    assert [answer.status for answer in answers] == [401] * 5 + [429] * 15
    assert int(answers[-1].headers["Retry-After"]) >= 1
    shop.clock.pass_(seconds=2)
    assert (await shop.send("POST", "/api/auth/login/", {**guess, "password": PASSWORD})).status == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer é", "Bearer a b", "Bearer " + "x" * 500]
)
async def test_every_malformed_authorization_gets_the_uniform_401(shop: Shop, header: str) -> None:
    answer = await shop.send("GET", "/api/profile/", headers={"Authorization": header} if header else {})
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_wallet_setup_is_fetched_fresh_from_circle_and_says_503_when_circle_is_down(shop: Shop) -> None:
    user_id, token = await shop.member()
    early = await shop.send("GET", "/api/wallet/setup/", token=token)
    assert (early.status, early.code) == (409, "wallet_queued")
    await shop.store.write(
        lambda conn: advance(conn, user_id, WalletState.CHALLENGE, START, wallet_challenge_id="challenge-1")
    )
    first = await shop.send("GET", "/api/wallet/setup/", token=token)
    second = await shop.send("GET", "/api/wallet/setup/", token=token)
    assert first.body == {
        "app_id": "app-1",
        "user_token": "token-1",
        "encryption_key": "encryption-key",
        "challenge_id": "challenge-1",
    }
    assert second.body["user_token"] == "token-2"
    shop.circle.down = True
    down = await shop.send("GET", "/api/wallet/setup/", token=token)
    assert (down.status, down.code) == (503, "circle_unavailable")
    await shop.store.write(lambda conn: advance(conn, user_id, WalletState.READY, START))
    ready = await shop.send("GET", "/api/wallet/setup/", token=token)
    assert (ready.status, ready.code) == (409, "wallet_ready")


async def test_who_opens_the_pin_window_has_his_wallet_looked_for_within_a_minute(shop: Shop) -> None:
    user_id, token = await shop.member()
    await shop.store.write(
        lambda conn: advance(conn, user_id, WalletState.CHALLENGE, START, wallet_challenge_id="challenge-1")
    )
    forgotten = shop.clock.now() + timedelta(hours=1)
    await shop.store.write(lambda conn: conn.execute(update(tables.jobs).values(due_at=forgotten)))
    assert (await shop.send("GET", "/api/wallet/setup/", token=token)).status == 200
    (job,) = await shop.all(tables.jobs)
    assert (job["kind"], job["subject"]) == ("wallet", str(user_id))
    assert job["due_at"] <= shop.clock.now() + timedelta(minutes=1)


async def test_a_user_from_before_is_prompted_changes_his_address_with_a_cool_off_and_gets_a_circle_wallet(
    shop: Shop,
) -> None:
    former = {"email": "old@example.com", "password": PASSWORD, "wallet_address": OWNER}
    made = await shop.send("POST", "/admin/api/users", former, "admin-operator", admin=True)
    assert made.status == 201
    login = await shop.send("POST", "/api/auth/login/", {"email": "old@example.com", "password": PASSWORD})
    token = login.body["token"]
    profile = (await shop.send("GET", "/api/profile/", token=token)).body
    assert (profile["wallet_provider"], profile["wallet_address"]) == ("external", OWNER)
    assert "Circle wallet" in profile["wallet_prompt"]
    other = str(Keypair().pubkey())
    changed = await shop.send("POST", "/api/wallet/external/", {"wallet_address": other}, token)
    assert (changed.status, changed.body["wallet_address"]) == (200, other)
    (user,) = await shop.all(tables.users)
    assert user["address_changed_at"] == shop.clock.now()
    for expected in (202, 202):
        asked = await shop.send("POST", "/api/wallet/circle/", token=token)
        assert (asked.status, asked.body) == (expected, {"wallet_state": "queued"})
    assert [job["kind"] for job in await shop.all(tables.jobs)] == ["wallet"]


async def test_a_user_from_before_who_is_there_already_is_a_409_that_says_by_what(shop: Shop) -> None:
    former = {"email": "old@example.com", "password": PASSWORD, "wallet_address": OWNER, "web3auth_sub": "sub-1"}

    async def bring(**changes: str) -> Reply:
        return await shop.send("POST", "/admin/api/users", {**former, **changes}, "admin-operator", admin=True)

    assert (await bring()).status == 201
    again, other = await bring(web3auth_sub="sub-2"), await bring(email="new@example.com")
    assert (again.status, again.code) == (409, "email_taken")
    assert (other.status, other.code) == (409, "web3auth_sub_taken")
    assert len(await shop.all(tables.users)) == 1


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("", "invalid_address"),
        ("not base58 0OIl", "invalid_address"),
        ("9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zY", "invalid_address"),
        (" 9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM", "invalid_address"),
        ("é" * 20, "invalid_address"),
        ("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "address_is_program_or_mint"),
        ("x" * 129, "invalid_request"),
    ],
)
async def test_a_malformed_address_is_refused_by_name_and_changes_nothing(shop: Shop, address: str, code: str) -> None:
    user_id, token = await shop.member()
    await shop.store.write(
        lambda conn: conn.execute(
            update(tables.users)
            .where(tables.users.c.id == user_id)
            .values(wallet_provider="external", wallet_address=OWNER)
        )
    )
    answer = await shop.send("POST", "/api/wallet/external/", {"wallet_address": address}, token)
    assert (answer.status, answer.code) == (422, code)
    (user,) = await shop.all(tables.users)
    assert (user["wallet_address"], user["address_changed_at"]) == (OWNER, None)


async def test_a_hash_of_weaker_parameters_is_renewed_at_the_next_login(shop: Shop) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=32, parallelism=1).hash(PASSWORD)
    await shop.store.write(
        lambda conn: conn.execute(
            insert(tables.users).values(
                uuid="6f1f5f5e-7f3b-4a37-9d0a-0a4c0c0b7c11",
                email="old@example.com",
                username="old",
                password_hash=weak,
                wallet_state="none",
                created_at=START,
            )
        )
    )
    answer = await shop.send("POST", "/api/auth/login/", {"email": "OLD@example.com", "password": PASSWORD})
    assert answer.status == 200
    (user,) = await shop.all(tables.users)
    assert user["password_hash"] != weak and "m=64" in user["password_hash"]
