"""How far the week is: a bar for each stage on a terminal, one plain line for each elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Advance = Callable[[int], None]


class Stages:
    """Use as a context manager. `seconds` keeps what each stage took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}
        self._bars = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """Tell the yielded function how many more are done."""
        began, done = time.monotonic(), 0
        bar = self._bars.add_task(name, total=total)

        def advance(more: int = 1) -> None:
            nonlocal done
            done += more
            self._bars.advance(bar, more)

        try:
            yield advance
        finally:
            self._bars.stop_task(bar)
            self.seconds[name] = time.monotonic() - began
            if not self.console.is_terminal:
                self.console.print(f"{name:<22} {done}/{total}   {self.seconds[name]:.1f} s", markup=False)

    def say(self, text: str) -> None:
        """Plain text between the bars."""
        self.console.print(text, markup=False, soft_wrap=True)
