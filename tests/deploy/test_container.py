"""The container files, as far as they can be checked without an engine: rules, references, the copied tree at work."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from config.intake_access import load_intake_access
from config.settings import SECRET_NAMES, load_settings
from tests.config.environment import VALID
from tests.databases import PostgresServer
from tests.deploy.test_key_split import VALID as INTAKE_VALID
from tests.programs import ROOT, needs, run

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
AGENTS = ("agent", "agent-2", "agent-3")
OURS_IN_SECRETS = {
    "POSTGRES_PASSWORD",
    "AGENT_DATABASE_PASSWORD",
    "OWNER_DATABASE_URL",
    "PROMETHEUS_METRICS_TOKEN",
    "ALERT_WEBHOOK_URL",
    "GRAFANA_PASSWORD",
}
OF_THE_INTAKE = {"INTAKE_DATABASE_PASSWORD", "INTAKE_DATABASE_URL"}
"""Secrets of the services beside the daemon."""


def instructions() -> list[tuple[str, str]]:
    """Keyword and arguments, with continued lines joined and comments left out."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def with_intake() -> dict[str, Any]:
    """What stands beside it where Stripe's webhooks have a process of their own."""
    return _yaml(DEPLOY / "compose.intake.yaml")


def test_the_image_is_pinned_slim_and_runs_as_nobody_in_particular() -> None:
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    assert bases and all(re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base) for base in bases)
    assert [rest for word, rest in instructions() if word == "USER"] == ["10001:10001"]
    words = [word for word, _ in instructions()]
    assert words.index("USER") > max(place for place, word in enumerate(words) if word in ("RUN", "COPY"))
    assert "ADD" not in words and words.count("STOPSIGNAL") == 1


def test_what_the_image_starts_is_no_shell() -> None:
    """A shell as process 1 would keep SIGTERM for itself."""
    found = {word: rest for word, rest in instructions() if word in ("ENTRYPOINT", "CMD", "HEALTHCHECK")}
    assert json.loads(found["ENTRYPOINT"]) == ["python", "main.py"]
    assert json.loads(found["CMD"]) == ["run"]
    assert json.loads(found["HEALTHCHECK"].partition("CMD ")[2])[0] == "python"


def test_the_image_installs_from_the_hashed_lock_and_holds_no_secret() -> None:
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert len(installs) == 1 and "--require-hashes" in installs[0] and "--only-binary :all:" in installs[0]
    settings = [rest for word, rest in instructions() if word in ("ENV", "ARG")]
    assert not [name for name in SECRET_NAMES for text in settings if name in text], "it would win over the secret file"


