"""`doctor` in the sandbox: all well beside a daemon, and each thing that can be wrong named with its remedy."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta

import pytest

from agent.checkup import Finding, State, examine
from agent.cli.treatment import check_up
from config.settings import SettingsError, load_settings
from gateways.transport import AiohttpTransport
from ports.clock import Clock
from ports.system import SystemClock, SystemIds
from sandbox.world import World
from tests.cli.test_processes import command, daemon, world

__all__ = ["world"]


class WrongClock(SystemClock):
    """Ten minutes ahead."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=10)


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    opened = AiohttpTransport()
    yield opened
    await opened.close()


async def findings(
    transport: AiohttpTransport, environ: Mapping[str, str], clock: Clock | None = None
) -> dict[str, Finding]:
    settings = load_settings(environ)
    seen = [one async for one in examine(settings, environ, transport, clock or SystemClock(), SystemIds())]
    told = " ".join(f"{one.text} {one.remedy}" for one in seen)
    assert not [secret for secret in settings.confidential if len(secret) > 7 and secret in told]
    return {one.check: one for one in seen}


async def test_a_healthy_installation_has_no_failure_and_each_wrong_thing_is_named_with_its_remedy(
    world: World, transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = world.environment
    before = await findings(transport, environ)
    assert before["database"].state is State.WARNING
    assert before["stripe webhook"].state is before["circle webhook"].state is State.FAILED
    assert before["daemon"].state is State.SKIPPED

    async with daemon(world):
        ended = await command(world, "doctor", "--json")
        assert ended.code == 0, ended
        seen = {one["check"]: one["state"] for one in json.loads(ended.out)["findings"]}
        assert {check for check, state in seen.items() if state == "warning"} == {"secrets", "stripe key", "usdc"}
        assert {"stripe", "circle", "rpc 1", "rpc 2", "clock", "sol", "daemon", "database"} <= set(seen)

        wrong = {
            "stripe": {"STRIPE_SECRET_KEY": "sk_test_somebody_elses"},
            "circle": {"CIRCLE_W3S_API_KEY": "TEST_API_KEY:somebody:elses"},
            "rpc 2": {"SOLANA_RPC_URLS": f"{environ['SOLANA_RPC_URLS'].split(',')[0]},http://127.0.0.1:9"},
            "stripe webhook": {"PUBLIC_BASE_URL": environ["AGENT_STRIPE_API_URL"]},
        }
        for check, changed in wrong.items():
            found = (await findings(transport, environ | changed))[check]
            assert found.state is State.FAILED and next(iter(changed)) in found.remedy, found
        refused = (await findings(transport, environ | {"AGENT_ADMIN_TOKEN": "another token, long enough"}))["daemon"]
        assert refused.state is State.WARNING and "AGENT_ADMIN_TOKEN" in refused.remedy
        late = (await findings(transport, environ, WrongClock()))["clock"]
        assert late.state is State.FAILED and "NTP" in late.remedy

    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert await check_up(as_json=False) == 1
    told = capsys.readouterr().out
    assert "FAIL stripe webhook" in told and "is the daemon running?" in told
    monkeypatch.setenv("STRIPE_SECRET_KEY", "nonsense")
    with pytest.raises(SettingsError, match="STRIPE_SECRET_KEY"):
        await check_up(as_json=True)
