"""Ids drawn in one go are what the class would have made of them."""

from random import Random
from uuid import RFC_4122, UUID

import pytest

from ports.ids import Ids
from ports.system import SystemIds
from ports.virtual import SeededIds


@pytest.mark.parametrize("ids", [SystemIds(), SeededIds(Random(1))], ids=["system", "seeded"])
def test_uuids_drawn_together_are_random_ones_in_their_usual_form(ids: Ids) -> None:
    drawn = ids.uuids(5_000)
    assert len(set(drawn)) == 5_000
    read = [UUID(text) for text in drawn]
    assert [str(one) for one in read] == drawn
    assert {(one.version, one.variant) for one in read} == {(4, RFC_4122)}
    free = [int(one) & ~(0xF << 76 | 0x3 << 62) for one in read]
    assert all(
        0 < sum(one >> bit & 1 for one in free) < 5_000 for bit in range(128) if bit not in (62, 63, 76, 77, 78, 79)
    )
    assert ids.uuids(0) == []


def test_seeded_uuids_are_the_same_whether_drawn_together_or_alone() -> None:
    together, alone = SeededIds(Random(7)), SeededIds(Random(7))
    assert together.uuids(3) == [str(alone.uuid()) for _ in range(3)]
