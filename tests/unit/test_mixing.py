"""Online mixing: the same at encoder and decoder, on every machine, and worth its while."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from common import photograph, picture, smooth
from hypothesis import given
from hypothesis import strategies as st
from mixing_twin import Reader, TwinMixer
from numba.core.dispatcher import Dispatcher
from numpy.typing import NDArray

import noisepress
from noisepress.bitstream import _binary, _contexts, _mixing
from noisepress.bitstream.binary import (
    BinaryDecoder,
    BinaryEncoder,
    BinaryTally,
    join_streams,
    split_streams,
)
from noisepress.bitstream.coders import Coder
from noisepress.bitstream.container import SectionKind, read
from noisepress.bitstream.entropy import LogisticMixture
from noisepress.bitstream.errors import CorruptError
from noisepress.bitstream.mixing import BYTE, Depth, Mixer
from noisepress.codec.ardm import lattice
from noisepress.codec.ardm.codec import Ardm
from noisepress.codec.ardm.coding import estimate
from noisepress.codec.ardm.lattice import NEIGHBOURHOODS, Lanes, Lattice, streams
from noisepress.codec.image.raster import Mode, Raster
from noisepress.models.lattice import LatticeNet
from noisepress.models.registry import find, load_network

Samples = NDArray[Any]
Machine = Callable[[int, bool], AbstractContextManager[None]]
GOLDEN = Path(__file__).parents[1] / "golden" / "codec"


def together(coders: Sequence[Coder]) -> Coder | Lanes:
    return Lanes(coders) if len(coders) > 1 else coders[0]


class Codec:
    """Lattice order with mixing, by a tiny model."""

    def __init__(self, model: str) -> None:
        self.network = load_network(find(model), LatticeNet)

    def run(
        self,
        samples: Samples | None,
        shape: tuple[int, ...],
        coders: Iterator[Coder | Lanes],
        block: int,
        depth: Depth,
    ) -> Samples:
        height, width, channels = shape
        loop = Lattice(self.network, block, mixing=True, depth=depth)
        return list(loop.run(samples, (height, width, channels), coders))[-1]

    def encode(self, samples: Samples, block: int = 64, depth: Depth = BYTE) -> list[bytes]:
        height, width, channels = samples.shape
        counts = streams((height, width, channels), mixing=True)
        coders = [[BinaryEncoder() for _ in range(count)] for count in counts]
        self.run(samples, samples.shape, map(together, coders), block, depth)
        return [join_streams([coder.finish() for coder in group]) for group in coders]

    def decode(
        self,
        data: list[bytes],
        shape: tuple[int, ...],
        block: int = 64,
        coder: Callable[[bytes], Coder] = BinaryDecoder,
        depth: Depth = BYTE,
    ) -> Samples:
        height, width, channels = shape
        counts = streams((height, width, channels), mixing=True)
        groups = [
            [coder(stream) for stream in split_streams(part, count)]
            for part, count in zip(data, counts, strict=True)
        ]
        return self.run(None, shape, map(together, groups), block, depth)

    def check(self, samples: Samples, block: int = 64, depth: Depth = BYTE) -> int:
        """Round trip; bytes of the stream."""
        data = self.encode(samples, block, depth)
        found = self.decode(data, samples.shape, block, depth=depth)
        assert found.dtype == samples.dtype
        np.testing.assert_array_equal(found, samples)
        return sum(map(len, data))


@pytest.fixture(scope="module")
def codec(lattice_model: str) -> Codec:
    return Codec(lattice_model)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("height", "width"),
    [
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
        (3, 2),
        (1, 37),
        (37, 1),
        (2, 65),
        (65, 2),
        (33, 31),
        (48, 50),
    ],
)
def test_any_size_comes_back(codec: Codec, height: int, width: int, channels: int) -> None:
    codec.check(picture(height, width, channels))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(75, 70), (33, 97), (64, 64)])
def test_blocks_come_back(codec: Codec, height: int, width: int, channels: int) -> None:
    """Last blocks of one row or column, among others."""
    image = smooth(height, width, channels)
    assert codec.check(image, block=16) != codec.check(image, block=64)


def deeper(image: NDArray[np.uint8], depth: Depth) -> Samples:
    """An image with its values spread over all of a depth, and noise where there is room."""
    factor = (depth.values - 1) / 255
    noise = np.random.default_rng(3).uniform(-factor, factor, image.shape)
    values = np.rint(image * factor + noise).clip(0, depth.values - 1)
    return values.astype(depth.dtype)


DEPTHS = [
    Depth(1, 0),
    Depth(2, 0),
    Depth(3, 8),
    Depth(200, 1),
    Depth(256, 2),
    Depth(257, 0),
    Depth(1000, 3),
    Depth(4096, 4),
    Depth(65535, 8),
    Depth(65536, 0),
    Depth(65536, 8),
]


@pytest.mark.parametrize("depth", DEPTHS, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_all_depths_come_back(codec: Codec, depth: Depth, channels: int) -> None:
    for height, width in ((1, 1), (1, 40), (33, 31), (40, 45)):
        image = picture(height, width, channels)
        codec.check(deeper(image, depth), block=16, depth=depth)
    rng = np.random.default_rng(8)
    noise: Samples = rng.integers(0, depth.values, (30, 31, channels)).astype(depth.dtype)
    size = codec.check(noise, depth=depth)
    assert size < 1.3 * noise.size * depth.bits / 8 + 100
    codec.check((depth.values - 1) * (noise % 2), depth=depth)


@pytest.mark.parametrize("depth", [Depth(1000, 2), Depth(65536, 5)], ids=str)
def test_deep_lanes_come_back(codec: Codec, monkeypatch: pytest.MonkeyPatch, depth: Depth) -> None:
    monkeypatch.setattr(lattice, "LANES_FROM", 1)
    codec.check(deeper(smooth(67, 66), depth), depth=depth)


def extremes(height: int, width: int) -> dict[str, Samples]:
    row, column = np.indices((height, width))
    rng = np.random.default_rng(5)
    planes = {
        "black": 0 * row,
        "white": 255 + 0 * row,
        "grey": 128 + 0 * row,
        "checkerboard": 255 * ((row + column) % 2),
        "large checkerboard": 255 * ((row // 8 + column // 8) % 2),
        "stripes": 255 * (column % 2),
        "ramp to the right": 255 * column // (width - 1),
        "ramp down": 255 - 255 * row // (height - 1),
        "edge": 255 * (column >= width // 2),
        "dot": 255 * ((row == 20) & (column == 30)),
        "two values": 255 * rng.integers(0, 2, row.shape),
        "noise": rng.integers(0, 256, row.shape),
        "flat, then noise": np.where(row < height // 2, 255, rng.integers(0, 256, row.shape)),
    }
    return {name: plane.astype(np.uint8) for name, plane in planes.items()}


EXTREMES = extremes(51, 66)


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_images_come_back(codec: Codec, name: str) -> None:
    plane = EXTREMES[name]
    entropy_free = name not in ("noise", "two values", "flat, then noise")
    raw = plane.size
    for image in (
        plane[..., None],
        np.stack([plane, 255 - plane, plane], 2),
        np.stack([plane, plane.T.copy().reshape(plane.shape), 0 * plane], 2),
    ):
        size = codec.check(image)
        assert size < 1.2 * image.size + 100
        if entropy_free and image.shape[2] == 1:
            assert size < 0.5 * raw


def test_what_repeats_is_learned(codec: Codec) -> None:
    """A model without training knows nothing; counts of what was there before do."""
    tile = np.random.default_rng(0).integers(0, 256, (1, 1, 3), np.uint8)
    flat = np.broadcast_to(tile, (96, 96, 3)).copy()
    assert codec.check(flat) < flat.size / 150


@pytest.mark.parametrize(
    ("image", "block"),
    [
        (photograph("astronaut")[:21, :34], 8),
        (photograph("astronaut")[:80, :60][60:, :9], 64),
        (smooth(9, 70, 1), 64),
        (255 * np.random.default_rng(0).integers(0, 2, (14, 13, 3), np.uint8), 64),
    ],
    ids=["blocks", "columns", "grey", "two values"],
)
def test_it_is_as_the_format_describes(
    codec: Codec, monkeypatch: pytest.MonkeyPatch, image: Samples, block: int
) -> None:
    data = codec.encode(image, block)
    monkeypatch.setattr(lattice, "Mixer", TwinMixer)
    np.testing.assert_array_equal(codec.decode(data, image.shape, block, Reader), image)


@pytest.mark.parametrize("depth", [Depth(256, 1), *DEPTHS[1::2]], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_all_depths_are_as_the_format_describes(
    codec: Codec, monkeypatch: pytest.MonkeyPatch, depth: Depth, channels: int
) -> None:
    image = deeper(photograph("astronaut")[60:78, 100:117, :channels], depth)
    image[5:9] = (depth.values - 1) * (image[5:9] % 2)
    data = codec.encode(image, depth=depth)
    monkeypatch.setattr(lattice, "Mixer", TwinMixer)
    found = codec.decode(data, image.shape, coder=Reader, depth=depth)
    np.testing.assert_array_equal(found, image)


def test_lanes_are_as_the_format_describes(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    image = photograph("astronaut")[100:141, 100:137]
    alone = codec.encode(image)
    monkeypatch.setattr(lattice, "LANES_FROM", 300)
    data = codec.encode(image)
    assert data[0] == alone[0] and len(data[1]) > len(alone[1])
    monkeypatch.setattr(lattice, "Mixer", TwinMixer)
    np.testing.assert_array_equal(codec.decode(data, image.shape, coder=Reader), image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("rows", [3, 5, 100])
@pytest.mark.parametrize(("height", "width"), [(1, 70), (70, 1), (2, 40), (67, 66), (34, 131)])
def test_lanes_come_back(
    codec: Codec,
    monkeypatch: pytest.MonkeyPatch,
    height: int,
    width: int,
    rows: int,
    channels: int,
) -> None:
    monkeypatch.setattr(lattice, "LANES_FROM", 1)
    image = smooth(height, width, channels)
    expected = codec.encode(image)
    monkeypatch.setattr(lattice, "LANE_ROWS", rows)
    assert codec.encode(image) == expected
    np.testing.assert_array_equal(codec.decode(expected, image.shape), image)


def test_lanes_do_not_depend_on_threads(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattice, "LANES_FROM", 1)
    image = smooth(90, 60)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(codec.encode(image))
            assert torch.get_num_threads() == threads
            np.testing.assert_array_equal(codec.decode(found[-1], image.shape), image)
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "payload", [b"", b"\x80", b"\x05\x01abc", b"\x01", b"\x00\x01", b"\xff" * 12, b"\x80\x00"]
)
def test_lengths_of_streams_that_do_not_fit_are_an_error(payload: bytes) -> None:
    with pytest.raises(CorruptError):
        split_streams(payload, 3)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_joined_streams_come_apart(found: list[bytes]) -> None:
    assert split_streams(join_streams(found), len(found)) == found


def mixtures(rng: np.random.Generator, count: int, wild: bool) -> LogisticMixture:
    top = 100_000 if wild else 4096
    parts = (
        rng.integers(-600, 600, (count, 3)),
        rng.integers(-top if wild else 0, top, (count, 3)),
        rng.integers(-300, 700, (count, 3)) if wild else rng.integers(-48, 128, (count, 3)),
    )
    logits, locations, scales = (part.astype(np.int32) for part in parts)
    return LogisticMixture(logits, locations, scales)


@pytest.mark.parametrize("depth", [BYTE, Depth(65536, 3)], ids=str)
@pytest.mark.parametrize("wild", [False, True])
@pytest.mark.parametrize("values", ["noise", "extremes", "flat"])
def test_nothing_a_network_says_breaks_it(values: str, wild: bool, depth: Depth) -> None:
    """Distributions far outside the samples' range, far too sure, and of no use."""
    rng = np.random.default_rng(1)
    height, width = 43, 58
    image = {
        "noise": rng.integers(0, depth.values, (height, width, 3)),
        "extremes": (depth.values - 1) * rng.integers(0, 2, (height, width, 3)),
        "flat": np.full((height, width, 3), 77),
    }[values].astype(depth.dtype)
    seen = []

    def run(coder: Coder, target: Samples | None) -> list[NDArray[np.int32]]:
        rng = np.random.default_rng(2)
        mixer = Mixer(3, NEIGHBOURHOODS, depth)
        mixer.start_level(0, height, width)
        block = mixer.block(0, 0, image[::2, ::2])
        out = []
        for index, phase in enumerate(NEIGHBOURHOODS):
            part = image[phase.row :: 2, phase.column :: 2]
            model = block.phase(index)
            for channel in range(3):
                mixed = model(channel, 0, mixtures(rng, part[..., 0].size, wild))
                flat = None if target is None else part[..., channel].reshape(-1).astype(np.int32)
                out.append(coder.code(flat, mixed))
        block.finish()
        for index, channel in itertools.product(range(3), range(3)):
            contexts, memory = mixer.learned(index, channel)
            assert all(np.isfinite(array).all() for array in memory)
            seen.append(memory)
            assert (contexts.filled >= 0).all()
        assert np.isfinite(mixer._errors).all()
        return out

    encoder, tally = BinaryEncoder(), BinaryTally()
    expected = run(encoder, image)
    run(tally, image)
    data = encoder.finish()
    assert abs(8 * len(data) - tally.bits) <= 0.001 * tally.bits + 64
    for found, plane in zip(run(BinaryDecoder(data), None), expected, strict=True):
        np.testing.assert_array_equal(found, plane)
    for coded, counted, decoded in zip(seen[:9], seen[9:18], seen[18:], strict=True):
        for first, second, third in zip(coded, counted, decoded, strict=True):
            assert first.tobytes() == second.tobytes() == third.tobytes()


