"""Files that are written whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """A new binary file that takes the place of `path` when the block ends without an error.

    Until then it has a hidden name of 25 bytes in the same folder; after an error it is deleted.
    The permissions are those that the umask leaves to a new file.

    Raises:
        OSError: the file cannot be written.
    """
    partial = path.parent / f".{secrets.token_hex(8)}.partial"
    try:
        with partial.open("xb") as file:
            yield file
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file, see `atomic_writer`.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_writer(path) as file:
        file.write(data)