def test_the_tree_that_the_image_copies_is_enough_to_run(tmp_path: Path) -> None:
    sources = [rest.split() for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for source, target in sources:
        assert f"!{source.rstrip('/')}" in ignored, f"{source} would not be sent to the builder"
        place = tmp_path / target
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        elif target == "./":
            shutil.copy(ROOT / source, tmp_path)
    command = [sys.executable, "main.py", "db", "upgrade", "--json"]
    environment = VALID | {"DATABASE_URL": f"sqlite:///{tmp_path}/data/agent.db", "PYTHONPATH": str(tmp_path)}
    told = run(command, tmp_path, environment)
    assert json.loads(told)["after"]
    assert (tmp_path / "docs/runbooks/daemondown.md").is_file()


def test_every_service_is_locked_down_and_published_on_loopback_only(
    compose: dict[str, Any], with_intake: dict[str, Any]
) -> None:
    added = {name: one for name, one in with_intake["services"].items() if name not in compose["services"]}
    assert set(added) == {"intake", "intake-role"}
    for name, service in (compose["services"] | added).items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        image = service["image"]
        assert ":" in image or image == "renaissblock-payment-agent", f"{name}: {image} is not pinned"
        assert not image.endswith(":latest")
    assert compose["networks"]["inside"]["internal"] is True
    assert compose["services"]["postgres"]["networks"] == ["inside"]
    assert with_intake["networks"] == {"intake": {"internal": True}}
    assert added["intake"]["networks"] == ["intake", "outside"], "no way to the daemons' admin ports"


def test_three_replicas_share_one_database_after_one_upgrade(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert "profiles" not in services["agent"]
    for name in AGENTS[1:]:
        assert services[name]["profiles"] == ["replicas"]
    for name in AGENTS:
        after = {other: rule["condition"] for other, rule in services[name]["depends_on"].items()}
        assert after == {"postgres": "service_healthy", "migrate": "service_completed_successfully"}
        assert services[name]["stop_grace_period"] == "20s"
    targets = yaml.safe_load((DEPLOY / "prometheus/targets/replicas.yml").read_text(encoding="utf-8"))
    assert targets[0]["targets"] == [f"{name}:8081" for name in AGENTS]
    known = services["agent"]["environment"]["AGENT_ADMIN_HOSTS"].split(",")
    assert known == targets[0]["targets"], "a Host header that the daemon does not answer"


def test_secrets_are_files_and_the_daemon_finds_each_by_its_name(compose: dict[str, Any], tmp_path: Path) -> None:
    agent = compose["services"]["agent"]
    assert set(agent["secrets"]) <= SECRET_NAMES
    assert set(compose["secrets"]) == set(agent["secrets"]) | OURS_IN_SECRETS
    assert not SECRET_NAMES & set(agent["environment"])
    plain = dict(line.split("=", 1) for line in _lines(DEPLOY / "agent.env"))
    assert not SECRET_NAMES & set(plain)
    for name in agent["secrets"]:
        (tmp_path / name).write_text(VALID[name], encoding="utf-8")
    seen = agent["environment"] | plain | {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    settings = load_settings(seen)
    assert settings.database_url.get_secret_value() == VALID["DATABASE_URL"]
    assert settings.agent_admin_listen == "0.0.0.0:8081"


def test_what_is_mounted_is_there(compose: dict[str, Any], with_intake: dict[str, Any]) -> None:
    for service in (*compose["services"].values(), *with_intake["services"].values()):
        for volume in service.get("volumes", []):
            source = volume.partition(":/")[0].replace("${TARGETS:-single}", "single")
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), source
            else:
                assert source in compose["volumes"]


def test_the_intake_finds_its_two_secrets_and_starts_with_the_daemon_s_plain_settings(
    with_intake: dict[str, Any], tmp_path: Path
) -> None:
    service = with_intake["services"]["intake"]
    assert service["command"] == ["intake"] and service["env_file"] == ["agent.env"]
    given = {one if isinstance(one, str) else one["target"] for one in service["secrets"]}
    assert given == {"STRIPE_WEBHOOK_SECRET", "DATABASE_URL"}
    for name in given:
        (tmp_path / name).write_text(INTAKE_VALID[name], encoding="utf-8")
    plain = dict(line.split("=", 1) for line in _lines(DEPLOY / "agent.env"))
    access = load_intake_access(plain | service["environment"] | {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    (target,) = yaml.safe_load((DEPLOY / "prometheus/intake/compose.yml.example").read_text(encoding="utf-8"))
    assert tuple(target["targets"]) == access.metrics_hosts == ("intake:8082",)
    (published,) = service["ports"]
    assert published == "127.0.0.1:8090:8080" and access.listen == "0.0.0.0:8080", "where the health check asks"


async def test_the_role_of_the_intake_is_made_once_and_has_the_password_of_its_file(
    postgres_server: PostgresServer, with_intake: dict[str, Any], tmp_path: Path
) -> None:
    url = await postgres_server.empty_database()
    (tmp_path / "POSTGRES_PASSWORD").write_text("not asked for over this socket", encoding="utf-8")
    environment = {
        "PATH": f"{postgres_server.programs}:/usr/bin:/bin",
        "SECRETS": str(tmp_path),
        "PGUSER": str(url.username),
        "PGDATABASE": str(url.database),
        "PGHOST": str(url.query["host"]),
    }
    assert set(with_intake["services"]["intake-role"]["environment"]) <= set(environment)
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    kept = []
    try:
        for password in ("it's `odd` $HOME", "another"):
            (tmp_path / "INTAKE_DATABASE_PASSWORD").write_text(password, encoding="utf-8")
            run(["sh", "deploy/postgres/intake-role.sh"], ROOT, environment)
            (role,) = await connection.fetch("SELECT * FROM pg_authid WHERE rolname = 'intake'")
            assert role["rolcanlogin"] and role["rolpassword"].startswith("SCRAM-SHA-256$")
            assert not any(role[right] for right in ("rolsuper", "rolcreatedb", "rolcreaterole", "rolbypassrls"))
            kept.append((role["oid"], role["rolpassword"]))
        assert kept[0][0] == kept[1][0] and kept[0][1] != kept[1][1]
    finally:
        await connection.execute("DROP ROLE intake")
        await connection.close()
        await postgres_server.drop(url)


def test_the_secrets_script_draws_each_once_and_says_what_is_to_fill(
    tmp_path: Path, compose: dict[str, Any], with_intake: dict[str, Any]
) -> None:
    shutil.copy(DEPLOY / "make-secrets.sh", tmp_path)
    told = run(["sh", "make-secrets.sh"], tmp_path)
    made = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "secrets").iterdir()}
    assert set(with_intake["secrets"]) == OF_THE_INTAKE
    assert set(made) == set(compose["secrets"]) | OF_THE_INTAKE
    assert made["INTAKE_DATABASE_PASSWORD"].strip() in made["INTAKE_DATABASE_URL"]
    assert {name for name, text in made.items() if not text} == set(re.findall(r"to fill: deploy/secrets/(\w+)", told))
    assert made["PROMETHEUS_METRICS_TOKEN"] == made["AGENT_METRICS_TOKEN"].strip()
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "secrets").iterdir())
    run(["sh", "make-secrets.sh"], tmp_path)
    assert (tmp_path / "secrets/AGENT_DERIVATION_SECRET").read_text() == made["AGENT_DERIVATION_SECRET"]