@pytest.mark.parametrize(
    ("depth", "symbol"), [(BYTE, -1), (BYTE, 256), (Depth(1001, 2), -1), (Depth(1001, 2), 1001)]
)
def test_samples_out_of_range_are_refused(depth: Depth, symbol: int) -> None:
    mixer = Mixer(1, NEIGHBOURHOODS, depth)
    mixer.start_level(0, 2, 2)
    model = mixer.block(0, 0, np.zeros((1, 1, 1), depth.dtype)).phase(0)
    mixed = model(0, 0, mixtures(np.random.default_rng(0), 1, False))
    for coder in (BinaryEncoder(), BinaryTally()):
        with pytest.raises(ValueError, match=f"outside 0 to {depth.values - 1}"):
            coder.code(np.array([symbol], np.int32), mixed)


@pytest.mark.parametrize("depth", [BYTE, Depth(4000, 3)], ids=str)
@pytest.mark.parametrize("lanes_from", [lattice.LANES_FROM, 1])
def test_damaged_streams_decode_or_are_an_error(
    codec: Codec, monkeypatch: pytest.MonkeyPatch, lanes_from: int, depth: Depth
) -> None:
    monkeypatch.setattr(lattice, "LANES_FROM", lanes_from)
    image = deeper(smooth(40, 44), depth)
    data = codec.encode(image, depth=depth)
    rng = np.random.default_rng(4)
    refused = changed = 0
    for _ in range(30):
        damaged = [bytearray(part) for part in data]
        part = damaged[rng.integers(len(damaged))]
        at, kind = int(rng.integers(len(part))), rng.integers(3)
        if kind == 0:
            part[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del part[at:]
        else:
            part[at:] = rng.bytes(len(part))
        try:
            found = codec.decode([bytes(part) for part in damaged], image.shape, depth=depth)
        except CorruptError:
            refused += 1
        else:
            assert found.shape == image.shape
            changed += not np.array_equal(found, image)
    assert refused + changed >= 25


def test_a_stream_of_ones_is_an_error(codec: Codec) -> None:
    with pytest.raises(CorruptError, match="data is damaged"):
        codec.decode([b"\xff" * 60] * 2, (40, 44, 3))


@pytest.fixture(scope="module")
def crop() -> Samples:
    return np.ascontiguousarray(photograph("astronaut")[:256, :256])


def test_photographs_shrink_and_sizes_are_estimated(crop: Samples) -> None:
    options = Ardm(planes="rgb")
    mixed = noisepress.encode(crop, options, fallback=False)
    alone = noisepress.encode(crop, replace(options, effort=0), fallback=False)
    np.testing.assert_array_equal(noisepress.decode(mixed), crop)
    np.testing.assert_array_equal(noisepress.decode(alone), crop)
    assert len(mixed) < 0.99 * len(alone)
    bits = estimate(Raster(crop, Mode.RGB8), options)
    sections = list(read(mixed).payloads(SectionKind.DATA))
    assert abs(8 * sum(map(len, sections)) - bits) <= 0.001 * bits + 64 * len(sections)


def test_grey_photographs_shrink(crop: Samples) -> None:
    grey = np.ascontiguousarray(crop[:160, :160, 1])
    mixed = noisepress.encode(grey, "ardm", fallback=False)
    np.testing.assert_array_equal(noisepress.decode(mixed), grey)
    assert len(mixed) < len(noisepress.encode(grey, "ardm", fallback=False, effort=0))


def test_layouts_and_threads_give_the_same_bytes(lattice_model: str, machine: Machine) -> None:
    image = smooth(70, 90)
    wide = np.repeat(image, 2, 1)
    layouts = (
        image,
        np.asfortranarray(image),
        wide[:, ::2],
        np.ascontiguousarray(image[::-1])[::-1],
        np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0),
    )
    options: dict[str, Any] = {"model": lattice_model, "fallback": False, "block": 16}
    files = {noisepress.encode(layout, "ardm", **options) for layout in layouts}
    for threads, onednn in ((1, True), (2, True), (1, False)):
        with machine(threads, onednn):
            files.add(noisepress.encode(image, "ardm", **options))
            for data in files:
                found = noisepress.decode(data, model=lattice_model)
                np.testing.assert_array_equal(found, image)
    assert len(files) == 1


