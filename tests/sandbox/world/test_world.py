"""The world starts on free ports, tells outside clients and the daemon all they need, and ends without a trace."""

import asyncio
import json
import socket
import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import stripe
from aiohttp import web
from solana.rpc.async_api import AsyncClient
from solders.pubkey import Pubkey

from config.settings import load_settings
from sandbox import handover
from sandbox.loopback import HOST, PortTaken, ports_from
from sandbox.world import CIRCLE_WEBHOOK, PLATFORM_LAMPORTS, STRIPE_WEBHOOK, World, WorldOptions, running_world

ACCESS_KEYS = [
    "stripe_api",
    "stripe_secret_key",
    "stripe_webhook_secret",
    "circle_api",
    "circle_api_key",
    "circle_entity_secret",
    "platform_wallet_id",
    "platform_wallet_address",
    "solana_rpc",
    "solana_ws",
    "usdc_mint",
    "agent_url",
    "admin_url",
    "admin_token",
    "invite_code",
    "circle_mint_api",
    "circle_mint_api_key",
]


def options(data_dir: Path, **more: Any) -> WorldOptions:
    return WorldOptions(data_dir, **{"port_base": 0, "rsa_bits": 2048, **more})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running_world(options(tmp_path)) as running:
        yield running


def environment_of(data_dir: Path) -> dict[str, str]:
    """What a shell makes of sandbox.env."""
    script = 'set -a; . "$1"; env -0'
    told = subprocess.run(
        ["env", "-i", "sh", "-c", script, "sh", data_dir / "sandbox.env"], capture_output=True, check=True
    )
    pairs = (entry.split("=", 1) for entry in told.stdout.decode().split("\0") if entry)
    return {name: value for name, value in pairs if name not in {"PWD", "OLDPWD", "SHLVL", "_"}}


async def test_sandbox_json_has_exactly_the_promised_keys_and_is_private(world: World) -> None:
    path = world.options.data_dir / "sandbox.json"
    assert list(json.loads(path.read_text())) == ACCESS_KEYS
    assert all(json.loads(path.read_text()).values())
    for name in ("sandbox.json", "sandbox.env", "circle-entity-key.pem"):
        assert stat.S_IMODE((world.options.data_dir / name).stat().st_mode) == 0o600


async def test_sandbox_env_read_by_a_shell_is_a_whole_configuration_of_the_daemon(world: World) -> None:
    environment = environment_of(world.options.data_dir)
    assert environment == world.environment
    settings = load_settings(environment)
    assert settings.agent_admin_token.get_secret_value() == world.access["admin_token"]
    assert settings.invite_codes == (world.access["invite_code"],)
    assert settings.agent_listen == world.agent_url.removeprefix("http://")
    assert len(settings.rpc_urls) == 2


async def test_developer_wallets_and_grouping_by_creator_reach_the_daemon(tmp_path: Path) -> None:
    chosen = options(
        tmp_path, grouping="creator", user_wallets="developer", circle_limits="real", database_url="postgresql://x/y'z"
    )
    async with running_world(chosen) as world:
        settings = load_settings(environment_of(tmp_path))
        assert (settings.agent_grouping, settings.agent_user_wallets) == ("creator", "developer")
        assert settings.agent_wallet_set_id == world.platform.wallet_set_id
        assert settings.agent_circle_limits == "real"
        assert settings.database_url.get_secret_value() == "postgresql://x/y'z"


