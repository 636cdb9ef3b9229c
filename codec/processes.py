"""Work shared out over processes, any of which may be killed."""

from __future__ import annotations

import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from ..bitstream.errors import NoisepressError

Task = TypeVar("Task")
Result = TypeVar("Result")

_ATTEMPTS = 2
"""Processes that a task may take with it."""
_SPAWN = get_context("spawn")  # a fork of a process with threads, such as torch's, may hang


class ProcessError(NoisepressError):
    """The process that did the work ended, for example because it was killed for its memory."""


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    pipe: Connection[Any, Any]

    @classmethod
    def start(cls, work: Callable[[Any], Any], threads: int) -> _Worker:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=_serve, args=(theirs, work, threads), daemon=True)
        process.start()
        theirs.close()
        return cls(process, ours)

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()
        self.pipe.close()


def _serve(pipe: Connection[Any, Any], work: Callable[[Any], Any], threads: int) -> None:
    """What a process does: tasks that come in, results or errors that go out."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it, too, and ends this process
    with suppress(EOFError, ConnectionError):  # the parent is gone
        while True:
            task = pipe.recv()
            try:
                result = work(task)
            except Exception as error:
                error.add_note(traceback.format_exc())
                result = error
            pipe.send(result)


def results(
    work: Callable[[Task], Result], tasks: Iterable[Task], processes: int
) -> Generator[tuple[Task, Result | Exception], None, None]:
    """What becomes of tasks, each as soon as it is done; the processor's cores are shared out.

    A task whose process ends is given to a new one, once.

    Args:
        work: a function of a module, or a partial of one; it and the tasks are pickled.
        tasks: each is taken when a process is free for it.
        processes: how many work at a time.

    Yields:
        A task with its result, or with the error that the work raised, or with a `ProcessError`.
    """
    waiting = iter(tasks)
    again: deque[tuple[Task, int]] = deque()
    threads = max(1, (os.cpu_count() or 1) // processes)
    idle: list[_Worker] = []
    busy: dict[Connection[Any, Any], tuple[_Worker, Task, int]] = {}
    try:
        while True:
            while len(busy) < processes:
                following = (
                    again.popleft() if again else next(((task, 1) for task in waiting), None)
                )
                if following is None:
                    break
                task, attempt = following
                worker = idle.pop() if idle else _Worker.start(work, threads)
                busy[worker.pipe] = worker, task, attempt
                worker.pipe.send(task)
            if not busy:
                return
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                worker, task, attempt = busy.pop(pipe)
                try:
                    outcome = pipe.recv()
                except (EOFError, ConnectionError):
                    worker.stop()
                    if attempt < _ATTEMPTS:
                        again.append((task, attempt + 1))
                    else:
                        yield task, ProcessError(f"{attempt} processes ended that worked on it")
                    continue
                idle.append(worker)
                yield task, outcome
    finally:
        for worker in [*idle, *(worker for worker, *_ in busy.values())]:
            worker.stop()