def dispatchers() -> dict[str, Dispatcher]:
    """All compiled functions that take part in mixing, of networks or of contexts alone."""
    found = {**vars(_binary), **vars(_mixing), **vars(_contexts)}
    return {name: value for name, value in found.items() if isinstance(value, Dispatcher)}


def test_kernels_keep_the_order_of_operations() -> None:
    kernels = dispatchers()
    assert len(kernels) > 15 and {
        "code_rows",
        "code_bit",
        "solve",
        "code_page",
        "code_pixels",
    } <= set(kernels)
    for name, kernel in kernels.items():
        assert not kernel.targetoptions.get("fastmath"), name
        assert not kernel.targetoptions.get("parallel"), name


FUSED = r"v?fn?m(?:add|sub)\w*|fml[as]\w*"
LIBRARY = (
    r"(?:exp|exp2|expm1|log|log2|log10|log1p|pow|powi|sin|cos|tan|tanh|erf|cbrt|hypot|fma|fmod)f?"
)


def functions(assembly: str) -> dict[str, str]:
    """Functions of an assembly by name."""
    starts = re.split(r'^\s*\.type\s+"?([^",\n]+)"?,\s*[@%]function$', assembly, flags=re.MULTILINE)
    return dict(zip(starts[1::2], starts[2::2], strict=True))


