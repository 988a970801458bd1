"""Small charts as numbers for an SVG: pure, whole numbers only, sizes in the drawing's own units."""

from collections.abc import Sequence
from dataclasses import dataclass

BAR, GAP, HEIGHT = 18, 4, 64
LEAST = 2
"""Something that is not nothing is seen."""
WHOLE = 1_000


@dataclass(frozen=True, slots=True)
class Bar:
    x: int
    y: int
    width: int
    height: int
    title: str
    last: bool


@dataclass(frozen=True, slots=True)
class BarChart:
    """`spoken` is what a screen reader says: the last bar and the largest."""

    width: int
    height: int
    bars: Sequence[Bar]
    first: str
    last: str
    spoken: str


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    text: str
    tone: str
    x: int
    width: int


def bar_chart(rows: Sequence[tuple[str, int, str]]) -> BarChart:
    """Bars of (label, value, text), oldest first; their heights are shares of the largest value."""
    most = max((value for _, value, _ in rows), default=0) or 1
    bars = []
    for place, (label, value, text) in enumerate(rows):
        height = max(LEAST, value * HEIGHT // most) if value > 0 else 0
        is_last = place == len(rows) - 1
        bars.append(Bar(place * (BAR + GAP), HEIGHT - height, BAR, height, f"{label}: {text}", is_last))
    largest = max(rows, key=lambda row: row[1], default=("", 0, "nothing"))
    return BarChart(
        width=max(1, len(rows) * (BAR + GAP) - GAP),
        height=HEIGHT,
        bars=bars,
        first=rows[0][0] if rows else "",
        last=rows[-1][0] if rows else "",
        spoken=f"most on {largest[0]}, {largest[2]}; on {rows[-1][0]} {rows[-1][2]}" if rows else "nothing",
    )


def share_bar(rows: Sequence[tuple[str, int, str, str]]) -> list[Part]:
    """Parts of (name, value, text, tone) as stretches of a line WHOLE long."""
    total = sum(value for _, value, _, _ in rows)
    parts, seen = [], 0
    for name, value, text, tone in rows:
        start, seen = seen, seen + value
        x, end = (start * WHOLE // total, seen * WHOLE // total) if total else (0, 0)
        parts.append(Part(name, text, tone, x, end - x))
    return parts
