"""How often one caller may have what costs money, a hash or a row at each call, through the API or its pages alike."""

from collections.abc import Iterable
from dataclasses import replace

from pydantic import BaseModel

from agent.web.callers import is_inside, network_of
from agent.web.endpoint import Access, Call, Endpoint, Handler
from agent.web.messages import WebResponse
from agent.web.rates import Rate, RateLimit
from ports.clock import Clock


def limited(endpoints: Iterable[Endpoint], clock: Clock) -> list[Endpoint]:
    """The same endpoints; those with a rate answer 429 beyond it, before they do anything."""
    return [one if one.rate is None else replace(one, handler=_counting(one, one.rate, clock)) for one in endpoints]


def _counting(endpoint: Endpoint, rate: Rate, clock: Clock) -> Handler:
    limit = RateLimit(clock, rate)

    async def handler(call: Call) -> BaseModel | WebResponse | None:
        who = _who(endpoint, call)
        if who is not None:
            limit.take(who)
        return await endpoint.handler(call)

    return handler


def _who(endpoint: Endpoint, call: Call) -> str | None:
    """The account, however many tokens it has; else the address; None for callers who can't be told apart."""
    if endpoint.access is not Access.PUBLIC:
        return str(call.user_id)
    remote = call.request.remote
    return None if is_inside(remote) else network_of(remote)
