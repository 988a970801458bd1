"""What is installed: every lock complete, the bill of materials equal to the lock, a tampered file refused."""

import base64
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.programs import ROOT, run

FOLDER = ROOT / "requirements"
LOCKS = ("runtime", "dev", "uv", "audit")


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_of_a_lock_is_pinned_to_one_version_and_its_hashes(name: str) -> None:
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    pinned = {}
    for line in lines:
        found = re.fullmatch(
            r"([a-z0-9][a-z0-9._-]*)==(\S+)(?: ; [^@]*?)?((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*", line
        )
        assert found, f"no version, no hash, or an address: {line[:100]}"
        pinned[found[1]] = found[2]
    asked = [
        re.sub(r"\[.*\]", "", line.strip())
        for line in (FOLDER / f"{name}.in").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith(("#", "-"))
    ]
    assert asked and [line for line in asked if pinned.get(line.split("==")[0]) != line.split("==")[-1]] == []


def test_the_bill_of_materials_names_what_the_lock_installs_and_never_changes_by_itself() -> None:
    told = [run([sys.executable, "requirements/sbom.py"]) for _ in range(2)]
    assert told[0] == told[1]
    bill = json.loads(told[0])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    lock = (FOLDER / "runtime.txt").read_text(encoding="utf-8")
    assert [f"{one['name']}=={one['version']}" for one in bill["components"]] == re.findall(
        r"^(\S+==[^\s;]+)", lock, re.M
    )
    assert {one["purl"] for one in bill["components"]} >= {"pkg:pypi/aiohttp@3.14.5"}
    assert sum(len(one["hashes"]) for one in bill["components"]) == lock.count("--hash=sha256:")


def test_a_file_that_is_not_the_one_of_the_lock_is_not_installed(tmp_path: Path) -> None:
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    _make_wheel(wheel)
    lock = tmp_path / "lock.txt"
    lock.write_text(f"thing==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    assert _install(tmp_path, lock) == 0
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("thing/more.py", "print('not what was locked')\n")
    assert _install(tmp_path, lock) != 0


def _install(folder: Path, lock: Path) -> int:
    place = folder / "installed"
    command = [sys.executable, "-m", "uv", "pip", "install", "--no-cache", "--no-index", "--find-links", str(folder)]
    command += ["--require-hashes", "--reinstall", "--target", str(place), "-r", str(lock)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode


def _make_wheel(path: Path) -> None:
    files = {
        "thing/__init__.py": b"",
        "thing-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
        "thing-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b'=').decode()},{len(text)}\n"
        for name, text in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr("thing-1.0.dist-info/RECORD", record + "thing-1.0.dist-info/RECORD,,\n")
