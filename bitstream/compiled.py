"""Functions compiled by numba, whose machine code is kept on disk where that is possible.

The code on disk saves time and nothing else: without a folder that can be written, on a full disk,
or where a file there is damaged, functions are compiled again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from numba import njit
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., object])


class _Cache(FunctionCache):
    """numba's code on disk, where whatever goes wrong means that there is none."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:
            # The next process finds an empty index in place of the damaged one.
            with suppress(Exception):
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(Exception):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def compiled(**options: Any) -> Callable[[Function], Function]:
    """A decorator that compiles a function when it is called first.

    Args:
        options: those of `numba.njit`, except `cache`.
    """

    def decorate(function: Function) -> Function:
        dispatcher: Any = njit(**options)(function)
        with suppress(RuntimeError):  # no folder can be written
            dispatcher._cache = _Cache(function)  # type: ignore[no-untyped-call]
        result: Function = dispatcher
        return result

    return decorate


kernel = compiled(error_model="numpy", nogil=True, _nrt=False)
"""For functions that neither make arrays nor keep them, so that they count no references.

Counting takes time, and threads that count references to the same array wait for each other.
"""
