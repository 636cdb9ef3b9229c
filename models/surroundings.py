"""Networks run the same whatever the program that we are in has set in torch.

Of the program's settings, autocast and the default device would change what networks compute or
where, and are set aside for the time of a call; all others are left as they are and change nothing.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ParamSpec, TypeVar

import torch

_P = ParamSpec("_P")
_R = TypeVar("_R")

_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


@contextmanager
def settled() -> Iterator[None]:
    """Torch as networks need it, for one call.

    A process that was forked from one whose OpenMP threads had worked would wait for these threads
    for ever: there a single thread does the work.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(kind, enabled=False))
        threads = torch.get_num_threads()
        if _forked and threads > 1:
            torch.set_num_threads(1)
            stack.callback(torch.set_num_threads, threads)
        yield


def in_settled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function, or a generator between its values, whose work is done while torch is settled."""
    if not inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with settled():
                return function(*args, **kwargs)

        return called

    @functools.wraps(function)
    def generated(*args: _P.args, **kwargs: _P.kwargs) -> Any:
        values = function(*args, **kwargs)
        while True:
            with settled():
                try:
                    value = next(values)
                except StopIteration:
                    return
            yield value

    return generated
