"""`conversion order|orders|approve|cancel|wire` against a real admin port."""

import json
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from agent.cli import converting_acts
from agent.cli.client import CommandFailed
from agent.web.conversion_rules import ConversionRules
from gateways.circle_mint import WireInstructions
from storage.engines.sqlite import SqliteStore
from storage.treasury.chain_rows import record_reading
from tests.web.shop import Shop, opened

WIRE = WireInstructions("w1", "CIR13FB13A", "CIRCLE INTERNET FINANCIAL", "A BANK", "****7427", "322286803", "SIVGUS66")


@pytest.fixture
async def desk(sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """A daemon that converts through Circle Mint, found by the commands' settings."""
    shop = Shop(sqlite_store)
    shop.settings = replace(shop.settings, conversion=ConversionRules(True, 500_000_000, 500_000_000))
    shop.wires = [WIRE]
    async with opened(shop):
        monkeypatch.setenv("AGENT_ADMIN_URL", f"http://127.0.0.1:{shop.admin.port}")
        monkeypatch.setenv("AGENT_ADMIN_TOKEN", "admin-approver")
        yield shop


async def test_an_order_from_the_proposal_to_its_end(desk: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    async def says(command: Coroutine[Any, Any, int], code: int = 0) -> str:
        assert await command == code
        return capsys.readouterr().out

    made = json.loads(await says(converting_acts.propose("250.10", "Friday", True)))
    assert (made["amount"], made["state"]) == ("250.10", "proposed")
    await says(converting_acts.approve(made["id"], None, False), 2)  # nobody is there to be asked
    told = await says(converting_acts.approve(made["id"], made["digest"], False))
    assert told.startswith(f"Order {made['id']}: 250.10 USDC, approved, 250.10 USD to wire, approved by approver")
    assert "CIR13FB13A" in (await says(converting_acts.show_instructions(False)))
    assert "Order 1" in await says(converting_acts.show_orders(20, False))
    assert "cancelled" in await says(converting_acts.cancel(made["id"], "not today", False))
    with pytest.raises(CommandFailed, match="AGENT_CAP_CONVERSION"):
        await converting_acts.propose("500.01", "", False)
    with pytest.raises(CommandFailed, match="--usdc"):
        await converting_acts.propose("much", "", False)


async def test_an_announcement_that_was_a_mistake_is_withdrawn(desk: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert await converting_acts.announce("112.50", None, "wire 7", True) == 0
    made = json.loads(capsys.readouterr().out)
    with pytest.raises(CommandFailed, match="nobody knows"):
        await converting_acts.withdraw(made["id"], "the bank refused it", False)
    now = desk.clock.now()
    await desk.store.write(lambda conn: record_reading(conn, "treasury_usdc", 0, 9, now))
    assert await converting_acts.withdraw(made["id"], "the bank refused it", False) == 0
    line = f"Conversion {made['id']}: 112.50 USD, 112.50 USDC expected, withdrawn: wire 7\n"
    assert capsys.readouterr().out == line
    assert await converting_acts.show_announced(20, False) == 0
    assert capsys.readouterr().out == line
