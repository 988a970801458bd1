"""IPFS content identifiers: the forms of one CID that the reference implementation writes, and what is none."""

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.content_ids import is_content_id

V0 = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKhcPL"
BASE32 = "bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf472co7m"
BASE16 = "f017012209d6c2be50f706953479ab9df2ce3edca90b68053c00b3004b7f0accbcfe84efb"
BASE36 = "k2jmtxvacy5p64u708sn9oawhfsizpcwgk1g59ckse0h1r7a2j2d794r"
ONE_IN_ALL_FORMS = (
    V0,
    BASE32,
    BASE32.upper(),
    BASE16,
    BASE16.upper(),
    BASE36,
    BASE36.upper(),
    "zdj7Wg2Qkk4mYgAkVU1kppfQ2sMGz5zPwERVpeWmxCQKmGWZG",
)
OTHERS = (
    "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    "f01551340" + "ab" * 64,  # SHA2-512 of raw bytes, longer than an NFT's uri has room for: told by its length
    "f0155a0e40220" + "00" * 32,  # Blake2b-256, whose code takes three bytes
)


@pytest.mark.parametrize("text", [*ONE_IN_ALL_FORMS, *OTHERS])
def test_a_cid_is_known_in_every_form(text: str) -> None:
    assert is_content_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "z",
        "QmX",
        "QmSunrise1",
        "Sunrise",
        V0[:-1],
        V0 + "a",
        V0.lower(),
        V0.replace("5", "0", 1),  # no letter of base58
        "Qm" + "z" * 44,  # a number of more bytes than 34
        "z" + V0,  # a CIDv0 has no base before it
        BASE32[:-1],
        BASE32[:-1] + "1",
        BASE32[:-1] + "n",  # the same bytes, with a bit behind their end
        BASE32[:5] + BASE32[5:].upper(),
        BASE16[:-2],
        BASE16 + "00",
        BASE16.replace("01", "02", 1),  # a version that there is not
        BASE16.replace("0170", "01f000", 1),  # a number with zeros before it
        BASE36.replace("k", "k0", 1),
        "f0155120f" + "ab" * 15,  # a digest that anybody can find content for
        "f015512" + "ff" * 12,  # a length without an end
        "f01551220 " + "ab" * 32,
        BASE36.upper().replace("2J", "2\N{KELVIN SIGN}", 1),
        "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8",  # a name of IPNS
        "uAXASIJ1sK-UPcGlTR5q53yzj7cqQtoBTwAswBLfwrMvP6E77",  # base64, whose signs no gateway takes in its address
        f"ipfs://{V0}",
        f"{V0}/metadata.json",
    ],
)
def test_what_is_no_cid_is_seen(text: str) -> None:
    assert not is_content_id(text)


@given(st.text(max_size=100) | st.from_regex(r"[bzkfBKFQ][A-Za-z0-9]{0,99}", fullmatch=True))
@example("f")
@example("Qm" + "1" * 44)
def test_no_text_is_too_strange_to_be_looked_at(text: str) -> None:
    is_content_id(text)


@given(st.binary(min_size=32, max_size=32), st.sampled_from([0x55, 0x70]))
def test_every_sha256_is_one_and_no_letter_can_be_lost(digest: bytes, codec: int) -> None:
    text = "b" + base64.b32encode(bytes([1, codec, 0x12, 32]) + digest).decode().rstrip("=").lower()
    assert is_content_id(text)
    assert not [place for place in range(1, len(text)) if is_content_id(text[:place] + text[place + 1 :])]
