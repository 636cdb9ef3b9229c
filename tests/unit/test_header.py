"""Header fields and variable-length numbers."""

from __future__ import annotations

import pytest

from noisepress.bitstream.errors import CorruptError, FieldError, TruncatedError
from noisepress.bitstream.header import (
    UINT32,
    VARINT,
    Field,
    pack,
    read_varint,
    unpack,
    write_varint,
)

FIELDS = (
    Field("small", VARINT, 2, 300, "a varint"),
    Field("word", UINT32, 0, 2**32 - 1, "four bytes"),
)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (2**14 - 1, "ff7f"),
        (2**14, "808001"),
        (2**63 - 1, "ffffffffffffffff7f"),
    ],
)
def test_varint_bytes(value: int, stored: str) -> None:
    data = bytes.fromhex(stored)
    assert write_varint(value) == data
    assert read_varint(b"\xff" + data + b"\x80", 1) == (value, 1 + len(data))


@pytest.mark.parametrize("stored", ["", "80", "ffffff", "8080808080808080"])
def test_cut_varint(stored: str) -> None:
    with pytest.raises(TruncatedError):
        read_varint(bytes.fromhex(stored), 0)


@pytest.mark.parametrize("stored", ["8000", "ff8000", "80" * 8 + "00", "80" * 9 + "01", "ff" * 10])
def test_padded_and_long_varints(stored: str) -> None:
    with pytest.raises(CorruptError):
        read_varint(bytes.fromhex(stored), 0)


def test_pack_lays_fields_out_in_order() -> None:
    data = pack(FIELDS, {"word": 0x01020304, "small": 300})
    assert data.hex() == "ac0204030201"
    assert unpack(FIELDS, b"??" + data, 2) == ({"small": 300, "word": 0x01020304}, 8)


@pytest.mark.parametrize(
    "values",
    [
        {"small": 1, "word": 0},
        {"small": 301, "word": 0},
        {"small": 2, "word": -1},
        {"small": 2, "word": 2**32},
        {"small": 2},
        {"small": 2, "word": 0, "other": 0},
    ],
)
def test_pack_refuses(values: dict[str, int]) -> None:
    with pytest.raises(FieldError):
        pack(FIELDS, values)


@pytest.mark.parametrize("stored", ["0100000000", "ad0200000000"])
def test_unpack_refuses_values_outside_their_range(stored: str) -> None:
    with pytest.raises(CorruptError, match="small"):
        unpack(FIELDS, bytes.fromhex(stored), 0)


@pytest.mark.parametrize("length", range(6))
def test_unpack_of_every_prefix(length: int) -> None:
    with pytest.raises(TruncatedError):
        unpack(FIELDS, bytes.fromhex("ac0204030201")[:length], 0)
