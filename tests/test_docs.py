"""The docs don't lie: settings, steps, states, events, commands and links are held against the code."""

import ast
import re
from pathlib import Path

import pytest

from agent.assembly import Engine, build_engine
from agent.cli import app
from agent.gateway_assembly import Ports, build_gateways
from agent.steps.stripe_event import HANDLERS
from config.settings import Settings, load_settings
from docs import render
from domain.flow import BY_KIND, STEPS, Source
from metrics import Metrics
from ports.executor import InlineExecutor
from ports.system import SystemClock, SystemIds
from simulator.wire import ServiceTransport
from storage.engines.inline import InlineStore
from storage.tables import circle_notifications, jobs, stripe_events
from tests.config.environment import VALID

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"(?:\]\(|(?:href|src|srcset)=\")([^)\"\s]+)[)\"]")
NAMED = re.compile(r"`((?:[a-z_]+/)+\w+\.py)(?:::?\s?([\w, ]+))?`((?:(?::|,)? `\w+`)*)")
"""A module in a text, and what the text says that is in it: `room/a.py: name`, `room/a.py`: `name`, `other`."""
SOURCE_ROOMS = ("agent", "payouts", "indexer", "storage")
PLATFORM_ADDRESS = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"
"""Any address on the curve."""


@pytest.fixture(scope="module")
def settings_table() -> dict[str, str]:
    """Variable → default, as docs/SETTINGS.md has them."""
    text = (ROOT / "docs/SETTINGS.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z][A-Z0-9_]+)`[^|]*\| ([^|]*) \|", text, re.MULTILINE)
    assert len(rows) == len({name for name, _ in rows}), "a setting has two rows"
    return dict(rows)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """The daemon's background as assembly wires it; nothing of it runs."""
    ports = Ports(
        clock=SystemClock(),
        ids=SystemIds(),
        executor=InlineExecutor(),
        transport=ServiceTransport({}),
        store=InlineStore(tmp_path / "agent.db"),
    )
    settings, metrics = load_settings(VALID), Metrics()
    return build_engine(settings, ports, build_gateways(settings, ports, metrics), metrics, PLATFORM_ADDRESS)


def lane_kinds(engine: Engine) -> dict[str, bool]:
    """Kind → whether its lane works now, before the start gate has opened, and before anybody has told the time."""
    inboxes = {stripe_events.name: "stripe_event", circle_notifications.name: "circle_notification"}
    found: dict[str, bool] = {}
    for lane in engine.worker._lanes:
        kinds = lane.queue.kinds if lane.queue.table is jobs else frozenset({inboxes[lane.queue.table.name]})
        found |= dict.fromkeys(kinds or (), lane.is_open())
    return found


def test_every_setting_has_a_row_in_the_docs_and_every_row_is_a_setting(settings_table: dict[str, str]) -> None:
    assert set(settings_table) == {name.upper() for name in Settings.model_fields} | {"AGENT_CONFIG"}


def test_the_docs_tell_each_setting_s_real_default(settings_table: dict[str, str]) -> None:
    for name, field in Settings.model_fields.items():
        told = settings_table[name.upper()].strip("`")
        if field.is_required():
            assert told == "required", name
            continue
        default = field.default
        text = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        if isinstance(text, bool):
            text = str(text).lower()
        assert told.replace(",", "") == ("empty" if text in ("", None) else str(text)), name


def test_every_step_that_assembly_wires_is_on_the_map_and_in_a_lane(engine: Engine) -> None:
    wired = set(engine.worker._steps)
    assert wired == set(BY_KIND)
    assert wired == set(lane_kinds(engine))


def test_the_map_knows_which_steps_wait_for_the_start_gate(engine: Engine) -> None:
    waiting = {kind for kind, is_open in lane_kinds(engine).items() if not is_open}
    assert waiting == {step.kind for step in STEPS if step.sends} | {"plan"}


def test_the_map_s_arrows_have_the_same_ends_on_both_sides() -> None:
    forth = {(step.kind, after) for step in STEPS for after in step.leads_to}
    back = {(by, step.kind) for step in STEPS for by in step.due_by if not isinstance(by, Source)}
    assert forth == back


def test_the_map_names_modules_that_exist() -> None:
    assert [step.module for step in STEPS if not (ROOT / step.module).is_file()] == []


def test_every_job_that_the_code_makes_due_is_on_the_map() -> None:
    made: dict[str, str] = {}
    for room in SOURCE_ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)):
                    continue
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                if name in ("enqueue", "revive") and isinstance(node.args[1], ast.Constant):
                    made[str(node.args[1].value)] = f"{path.relative_to(ROOT)}:{node.lineno}"
    assert made
    assert {kind: where for kind, where in made.items() if kind not in BY_KIND} == {}


@pytest.mark.parametrize("name", render.PAGES)
def test_rendered_pages_are_what_the_code_says(name: str) -> None:
    committed = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert committed == render.PAGES[name](), f"run `python -m docs.render` and commit docs/{name}"


def test_the_docs_list_every_stripe_event_that_changes_something() -> None:
    text = (ROOT / "docs/GOING_LIVE.md").read_text(encoding="utf-8")
    assert [kind for kind in HANDLERS if f"`{kind}`" not in text] == []


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    names = [command.name for command in app.registered_commands] + [group.name for group in app.registered_groups]
    assert [name for name in names if f"`{name}" not in text and f"main.py {name}" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "://" not in link and not (target.exists() and (not anchor or anchor in anchors(target))):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_and_what_they_are_said_to_hold_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [gone for path, *names in NAMED.findall(text) for gone in missing(path, " ".join(names))] == []


def missing(path: str, names: str) -> list[str]:
    """What of these is not written in the module, in any case: settings are fields there; the module, where none is."""
    module = ROOT / path
    if not module.is_file():
        return [path]
    words = set(re.findall(r"\w+", module.read_text(encoding="utf-8").lower()))
    return [f"{path}: {name}" for name in re.findall(r"\w+", names) if name.lower() not in words]


def anchors(page: Path) -> set[str]:
    """A Markdown page's headings as the anchors that they become."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_the_docs_name_exist(page: Path) -> None:
    """Paths in code font that begin with a room of the house."""
    rooms = "|".join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")))
    named = re.findall(rf"`((?:{rooms})/[\w./-]*)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs/adr").glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_item_of_the_security_checklist_names_tests_that_exist() -> None:
    text = (ROOT / "docs/SECURITY.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([0-9]+) \|.*\| ([^|]+) \|$", text, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 39))
    for number, cell in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", cell)
        assert named, f"item {number} has no test"
        for file, test in named:
            functions = ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
            assert any(getattr(one, "name", "") == test for one in functions), f"{number}: {file}::{test}"
