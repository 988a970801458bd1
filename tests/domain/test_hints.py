"""Which notification of Circle's makes a transfer be looked at."""

import pytest

from domain.hints import is_news

OURS, ANOTHER = "5igOurs", "5igAnother"


@pytest.mark.parametrize("state", ["INITIATED", "CLEARED", "QUEUED"])
def test_before_it_is_sent_there_is_nothing_to_do_but_wait(state: str) -> None:
    assert not is_news(state, None, None)


@pytest.mark.parametrize("state", ["SENT", "CONFIRMED", "COMPLETE"])
def test_what_is_on_chain_is_news_until_it_is_followed_there(state: str) -> None:
    assert is_news(state, OURS, None)
    assert is_news(state, None, None)
    assert not is_news(state, OURS, OURS)
    assert not is_news(state, None, OURS)


@pytest.mark.parametrize("state", ["QUEUED", "SENT", "CONFIRMED", "COMPLETE"])
def test_another_signature_than_the_followed_one_is_news(state: str) -> None:
    assert is_news(state, ANOTHER, OURS)


@pytest.mark.parametrize(
    "state", ["FAILED", "DENIED", "CANCELLED", "CANCELED", "STUCK", "SOMETHING_NEW", None, 7, [], {}]
)
def test_every_end_and_every_state_of_which_nobody_has_heard_is_news(state: object) -> None:
    assert is_news(state, None, None)
    assert is_news(state, OURS, OURS)
