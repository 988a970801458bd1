"""The proxies' configurations in the documents, run by a real nginx and a real Caddy before two that tell what reached
them."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.deploy.monitors import free_port, ready, running
from tests.programs import ROOT, needs

SPLIT, PLAIN = ROOT / "docs/INTAKE.md", ROOT / "docs/GOING_LIVE.md"
"""Where Stripe's webhook has a process of its own, and where it has none."""
WEBHOOK = "/api/checkout/webhook/"
BODY = b'{"id": "evt_1",  "spaces and \xc3\xa9": "stay as they were signed"}\n'
SOMEBODY_ELSE = "203.0.113.9"
DELIVERIES = 20
BACK_SECONDS = 60.0
"""Both wait for ten seconds before they try it again."""


@dataclass
class Upstream:
    """One of the two processes behind the proxy. It answers with `status`."""

    port: int
    status: int = 200
    heard: list[tuple[str, bytes, str]] = field(default_factory=list)
    """Path with its query, body, X-Forwarded-For."""

    async def hear(self, request: web.Request) -> web.Response:
        if request.path == "/there":
            return web.Response()
        body = await request.read()
        self.heard.append((request.path_qs, body, request.headers.get("X-Forwarded-For", "")))
        return web.Response(status=self.status)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.hear)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            yield
        finally:
            await runner.cleanup()


@dataclass(frozen=True)
class Proxied:
    url: str
    session: aiohttp.ClientSession
    intake: Upstream
    daemon: Upstream

    async def deliver(self) -> int:
        """An event of Stripe's, from somebody who also claims to be somebody else; the status of the answer."""
        headers = {"X-Forwarded-For": SOMEBODY_ELSE}
        async with self.session.post(self.url + WEBHOOK, data=BODY, headers=headers) as answer:
            return answer.status


def example(page: Path, name: str, places: dict[str, int]) -> str:
    """The block of the page that follows the proxy's name; only addresses are others."""
    found = re.search(rf"{name}[^\n]*:\n\n```\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, f"{page} has no example for {name}"
    told = found[1]
    for address, port in places.items():
        told = told.replace(address, f"127.0.0.1:{port}")
    return told


def of_nginx(page: Path, folder: Path, port: int, places: dict[str, int]) -> list[str]:
    told = example(page, "nginx", places).replace("server_name", f"listen 127.0.0.1:{port};\n    server_name")
    paths = "".join(
        f"{what}_temp_path {folder}/{what};\n" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"pid {folder}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{told}}}\n",
        encoding="utf-8",
    )
    return ["nginx", "-p", str(folder), "-c", str(config), "-g", "daemon off;"]


def of_caddy(page: Path, folder: Path, port: int, places: dict[str, int]) -> list[str]:
    told = example(page, "Caddy", places).replace("shop.example", f"http://127.0.0.1:{port}")
    config = folder / "Caddyfile"
    config.write_text(f"{{\n    admin off\n    storage file_system {folder}\n}}\n{told}", encoding="utf-8")
    return ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]


@dataclass(frozen=True)
class Kind:
    """`start` gives its command; so many deliveries `tell` it that the intake is away, and Stripe repeats them."""

    start: Callable[[Path, Path, int, dict[str, int]], list[str]]
    tell: int


NGINX = pytest.param(Kind(of_nginx, tell=0), marks=needs("nginx"), id="nginx")
CADDY = pytest.param(Kind(of_caddy, tell=1), marks=needs("caddy"), id="caddy")
PROXIES = pytest.mark.parametrize("kind", [NGINX, CADDY])


@asynccontextmanager
async def proxied(kind: Kind, folder: Path, page: Path = SPLIT) -> AsyncIterator[Proxied]:
    """The proxy, ready, before an intake that is not there yet and a daemon that is."""
    intake, daemon, port = Upstream(free_port()), Upstream(free_port()), free_port()
    command = kind.start(page, folder, port, {"127.0.0.1:8090": intake.port, "127.0.0.1:8080": daemon.port})
    async with daemon.listening(), running(command, folder / "proxy.log"), aiohttp.ClientSession() as session:
        await ready(session, f"http://127.0.0.1:{port}/there")
        yield Proxied(f"http://127.0.0.1:{port}", session, intake, daemon)


@PROXIES
async def test_a_proxy_leads_stripes_events_to_the_intake_as_they_were_sent_and_all_else_to_the_daemon(
    kind: Kind, tmp_path: Path
) -> None:
    async with proxied(kind, tmp_path) as world, world.intake.listening():
        assert await world.deliver() == 200
        async with world.session.get(f"{world.url}/api/creators/7/dashboard/?page=2") as answer:
            assert answer.status == 200
    [(path, body, forwarded)] = world.intake.heard
    assert (path, body) == (WEBHOOK, BODY)
    assert forwarded.rpartition(",")[2].strip() == "127.0.0.1", "the caller comes last, whatever he claims to be"
    [(elsewhere, nothing, forwarded)] = world.daemon.heard
    assert (elsewhere, nothing, forwarded) == ("/api/creators/7/dashboard/?page=2", b"", "127.0.0.1")


@PROXIES
async def test_the_daemon_takes_events_while_the_intake_is_stopped_and_the_intake_has_them_again_when_it_is_back(
    kind: Kind, tmp_path: Path
) -> None:
    async with proxied(kind, tmp_path) as world:
        statuses = [await world.deliver() for _ in range(DELIVERIES)]
        assert statuses[kind.tell :] == [200] * (DELIVERIES - kind.tell)
        assert [body for _, body, _ in world.daemon.heard] == [BODY] * (DELIVERIES - kind.tell)
        async with world.intake.listening(), asyncio.timeout(BACK_SECONDS):
            while not world.intake.heard:
                assert await world.deliver() == 200
                await asyncio.sleep(0.1)


@PROXIES
async def test_an_intake_that_can_not_store_leaves_events_to_the_daemon(kind: Kind, tmp_path: Path) -> None:
    async with proxied(kind, tmp_path) as world, world.intake.listening():
        world.intake.status = 503
        statuses = [await world.deliver() for _ in range(DELIVERIES)]
    assert statuses[kind.tell :] == [200] * (DELIVERIES - kind.tell)
    assert [body for _, body, _ in world.daemon.heard] == [BODY] * (DELIVERIES - kind.tell)


@pytest.mark.parametrize("kind", [CADDY])
async def test_without_an_intake_the_daemon_has_all_of_it_as_it_was_sent(kind: Kind, tmp_path: Path) -> None:
    async with proxied(kind, tmp_path, PLAIN) as world:
        assert await world.deliver() == 200
    [(path, body, forwarded)] = world.daemon.heard
    assert (path, body) == (WEBHOOK, BODY)
    assert forwarded.rpartition(",")[2].strip() == "127.0.0.1"
