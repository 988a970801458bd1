"""What the log says of a request that could not be answered: its id, the same that its caller was given."""

from agent.web import front
from domain.states import WalletState
from storage.history import advance
from tests.logged import logged
from tests.web.shop import START, Shop


async def test_an_error_of_ours_is_logged_under_the_id_that_the_caller_was_given(shop: Shop) -> None:
    user_id, token = await shop.member()
    await shop.store.write(
        lambda conn: advance(conn, user_id, WalletState.CHALLENGE, START, wallet_challenge_id="challenge-1")
    )
    shop.circle.down = True
    with logged(front) as lines:
        answers = [await shop.send("GET", "/api/wallet/setup/", token=token) for _ in range(2)]
    assert {answer.status for answer in answers} == {503}
    told = [line["request_id"] for line in lines if line["event"] == "answered with an error"]
    assert told == [answer.headers["X-Request-Id"] for answer in answers]
    assert len(set(told)) == 2
