"""The sandbox's commands as processes: they start, say what is wrong in one line, and end when asked."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ROOT = Path(__file__).resolve().parents[3]
END_SECONDS = 90


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """With a small RSA key already there: the command makes a large one only where none is."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "circle-entity-key.pem").write_bytes(pem)
    return tmp_path


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "main.py", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sandbox_services_stays_up_until_it_is_asked_to_end(data_dir: Path, number: signal.Signals) -> None:
    command = start("sandbox-services", "--data-dir", data_dir, "--port-base", "0")
    with command:
        assert command.stdout is not None
        for line in command.stdout:
            if "Ctrl-C ends it" in line:
                break
        port = int(json.loads((data_dir / "sandbox.json").read_text())["stripe_api"].rsplit(":", 1)[1])
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        command.send_signal(number)
        assert command.wait(END_SECONDS) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


@pytest.mark.parametrize("name", ["sandbox", "sandbox-services"])
def test_a_taken_port_ends_the_command_with_one_line(data_dir: Path, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        _, told = (command := start(name, "--data-dir", data_dir, "--port-base", str(port))).communicate(
            timeout=END_SECONDS
        )
    assert command.returncode == 1
    assert told.count("\n") == 1
    assert f"port {port} (stripe) is taken" in told
    assert "--port-base" in told


def test_a_daemon_that_cannot_start_ends_the_week_with_its_last_words(data_dir: Path) -> None:
    command = start("sandbox", "--once", "--data-dir", data_dir, "--port-base", "0", "--database-url", "ftp://there")
    _, told = command.communicate(timeout=END_SECONDS)
    assert command.returncode == 1
    assert "sandbox: the daemon ended with 1" in told
    assert "DATABASE_URL" in told
    assert "Traceback" not in told