ASSEMBLY = """
import numpy, noisepress, sys
from noisepress.bitstream import _contexts, _mixing
for kind in ("u1", "u2"):
    noisepress.encode(numpy.zeros((9, 9, 3), kind), model=sys.argv[1], fallback=False)
assert len(_mixing.code_rows.signatures) == 2
for colours in (2, 3):
    image = numpy.arange(81, dtype="u1").reshape(9, 9) % colours
    noisepress.encode(image, "screen", fallback=False)
for kernel in (_mixing.code_rows, _contexts.code_page, _contexts.code_pixels):
    print(*kernel.inspect_asm().values(), sep="\\n--\\n", end="\\n--\\n")
"""


def test_compiled_kernels_hold_exact_operations_only(lattice_model: str, tmp_path: Path) -> None:
    """No fused multiply-add, and of functions of the C library only log2, which tallies.

    In a process of its own, since numba cannot show code that it reads from its cache.
    """
    done = subprocess.run(
        [sys.executable, "-c", ASSEMBLY, lattice_model],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    *assemblies, rest = done.stdout.split("\n--\n")
    assert not rest
    kernels = ("code_rows", "code_rows", "code_page", "code_pixels")
    for assembly, kernel in zip(assemblies, kernels, strict=True):
        own = {
            name: text
            for name, text in functions(assembly).items()
            if re.match(r"_ZN\d+noisepress", name)  # the others wrap it or write error messages
        }
        assert any(kernel in name for name in own)
        text = "\n".join(own.values())
        assert re.search(r"mulsd|fmul", text) and not re.findall(rf"\s(?:{FUSED})\s", text)
        assert {*re.findall(rf"(?<![\w.]){LIBRARY}(?![\w.])", text)} == {"log2"}
        assert "svml" not in assembly


@pytest.mark.parametrize("module", [_mixing, _contexts], ids=lambda module: module.__name__)
def test_the_source_calls_exact_functions_only(module: ModuleType) -> None:
    """floor and the square root are exact; log2 stands where a tally is made, and nowhere else."""
    tree = ast.parse(inspect.getsource(module))
    used = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "math"
    ]
    assert set(used) <= {"floor", "sqrt", "log2"} and used.count("log2") == 1
    tallied = [
        statement
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "mode == TALLY"
        for statement in node.body
    ]
    assert len(tallied) == 1
    assert re.match(r"spent -?= .*math\.log2", ast.unparse(tallied[0]))