def test_only_the_upgrade_has_the_owner_s_password_and_it_gives_the_daemon_s_role_its_rights(
    compose: dict[str, Any],
) -> None:
    migrate = compose["services"]["migrate"]
    assert migrate["command"] == ["db", "upgrade", "--grant-to", "agent"]
    assert {"source": "OWNER_DATABASE_URL", "target": "DATABASE_URL"} in migrate["secrets"]
    for name in AGENTS:
        assert "OWNER_DATABASE_URL" not in compose["services"][name]["secrets"]
        assert "DATABASE_URL" in compose["services"][name]["secrets"]


async def test_the_database_s_first_start_makes_the_daemon_s_role_with_the_password_of_its_file(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url = await postgres_server.empty_database()
    (tmp_path / "AGENT_DATABASE_PASSWORD").write_text("it's `odd` $HOME", encoding="utf-8")
    environment = {
        "PATH": f"{postgres_server.programs}:/usr/bin:/bin",
        "SECRETS": str(tmp_path),
        "POSTGRES_USER": str(url.username),
        "POSTGRES_DB": str(url.database),
        "PGHOST": str(url.query["host"]),
    }
    run(["sh", "deploy/postgres/10-daemon-role.sh"], ROOT, environment)
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    try:
        (role,) = await connection.fetch("SELECT * FROM pg_authid WHERE rolname = 'agent'")
        assert role["rolcanlogin"] and role["rolpassword"].startswith("SCRAM-SHA-256$")
        assert not any(role[right] for right in ("rolsuper", "rolcreatedb", "rolcreaterole", "rolbypassrls"))
    finally:
        await connection.execute("DROP ROLE agent")
        await connection.close()
        await postgres_server.drop(url)


@needs("docker-compose")
def test_docker_compose_accepts_the_file_with_and_without_replicas_and_intake() -> None:
    for options in ([], ["-f", "deploy/compose.intake.yaml"]):
        for profile in ([], ["--profile", "replicas"]):
            run(["docker-compose", "-f", "deploy/compose.yaml", *options, *profile, "config", "-q"])


@needs("docker-compose")
def test_beside_the_intake_its_role_is_there_before_it_gets_its_rights() -> None:
    alone, beside = (
        yaml.safe_load(run(["docker-compose", "-f", "deploy/compose.yaml", *more, "config"]))["services"]
        for more in ([], ["-f", "deploy/compose.intake.yaml"])
    )
    assert beside["migrate"]["command"] == ["db", "upgrade", "--grant-to", "agent", "--grant-intake-to", "intake"]
    assert set(beside["migrate"]["depends_on"]) == {"postgres", "intake-role"}
    assert set(beside["prometheus"]["networks"]) == {"inside", "watch", "intake"}
    assert set(beside["postgres"]["networks"]) == {"inside", "intake"}
    assert len(beside["prometheus"]["volumes"]) == len(alone["prometheus"]["volumes"]) + 1
    assert set(beside) == set(alone) | {"intake", "intake-role"}


@needs("promtool")
def test_prometheus_in_the_container_reads_the_same_rules() -> None:
    own, theirs = (_yaml(DEPLOY / f"prometheus/{name}") for name in ("prometheus.yml", "prometheus.compose.yml"))
    for config in (own, theirs):
        config["alerting"]["alertmanagers"][0]["static_configs"] = []
    assert own == theirs
    run(["promtool", "check", "config", "--syntax-only", "prometheus.compose.yml"], DEPLOY / "prometheus")


def _yaml(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
