"""The systemd units, with systemd's own checks; nothing here needs systemd as process 1."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from agent.daemon import STAY_DOWN
from config.intake_access import load_intake_access
from config.settings import SECRET_NAMES, Settings
from tests.deploy.test_key_split import VALID
from tests.programs import ROOT, needs, run

UNITS = ROOT / "deploy/systemd"
INTAKE = "payment-agent-intake.service"
SERVICES = ("payment-agent.service", "payment-agent-backup.service", INTAKE)
EXPOSURE_MOST = 20
"""Tenths: 2.0 on systemd's scale from 0 to 10."""


def directives(name: str) -> list[tuple[str, str]]:
    lines = (UNITS / name).read_text(encoding="utf-8").splitlines()
    return [(key, value) for key, found, value in (line.partition("=") for line in lines) if found and key[0] != "#"]


def values(name: str, key: str) -> list[str]:
    return [value for found, value in directives(name) if found == key]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with paths that exist here."""
    for unit in UNITS.glob("payment-agent*"):
        text = unit.read_text(encoding="utf-8")
        text = re.sub(r"/opt/payment-agent/\.venv/bin/python", shutil.which("sh") or "/bin/sh", text)
        text = text.replace("WorkingDirectory=/opt/payment-agent", f"WorkingDirectory={tmp_path}")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_daemon_tells_systemd_of_its_life_and_has_time_to_stop() -> None:
    unit = "payment-agent.service"
    assert values(unit, "Type") == ["notify"] and values(unit, "WatchdogSec") == ["60"]
    assert values(unit, "Restart") == ["on-failure"] and values(unit, "StartLimitIntervalSec") == ["0"]
    assert values(unit, "RestartPreventExitStatus") == [str(STAY_DOWN)]
    assert int(values(unit, "TimeoutStopSec")[0]) > 10
    assert values(unit, "User") == ["payment-agent"]


def test_the_intake_is_another_user_with_two_secrets_and_an_address_that_the_daemon_has_not(tmp_path: Path) -> None:
    assert values(INTAKE, "Type") == ["notify"] and values(INTAKE, "WatchdogSec") == ["60"]
    assert values(INTAKE, "Restart") == ["on-failure"] and values(INTAKE, "StartLimitIntervalSec") == ["0"]
    (user,) = values(INTAKE, "User")
    assert [user] == values(INTAKE, "Group") != values("payment-agent.service", "User")
    users = (UNITS / "payment-agent.sysusers").read_text(encoding="utf-8")
    assert f"\nu {user} - " in users
    folder = "/etc/payment-agent/credentials/"
    credentials = [("STRIPE_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET"), ("DATABASE_URL", "INTAKE_DATABASE_URL")]
    assert values(INTAKE, "LoadCredential") == [f"{name}:{folder}{file}" for name, file in credentials]
    assert not values(INTAKE, "StateDirectory") and not values(INTAKE, "ReadWritePaths")
    for name, _ in credentials:
        (tmp_path / name).write_text(VALID[name], encoding="utf-8")
    lines = (UNITS / "intake.env").read_text(encoding="utf-8").splitlines()
    plain = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
    access = load_intake_access(plain | {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    ours = {access.listen, access.metrics_listen}
    theirs = {Settings.model_fields[name].default for name in ("agent_listen", "agent_admin_listen")}
    assert len(ours) == 2 and not ours & theirs
    (target,) = yaml.safe_load((ROOT / "deploy/prometheus/intake/local.yml.example").read_text(encoding="utf-8"))
    assert target["targets"] == [access.metrics_listen]


@pytest.mark.parametrize("unit", [unit for unit in SERVICES if unit != INTAKE])
def test_secrets_come_as_credentials_of_their_setting_s_name_and_nowhere_else(unit: str) -> None:
    text = (UNITS / unit).read_text(encoding="utf-8")
    given = re.findall(r"^#?LoadCredential=(\w+):/etc/payment-agent/credentials/(\w+)$", text, re.MULTILINE)
    assert {name for name, _ in given} <= SECRET_NAMES
    assert all(name == file for name, file in given)
    assert {"AGENT_DERIVATION_SECRET", "CIRCLE_W3S_ENTITY_SECRET", "AGENT_ALERT_WEBHOOK_URL"} <= {n for n, _ in given}
    assert not [line for line in text.splitlines() if line.startswith("Environment=") and "SECRET" in line]


def test_all_services_are_hardened_alike() -> None:
    def hardening(unit: str) -> list[tuple[str, str]]:
        found = directives(unit)
        return found[found.index(("NoNewPrivileges", "yes")) : found.index(("SystemCallErrorNumber", "EPERM")) + 1]

    assert all(hardening(SERVICES[0]) == hardening(other) for other in SERVICES[1:])


@needs("systemd-analyze")
def test_systemd_accepts_the_units(installed: Path) -> None:
    names = [*SERVICES, "payment-agent-backup.timer"]
    assert run(["systemd-analyze", "verify", "--man=no", *(installed / name for name in names)]) == ""


@needs("systemd-analyze")
@pytest.mark.parametrize("unit", SERVICES)
def test_systemd_finds_little_to_attack(unit: str, installed: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MOST}", "--no-pager"]
    assert "Overall exposure level" in run([*command, installed / unit])