async def test_outside_clients_reach_every_service(world: World) -> None:
    access = world.access
    client = stripe.StripeClient(
        access["stripe_secret_key"],
        base_addresses={"api": access["stripe_api"]},
        http_client=stripe.AIOHTTPClient(),
    )
    balance = await client.v1.balance.retrieve_async()
    assert balance.livemode is False
    async with aiohttp.ClientSession() as session:
        bearer = {"authorization": f"Bearer {access['circle_api_key']}"}
        url = f"{access['circle_api']}/v1/w3s/wallets/{access['platform_wallet_id']}"
        async with session.get(url, headers=bearer) as answer:
            wallet = (await answer.json())["data"]["wallet"]
        bearer = {"authorization": f"Bearer {access['circle_mint_api_key']}"}
        url = f"{access['circle_mint_api']}/v1/businessAccount/wallets/addresses/recipient"
        async with session.get(url, headers=bearer) as answer:
            (recipient,) = (await answer.json())["data"]
        async with session.ws_connect(access["solana_ws"]) as socket_:
            await socket_.send_json({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"})
            assert "result" in await socket_.receive_json(timeout=60)
    assert wallet["address"] == recipient["address"] == access["platform_wallet_address"]
    for path in ("/", "/rpc2"):
        async with AsyncClient(access["solana_rpc"] + path) as node:
            held = await node.get_balance(Pubkey.from_string(access["platform_wallet_address"]))
            assert held.value == PLATFORM_LAMPORTS


async def test_the_daemon_is_told_of_payments_and_of_circles_news_once_it_listens(world: World) -> None:
    """Nobody listens at the start; the world goes on trying until somebody does."""
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def hear(request: web.Request) -> web.Response:
        heard.put_nowait((request.method, request.path))
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", hear)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, world.ports.agent).start()
    try:
        async with asyncio.timeout(60):
            world.stripe.controls.forge_event("charge.updated", {"id": "ch_1", "object": "charge"})
            world.fronts[2].poke()
            wanted = {("POST", STRIPE_WEBHOOK), ("HEAD", CIRCLE_WEBHOOK), ("POST", CIRCLE_WEBHOOK)}
            while wanted:
                wanted.discard(await heard.get())
    finally:
        await runner.cleanup()


async def test_the_same_seed_makes_the_same_world_and_another_seed_another(tmp_path: Path) -> None:
    found = []
    for number, seed in enumerate((5, 5, 6)):
        async with running_world(options(tmp_path / str(number), seed=seed)) as world:
            found.append({name: value for name, value in world.access.items() if "://" not in value})
    assert found[0] == found[1]
    changed = {name for name in found[0] if found[0][name] != found[2][name]}
    assert changed == set(found[0]) - {"usdc_mint"}


async def test_a_restarted_world_keeps_circles_key_and_sets_the_old_database_aside(tmp_path: Path) -> None:
    keys = []
    for run in range(3):
        async with running_world(options(tmp_path)) as world:
            keys.append(world.circle.custody.entity.public_key_pem)
            assert world.old_database == (tmp_path / f"agent.old-{run}.db" if run else None)
            assert not (tmp_path / "agent.db").exists()
            (tmp_path / "agent.db").write_text(f"run {run}")
            (tmp_path / "agent.db-wal").write_text(f"wal {run}")
    assert len(set(keys)) == 1
    assert (tmp_path / "agent.old-1.db").read_text() == "run 0"
    assert (tmp_path / "agent.old-2.db-wal").read_text() == "wal 1"


async def test_a_database_elsewhere_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "agent.db").write_text("mine")
    async with running_world(options(tmp_path, database_url="postgresql://localhost/agent")) as world:
        assert world.old_database is None
    assert (tmp_path / "agent.db").read_text() == "mine"


def test_a_taken_port_is_named_with_the_option_that_helps() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} \(stripe\).*--port-base"):
            ports_from(port)


@pytest.mark.parametrize("base", [80, 65_531, 70_000])
def test_a_base_without_room_for_seven_ports_is_refused(base: int) -> None:
    with pytest.raises(PortTaken, match="--port-base"):
        ports_from(base)


async def test_nothing_listens_when_the_world_has_ended(tmp_path: Path) -> None:
    async with running_world(options(tmp_path)) as world:
        ports = (
            world.ports.stripe,
            world.ports.circle,
            world.ports.solana_rpc,
            world.ports.solana_ws,
            world.ports.circle_mint,
        )
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, port)


def test_no_shell_expands_what_stands_in_sandbox_env(tmp_path: Path) -> None:
    written = {"ONE": "a 'b' \"c\" $HOME `id` \\ #", "TWO": ""}
    handover.write_environment(tmp_path, written)
    assert environment_of(tmp_path) == written
