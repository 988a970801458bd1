"""A real Prometheus and a real Alertmanager on the deployment's own configuration, and a chat that hears the alerts."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from tests.programs import ROOT

DEPLOY = ROOT / "deploy"
PORTS = range(23_500, 24_000)
EVERY = "500ms"
READY_SECONDS = 90.0
STOP_SECONDS = 10.0


@dataclass
class Chat:
    """What Slack would show: the titles of the messages, in their order."""

    titles: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    url: str = ""

    def of(self, alert: str) -> list[str]:
        return [title.split("]")[0][1:] for title in self.titles if title.endswith(f" {alert}")]

    async def hear(self, request: web.Request) -> web.Response:
        body = await request.json()
        for attachment in body["attachments"]:
            self.titles.append(attachment["title"])
            self.texts.append(attachment["text"])
        return web.Response(text="ok")


@dataclass(frozen=True, slots=True)
class Monitors:
    """Prometheus' address, and the chat behind Alertmanager."""

    prometheus: str
    chat: Chat
    session: aiohttp.ClientSession

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """What an expression shows now: labels and value of each series."""
        async with self.session.get(f"{self.prometheus}/api/v1/query", params={"query": expression}) as answer:
            told = await answer.json()
        assert told["status"] == "success", (expression, told)
        return [(one["metric"], float(one["value"][1])) for one in told["data"]["result"]]


_GIVEN: set[int] = set()


def free_port() -> int:
    """One of ours that nobody listens on, never the same twice in a process."""
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port
    raise AssertionError("no free port")


@asynccontextmanager
async def watching(folder: Path, target: str, token: str = "", job: str = "payment-agent") -> AsyncIterator[Monitors]:
    """Both of them, on copies of `deploy/` in which only addresses, secrets and times are others; of the jobs that are
    scraped only `job` has a target."""
    chat = Chat()
    async with _listening(chat), aiohttp.ClientSession() as session:
        alertmanager = f"127.0.0.1:{free_port()}"
        manager = ["prometheus-alertmanager", f"--config.file={_alertmanager(folder, chat)}"]
        manager += [f"--storage.path={folder}/am", f"--web.listen-address={alertmanager}", "--cluster.listen-address="]
        async with running(manager, folder / "alertmanager.log"):
            await ready(session, f"http://{alertmanager}/-/ready")
            address = f"127.0.0.1:{free_port()}"
            command = ["prometheus", f"--config.file={_prometheus(folder, {job: target}, token, alertmanager)}"]
            command += [f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address={address}"]
            async with running(command, folder / "prometheus.log"):
                await ready(session, f"http://{address}/-/ready")
                yield Monitors(f"http://{address}", chat, session)


def _prometheus(folder: Path, targets: Mapping[str, str], token: str, alertmanager: str) -> Path:
    """The alerts' patience is left out, so that a night passes in seconds; promtool's test is about that."""
    source = DEPLOY / "prometheus"
    config = _read(source / "prometheus.yml")
    config["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY}
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [alertmanager]
    (folder / "metrics_token").write_text(token, encoding="utf-8")
    for scrape in config["scrape_configs"]:
        name = scrape["job_name"]
        if "authorization" in scrape:
            scrape["authorization"]["credentials_file"] = str(folder / "metrics_token")
        scrape["file_sd_configs"] = [{"files": [str(folder / f"{name}-targets.yml")]}]
        if name in targets:
            text = yaml.safe_dump([{"targets": [targets[name]]}])
            (folder / f"{name}-targets.yml").write_text(text, encoding="utf-8")
    for name in config["rule_files"]:
        rules = _read(source / name)
        for group in rules["groups"]:
            group["interval"] = EVERY
            for rule in group["rules"]:
                rule.pop("for", None)
        (folder / name).write_text(yaml.safe_dump(rules), encoding="utf-8")
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def _alertmanager(folder: Path, chat: Chat) -> Path:
    config = _read(DEPLOY / "alertmanager/alertmanager.yml")
    for route in (config["route"], *config["route"]["routes"]):
        route |= {"group_wait": "100ms", "group_interval": "200ms"}
    (folder / "webhook_url").write_text(chat.url, encoding="utf-8")
    for receiver in config["receivers"]:
        for slack in receiver["slack_configs"]:
            slack["api_url_file"] = str(folder / "webhook_url")
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


@asynccontextmanager
async def _listening(chat: Chat) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/hook", chat.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    chat.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(command: Sequence[str], log: Path) -> AsyncIterator[None]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


async def ready(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
