"""Names used outside: the shape that other parties demand, and never the same for two things."""

import re
from itertools import product
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import keys

SECRET = b"a derivation secret of the tests"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PARTS = st.lists(TEXT, max_size=5)
INTENTS = st.from_regex(r"pi_[A-Za-z0-9]{10,30}", fullmatch=True)
UUIDS = st.uuids(version=4)


@given(PARTS)
def test_peers_defect_7_idempotency_keys_have_the_form_of_a_random_uuid_and_never_change(parts: list[str]) -> None:
    key = keys.uuid4_shaped(*parts)
    assert key.version == 4
    assert key.variant == RFC_4122
    assert key == keys.uuid4_shaped(*parts)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", str(key))


@given(PARTS, PARTS)
def test_two_lists_of_parts_share_no_key(one: list[str], other: list[str]) -> None:
    assert (keys.uuid4_shaped(*one) == keys.uuid4_shaped(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["ab"], ["a", "b"]),
        (["a", ""], ["a"]),
        (["", "a"], ["a", ""]),
        (["1:a"], ["a"]),
        (["a1:b"], ["a", "b"]),
        (["1:a1:b"], ["a", "b"]),
        ([], [""]),
    ],
)
def test_moving_the_boundary_between_parts_gives_another_key(one: list[str], other: list[str]) -> None:
    assert keys.uuid4_shaped(*one) != keys.uuid4_shaped(*other)


def test_the_key_of_a_purchase_s_transfer_differs_by_recipient_and_attempt() -> None:
    transfer = UUID("11111111-2222-4333-8444-555555555555")
    tried = [("pi_3Example/1", 1), ("pi_3Example/1", 2), ("pi_3Example/2", 1), ("", 1), ("", 2)]
    assert len({keys.transfer_key(scope, transfer, attempt) for scope, attempt in tried}) == len(tried)


def test_a_key_stays_what_it_was_when_it_was_first_saved() -> None:
    """A change here would pay again what an earlier version of the program has asked Circle for."""
    user = UUID("11111111-2222-4333-8444-555555555555")
    assert str(keys.purchase_transfer_key("pi_3Example", 1, 1)) == GOLDEN["transfer"]
    assert str(keys.grouped_transfer_key(user, 1)) == GOLDEN["grouped"]
    assert str(keys.transfer_key("pi_3Example/1", user, 1)) == GOLDEN["transfer"]
    assert str(keys.transfer_key("", user, 1)) == GOLDEN["grouped"]
    assert str(keys.wallet_key("developer", user, 1)) == GOLDEN["wallet"]
    assert keys.mint_seed(SECRET, "pi_3Example") == GOLDEN["mint"]
    assert keys.receipt_seed(SECRET, user) == GOLDEN["receipt"]


GOLDEN = {
    "transfer": "f61db65e-16cc-4c79-b432-475dbbec9bca",
    "grouped": "49eb8f18-d754-45d4-888f-b17264315087",
    "wallet": "b2a77930-6714-48c9-b763-144de42c77d5",
    "mint": "c69c7402bd46f00a6a6a45c8e875fb00",
    "receipt": "6a3ee16167ddc779f7b5ba875a858dde",
}


@given(INTENTS, UUIDS)
def test_each_attempt_recipient_and_purpose_has_a_key_of_its_own(intent: str, some_uuid: UUID) -> None:
    numbers = list(product((1, 2, 11), (1, 2, 11)))
    made = [keys.purchase_transfer_key(intent, n, attempt) for n, attempt in numbers]
    made += [keys.grouped_transfer_key(some_uuid, attempt) for attempt in (1, 2, 11)]
    made += [keys.wallet_key(kind, some_uuid, attempt) for kind in ("user", "developer") for attempt in (1, 2, 11)]
    assert len(set(made)) == len(made)


@given(INTENTS, INTENTS, st.binary(min_size=1, max_size=64), st.binary(min_size=1, max_size=64))
def test_seeds_fit_the_chain_and_differ_by_purchase_and_secret(
    one: str, other: str, secret: bytes, another: bytes
) -> None:
    seed = keys.mint_seed(secret, one)
    assert re.fullmatch(r"[0-9a-f]{32}", seed)
    assert len(seed.encode()) <= keys.SEED_CHARS
    assert (seed == keys.mint_seed(secret, other)) == (one == other)
    if secret.ljust(64, b"\0") != another.ljust(64, b"\0"):  # HMAC pads a short key with zeros
        assert seed != keys.mint_seed(another, one)


@given(UUIDS, UUIDS)
def test_receipt_seeds_differ_by_group_and_never_meet_a_mint(one: UUID, other: UUID) -> None:
    seed = keys.receipt_seed(SECRET, one)
    assert re.fullmatch(r"[0-9a-f]{32}", seed)
    assert (seed == keys.receipt_seed(SECRET, other)) == (one == other)
    assert seed != keys.mint_seed(SECRET, str(one))


def test_references_are_spelled_as_the_product_says() -> None:
    batch, creator = UUID("0b0f7b8e-8a44-4c5e-9d49-111111111111"), UUID("0b0f7b8e-8a44-4c5e-9d49-222222222222")
    assert keys.purchase_reference("pi_3Example", 1) == "purchase-pi_3Example-distribution"
    assert keys.purchase_reference("pi_3Example", 2) == "purchase-pi_3Example-distribution-2"
    assert keys.purchase_reference("pi_3Example", 11) == "purchase-pi_3Example-distribution-11"
    assert keys.creator_reference(batch, creator) == (
        "batch-0b0f7b8e-8a44-4c5e-9d49-111111111111-creator-0b0f7b8e-8a44-4c5e-9d49-222222222222-distribution"
    )


@given(st.tuples(INTENTS, st.integers(1, 40)), st.tuples(INTENTS, st.integers(1, 40)))
def test_no_two_payouts_share_a_reference(one: tuple[str, int], other: tuple[str, int]) -> None:
    assert (keys.purchase_reference(*one) == keys.purchase_reference(*other)) == (one == other)


@pytest.mark.parametrize("text", ["pi_3Example", "pi_1", "pi_" + "a" * 250, "pi_3_secret"])
def test_stripes_ids_are_recognised(text: str) -> None:
    assert keys.is_payment_intent_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pi_",
        "pi_" + "a" * 251,
        "cs_3Example",
        "PI_3",
        " pi_3",
        "pi_3 ",
        "pi_3\n",
        "pi_3/../4",
        "pi_é",
        "pi_٣",
        "pi_-",
    ],
)
def test_other_texts_become_no_seed_and_no_reference(text: str) -> None:
    assert not keys.is_payment_intent_id(text)


def test_the_fingerprint_tells_secrets_apart_and_is_no_seed() -> None:
    fingerprint = keys.derivation_fingerprint(SECRET)
    assert fingerprint != keys.derivation_fingerprint(SECRET + b"!")
    assert SECRET.hex() not in fingerprint
    assert keys.mint_seed(SECRET, "pi_3Example") not in fingerprint


def test_stored_secrets_are_hashes() -> None:
    assert keys.hash_secret("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
