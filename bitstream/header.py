"""Header fields: one table serves to pack, unpack, check and document them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from mmap import mmap
from os import SEEK_END
from typing import IO, overload

from .errors import CorruptError, FieldError, TruncatedError

VARINT = "varint"
UINT32 = "u32"
_VARINT_BYTES = 9


class FileBytes:
    """An open file as bytes of which only those are read that are looked at.

    Args:
        file: binary and seekable. The bytes are those from its start.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._length = file, file.seek(0, SEEK_END)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> bytes: ...
    def __getitem__(self, place: int | slice) -> int | bytes:
        if isinstance(place, int):
            return self[place : place + 1][0]
        start, stop, _ = place.indices(self._length)
        self._file.seek(start)
        return self._file.read(max(0, stop - start))


class Rest:
    """Bytes from a position on, of which only those are read that are looked at.

    Args:
        data: all of the bytes.
        start: the position of the first one.
    """

    def __init__(self, data: bytes | mmap | FileBytes, start: int) -> None:
        self._data, self._start = data, start

    def __len__(self) -> int:
        return len(self._data) - self._start

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> bytes: ...
    def __getitem__(self, place: int | slice) -> int | bytes:
        if isinstance(place, int):
            return self._data[range(len(self))[place] + self._start]
        start, stop, _ = place.indices(len(self))
        return self._data[start + self._start : stop + self._start]


Bytes = bytes | mmap | FileBytes | Rest
"""What is read: bytes, or a memory map, a file or the rest of one, whose slices are bytes too."""


@dataclass(frozen=True)
class Field:
    """One unsigned integer of a header.

    Attributes:
        name: key of its value in the mappings of `pack` and `unpack`.
        kind: VARINT (LEB128: 7 bits a byte, low bits first, the high bit set in all but the last
            byte) or UINT32 (4 bytes, little endian).
        low, high: smallest and largest value, inclusive.
        doc: its meaning in one line, as in `docs/format.md`.
        words: what the values from 0 stand for, of a field with few.
        only_if: name and value of an earlier field; with another value, this one is left out.
    """

    name: str
    kind: str
    low: int
    high: int
    doc: str
    words: tuple[str, ...] = ()
    only_if: tuple[str, int] | None = None

    def left_out(self, values: Mapping[str, int]) -> bool:
        """Whether it is not stored beside these values."""
        return self.only_if is not None and values.get(self.only_if[0]) != self.only_if[1]


def write_varint(value: int) -> bytes:
    """LEB128 bytes of a non-negative integer."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: Bytes, position: int) -> tuple[int, int]:
    """Read a LEB128 integer that starts at a position.

    Returns:
        Its value and the position after it.

    Raises:
        TruncatedError: the data ends inside the integer.
        CorruptError: it is longer than 9 bytes or padded with zeros.
    """
    value = 0
    for index in range(_VARINT_BYTES):
        if position + index >= len(data):
            raise TruncatedError("the file ends inside a field")
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if index and not byte:
                raise CorruptError("a field is stored in more bytes than it needs")
            return value, position + index + 1
    raise CorruptError("a field is longer than 9 bytes")


def pack(fields: Sequence[Field], values: Mapping[str, int]) -> bytes:
    """The bytes of `values` in the order of `fields`.

    Raises:
        FieldError: a value is missing, unknown or outside its range.
    """
    if unknown := set(values) - {field.name for field in fields}:
        raise FieldError(f"unknown header fields: {', '.join(sorted(unknown))}")
    out = bytearray()
    for field in fields:
        if field.left_out(values):
            continue
        value = values.get(field.name)
        if value is None or not field.low <= value <= field.high:
            raise FieldError(f"{field.name} is {value}, supported are {field.low} to {field.high}")
        if field.kind == UINT32:
            out += value.to_bytes(4, "little")
        else:
            out += write_varint(value)
    return bytes(out)


def unpack(fields: Sequence[Field], data: Bytes, position: int) -> tuple[dict[str, int], int]:
    """Read fields that start at a position.

    Returns:
        Their values by name, and the position after the last.

    Raises:
        TruncatedError: the data ends inside a field.
        CorruptError: a value is outside its range, or stored in too many bytes.
    """
    values: dict[str, int] = {}
    for field in fields:
        if field.left_out(values):
            continue
        if field.kind == UINT32:
            if position + 4 > len(data):
                raise TruncatedError(f"the file ends inside {field.name}")
            value = int.from_bytes(data[position : position + 4], "little")
            position += 4
        else:
            value, position = read_varint(data, position)
        if not field.low <= value <= field.high:
            raise CorruptError(
                f"{field.name} is {value}, supported are {field.low} to {field.high}"
            )
        values[field.name] = value
    return values, position


def unpack_all(fields: Sequence[Field], data: bytes, codec: str) -> dict[str, int]:
    """The values of `fields`, which together make up a codec's parameters.

    Args:
        data: the codec's parameters.
        codec: its name, for error messages.

    Raises:
        TruncatedError: the data ends inside a field.
        CorruptError: a value is outside its range or stored in too many bytes, or bytes follow the
            last field.
    """
    values, position = unpack(fields, data, 0)
    if position != len(data):
        raise CorruptError(f"the {codec} header has bytes left over")
    return values
