"""The plan of a group: each member is answered once, whatever fails."""

from hypothesis import given
from hypothesis import strategies as st

from storage.engines.grouping import CULPRITS_MAX, Group
from storage.errors import StoreUnavailable


@given(st.integers(1, 40), st.sets(st.integers(0, 39)), st.booleans())
def test_members_that_fail_get_their_own_error_and_all_others_their_result(
    size: int, failing: set[int], culprit_known: bool
) -> None:
    group = Group(size)
    committed: list[int] = []
    transactions = 0
    while members := list(group.next()):
        transactions += 1
        position = next((at for at, member in enumerate(members) if member in failing), None)
        if position is None:
            group.committed(members)
            committed.extend(members)
        else:
            group.failed(position if culprit_known else None, LookupError(str(members[position])))
    for member, (result, error) in enumerate(group.answers):
        assert (str(error) if member in failing else result) == (str(member) if member in failing else member)
    assert sorted(committed) == sorted(set(range(size)) - failing)
    assert transactions <= size + CULPRITS_MAX


@given(st.integers(1, 20), st.integers(0, 20))
def test_a_refusal_reaches_everyone_without_an_answer(size: int, failures: int) -> None:
    group = Group(size)
    for _ in range(failures):
        if group.next():
            group.failed(0, LookupError())
    group.refuse(StoreUnavailable("full"))
    assert not group.next()
    assert all(isinstance(error, LookupError | StoreUnavailable) for _, error in group.answers)
