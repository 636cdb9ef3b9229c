"""Files that are written whole or not at all."""

from __future__ import annotations

import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """A new binary file that takes the place of `path` when the block ends without an error.

    Until then it has a hidden name of 25 bytes in the same folder; after an error it is deleted. A
    link stays, and what it leads to is replaced. The permissions are those of the file that is
    replaced, or those that the umask leaves to a new one. Devices and pipes cannot be replaced, and
    are written into.

    Raises:
        OSError: the file cannot be written.
    """
    path = path.resolve() if path.is_symlink() else path
    before = path.stat().st_mode if path.exists() else None
    if before is not None and not (stat.S_ISREG(before) or stat.S_ISDIR(before)):
        with path.open("wb") as file:
            yield file
        return
    partial = path.parent / f".{secrets.token_hex(8)}.partial"
    try:
        with partial.open("xb") as file:
            if before is not None:
                partial.chmod(stat.S_IMODE(before))
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
