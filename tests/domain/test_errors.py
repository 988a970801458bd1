"""What the operator reads when money does not suffice, and what each error says must be done."""

from domain import errors


def test_a_shortage_names_need_have_and_short() -> None:
    error = errors.InsufficientBalanceError(need=5_000_000, have=3_000_000)
    assert (error.need, error.have, error.short) == (5_000_000, 3_000_000, 2_000_000)
    assert str(error) == "need 5000000, have 3000000, short 2000000 USDC base units"
    assert errors.InsufficientBalanceError(need=1, have=2).short == 0


def test_an_unknown_outcome_is_never_a_reason_to_try_anew() -> None:
    assert not issubclass(errors.OutcomeUnknown, errors.Retryable | errors.Rejected)
    assert not issubclass(errors.AlreadyProcessed, errors.Retryable | errors.Rejected)


def test_every_error_is_one_of_the_family() -> None:
    found = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, Exception)]
    assert len(found) > 8
    assert all(issubclass(item, errors.PaymentSystemError) for item in found)
