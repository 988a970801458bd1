"""DATABASE_URL names a store, and never leaks."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from storage.engines.opening import open_store
from storage.engines.postgres import PostgresStore
from storage.engines.postgres_connections import WRITE_SETTINGS, engine_arguments
from storage.engines.sqlite import SqliteStore
from storage.errors import DatabaseUrlInvalid


@pytest.mark.parametrize("form", ["sqlite:///{path}", "{path}"])
async def test_a_file_opens_sqlite(tmp_path: Path, form: str) -> None:
    store = open_store(form.format(path=tmp_path / "agent.db"))
    assert isinstance(store, SqliteStore)
    await store.start()
    await store.stop()
    assert (tmp_path / "agent.db").exists()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_a_server_opens_postgresql(scheme: str) -> None:
    store = open_store(f"{scheme}://agent:hunter2@localhost/agent?sslmode=require")
    assert isinstance(store, PostgresStore)
    assert store.dialect == "postgresql"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://agent:hunter2@localhost/agent",
        "://hunter2",
        "postgresql://agent:hunter2@localhost:port/x",
        "",
        "sqlite://",
    ],
)
def test_anything_else_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(DatabaseUrlInvalid, match="DATABASE_URL") as refusal:
        open_store(url)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_sslmode_reaches_the_driver_under_its_own_name() -> None:
    url, arguments = engine_arguments(make_url("postgres://a@h/d?sslmode=verify-full"), WRITE_SETTINGS)
    assert arguments["ssl"] == "verify-full"
    assert "sslmode" not in url.query
    assert url.drivername == "postgresql+asyncpg"


@pytest.mark.parametrize("hosts", ["host=a,b", "host=a&host=b", "host=a,b:5432&target_session_attrs=read-write"])
def test_servers_may_be_named_without_their_ports(hosts: str) -> None:
    url, arguments = engine_arguments(make_url(f"postgresql://agent@/agent?{hosts}"), WRITE_SETTINGS)
    _, given = url.get_dialect()().create_connect_args(url)
    assert (given["host"], given["port"]) == (["a", "b"], [5432, 5432])
    assert arguments["target_session_attrs"] == "primary" and "target_session_attrs" not in given
