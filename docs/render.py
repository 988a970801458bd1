"""Writes docs/FLOW.md and docs/STATES.md from the code: `python -m docs.render`. A test compares them."""

from enum import StrEnum
from pathlib import Path

from domain.flow import BY_KIND, STEPS, FlowStep
from domain.states import TRANSITIONS

DOCS = Path(__file__).parent
NOTICE = "<!-- Rendered by `python -m docs.render`. Edit the code named below instead. -->"
EMPTY_STATE = "(empty)"
"""How a state whose value is the empty text is shown."""


def flow() -> str:
    """FLOW.md: a picture of which step makes which due, and the table of all steps."""
    lines = [
        "# All steps",
        "",
        NOTICE,
        "",
        "From [`domain/flow.py`](../domain/flow.py). A step moves one row one step; an arrow means *can make due*.",
        "A thick border marks the steps that sign or send: they wait for the start gate.",
        "",
        "```mermaid",
        "flowchart LR",
        *(f"  {step.kind}([{step.kind}])" for step in STEPS),
        *(f"  {step.kind} --> {after}" for step in STEPS for after in step.leads_to),
        "  classDef sends stroke-width:3px",
        f"  class {','.join(step.kind for step in STEPS if step.sends)} sends",
        "```",
        "",
        "| step | subject | what it does | asks | made due by | makes due |",
        "|---|---|---|---|---|---|",
        *(_row(step) for step in STEPS),
    ]
    return "\n".join(lines) + "\n"


def _row(step: FlowStep) -> str:
    due_by = ", ".join(f"`{by}`" if by in BY_KIND else str(by) for by in step.due_by)
    cells = [
        f"[`{step.kind}`](../{step.module})",
        step.subject,
        step.does,
        ", ".join(step.asks) or "-",
        due_by,
        ", ".join(f"`{after}`" for after in step.leads_to) or "-",
    ]
    return f"| {' | '.join(cells)} |"


def states() -> str:
    """STATES.md: one diagram for each table of transitions."""
    lines = [
        "# All states",
        "",
        NOTICE,
        "",
        "From `TRANSITIONS` in [`domain/states.py`](../domain/states.py), where each state is explained. `advance` in",
        "[`storage/history.py`](../storage/history.py) refuses every other move and writes each one down.",
    ]
    for machine, edges in TRANSITIONS.items():
        lines += ["", f"## {machine.__name__}", "", "```mermaid", "stateDiagram-v2"]
        lines += [f'  state "{_shown(state)}" as {state.name}' for state in machine]
        lines += [
            f"  {before.name} --> {after.name}"
            for before in machine
            for after in machine
            if after in edges.get(before, frozenset())
        ]
        lines.append("```")
    return "\n".join(lines) + "\n"


def _shown(state: StrEnum) -> str:
    return state.value or EMPTY_STATE


PAGES = {"FLOW.md": flow, "STATES.md": states}


def main() -> None:
    """Write every rendered page."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
