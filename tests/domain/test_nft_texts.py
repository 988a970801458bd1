"""Names and addresses that go on chain fit there, whatever the edition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import nft_texts


@given(st.none() | st.integers(1, 9_999_999), st.integers(1, 9_999_999))
def test_a_title_within_its_limit_fits_with_every_edition_number(editions: int | None, number: int) -> None:
    title = "é" * (nft_texts.title_limit_bytes(editions) // 2)
    name = nft_texts.nft_name(title, min(number, editions or number))
    assert len(name.encode()) <= nft_texts.NAME_LIMIT_BYTES


def test_names_and_addresses_are_spelled_as_the_product_says() -> None:
    assert nft_texts.nft_name("Title", 7) == "Title #7"
    assert nft_texts.metadata_uri("Qm123", "https://shop.example/", 5) == "ipfs://Qm123"


@pytest.mark.parametrize("base", ["https://shop.example", "https://shop.example/"])
def test_without_a_hash_we_serve_the_metadata_ourselves(base: str) -> None:
    assert nft_texts.metadata_uri(None, base, 5) == "https://shop.example/api/content/5/metadata/"
