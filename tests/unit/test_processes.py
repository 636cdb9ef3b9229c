"""Work in several processes: results, errors, and processes that are killed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from noisepress.bitstream.errors import CorruptError
from noisepress.codec.processes import ProcessError, results


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    raise CorruptError(f"{number} is wrong")


def environment(_: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def die(number: int, folder: Path, times: int) -> int:
    """Kill the process the first times that a task is tried."""
    with (folder / str(number)).open("a+") as tries:
        tries.write("x")
        if tries.tell() <= times:
            tries.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_every_task_has_its_result() -> None:
    found = list(results(square, range(20), 3))
    assert sorted(found) == [(number, number * number) for number in range(20)]


def test_errors_are_results() -> None:
    found = dict(results(refuse, [1, 2], 2))
    assert {number: str(error) for number, error in found.items()} == {
        1: "1 is wrong",
        2: "2 is wrong",
    }
    for error in found.values():
        assert isinstance(error, CorruptError) and "refuse" in error.__notes__[0]


def test_no_tasks_start_no_process() -> None:
    assert list(results(square, [], 2)) == []


def test_cores_are_shared_out() -> None:
    cores = os.cpu_count() or 1
    assert dict(results(environment, [1], 1)) == {1: str(cores)}
    assert dict(results(environment, [1], 2 * cores)) == {1: "1"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_task_survives_the_death_of_one_process_but_not_of_two(tmp_path: Path) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    once.mkdir()
    twice.mkdir()
    found = Counter(results(partial(die, folder=once, times=1), range(6), 2))
    assert found == Counter((number, number) for number in range(6))
    (outcome,) = dict(results(partial(die, folder=twice, times=2), [7], 1)).values()
    assert isinstance(outcome, ProcessError) and "2 processes ended" in str(outcome)


def test_processes_are_stopped_when_nobody_asks_for_more() -> None:
    running = results(square, range(100), 2)
    next(running)
    running.close()
    with pytest.raises(StopIteration):
        next(running)
