"""What `users import` does: reads the file, has every line judged, and only then changes anything."""

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import typer

from agent.cli.client import Asker, CommandFailed
from agent.cli.looking import FAILED, asker
from agent.cli.operations import print_json
from agent.cli.tables import console, show_rows
from agent.cli.texts import counted
from agent.web.admin.import_bodies import CELL_MOST, ROWS_MOST, Imported, ImportedRow, ImportRow, ImportWish

COLUMNS = ("email", "username", "wallet_provider", "wallet_address", "web3auth_sub")
NEEDED = ("email", "wallet_address")
BAD_SHOWN = 200
PASSWORDS_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Wishes:
    """The command's options."""

    file: Path
    passwords: Path | None
    dry_run: bool
    skip_errors: bool
    as_json: bool


async def run(wishes: Wishes) -> int:
    """Raises CommandFailed."""
    if wishes.passwords is None and not wishes.dry_run:
        raise CommandFailed("--passwords FILE: where the users' first passwords go; or look first with --dry-run")
    rows = read_rows(wishes.file)
    async with asker(alone=True) as asks:
        judged = await _ask_all(asks, rows, dry_run=True, out=None)
        bad = [row for row in judged if row.outcome == "refused"]
        changed = not wishes.dry_run and (wishes.skip_errors or not bad)
        if changed and wishes.passwords is not None:
            refused = {row.line for row in bad}
            good = [row for row in rows if row.line not in refused]
            with _new_file(wishes.passwords) as out:
                judged = sorted([*bad, *await _ask_all(asks, good, dry_run=False, out=out)], key=lambda row: row.line)
    _report(judged, wishes, changed=changed)
    return FAILED if any(row.outcome == "refused" for row in judged) else 0


def read_rows(file: Path) -> list[ImportRow]:
    """The lines of the file, by the names in its first one. Raises CommandFailed for another kind of file."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            return list(_rows(csv.reader(opened, strict=True)))
    except UnicodeDecodeError:
        raise CommandFailed(f"{file} is not UTF-8") from None
    except csv.Error as error:
        raise CommandFailed(f"{file} is not valid CSV: {error}") from None
    except OSError as error:
        raise CommandFailed(f"{file} can't be read: {error.strerror}") from None


def _rows(lines: Iterator[list[str]]) -> Iterator[ImportRow]:
    header = [name.strip().lower() for name in next(lines, [])]
    unknown = [name for name in header if name not in COLUMNS]
    missing = [name for name in NEEDED if name not in header]
    twice = [name for name, count in Counter(header).items() if count > 1]
    for problem, names in (("unknown", unknown), ("missing", missing), ("double", twice)):
        if names:
            raise CommandFailed(f"line 1: {problem} column {names[0]!r}; the columns are {', '.join(COLUMNS)}")
    for number, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise CommandFailed(f"line {number}: {len(cells)} cells, the first line names {len(header)}")
        if any(len(cell) > CELL_MOST for cell in cells):
            raise CommandFailed(f"line {number}: a cell has more than {CELL_MOST} characters")
        yield ImportRow(line=number, **dict(zip(header, cells, strict=True)))


async def _ask_all(asks: Asker, rows: Sequence[ImportRow], *, dry_run: bool, out: TextIO | None) -> list[ImportedRow]:
    """Page after page; passwords are written as soon as their page is committed."""
    found = _twice(rows) if dry_run else []
    left = [row for row in rows if row.line not in {one.line for one in found}]
    emails = {row.line: row.email.strip() for row in left}
    with typer.progressbar(length=len(left), label="Judging" if dry_run else "Importing", hidden=not _watched()) as bar:
        for start in range(0, len(left), ROWS_MOST):
            page = left[start : start + ROWS_MOST]
            wish = ImportWish(rows=list(page), dry_run=dry_run)
            answer = (await asks.ask("POST", "/admin/api/users/import", Imported, body=wish)).rows
            if out is not None:
                writer = csv.writer(out)
                writer.writerows((emails[row.line], row.password) for row in answer if row.password is not None)
                out.flush()
            found += answer
            bar.update(len(page))
    return sorted(found, key=lambda row: row.line)


def _watched() -> bool:
    return typer.get_text_stream("stderr").isatty() and typer.get_text_stream("stdout").isatty()


def _twice(rows: Sequence[ImportRow]) -> list[ImportedRow]:
    """Lines that repeat an e-mail address or a sub of an earlier one, anywhere in the file."""
    seen: dict[tuple[str, str], int] = {}
    found = []
    for row in rows:
        for name, text in (("email", row.email.strip().lower()), ("web3auth_sub", row.web3auth_sub.strip())):
            first = seen.setdefault((name, text), row.line) if text else row.line
            if first != row.line:
                message = f"line {first} has this {name} too"
                found.append(ImportedRow(line=row.line, outcome="refused", code="twice", message=message, field=name))
                break
    return found


def _new_file(path: Path) -> TextIO:
    """A file that only its owner reads; never one that exists."""
    try:
        out = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PASSWORDS_MODE), "w", encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"--passwords {path}: {error.strerror}") from None
    csv.writer(out).writerow(("email", "password"))
    return out


def _report(judged: Sequence[ImportedRow], wishes: Wishes, *, changed: bool) -> None:
    counts = Counter(row.outcome for row in judged)
    if wishes.as_json:
        rows = [row.model_dump(mode="json", exclude={"password"}) for row in judged]
        print_json({"outcome": "imported" if changed else "looked", "counts": dict(counts), "rows": rows})
        return
    bad = [row for row in judged if row.outcome == "refused"]
    lines = [(str(row.line), row.field or "", row.message or "") for row in bad[:BAD_SHOWN]]
    show_rows(console(), "Bad lines", ("line", "column", "what is wrong"), lines)
    if len(bad) > BAD_SHOWN:
        typer.echo(f"… and {len(bad) - BAD_SHOWN} more; --json shows all")
    new, known = counted(counts["new"], "user"), counts["known"]
    already = f", {known} were here already" if known else ""
    if changed:
        typer.echo(f"Imported {new}{already}, {counted(len(bad), 'bad line')}. First passwords: {wishes.passwords}")
    else:
        would = "Nothing was changed." if bad and not wishes.dry_run else "Dry run: nothing was changed."
        typer.echo(f"{new} to import{already}, {counted(len(bad), 'bad line')}. {would}")
