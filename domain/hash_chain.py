"""A hash chain over rows that never change: each seal covers its row and the seal before it.

A changed, removed or slipped-in row breaks the chain at its place, whoever did it and however. Somebody who rewrites
the whole chain is found by a head that was written down elsewhere.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

Field = int | str | bytes | None


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: how many rows it covers, and the digest (hex of SHA-256) of the last seal."""

    number: int = 0
    digest: str = "0" * 64


@dataclass(frozen=True, slots=True)
class Seal:
    """One row's place in its chain. Numbers run from 1 without a gap."""

    number: int
    row_id: int
    digest: str


class Tampering(StrEnum):
    ALTERED = "altered"
    """The row, or its seal, is not what was sealed."""
    MISSING = "missing"
    """A row or a seal is gone."""
    INSERTED = "inserted"
    """A row stands among sealed ones and was never sealed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The first bad row of a chain. `why` is a sentence for the operator."""

    kind: Tampering
    row_id: int
    why: str


def content(fields: Iterable[Field]) -> bytes:
    """A row as bytes: each field with its type and length, so that no two rows share them."""
    return b"".join(_field(field) for field in fields)


def _field(field: Field) -> bytes:
    if field is None:
        return b"n"
    if isinstance(field, int):
        kind, raw = b"i", str(field).encode()
    elif isinstance(field, str):
        kind, raw = b"s", field.encode()
    else:
        kind, raw = b"b", field
    return kind + len(raw).to_bytes(4, "big") + raw


def sealed(head: Head, rows: Iterable[tuple[int, bytes]]) -> list[Seal]:
    """The seals that follow `head` for rows (id, content), in the order given."""
    seals: list[Seal] = []
    for row_id, raw in rows:
        head = Head(head.number + 1, _digest(head.digest, raw))
        seals.append(Seal(head.number, row_id, head.digest))
    return seals


def check(head: Head, seals: Iterable[Seal], contents: Mapping[int, bytes]) -> tuple[Head, Fault | None]:
    """Follow the chain from `head` over the next seals; the new head, or the first fault with the head before it.

    `contents`: row id → content as the table has it now; a row that is gone has none.
    """
    for seal in seals:
        fault = _fault(head, seal, contents.get(seal.row_id))
        if fault is not None:
            return head, fault
        head = Head(seal.number, seal.digest)
    return head, None


def _fault(head: Head, seal: Seal, raw: bytes | None) -> Fault | None:
    if seal.number != head.number + 1:
        return Fault(Tampering.MISSING, seal.row_id, f"seal {head.number + 1} is gone; the next one is {seal.number}")
    if raw is None:
        return Fault(
            Tampering.MISSING, seal.row_id, f"row {seal.row_id} was sealed as number {seal.number} and is gone"
        )
    if _digest(head.digest, raw) != seal.digest:
        return Fault(Tampering.ALTERED, seal.row_id, f"row {seal.row_id} is not what seal {seal.number} covers")
    return None


def _digest(before: str, raw: bytes) -> str:
    return hashlib.sha256(before.encode() + raw).hexdigest()
