"""Packages that only an extra brings: what needs one says which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Imports of packages that only `pip install "noisepress[NAME]"` brings.

    Raises:
        ModuleNotFoundError: one is missing; the message says what to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{error.name} is missing; pip install "noisepress[{name}]" brings it', name=error.name
        ) from error
