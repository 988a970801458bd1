"""What stands behind `python -m bench.…`."""

import sys


def numbers(told: str | None, *usual: int) -> list[int]:
    """The whole numbers of the command line, the usual ones for those left out. Anything else ends the program with
    what its module tells of itself."""
    given = sys.argv[1:]
    if len(given) > len(usual) or not all(text.isdecimal() for text in given):
        raise SystemExit(told)
    return [*map(int, given), *usual[len(given) :]]
