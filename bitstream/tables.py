"""Checks of tables that are computed in floats and rounded to the integers of the format."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_tables(kind: str, expected: int, *tables: NDArray[np.signedinteger[Any]]) -> None:
    """Compare integer tables with the checksum that `docs/format.md` gives for them.

    Args:
        kind: what the tables are for, for the message.
        expected: their `checksum`.
        tables: integers of the width that the checksum is for.

    Raises:
        RuntimeError: the tables have another checksum: this machine's exp, log or erf rounds an
            entry otherwise, so that files could not be decoded.
    """
    found = checksum(*tables)
    if found != expected:
        raise RuntimeError(
            f"{kind} tables computed on this machine do not match the format's "
            f"(checksum 0x{found:08X} instead of 0x{expected:08X})"
        )


def checksum(*tables: NDArray[np.signedinteger[Any]]) -> int:
    """CRC-32 of the entries as little-endian numbers, one table after the other."""
    found = 0
    for table in tables:
        found = zlib.crc32(table.astype(table.dtype.newbyteorder("<"), copy=False).tobytes(), found)
    return found
