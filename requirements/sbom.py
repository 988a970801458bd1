"""The bill of materials of what runs: CycloneDX 1.6 from the hashed lock, to standard output. The same lock gives the
same bytes. `make audit` writes it to build/sbom.cdx.json."""

import json
import re
import sys
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

LOCK = Path(__file__).parent / "runtime.txt"
_PINNED = re.compile(r"([a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def locked(text: str) -> list[tuple[str, str, list[str]]]:
    """Name, version and allowed SHA-256 digests of each requirement. Raises ValueError for one that is not pinned."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        pin, digests = _PINNED.match(line), _HASH.findall(line)
        if pin is None or not digests:
            raise ValueError(f"not pinned to a version and its hashes: {line.split()[0]}")
        found.append((pin[1], pin[2], digests))
    return found


def bill(text: str) -> dict[str, Any]:
    """The CycloneDX document. `hashes` are those of every file of the version that may be installed."""
    components = []
    for name, version, digests in locked(text):
        address = f"pkg:pypi/{name}@{version}"
        hashes = [{"alg": "SHA-256", "content": digest} for digest in digests]
        components.append(
            {"type": "library", "bom-ref": address, "name": name, "version": version, "purl": address, "hashes": hashes}
        )
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, text)}",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "renaissblock-payment-agent"}},
        "components": components,
    }


if __name__ == "__main__":
    json.dump(bill(LOCK.read_text(encoding="utf-8")), sys.stdout, indent=1)
    sys.stdout.write("\n")
