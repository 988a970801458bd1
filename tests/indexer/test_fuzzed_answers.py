"""The RPC's answers mangled at random: what comes out has the right form or is an error that asks again, nothing is
called absent that nobody called so, and a transaction that was handed over is never called unsent."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from chain.transactions import signature_of
from domain.errors import OutcomeUnknown, PaymentSystemError, Retryable
from indexer.effects.decode import decode_transaction
from indexer.effects.errors import MalformedAnswer
from indexer.rpc.pool import RpcPool
from ports.transport import HttpRequest, HttpResponse
from simulator.wire import ServiceTransport
from tests.gateways.wire import ScriptedTransport, SkippingClock, answer
from tests.mangled import mangled
from tests.sandbox.solana.world import SOL, World

EVERYDAY, LONG = 60, 20_000
URL = "http://rpc.test"
Question = Callable[[RpcPool], Awaitable[Any]]


class Chain:
    """A chain with one transfer on it and one to be sent, and what is asked of it."""

    def __init__(self) -> None:
        self.world = World()
        wallet, self.sent = str(self.world.alice.pubkey()), self.world.send(self.world.pay(SOL))
        self.world.pass_slots(40)
        self.wire = self.world.pay(2 * SOL)
        self.questions: dict[str, Question] = {
            "send": lambda rpc: rpc.send(self.wire),
            "simulate": lambda rpc: rpc.simulate(self.wire),
            "slot": lambda rpc: rpc.get_slot(),
            "blockhash": lambda rpc: rpc.latest_blockhash(),
            "balance": lambda rpc: rpc.get_balance(wallet),
            "accounts": lambda rpc: rpc.get_accounts([wallet]),
            "absent": lambda rpc: rpc.agree_absent(wallet),
            "statuses": lambda rpc: rpc.get_signature_statuses([self.sent]),
            "transaction": lambda rpc: rpc.ask(lambda node: node.get_transaction(self.sent)),
            "pruned": lambda rpc: rpc.ask(lambda node: node.block_time(self.world.node.tip())),
            "history": lambda rpc: rpc.ask(lambda node: node.get_signatures_for_address(wallet)),
        }
        self.good = {name: asyncio.run(self._good(question)) for name, question in self.questions.items()}

    async def _good(self, question: Question) -> Any:
        """The last answer that the question gets."""
        inner, bodies = ServiceTransport({URL: self.world.node}), list[bytes]()

        class Recording:
            async def send(self, request: HttpRequest) -> HttpResponse:
                found = await inner.send(request)
                bodies.append(found.body)
                return found

            async def close(self) -> None: ...

        found = await question(_pool(Recording()))
        assert found is not None
        return orjson.loads(bodies[-1])


@cache
def chain() -> Chain:
    return Chain()


def _pool(transport: Any) -> RpcPool:
    return RpcPool([URL], transport, SkippingClock(), requests_per_second=1e6, slot_seconds=0.4)


def check(name: str, body: bytes) -> None:
    """Ask a pool whose one endpoint answers this. Anything but a domain error that is raised fails the test."""

    async def ask() -> Any:
        try:
            return await chain().questions[name](_pool(ScriptedTransport(lambda _: answer(200, body))))
        except PaymentSystemError as error:
            return error

    found = asyncio.run(ask())
    if name == "send":
        assert found == signature_of(chain().wire) or type(found) is OutcomeUnknown, (found, body)
        return
    assert not isinstance(found, PaymentSystemError) or isinstance(found, Retryable), (found, body)
    if name == "absent" and found is True:
        assert orjson.loads(body)["result"]["value"] == [None], body
    if name == "transaction" and found is not None and not isinstance(found, Retryable):
        try:
            assert decode_transaction(found).signature
        except MalformedAnswer:
            return


def fuzz(name: str, examples: int) -> None:
    bounds = settings(
        max_examples=examples,
        derandomize=examples == EVERYDAY,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    hold: Any = bounds(given(mangled(chain().good[name]))(lambda body: check(name, body)))
    hold()


QUESTIONS = sorted(("send", "simulate", "slot", "blockhash", "balance", "accounts", "absent", "statuses"))
QUESTIONS += ["transaction", "history"]


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_mangled_answer_is_read_as_it_is_or_asked_for_again(name: str) -> None:
    fuzz(name, EVERYDAY)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", QUESTIONS)
def test_mangled_answers_by_the_ten_thousand(name: str) -> None:
    fuzz(name, LONG)
