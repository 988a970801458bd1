"""Addresses that a transaction allocated with a seed: the System program's AllocateWithSeed, read from instructions."""

from collections.abc import Iterable

from solders.pubkey import Pubkey

from chain import programs
from indexer.effects.facts import Allocation
from indexer.effects.message import Step

_ALLOCATE_WITH_SEED = (9).to_bytes(4, "little")
_SEED_LENGTH_AT, _SEED_AT = 36, 44
"""After the instruction's number come 32 bytes of base and the seed as a string with a u64 length."""


def allocations_of(steps: Iterable[Step]) -> tuple[Allocation, ...]:
    """In order. Instructions whose bytes end early would have failed, and are left out."""
    found = []
    for step in steps:
        if step.program != programs.SYSTEM or not step.accounts:
            continue
        data = step.data_bytes()
        length = int.from_bytes(data[_SEED_LENGTH_AT:_SEED_AT], "little")
        seed = data[_SEED_AT : _SEED_AT + length]
        if data[:4] != _ALLOCATE_WITH_SEED or not 1 <= length <= programs.SEED_LIMIT_BYTES or len(seed) != length:
            continue
        if seed.isascii():
            found.append(Allocation(step.accounts[0], str(Pubkey.from_bytes(data[4:36])), seed.decode()))
    return tuple(found)
