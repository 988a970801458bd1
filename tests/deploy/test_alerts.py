"""Alerts, runbooks and metrics against each other, and Debian's promtool on the rules."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from metrics import IntakeMetrics, Metrics
from tests.programs import ROOT, needs, run

DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RUNBOOKS = ROOT / "docs/runbooks"
BY_HAND = {
    "README",
    "wallet-not-created",
    "nft-not-minted",
    "distribution-failing",
    "rotate-secrets",
    "least-rights",
    "restore",
}
"""Runbooks that no alert leads to."""
OURS = re.compile(r"(?<![:\w])payment_agent_[a-z_]+")
RECORDED = re.compile(r"\bjob[a-z_]*:payment_agent_[a-z_]+:[a-z0-9_]+")


def rules(name: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def series_names() -> set[str]:
    """Every name that a scrape may show, those of histograms and counters with what the format adds."""
    found: set[str] = set()
    for family in (*Metrics().registry.collect(), *IntakeMetrics().registry.collect()):
        name = family.name
        if family.type == "histogram":
            found |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
        found.add(f"{name}_total" if family.type == "counter" else name)
    return found


@pytest.fixture(scope="module")
def alerts() -> list[dict[str, Any]]:
    return rules("alert.rules.yml")


def test_every_alert_has_a_runbook_of_its_name_and_every_runbook_an_alert(alerts: list[dict[str, Any]]) -> None:
    names = [alert["alert"].lower() for alert in alerts]
    assert len(set(names)) == len(names)
    for alert, name in zip(alerts, names, strict=True):
        assert alert["annotations"]["runbook_url"].endswith(f"/runbooks/{name}.md")
        assert alert["annotations"]["summary"] and alert["annotations"]["description"]
        assert alert["labels"]["severity"] in ("page", "ticket")
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == set(names) | BY_HAND


def test_every_runbook_says_where_to_look_what_to_do_and_when_it_ends(alerts: list[dict[str, Any]]) -> None:
    for alert in alerts:
        text = (RUNBOOKS / f"{alert['alert'].lower()}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {alert['alert']}\n")
        assert "\n## Look\n" in text and "\n## Mend\n" in text and "resolves by itself when" in text


def test_the_list_of_runbooks_has_them_all() -> None:
    listed = set(re.findall(r"\]\(([a-z-]+)\.md\)", (RUNBOOKS / "README.md").read_text(encoding="utf-8")))
    assert listed == {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}


NIGHTS = ["alert.rules.test.yml", "alert.rules.hours.test.yml", "alert.rules.days.test.yml"]


@pytest.mark.parametrize("place", ["alert.rules.yml", "recording.rules.yml", *NIGHTS])
def test_rules_name_only_metrics_that_exist(place: str) -> None:
    text = (PROMETHEUS / place).read_text(encoding="utf-8")
    recorded = {rule["record"] for rule in rules("recording.rules.yml")}
    assert set(OURS.findall(RECORDED.sub("", text))) - series_names() == set()
    assert set(RECORDED.findall(text)) - recorded == set()


def test_runbooks_name_only_metrics_that_exist() -> None:
    for page in RUNBOOKS.glob("*.md"):
        assert set(OURS.findall(page.read_text(encoding="utf-8"))) - series_names() == set(), page.name


def test_what_the_issue_wants_to_be_told_of_has_its_alert(alerts: list[dict[str, Any]]) -> None:
    wanted = {
        *("PlatformUsdcLow", "PlatformSolLow", "MintFailures", "WalletFailures", "WorkParked", "QueueOverdue"),
        *("DistributionLag", "WebhookFailures", "RpcDegraded", "LedgerImbalance", "OrphanOutflow", "DaemonDown"),
    }
    assert wanted <= {alert["alert"] for alert in alerts}


def test_every_alert_is_made_to_fire_in_the_rules_tests(alerts: list[dict[str, Any]]) -> None:
    text = "".join((PROMETHEUS / night).read_text(encoding="utf-8") for night in NIGHTS)
    fired = set(re.findall(r"labels: '\{alertname=\"(\w+)\", severity=\"(\w+)\"\}'", text))
    assert fired == {(alert["alert"], alert["labels"]["severity"]) for alert in alerts}


@needs("promtool")
def test_prometheus_accepts_the_rules_and_its_configuration() -> None:
    told = run(["promtool", "check", "rules", "recording.rules.yml", "alert.rules.yml"], PROMETHEUS)
    assert told.count("SUCCESS") == 2
    run(["promtool", "check", "config", "--syntax-only", "prometheus.yml"], PROMETHEUS)


@needs("promtool")
@pytest.mark.parametrize("night", NIGHTS)
def test_every_alert_fires_in_a_bad_night_and_resolves_after_it(night: str) -> None:
    assert "SUCCESS" in run(["promtool", "test", "rules", night], PROMETHEUS)


@needs("promtool")
def test_the_rules_test_can_fail(tmp_path: Path) -> None:
    """Without its mending, the bad night does not end."""
    for name in ("recording.rules.yml", "alert.rules.yml"):
        (tmp_path / name).write_text((PROMETHEUS / name).read_text(encoding="utf-8"), encoding="utf-8")
    night = (PROMETHEUS / "alert.rules.test.yml").read_text(encoding="utf-8")
    endless = night.replace("499999999x30 500000000x60", "1x90")
    (tmp_path / "alert.rules.test.yml").write_text(endless, encoding="utf-8")
    with pytest.raises(AssertionError, match="PlatformUsdcLow"):
        run(["promtool", "test", "rules", "alert.rules.test.yml"], tmp_path)


@needs("amtool")
def test_alertmanager_accepts_its_configuration() -> None:
    assert "SUCCESS" in run(["amtool", "check-config", "alertmanager.yml"], DEPLOY / "alertmanager")
