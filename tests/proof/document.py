"""docs/PROOF.md: a section for each part of the proof. A run replaces the sections of the parts that it ran."""

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

PLACE = Path(__file__).parents[2] / "docs" / "PROOF.md"
OPENING = """# Proof

What was run, and what came of it. Written by `make soak` (`tests/proof/`): each section tells of its own last run, and
says where that was shorter than what a whole one asks for; the table at the end has all of them. What was found on the
way, and what became of it: [findings](FINDINGS.md).
"""
RUNS = "All runs"
RUNS_HEAD = """\
| date, UTC | commit | part | done | seeds | minutes | violations |
|---|---|---|---|---|---|---|
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


def _commit() -> str:
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    dirty = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True)
    return told.stdout.strip() + (" with changes" if dirty.stdout.strip() else "")


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 (the run's own date)


@dataclass(frozen=True, slots=True)
class Account:
    """What came of one part. `asked` and `done` are its extent, side by side; `figures` are lines "name: value"."""

    asked: str
    done: str
    seconds: float
    figures: Mapping[str, object]
    violations: Sequence[str] = ()
    more: str = field(default="")
    """Tables and prose below the figures, as Markdown."""
    commit: str = field(default_factory=_commit)
    ended: datetime = field(default_factory=_now)

    def text(self) -> str:
        lines = [
            f"- date: {self.ended:%Y-%m-%d %H:%M} UTC, commit {self.commit}",
            f"- asked: {self.asked}",
            f"- done: {self.done}, in {self.seconds / 60:.1f} minutes on a machine that did other work beside",
            *(f"- {name}: {value}" for name, value in self.figures.items()),
            f"- violations: {len(self.violations)}",
            *(f"  - {one}" for one in self.violations),
        ]
        return "\n".join(lines) + "\n" + (f"\n{self.more.strip()}\n" if self.more else "")

    def row(self, title: str) -> str:
        """Of the table of all runs."""
        seeds = self.figures.get("seeds", self.figures.get("seed", ""))
        minutes, found = f"{self.seconds / 60:.1f}", len(self.violations)
        cells = (f"{self.ended:%Y-%m-%d %H:%M}", self.commit, title, self.done, seeds, minutes, found)
        return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |\n"


def sections(text: str) -> dict[str, str]:
    """Title → body, of what stands in the document now."""
    parts = HEADING.split(text.removesuffix(INVARIANTS))
    return {title.strip(): body.strip("\n") + "\n" for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def written(text: str, title: str, account: Account, order: Iterable[str]) -> str:
    """The document with one section exchanged and one run more; sections of other names than those in `order` go."""
    before = sections(text)
    kept = {**before, title: account.text(), RUNS: before.get(RUNS, RUNS_HEAD) + account.row(title)}
    told = "".join(f"\n## {name}\n\n{kept[name]}" for name in (*order, RUNS) if name in kept)
    return OPENING + told + INVARIANTS


def write(title: str, account: Account, order: Iterable[str]) -> None:
    """Kept at once: a later part that breaks does not lose what an earlier one has found."""
    before = PLACE.read_text(encoding="utf-8") if PLACE.exists() else ""
    PLACE.write_text(written(before, title, account, order), encoding="utf-8")
