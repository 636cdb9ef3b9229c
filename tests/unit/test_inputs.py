"""What holds or names a file: paths, open files and bytes of every kind, or a named refusal."""

from __future__ import annotations

import io
import mmap
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from common import to_pillow

from noisepress.bitstream.container import Header, Section, SectionKind, outline, read, write
from noisepress.bitstream.errors import NotNoisepressError, UnsupportedImageError
from noisepress.codec.image.raster import from_array, to_array
from noisepress.codec.image.read import open_image
from noisepress.codec.image.write import save_image
from noisepress.codec.inputs import as_data, as_raster

IMAGE = from_array(np.arange(24, dtype=np.uint8).reshape(4, 6))
PNG = save_image(IMAGE, ".png")
NZP = write(Header(2, 1, 6, 4, 0), [Section(SectionKind.DATA, b"payload" * 9)])


@dataclass
class Named:
    """A path-like object that gives what it was made with."""

    path: Any

    def __fspath__(self) -> Any:
        return self.path


@dataclass
class Reader:
    """Reads what it was made with, once in all."""

    data: Any

    def read(self) -> Any:
        return self.data


def stretched(data: bytes) -> memoryview:
    """A memoryview of every second byte of a buffer."""
    return memoryview(bytes(byte for pair in zip(data, data, strict=True) for byte in pair))[::2]


def wide(data: bytes) -> Any:
    """A memoryview of 16-bit items, or of 8-bit ones of another name if there is an odd byte."""
    return memoryview(data).cast("H" if len(data) % 2 == 0 else "c")


HOLDERS: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "memoryview of a bytearray": lambda data: memoryview(bytearray(data)),
    "memoryview with gaps": stretched,
    "memoryview of 16 bits": wide,
    "BytesIO": io.BytesIO,
    "buffered reader": lambda data: io.BufferedReader(io.BytesIO(data)),
    "reader": Reader,
    "reader of a bytearray": lambda data: Reader(bytearray(data)),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_objects_that_hold_bytes(name: str) -> None:
    data = as_data(HOLDERS[name](NZP))
    assert type(data) is bytes and data == NZP
    assert as_raster(HOLDERS[name](PNG)) == IMAGE


NAMES: dict[str, Callable[[Path], Any]] = {
    "str": str,
    "Path": Path,
    "numpy str": lambda path: np.array([str(path)])[0],
    "path-like of str": lambda path: Named(str(path)),
    "path-like of bytes": lambda path: Named(os.fsencode(path)),
}


@pytest.mark.parametrize("name", NAMES)
def test_objects_that_name_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "é.nzp").write_bytes(NZP)
    (tmp_path / "é.png").write_bytes(PNG)
    assert as_data(NAMES[name](tmp_path / "é.nzp")) == NZP
    assert as_raster(NAMES[name](tmp_path / "é.png")) == IMAGE
    assert open_image(NAMES[name](tmp_path / "é.png")) == IMAGE
    with pytest.raises(FileNotFoundError):
        as_data(NAMES[name](tmp_path / "none"))
    with pytest.raises(FileNotFoundError):
        as_raster(NAMES[name](tmp_path / "none"))
    with pytest.raises(OSError):
        as_data(NAMES[name](tmp_path))


def test_open_files_are_read_from_their_position() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"before" + NZP)
        file.seek(6)
        assert as_data(file) == NZP
        file.write(PNG)
        file.seek(6 + len(NZP))
        assert as_raster(file) == IMAGE


def test_uint8_arrays_hold_a_files_bytes() -> None:
    array = np.frombuffer(NZP, np.uint8)
    assert as_data(array) == NZP
    assert as_data(np.repeat(array, 3)[::3]) == NZP
    others: Any = (array.astype(np.int8), array[None], array.astype(np.uint16), np.uint8(1))
    for other in others:
        with pytest.raises(NotNoisepressError, match=r"is not a \.nzp file"):
            as_data(other)


def test_memory_maps_are_read_only_where_they_are_looked_at() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(NZP)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            data = as_data(mapped)
            assert data is mapped
            assert read(data) == read(NZP)
            assert type(read(data).sections[0].payload) is bytes
            assert type(outline(data).header.parameters) is bytes
        mapped = mmap.mmap(-1, len(PNG))
        mapped[:] = PNG
        assert as_raster(mapped) == IMAGE


def closed_file() -> io.BytesIO:
    file = io.BytesIO(PNG)
    file.close()
    return file


def released() -> memoryview:
    view = memoryview(PNG)
    view.release()
    return view


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "text file": (lambda: io.StringIO("text"), "StringIO is a text file: open it in binary mode"),
    "undecodable text file": (
        lambda: io.TextIOWrapper(io.BytesIO(b"\xff"), "ascii"),
        "TextIOWrapper is a text file",
    ),
    "reader of text": (lambda: Reader("text"), "Reader is a text file"),
    "reader of nothing": (lambda: Reader(None), "Reader gives NoneType instead of bytes"),
    "closed file": (closed_file, "cannot read the BytesIO: .*closed"),
    "class": (lambda: io.BytesIO, "cannot read the type"),
    "released view": (released, "cannot read the memoryview"),
    "zero byte in a path": (lambda: "a\0b", "cannot read the str: .*null"),
    "path-like of a number": (lambda: Named(1), "cannot read the Named"),
    "float": (lambda: 1.0, "float is not an image|float is not a .nzp file"),
    "None": (lambda: None, "NoneType is not"),
    "list": (lambda: [1, 2], "list is not"),
    "object": (object, "object is not"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_none_of_these_is_named(name: str) -> None:
    make, match = REFUSED[name]
    takers: Any = ((as_data, NotNoisepressError), (as_raster, UnsupportedImageError))
    for take, refusal in takers:
        with pytest.raises(refusal, match=match) as info:
            take(make())
        assert "\n" not in str(info.value)


def test_files_that_are_not_open_for_reading(tmp_path: Path) -> None:
    with open(tmp_path / "new", "wb") as file, pytest.raises(NotNoisepressError, match="Buffered"):
        as_data(file)


def test_images_of_every_kind() -> None:
    assert as_raster(IMAGE) is IMAGE
    for image in (IMAGE.samples, to_array(IMAGE), to_pillow(IMAGE), torch.tensor(to_array(IMAGE))):
        assert as_raster(image) == IMAGE


def test_open_image_takes_files_only() -> None:
    with pytest.raises(UnsupportedImageError, match="ndarray is not an image file"):
        open_image(IMAGE.samples)  # type: ignore[arg-type]