DECODE = """
import sys
from hashlib import sha256
import noisepress
for name in sys.argv[2:]:
    samples = noisepress.decode(open(name, "rb").read(), model=sys.argv[1])
    print(sha256(samples.tobytes()).hexdigest())
"""


@pytest.fixture(
    params=["oldest", pytest.param("not optimised", marks=pytest.mark.slow)],
)
def other_instructions(
    request: pytest.FixtureRequest, oldest_processor: dict[str, str], tmp_path: Path
) -> dict[str, str]:
    """Environment of kernels for the oldest processors, or without optimisation."""
    if request.param == "oldest":
        return oldest_processor
    return {"NUMBA_OPT": "0", "NUMBA_CACHE_DIR": str(tmp_path)}


def test_golden_files_decode_under_other_instructions(other_instructions: dict[str, str]) -> None:
    manifest = json.loads((GOLDEN / "manifest.json").read_text())
    lattice = ("lattice_rgb.nzp", "lattice_grey.nzp", "lattice_deep.nzp")
    names = (*lattice, "screen_page.nzp", "screen_rgba.nzp")
    command = [sys.executable, "-c", DECODE, str(GOLDEN / "lattice.safetensors")]
    done = subprocess.run(
        [*command, *(str(GOLDEN / name) for name in names)],
        env={**os.environ, **other_instructions},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [manifest[name]["sha256"] for name in names], done.stderr
