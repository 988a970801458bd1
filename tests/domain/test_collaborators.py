"""Collaborator codes: read as people write them, and nobody's once anything in them is another."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.collaborators import ALPHABET, collaborator_code, read_code

ids, uuids = st.integers(1, 10**18 - 1), st.uuids(version=4)


@given(ids, uuids)
def test_a_code_is_read_back_however_it_is_written(user_id: int, uuid: UUID) -> None:
    code = collaborator_code(user_id, uuid)
    number, _, mark = code.partition("-")
    for written in (code, code.lower(), f" {number} - {mark} ", code.replace("0", "o").replace("1", "l")):
        assert read_code(written) == (user_id, code)


@given(ids, uuids, uuids)
def test_the_same_number_has_another_code_with_another_uuid(user_id: int, uuid: UUID, other: UUID) -> None:
    same = uuid.bytes == other.bytes
    assert (collaborator_code(user_id, uuid) == collaborator_code(user_id, other)) == same


def test_marks_follow_from_the_uuid_alone_and_use_the_whole_alphabet() -> None:
    codes = [collaborator_code(7, UUID(int=number, version=4)) for number in range(400)]
    assert len(set(codes)) == 400
    assert {letter for code in codes for letter in code.partition("-")[2]} == set(ALPHABET)
    assert collaborator_code(17, UUID("9f0c6b0e-7a61-4c53-9d0a-0a4dbf0c7a10")) == "17-5E3RSB"


def test_what_is_no_code_is_none() -> None:
    for text in (
        "",
        "17",
        "17-",
        "-7K0000",
        "0-7K0000",
        "17-7K000",
        "17-7K00000",
        "17-7K000U",
        "1e3-7K0000",
        "１７-7K0000",
    ):
        assert read_code(text) is None, text
