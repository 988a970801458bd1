"""docs/PROOF.md: a section for each part of the proof. A run replaces the sections of the parts that it ran."""

import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

PLACE = Path(__file__).parents[2] / "docs" / "PROOF.md"
OPENING = """# Proof

What was run, and what came of it. Written by `make soak` (`tests/proof/`): each section tells of its own last run and
of no other, and says where that run was shorter than what a whole one asks for.
"""
INVARIANTS = """
Invariants, as the checker numbers them: I1 the ledger sums to zero. I2 gross, fee, net and shares are Stripe's and
the split's, of the sale that people wanted. I3 shares sum up. I4 nothing paid is lost. I5 each payout is in one
plan and one transfer. I6 what is called paid is on the chain, and what left is called paid. I7 at most once. I8
one key, one body, a successor only beside a proof, and what is called dead never takes effect. I9 states move
along their edges, each from where the last one ended, with history. I10 a lease ends by its holder's hand;
receipts stand. I11 wallet, movements and ledger are one number. I12 everything comes to rest. I13 every act of an
operator is in the audit log. I14 no secret in the database, the answers or the logged errors. I15 each Monday
takes what was paid before. I16 what is refused changes no row. I17 what creators are shown is what the books, Stripe
and the chain say.
"""
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Account:
    """What came of one part. `asked` and `done` are its extent, side by side; `figures` are lines "name: value"."""

    asked: str
    done: str
    seconds: float
    figures: Mapping[str, object]
    violations: Iterable[str] = ()
    more: str = field(default="")
    """Tables and prose below the figures, as Markdown."""

    def text(self) -> str:
        found = list(self.violations)
        lines = [
            f"- date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}",  # noqa: TID251 (the run's own date)
            f"- asked: {self.asked}",
            f"- done: {self.done}, in {self.seconds / 60:.1f} minutes on a machine that did other work beside",
            *(f"- {name}: {value}" for name, value in self.figures.items()),
            f"- violations: {len(found)}",
            *(f"  - {one}" for one in found),
        ]
        return "\n".join(lines) + "\n" + (f"\n{self.more.strip()}\n" if self.more else "")


def sections(text: str) -> dict[str, str]:
    """Title → body, of what stands in the document now."""
    parts = HEADING.split(text.removesuffix(INVARIANTS))
    return {title.strip(): body.strip("\n") + "\n" for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def written(text: str, title: str, body: str, order: Iterable[str]) -> str:
    """The document with one section exchanged; sections of other names than those in `order` go."""
    kept = {**sections(text), title: body}
    told = "".join(f"\n## {name}\n\n{kept[name]}" for name in order if name in kept)
    return OPENING + told + INVARIANTS


def write(title: str, account: Account, order: Iterable[str]) -> None:
    """Kept at once: a later part that breaks does not lose what an earlier one has found."""
    before = PLACE.read_text(encoding="utf-8") if PLACE.exists() else ""
    PLACE.write_text(written(before, title, account.text(), order), encoding="utf-8")


def _commit() -> str:
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    dirty = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True)
    return told.stdout.strip() + (" with changes" if dirty.stdout.strip() else "")
