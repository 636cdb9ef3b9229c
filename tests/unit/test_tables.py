"""Checksums of computed tables: the bytes that they cover, and the error for a wrong one."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

from noisepress.bitstream.tables import check_tables

BYTES = bytes([1, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF])
LOW, HIGH = np.array([1], np.int32), np.array([-2], np.int32)


@pytest.mark.parametrize("order", ["<", ">"])
def test_entries_are_little_endian_and_tables_in_order(order: str) -> None:
    low, high = (table.astype(f"{order}i4") for table in (LOW, HIGH))
    check_tables("noise", zlib.crc32(BYTES), low, high)
    check_tables("noise", zlib.crc32(BYTES), np.concatenate([low, high]))


@pytest.mark.parametrize(
    "tables", [(HIGH, LOW), (LOW,), (LOW, HIGH, LOW), (LOW.astype(np.int64), HIGH), (LOW, HIGH + 1)]
)
def test_other_tables_are_an_error(
    tables: tuple[Any, ...],
) -> None:
    checksum = zlib.crc32(BYTES)
    with pytest.raises(RuntimeError, match=rf"^noise tables .* instead of 0x{checksum:08X}\)$"):
        check_tables("noise", checksum, *tables)
