"""Renders the pages that must never differ from the code: `python -m docs.render` writes them, a test compares them."""

from pathlib import Path

from domain.flow import FLOW
from domain.states import TRANSITIONS

HERE = Path(__file__).parent


def flow_page() -> str:
    """The map of steps as a table and a picture."""
    lines = ["# The flow: every kind of work", "", "Rendered from `domain/flow.py` by `python -m docs.render`.", ""]
    lines += ["| kind | subject | due when | asks | then |", "|---|---|---|---|---|"]
    for stage in FLOW:
        gate = " (after the start gate)" if stage.waits_for_gate else ""
        then = ", ".join(f"`{kind}`" for kind in stage.then) or "-"
        lines.append(f"| `{stage.kind}`{gate} | {stage.subject} | {stage.due_when} | {stage.asks} | {then} |")
    lines += ["", "```mermaid", "flowchart LR"]
    lines += [f"  {stage.kind} --> {after}" for stage in FLOW for after in stage.then]
    return "\n".join([*lines, "```", ""])


def states_page() -> str:
    """Every table of transitions as a diagram."""
    lines = ["# States", "", "Rendered from `domain/states.py` by `python -m docs.render`.", ""]
    for machine, table in TRANSITIONS.items():
        lines += [f"## {machine.__name__}", "", "```mermaid", "stateDiagram-v2"]
        for before, afters in table.items():
            if not afters:
                lines.append(f"  {before.value or 'none'} --> [*]")
            lines += [f"  {before.value or 'none'} --> {after.value}" for after in sorted(afters)]
        lines += ["```", ""]
    return "\n".join(lines)


PAGES = {"FLOW.md": flow_page, "STATES.md": states_page}


def main() -> None:
    for name, render in PAGES.items():
        (HERE / name).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
