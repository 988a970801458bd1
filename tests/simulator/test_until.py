"""Long runs that are ended before they are through, and processes whose parent is gone."""

import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import psutil

from simulator.until import Stop, Until

ROOT = Path(__file__).parents[2]
SECONDS_MOST = 60.0


def test_a_time_that_is_over_ends_a_run_after_the_answer_at_hand_and_closes_who_answers() -> None:
    closed: list[int] = []

    def answers() -> Generator[int, None, None]:
        try:
            yield from range(100)
        finally:
            closed.append(1)

    assert list(Until(Stop(), seconds=-1).each(answers())) == [0]
    assert closed == [1]
    assert list(Until(Stop()).each(answers())) == list(range(100))


def test_what_is_ended_by_a_signal_tells_what_it_has_done_and_leaves_no_process_behind() -> None:
    program = (
        "import time; from simulator.cores import in_order; from simulator.until import Stop, Until\n"
        "with Stop() as stop: done = list(Until(stop).each(in_order(time.sleep, [0.1] * 10_000, 2)))\n"
        "print(len(done), stop.asked)"
    )
    with _running("-c", program) as process:
        workers = _workers_of(process, 2)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=SECONDS_MOST)
    done, asked = output.split()
    assert errors == "ending: what is under way is finished first; once more ends at once\n"
    assert (process.returncode, asked) == (0, "True")
    assert 1 <= int(done) < 10_000
    assert not any(worker.is_running() for worker in workers)


def test_processes_whose_parent_was_killed_end_too() -> None:
    program = "import time; from simulator.cores import in_order; list(in_order(time.sleep, [300] * 9, 2))"
    with _running("-c", program) as process:
        workers = _workers_of(process, 2)
        process.kill()
        process.communicate(timeout=SECONDS_MOST)
    _, alive = psutil.wait_procs(workers, timeout=SECONDS_MOST)
    assert alive == []


def _running(*words: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def _workers_of(process: "subprocess.Popen[str]", count: int) -> list[psutil.Process]:
    """Once there are so many. The first child of all is the tracker of their resources."""
    own = psutil.Process(process.pid)
    while process.poll() is None:
        workers = [child for child in own.children() if "spawn_main" in " ".join(child.cmdline())]
        if len(workers) == count:
            return workers
    raise AssertionError(process.communicate())
