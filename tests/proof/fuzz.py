"""Circle's and the RPC's answers mangled at random, question by question."""

from simulator.progress import Progress
from simulator.until import Until
from tests.gateways import test_fuzzed_answers as circle
from tests.indexer import test_fuzzed_answers as rpc
from tests.proof.document import Account

AT_ONCE = 40
"""Answers between two looks at the clock, drawn anew each time; the everyday slice has other numbers and is fixed."""


def run(answers: int, until: Until) -> Account:
    """So many answers to each question, or as many as fit into the time; a question that breaks is asked no more."""
    found, progress = list[str](), Progress("fuzz", answers, "answers to each question")
    asked = {("Circle", name): circle.fuzz for name in circle.CALLS} | {
        ("RPC", name): rpc.fuzz for name in rpc.QUESTIONS
    }
    given = dict.fromkeys(asked, 0)
    while asked and min(given[question] for question in asked) < answers and not until.over():
        for question, fuzz in list(asked.items()):
            if until.over():
                break
            try:
                fuzz(question[1], AT_ONCE)
            except Exception as error:  # noqa: BLE001 (whatever it is, the answer was not understood)
                found.append(f"{' '.join(question)}: {type(error).__name__}: {error}".splitlines()[0])
                del asked[question]
            given[question] += AT_ONCE
            progress.at(min(given.values()))
    return Account(
        f"{answers} mangled answers to each of {len(given)} questions",
        f"{min(given.values())} to each, {sum(given.values())} in all",
        until.taken,
        {},
        found,
        "Questions: " + ", ".join(" ".join(question) for question in given) + ".",
    )
