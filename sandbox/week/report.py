"""The week's outcome: as JSON for programs, as a table for people."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from sandbox.week.arithmetic import usdc_text
from sandbox.week.checks import distributed_units, find_violations
from sandbox.week.facts import Member, Seen


@dataclass(frozen=True, slots=True)
class Outcome:
    """`stages` are seconds by stage name; `pay_page` is an open checkout, where there is one."""

    seen: Seen
    seconds: float
    violations: list[str]
    stages: dict[str, float]
    creators: list[Member]
    buyers: list[Member]
    pay_page: str | None = field(default=None)

    @property
    def report(self) -> dict[str, Any]:
        """The keys of `--report`. Counts are integers, USDC decimal strings."""
        purchases = [sale.purchase for sale in self.seen.sales if sale.purchase]
        return {
            "purchases": len(self.seen.sales),
            "creators": len(self.creators),
            "minted": sum(bool(purchase["nft_minted"]) for purchase in purchases),
            "distributed": sum(purchase["usdc_payment_status"] == "distributed" for purchase in purchases),
            "paid_in_real_time": self.seen.paid_in_real_time or 0,
            "usdc_distributed": usdc_text(distributed_units(self.seen)),
            "on_chain": {
                "nfts": len(self.seen.nfts),
                "usdc_received": usdc_text(sum(creator.on_chain for creator in self.seen.creators)),
            },
            "ledger_sum": self.seen.ledger_sum,
            "seconds": round(self.seconds, 1),
            "violations": self.violations,
        }


def outcome(
    seen: Seen,
    seconds: float,
    stages: dict[str, float],
    people: tuple[list[Member], list[Member]],
    pay_page: str | None,
) -> Outcome:
    """Judge what was seen. `people` are the creators and the buyers."""
    return Outcome(seen, seconds, find_violations(seen), dict(stages), people[0], people[1], pay_page)


def write_report(path: Path, found: Outcome) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found.report, indent=2) + "\n", encoding="utf-8")


def closing_table(seen: Seen) -> Table:
    """Each creator's week, largest amount first."""
    table = Table(title="USDC as read from the chain", title_justify="left")
    table.add_column("Creator")
    for heading in ("Sales", "Due", "On chain", ""):
        table.add_column(heading, justify="right")
    for creator in sorted(seen.creators, key=lambda found: (-found.due, found.member.user_id)):
        holds = creator.on_chain == creator.due
        table.add_row(
            Text(creator.member.person.name),
            str(creator.sales),
            usdc_text(creator.due),
            usdc_text(creator.on_chain),
            Text("✓", style="green") if holds else Text("✗", style="bold red"),
        )
    table.add_section()
    due, received = sum(one.due for one in seen.creators), sum(one.on_chain for one in seen.creators)
    table.add_row(
        "Together", str(len(seen.sales)), usdc_text(due), usdc_text(received), "✓" if due == received else "✗"
    )
    return table
