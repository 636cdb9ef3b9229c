"""Files that have to be read like this for ever; `make_golden.py` tells how they were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noisepress.bitstream import errors
from noisepress.bitstream.coders import Decoder, Encoder, Stack, Tally
from noisepress.bitstream.container import read
from noisepress.bitstream.entropy import (
    Categorical,
    EntropyModel,
    Frequencies,
    Ints,
    LogisticMixture,
)

FOLDER = Path(__file__).parent
MANIFEST: dict[str, dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_text())


def names(*layers: str) -> list[str]:
    return [name for name, entry in MANIFEST.items() if entry["layer"] in layers]


def test_manifest_and_folder_agree() -> None:
    files = {path.name for path in FOLDER.iterdir() if path.suffix in (".nzp", ".json")}
    assert files - {"manifest.json"} == set(MANIFEST)
    assert all(entry["about"] for entry in MANIFEST.values())
    assert len(names("container")) >= 29
    assert len(names("range", "stack")) >= 3


@pytest.mark.parametrize("name", names("container"))
def test_container(name: str) -> None:
    data, entry = (FOLDER / name).read_bytes(), MANIFEST[name]
    if "error" in entry:
        with pytest.raises(errors.NoisepressError) as caught:
            read(data)
        assert type(caught.value) is getattr(errors, entry["error"])
        return
    contents = read(data)
    assert [[part.kind, part.payload.hex()] for part in contents.sections] == entry["sections"]
    assert contents.truncated == entry["truncated"]


def load(name: str) -> tuple[dict[str, Any], EntropyModel, Ints]:
    """The stored stream, its model, its symbols."""
    stored = json.loads((FOLDER / name).read_text())
    symbols = np.array(stored["symbols"], np.int32)
    if "frequencies" in stored:
        return stored, Categorical(np.array(stored["frequencies"], np.float32)), symbols
    keys = ("logits", "locations", "scales")
    logits, locations, scales = (np.array(stored[key], np.int32) for key in keys)
    return stored, LogisticMixture(logits, locations, scales, stored["digits"]), symbols


@pytest.mark.parametrize("name", names("range"))
def test_range_coded_stream(name: str) -> None:
    stored, model, symbols = load(name)
    data = bytes.fromhex(stored["bytes"])
    np.testing.assert_array_equal(Decoder(data).code(None, model), symbols)
    encoder, tally = Encoder(), Tally()
    encoder.code(symbols, model)
    tally.code(symbols, model)
    assert encoder.finish() == data
    assert abs(8 * len(data) - tally.bits) < 64


@pytest.mark.parametrize("name", names("stack"))
def test_stack(name: str) -> None:
    stored, model, symbols = load(name)
    stack = Stack(bytes.fromhex(stored["bytes"]))
    np.testing.assert_array_equal(stack.pop(model), symbols)
    assert stack.seal().hex() == stored["start"]
    stack.push(symbols, model)
    assert stack.seal().hex() == stored["bytes"]


def left_edges(row: Frequencies) -> list[int]:
    """Where each symbol starts in units of 2^-24, and 2^24; docs/format.md, "Probabilities"."""
    scale = np.float32(2**24 - row.size) / np.float32(row.sum())
    before = np.cumsum(row, dtype=np.float32) - row
    return [int(part * scale) + i for i, part in enumerate(before)] + [2**24]


def little_endian_words(data: bytes) -> list[int]:
    padded = data + bytes(-len(data) % 4)
    return [int.from_bytes(padded[i : i + 4], "little") for i in range(0, len(padded), 4)]


class RangeReader:
    """The range decoder as docs/format.md describes it, in Python integers."""

    def __init__(self, data: bytes) -> None:
        self.words = little_endian_words(data)[::-1]
        self.size = 2**64 - 1
        self.offset = self.word() << 32 | self.word()

    def word(self) -> int:
        return self.words.pop() if self.words else 0

    def symbol(self, row: Frequencies) -> int:
        edges, unit = left_edges(row), self.size >> 24
        quantile = self.offset // unit
        assert quantile < 2**24
        symbol = max(i for i in range(row.size) if edges[i] <= quantile)
        self.offset -= unit * edges[symbol]
        self.size = unit * (edges[symbol + 1] - edges[symbol])
        if self.size < 2**32:
            self.size <<= 32
            self.offset = self.offset << 32 | self.word()
        return symbol


class StackReader:
    """Popping from the stack as docs/format.md describes it, in Python integers."""

    def __init__(self, data: bytes) -> None:
        self.words = little_endian_words(data)
        self.state = self.words.pop() << 32 | self.words.pop()

    def symbol(self, row: Frequencies) -> int:
        edges, quantile = left_edges(row), self.state % 2**24
        symbol = max(i for i in range(row.size) if edges[i] <= quantile)
        self.state = (self.state >> 24) * (edges[symbol + 1] - edges[symbol])
        self.state += quantile - edges[symbol]
        if self.state < 2**32:
            self.state = self.state << 32 | self.words.pop()
        return symbol


READERS: dict[str, type[RangeReader] | type[StackReader]] = {
    "range": RangeReader,
    "stack": StackReader,
}


def read_with(reader: RangeReader | StackReader, model: EntropyModel) -> Ints:
    def step(digits: Ints | None, frequencies: Frequencies) -> Ints:
        return np.array([reader.symbol(row) for row in frequencies], np.int32)

    return model.run(None, step)


@pytest.mark.parametrize("name", names(*READERS))
def test_streams_are_as_the_format_describes(name: str) -> None:
    stored, model, symbols = load(name)
    reader = READERS[MANIFEST[name]["layer"]](bytes.fromhex(stored["bytes"]))
    np.testing.assert_array_equal(read_with(reader, model), symbols)


def test_the_stack_reader_leaves_what_was_there() -> None:
    stored, model, _ = load("stream_stack.json")
    reader = StackReader(bytes.fromhex(stored["bytes"]))
    read_with(reader, model)
    left = [*reader.words, reader.state & 0xFFFFFFFF, reader.state >> 32]
    assert left == little_endian_words(bytes.fromhex(stored["start"]))
