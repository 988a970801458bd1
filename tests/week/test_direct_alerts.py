"""Balance alerts that go to the operator's chat by themselves: once for each change, in order, whatever it answers."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from sandbox.service import Request, Response
from tests.week.checker import rows_of
from tests.week.selling import DUE, Market
from tests.week.test_virtual_week import run_virtually
from tests.week.virtual_world import VirtualWorld

CHAT_URL, SECRET_PATH = "https://chat.test", "/services/T000/B000/the-path-is-the-secret"
LEAST = 500_000_000


@dataclass
class Chat:
    """A Slack-compatible webhook. `answers` are given first, in turn; then it takes everything."""

    answers: list[Response] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    asked: int = 0

    def handle(self, request: Request) -> Response:
        self.asked += 1
        assert (request.method, request.path) == ("POST", SECRET_PATH)
        answer = self.answers.pop(0) if self.answers else Response(200, b"ok")
        if answer.status == 200:
            self.texts.append(json.loads(request.body)["text"])
        return answer

    def tick(self, now_ms: int) -> None:
        """Nothing happens by itself."""

    def next_due_ms(self) -> int | None:
        return None

    def take_deliveries(self) -> list[object]:
        return []

    def delivered(self, delivery_id: int, status: int | None) -> None:
        """Nothing was delivered."""

    def of(self, name: str) -> list[str]:
        """FIRING and RESOLVED of one alert, as they were read."""
        return [text.split("]")[0][1:] for text in self.texts if f" {name}:" in text]


def market(folder: Path, chat: Chat) -> Market:
    world = VirtualWorld(folder, AGENT_ALERT_WEBHOOK_URL=CHAT_URL + SECRET_PATH)
    world.transport.services[CHAT_URL] = chat  # type: ignore[assignment]  # it delivers nothing
    return Market(world)


async def told(shop: Market, chat: Chat, name: str, *states: str) -> None:
    async def heard() -> bool:
        return len(chat.of(name)) >= len(states)

    await shop.world.until(f"{name} is {states}", heard, timedelta(hours=2).total_seconds())
    await shop.world.clock.sleep(90)  # a look later nothing has been said again
    assert chat.of(name) == list(states), chat.texts


def test_each_change_of_a_balance_is_told_once_over_restarts_and_has_its_history(tmp_path: Path) -> None:
    async def story() -> None:
        chat = Chat()
        shop = market(tmp_path, chat)
        await shop.open()
        await told(shop, chat, "PlatformUsdcLow", "FIRING")
        await shop.world.stop()
        await shop.world.start()
        await told(shop, chat, "PlatformUsdcLow", "FIRING")
        await shop.deposited(LEAST)
        await told(shop, chat, "PlatformUsdcLow", "FIRING", "RESOLVED")
        assert chat.of("PlatformSolLow") == []
        assert "holds 500.00 USDC, least 500.00" in chat.texts[-1]
        assert "docs/runbooks/platformusdclow.md" in chat.texts[-1]
        history = rows_of(shop.world, "SELECT * FROM state_history WHERE machine = 'alert' ORDER BY id")
        assert [(row["before"], row["after"]) for row in history] == [("resolved", "firing"), ("firing", "resolved")]
        await shop.close()

    run_virtually(story())


def test_a_batch_that_lacks_funds_is_told_with_what_is_short_and_told_again_when_it_is_covered(tmp_path: Path) -> None:
    async def story() -> None:
        chat = Chat()
        shop = market(tmp_path, chat)
        await shop.open()
        await shop.sell()
        await shop.plan()
        await told(shop, chat, "BatchWaitsForFunds", "FIRING")
        assert any("lack 2.35 USDC" in text for text in chat.texts)
        await shop.deposited(DUE)
        await told(shop, chat, "BatchWaitsForFunds", "FIRING", "RESOLVED")
        await shop.close()

    run_virtually(story())


def test_a_chat_that_fails_gets_each_message_in_the_end_in_order_and_no_secret_is_kept(tmp_path: Path) -> None:
    """A message whose answer was lost goes out again under the same id."""

    async def story() -> None:
        refusals = [Response(404, b"no_service"), Response(500), Response(429, b"", {"Retry-After": "120"})]
        chat = Chat([*refusals, Response(200, b"ok", cut=True)])
        shop = market(tmp_path, chat)
        await shop.open()

        async def refused() -> bool:
            return chat.asked >= 2

        await shop.world.until("the chat has refused twice", refused)
        await shop.deposited(LEAST)
        await told(shop, chat, "PlatformUsdcLow", "FIRING", "FIRING", "RESOLVED")
        first, again, _ = chat.texts
        assert first == again
        assert rows_of(shop.world, "SELECT * FROM jobs WHERE kind = 'alert'") == []
        for table in ("alert_messages", "state_history", "jobs"):
            assert "the-path-is-the-secret" not in str(rows_of(shop.world, f"SELECT * FROM {table}"))
        assert not any(word in text for text in chat.texts for word in ("sk_test", "whsec", "TEST_API_KEY"))
        await shop.close()

    run_virtually(story())
