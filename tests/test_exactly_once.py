"""docs/EXACTLY_ONCE.md is true: every effect is asked every question, and every test that it names exists."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
QUESTIONS = ["its answer is lost", "it is repeated", "the process dies", "it comes late"]
EFFECTS = 10
"""The seven rows of the design's table, a mint that pays too, a conversion, and the restored backup."""


@cache
def functions_of(path: str) -> set[str]:
    """Names of the test functions of a file."""
    found = ast.walk(ast.parse((ROOT / path).read_text()))
    return {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def answers() -> dict[str, dict[str, str]]:
    """Effect → question → what shows it."""
    sections = (ROOT / "docs" / "EXACTLY_ONCE.md").read_text().split("\n## ")[1:]
    return {
        section.partition("\n")[0]: dict(re.findall(r"^\| ((?!asked)[a-z][^|]*?) \| (.+) \|$", section, re.MULTILINE))
        for section in sections
    }


def test_every_effect_is_asked_every_question_and_every_test_named_exists() -> None:
    told = answers()
    assert len(told) == EFFECTS
    for effect, asked in told.items():
        assert list(asked) == QUESTIONS, effect
        for question, shown in asked.items():
            named = re.findall(r"`([^`:]+)::([^`]+)`", shown)
            assert named or shown.startswith("does not arise: "), f"{effect}: {question}"
            missing = [name for path, name in named if name not in functions_of(path)]
            assert not missing, f"{effect}: {question}"
