"""The proof's document: a run replaces its own section, leaves the others, and says what it did not reach."""

from tests.proof.document import Account, sections, written

ORDER = ("Weeks", "Kills")


def account(done: str, *violations: str) -> str:
    return Account("500 kills", done, 60.0, {"deaths": 7}, violations, "| a | b |").text()


def test_a_run_replaces_its_own_section_and_leaves_the_others() -> None:
    first = written("", "Kills", account("20 kills"), ORDER)
    both = written(first, "Weeks", "- done: 6 weeks\n", ORDER)
    again = written(both, "Kills", account("30 kills"), ORDER)
    assert list(sections(again)) == ["Weeks", "Kills"]
    assert "20 kills" in both
    assert "20 kills" not in again
    assert again == written(again, "Weeks", sections(again)["Weeks"], ORDER)


def test_a_section_says_what_was_asked_what_was_done_and_each_violation() -> None:
    told = account("20 kills", "I7: paid twice")
    for line in ("- asked: 500 kills", "- done: 20 kills", "- deaths: 7", "- violations: 1", "  - I7: paid twice"):
        assert line in told
