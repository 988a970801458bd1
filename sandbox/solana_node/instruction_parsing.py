"""Instructions as `jsonParsed` shows them: the ones a payment is made of in words, all others partially decoded."""

from collections.abc import Callable, Sequence
from typing import Any

from solders.system_program import ID as SYSTEM_PROGRAM

from sandbox.solana_node import base58
from sandbox.solana_node.token_layouts import PROGRAM_NAMES, ui_amount

_SYSTEM = str(SYSTEM_PROGRAM)
_TOKENS = {str(program): name for program, name in PROGRAM_NAMES.items()}
_MEMOS = {
    "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr": "spl-memo",
    "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo": "spl-memo",
}
Parsed = dict[str, Any]


def parse_instruction(program: str, accounts: Sequence[str], data: bytes, stack_height: int | None) -> Parsed:
    """One instruction; `stackHeight` 1 for those of the message itself."""
    parsed, name = _parse(program, accounts, data)
    if name is None:
        body: Parsed = {"programId": program, "accounts": list(accounts), "data": base58.encode(data)}
    else:
        body = {"programId": program, "program": name, "parsed": parsed}
    return body | {"stackHeight": stack_height}


def _parse(program: str, accounts: Sequence[str], data: bytes) -> tuple[Any, str | None]:
    if program in _MEMOS:
        return data.decode(errors="replace"), _MEMOS[program]
    reader: Callable[[Sequence[str], bytes], Parsed | None] | None = None
    name = None
    if program == _SYSTEM:
        reader, name = _system, "system"
    elif program in _TOKENS:
        reader, name = _token, _TOKENS[program]
    parsed = reader(accounts, data) if reader else None
    return parsed, name if parsed is not None else None


def _system(accounts: Sequence[str], data: bytes) -> Parsed | None:
    if len(data) == 12 and data[:4] == b"\x02\0\0\0" and len(accounts) >= 2:
        info = {"source": accounts[0], "destination": accounts[1], "lamports": _u64(data, 4)}
        return {"type": "transfer", "info": info}
    return None


def _token(accounts: Sequence[str], data: bytes) -> Parsed | None:
    kind = data[0] if data else None
    if kind == 12 and len(data) >= 10 and len(accounts) == 4:
        info: Parsed = {
            "source": accounts[0],
            "mint": accounts[1],
            "destination": accounts[2],
            "authority": accounts[3],
            "tokenAmount": ui_amount(_u64(data, 1), data[9]),
        }
        return {"type": "transferChecked", "info": info}
    if kind in (3, 7, 8) and len(data) >= 9 and len(accounts) == 3:
        names = {
            3: ("transfer", "source", "destination", "authority"),
            7: ("mintTo", "mint", "account", "mintAuthority"),
            8: ("burn", "account", "mint", "authority"),
        }[kind]
        info = dict(zip(names[1:], accounts, strict=True)) | {"amount": str(_u64(data, 1))}
        return {"type": names[0], "info": info}
    return None


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")
