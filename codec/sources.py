"""What holds or names a file, as bytes: paths, open files, and objects that are bytes already."""

from __future__ import annotations

import os
from io import TextIOBase
from mmap import mmap
from pathlib import Path
from typing import IO, TypeAlias

from ..bitstream.errors import NoisepressError, one_line

FileSource: TypeAlias = (
    str | os.PathLike[str] | os.PathLike[bytes] | bytes | bytearray | memoryview | mmap | IO[bytes]
)
"""A path, the bytes of a file, or a binary file, which is read from where it stands."""


def file_bytes(source: object, refusal: type[NoisepressError]) -> bytes | None:
    """The bytes of a `FileSource`; None for what is of another type.

    Args:
        refusal: the error for sources that cannot give bytes.

    Raises:
        refusal: a text file, a closed file, or a path that no file can have.
        OSError: a path or file cannot be read.
    """
    try:
        if isinstance(source, (bytes, bytearray, memoryview, mmap)):
            return bytes(source)
        if isinstance(source, (str, os.PathLike)):
            return Path(os.fsdecode(source)).read_bytes()
        read = getattr(source, "read", None)
        if not callable(read):
            return None
        data = "" if isinstance(source, TextIOBase) else read()
    except (AttributeError, TypeError, ValueError) as error:
        name = type(source).__name__
        raise refusal(f"cannot read the {name}: {one_line(error)}") from error
    if isinstance(data, str):
        raise refusal(f"the {type(source).__name__} is a text file: open it in binary mode")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise refusal(f"the {type(source).__name__} gives {type(data).__name__} instead of bytes")
    return bytes(data)
