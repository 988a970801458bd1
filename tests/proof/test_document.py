"""The proof's document: a run replaces its own section, leaves the others, and says what it did not reach."""

from tests.proof.document import RUNS, Account, sections, written

ORDER = ("Weeks", "Kills")


def account(done: str, *violations: str) -> Account:
    return Account("500 kills", done, 60.0, {"deaths": 7, "seeds": "from 3 on"}, violations, "| a | b |")


def test_a_run_replaces_its_own_section_and_leaves_the_others() -> None:
    first = written("", "Kills", account("20 kills"), ORDER)
    both = written(first, "Weeks", account("6 weeks"), ORDER)
    again = sections(written(both, "Kills", account("30 kills"), ORDER))
    assert list(again) == [*ORDER, RUNS]
    assert again["Weeks"] == sections(both)["Weeks"]
    assert "20 kills" in sections(both)["Kills"]
    assert "20 kills" not in again["Kills"]


def test_the_table_at_the_end_keeps_every_run() -> None:
    text = ""
    for done in ("20 kills", "30 kills"):
        text = written(text, "Kills", account(done, "I7: paid twice"), ORDER)
    _, _, *rows = sections(text)[RUNS].splitlines()
    assert [row.split(" | ")[2:] for row in rows] == [
        ["Kills", "20 kills", "from 3 on", "1.0", "1 |"],
        ["Kills", "30 kills", "from 3 on", "1.0", "1 |"],
    ]


def test_a_section_says_what_was_asked_what_was_done_and_each_violation() -> None:
    told = account("20 kills", "I7: paid twice").text()
    for line in ("- asked: 500 kills", "- done: 20 kills", "- deaths: 7", "- violations: 1", "  - I7: paid twice"):
        assert line in told
