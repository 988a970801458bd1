"""Answers as nobody should send them: what hypothesis makes of a good one."""

import copy
from typing import Any

import orjson
from hypothesis import strategies as st

HTML = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, 2**53, 2**63, -(2**63), 2**64 - 1, "", " ", "null", "0x1", "1e9", "NaN"),
    *([], {}, [[]], [None], {"": None}, "9" * 400, "\x00", "\u202e", "١٢", "-1", "1.0000001", "é" * 50),
)
"""Other types, borders of numbers, texts that some parsers take for a number."""


@st.composite
def mangled(draw: st.DrawFn, good: Any) -> bytes:
    """The body `good` with something wrong: a value replaced, a field gone or there twice, the bytes cut, flipped or
    replaced by a page."""
    kind = draw(st.sampled_from(["value", "value", "value", "gone", "twice", "cut", "flip", "page", "noise"]))
    whole = orjson.dumps(good)
    match kind:
        case "cut":
            return whole[: draw(st.integers(0, len(whole) - 1))]
        case "flip":
            place = draw(st.integers(0, len(whole) - 1))
            return whole[:place] + bytes([draw(st.integers(0, 255))]) + whole[place + 1 :]
        case "page":
            return HTML
        case "noise":
            return draw(st.binary(max_size=64) | st.sampled_from([b"[" * 100_000, b"null", b"{}", b'"ok"', b"NaN"]))
    place = draw(st.sampled_from(sorted(_places(good), key=str)))
    if kind == "twice":
        return whole[:1] + b'"data":{},"result":null,' + whole[1:]
    return orjson.dumps(_without(good, place) if kind == "gone" else _with(good, place, draw(st.sampled_from(ODD))))


def _places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything inside."""
    if isinstance(value, dict):
        inside = list(value.items())
    else:
        inside = list(enumerate(value)) if isinstance(value, list) else []
    found = [(*above, name) for name, _ in inside]
    for name, one in inside:
        found += _places(one, (*above, name))
    return found


def _with(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    made = copy.deepcopy(value)
    _parent(made, place)[place[-1]] = new
    return made


def _without(value: Any, place: tuple[Any, ...]) -> Any:
    made = copy.deepcopy(value)
    del _parent(made, place)[place[-1]]
    return made


def _parent(value: Any, place: tuple[Any, ...]) -> Any:
    for name in place[:-1]:
        value = value[name]
    return value
