"""What the log says of a request that could not be answered: its id, the same that its caller was given."""

from collections.abc import Iterator

import pytest
import structlog
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from agent.web import front
from domain.states import WalletState
from storage.history import advance
from tests.web.shop import START, Shop


@pytest.fixture
def fresh_logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that ran in this process may have set up logging for itself, and loggers keep what they found."""
    before = structlog.get_config()
    structlog.reset_defaults()
    monkeypatch.setattr(front, "log", structlog.get_logger(front.__name__))
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("fresh_logger")
async def test_an_error_of_ours_is_logged_under_the_id_that_the_caller_was_given(shop: Shop) -> None:
    user_id, token = await shop.member()
    await shop.store.write(
        lambda conn: advance(conn, user_id, WalletState.CHALLENGE, START, wallet_challenge_id="challenge-1")
    )
    shop.circle.down = True
    with capture_logs(processors=[merge_contextvars]) as lines:
        answers = [await shop.send("GET", "/api/wallet/setup/", token=token) for _ in range(2)]
    assert {answer.status for answer in answers} == {503}
    told = [line["request_id"] for line in lines if line["event"] == "answered with an error"]
    assert told == [answer.headers["X-Request-Id"] for answer in answers]
    assert len(set(told)) == 2
