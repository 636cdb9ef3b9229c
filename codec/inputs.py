"""What holds or names a file, as bytes: paths, open files, and objects that are bytes already."""

from __future__ import annotations

import os
from io import TextIOBase
from mmap import mmap
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np

from ..bitstream.errors import NoisepressError, NotNoisepressError, one_line
from ..bitstream.header import Data

FileSource: TypeAlias = (
    str | os.PathLike[str] | os.PathLike[bytes] | bytes | bytearray | memoryview | mmap | IO[bytes]
)
"""A path, the bytes of a file, or a binary file that is read from where it stands."""


def as_data(source: object) -> Data:
    """The bytes of a .nzp file, whatever holds or names it.

    Args:
        source: `FileSource`, or a uint8 array (n,).

    Returns:
        bytes; a memory map as it is, so that what is not looked at is not read.

    Raises:
        NotNoisepressError: the source is of another type, a text file, or closed.
        OSError: a path or file cannot be read.
    """
    if isinstance(source, mmap):
        return source
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 1:
            raise NotNoisepressError(
                f"{source.dtype} array of shape {source.shape} is not a .nzp file: "
                "uint8 of shape (n,) is supported"
            )
        return source.tobytes()
    data = file_bytes(source, NotNoisepressError)
    if data is None:
        raise NotNoisepressError(
            f"{type(source).__name__} is not a .nzp file: give a path, bytes, a memoryview, "
            "a uint8 array or a binary file"
        )
    return data


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
    if not isinstance(data, bytes):
        raise refusal(f"the {type(source).__name__} gives {type(data).__name__} instead of bytes")
    return data
