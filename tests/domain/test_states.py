"""The tables of transitions, edge by edge, and a purchase's status from its recipients' payouts."""

from enum import StrEnum
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import states
from domain.errors import IllegalTransition
from domain.states import TRANSITIONS, require_transition
from domain.states import PurchaseStatus as P
from domain.states import UsdcStatus as U

OBSERVED = {states.WorkState, states.WatchState}
"""Not moves of ours: the first is the worker's bookkeeping, the second what the chain says, forks included."""
EVERY_PAIR = [pair for machine in TRANSITIONS for pair in product(machine, repeat=2)]


def test_every_state_machine_has_a_table_and_every_state_its_row() -> None:
    enums = {
        found
        for found in vars(states).values()
        if isinstance(found, type) and issubclass(found, StrEnum) and found is not StrEnum
    }
    assert TRANSITIONS.keys() == enums - OBSERVED
    for machine, table in TRANSITIONS.items():
        assert set(table) == set(machine)
        assert all(type(after) is machine for afters in table.values() for after in afters)


@pytest.mark.parametrize(("before", "after"), EVERY_PAIR, ids=lambda s: f"{type(s).__name__}-{s.value or 'empty'}")
def test_a_move_passes_exactly_when_the_table_has_it(before: StrEnum, after: StrEnum) -> None:
    if after in TRANSITIONS[type(before)][before]:
        require_transition(before, after)
        return
    with pytest.raises(IllegalTransition) as caught:
        require_transition(before, after)
    assert (caught.value.before, caught.value.after) == (before.value, after.value)
    assert caught.value.machine == type(before).__name__


def test_no_state_moves_to_itself() -> None:
    assert [
        before for before, after in EVERY_PAIR if before is after and after in TRANSITIONS[type(before)][before]
    ] == []


@pytest.mark.parametrize(
    "final",
    [
        U.DISTRIBUTED,
        states.MintState.FINALIZED,
        states.MintState.DEAD,
        states.TransferState.FINALIZED,
        states.TransferState.DEAD,
        states.WalletState.READY,
        states.CheckoutState.COMPLETED,
        states.RefundState.FAILED,
    ],
)
def test_what_is_final_absorbs(final: StrEnum) -> None:
    assert TRANSITIONS[type(final)][final] == frozenset()


def test_only_these_states_are_final() -> None:
    final = {
        machine.__name__: names
        for machine, table in TRANSITIONS.items()
        if (names := {before.value for before, afters in table.items() if not afters})
    }
    assert final == {
        "UsdcStatus": {"distributed"},
        "MintState": {"finalized", "dead"},
        "TransferState": {"finalized", "dead"},
        "GroupState": {"paid", "dissolved"},
        "PackedState": {"finalized", "dead"},
        "UpkeepState": {"finalized", "dead"},
        "ReceiptState": {"closed"},
        "WalletState": {"ready"},
        "CheckoutState": {"completed"},
        "RefundState": {"failed"},
        "ConversionState": {"done", "failed", "cancelled"},
        "WithdrawalState": {"completed", "failed", "dropped"},
    }


def test_every_state_can_be_reached_from_the_first_one() -> None:
    for machine, table in TRANSITIONS.items():
        first = next(iter(machine))
        reached, ahead = {first}, [first]
        while ahead:
            fresh = table[ahead.pop()] - reached
            reached |= fresh
            ahead += fresh
        assert reached == set(machine), machine


def test_peers_defect_1_a_redelivered_payment_sends_no_purchase_back_to_be_minted_or_paid_again() -> None:
    with pytest.raises(IllegalTransition):
        require_transition(P.COMPLETED, P.PAYMENT_COMPLETED)
    with pytest.raises(IllegalTransition):
        require_transition(P.MINTING, P.PAYMENT_COMPLETED)
    for after in U:
        with pytest.raises(IllegalTransition):
            require_transition(U.DISTRIBUTED, after)


def test_peers_defect_6_nothing_is_distributed_before_it_was_covered_and_sent() -> None:
    to_distributed = {before for before, afters in TRANSITIONS[U].items() if U.DISTRIBUTED in afters}
    assert to_distributed == {U.PENDING_DISTRIBUTION, U.FAILED}


@pytest.mark.parametrize(
    ("payouts", "held", "status"),
    [
        ([], False, U.NONE),
        ([], True, U.ON_HOLD),
        *(([state], held, state) for state in U if state is not U.NONE for held in (False, True)),
        ([U.FAILED, U.DISTRIBUTED], False, U.FAILED),
        ([U.FAILED, U.NETTED], False, U.FAILED),
        ([U.FAILED, U.FAILED], False, U.FAILED),
        ([U.FAILED, U.ON_HOLD], False, U.FAILED),
        ([U.FAILED, U.CANCELLED], False, U.FAILED),
        ([U.FAILED, U.PENDING_DISTRIBUTION], False, U.PENDING_DISTRIBUTION),
        ([U.FAILED, U.PENDING_DISTRIBUTION, U.DISTRIBUTED], False, U.PENDING_DISTRIBUTION),
        ([U.NETTED, U.NETTED], False, U.NETTED),
        ([U.NETTED, U.DISTRIBUTED], False, U.DISTRIBUTED),
        ([U.DISTRIBUTED, U.DISTRIBUTED, U.NETTED], False, U.DISTRIBUTED),
        ([U.DISTRIBUTED, U.PENDING_DISTRIBUTION], False, U.PENDING_DISTRIBUTION),
        ([U.NETTED, U.PENDING_DISTRIBUTION], False, U.PENDING_DISTRIBUTION),
        ([U.ON_HOLD, U.PENDING_DISTRIBUTION], False, U.PENDING_DISTRIBUTION),
        ([U.PENDING_CONVERSION, U.PENDING_CONVERSION], False, U.PENDING_CONVERSION),
        ([U.CANCELLED, U.CANCELLED], False, U.CANCELLED),
        ([U.ON_HOLD, U.ON_HOLD], True, U.ON_HOLD),
    ],
)
def test_a_purchase_status_follows_from_its_payouts(payouts: list[U], held: bool, status: U) -> None:
    assert states.derive_usdc_status(payouts, held) is status


@given(st.lists(st.sampled_from([state for state in U if state is not U.NONE]), min_size=2, max_size=5), st.booleans())
def test_the_derived_status_depends_on_the_set_alone_and_tells_no_tale(payouts: list[U], held: bool) -> None:
    status = states.derive_usdc_status(payouts, held)
    assert states.derive_usdc_status(reversed(payouts), held) is status
    assert states.derive_usdc_status(iter(set(payouts)), held) is status
    paid = set(payouts) <= {U.DISTRIBUTED, U.NETTED}
    assert (status in {U.DISTRIBUTED, U.NETTED}) == paid
    assert (status is U.NETTED) == (set(payouts) == {U.NETTED})
    if status is U.FAILED:
        assert U.FAILED in payouts
        assert U.PENDING_DISTRIBUTION not in payouts
