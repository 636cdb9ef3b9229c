"""Ranks: which images have them, the map of the values in use, and files with ranks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from common import photograph, picture, smooth
from numpy.typing import NDArray

import noisepress
from noisepress.bitstream.container import Header, Section, SectionKind, read, write
from noisepress.bitstream.errors import CorruptError, TruncatedWarning, UnsupportedImageError
from noisepress.bitstream.mixing import Depth
from noisepress.codec.ardm import coding, ranks
from noisepress.codec.ardm.codec import Ardm, ArdmParameters

Pixels = NDArray[np.uint8]
Deep = NDArray[np.uint16]


def six_bits(height: int, width: int, channels: int = 3, seed: int = 0) -> Pixels:
    return picture(height, width, channels, seed) & np.uint8(0xFC)


def deep(height: int, width: int, channels: int = 3, noise: float = 9, top: int = 40000) -> Deep:
    """A smooth image of 16 bits with noise of a standard deviation."""
    rng = np.random.default_rng(1)
    row, column, channel = np.ogrid[:height, :width, :channels]
    shade = top * (0.5 + 0.3 * np.sin(row / 40 + channel) * np.cos(column / 50))
    image: Deep = (
        np.rint(shade + rng.normal(0, noise, shade.shape)).clip(0, 65535).astype(np.uint16)
    )
    return image


def stretched(image: Pixels, factor: float) -> Pixels:
    values = (factor * (image.astype(float) - 128) + 128).clip(0, 255).round()
    return values.astype(np.uint8)


# Which images have ranks -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["astronaut", "coffee", "coins"])
def test_photographs_have_no_ranks_but_stretched_ones_do(name: str) -> None:
    image = photograph(name)
    image = image if image.ndim == 3 else image[..., None]
    assert ranks.find(ranks.count(image)) is None
    assert ranks.find(ranks.count(image // 4 + 20)) is None
    for changed in (stretched(image, 1.1), stretched(image, 1.6), image & 0xFC, image & 0xFE):
        used = ranks.find(ranks.count(changed))
        assert used is not None
        for channel, row in enumerate(used):
            assert set(np.flatnonzero(row)) == set(np.unique(changed[..., channel]))


@pytest.mark.parametrize(
    "image",
    [
        np.full((40, 50, 3), 255, np.uint8),
        np.zeros((1, 1, 1), np.uint8),
        np.arange(256, dtype=np.uint8).reshape(16, 16, 1),
    ],
)
def test_flat_and_full_images_have_no_ranks(image: Pixels) -> None:
    assert ranks.find(ranks.count(image)) is None


# The map ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "most"),
    [
        (np.arange(0, 256, 4), 10),
        (np.unique(stretched(np.arange(256, dtype=np.uint8), 1.6)), 10),
        (np.arange(256), 4),
        (np.random.default_rng(0).integers(0, 256, 90), 64),
    ],
)
def test_maps_are_small(values: NDArray[Any], most: int) -> None:
    used = np.zeros((3, 256), np.bool_)
    used[:, values] = True
    data = ranks.pack(used)
    assert len(data) <= most
    np.testing.assert_array_equal(ranks.unpack(data, 3), used)


def test_the_map_is_coded_as_the_format_says() -> None:
    used = np.zeros((2, 256), np.bool_)
    used[0, ::5] = used[1, 100:200:7] = True
    bits, counts = 0.0, dict[tuple[int, ...], list[int]]()
    for channel in range(2):
        for value in range(256):
            before = [int(value > k and used[channel, value - 1 - k]) for k in range(8)]
            context = (*before, int(channel > 0 and used[channel - 1, value]))
            zeros_and_ones = counts.setdefault(context, [0, 0])
            frequencies = [1 + 8 * count for count in zeros_and_ones]
            bit = int(used[channel, value])
            bits -= np.log2(frequencies[bit] / sum(frequencies))
            zeros_and_ones[bit] += 1
    assert 0 <= 8 * len(ranks.pack(used)) - bits < 40
    assert ranks.pack(used).hex() == "773919847799da2d744ed9ad69a0ee87"


def test_ranks_without_a_value_are_refused() -> None:
    used = np.zeros((3, 256), np.bool_)
    used[:, [3, 200]], used[2, 9] = True, True
    places = np.array([[[0, 1, 2]]], np.uint8)
    np.testing.assert_array_equal(ranks.to_values(places, used), [[[3, 200, 200]]])
    for wrong in ([[[2, 0, 0]]], [[[0, 0, 3]]], [[[0, 255, 0]]]):
        with pytest.raises(CorruptError, match="rank"):
            ranks.to_values(np.array(wrong, np.uint8), used)


def test_the_map_of_16_bits_is_coded_as_the_format_says() -> None:
    used = np.zeros((3, 1 << 16), np.bool_)
    used[0, 30000:33000:25] = used[0, 65535] = True
    used[1, 100:2000:7] = used[1, 30100:30200:25] = True
    used[2] = used[0] | used[1]
    bits, chances = 0.0, dict[tuple[int, ...], tuple[int, int]]()
    for channel in range(3):
        ones = [-1]
        for value in range(1 << 16):
            if channel:
                above = [
                    used[other, value] if other >= 0 else 0 for other in (channel - 1, channel - 2)
                ]
                context = (1, int(above[0]), int(above[1]))
            else:
                before = ones[-1] - ones[-2] - 1 if len(ones) > 1 else 0
                context = (0, min(value - 1 - ones[-1], 31), min(before, 31))
            p, seen = chances.get(context, (1 << 23, 0))
            bit = int(used[channel, value])
            bits -= np.log2((2**24 - p if bit else p) / 2**24)
            s = max(1, min(seen, 1023).bit_length())
            chances[context] = (p - (p >> s) if bit else p + ((2**24 - p) >> s), seen + 1)
            if bit:
                ones.append(value)
    data = ranks.pack_deep(used, 5)
    assert data[0] == 5 and 0 <= 8 * (len(data) - 1) - bits < 40


@pytest.mark.parametrize(
    ("values", "most"),
    [
        (np.arange(0, 1 << 16, 16), 32),
        (np.rint(np.arange(4096) * 65535 / 4095), 80),
        (np.arange(1 << 16), 16),
        (np.arange(300, 1500), 24),
        (np.unique(np.random.default_rng(0).integers(0, 1 << 16, 500)), 760),
    ],
)
def test_maps_of_16_bits_are_small(values: NDArray[Any], most: int) -> None:
    used = np.zeros((3, 1 << 16), np.bool_)
    used[:, values.astype(int)] = True
    data = ranks.pack_deep(used, 3)
    assert len(data) <= most
    np.testing.assert_array_equal(ranks.unpack_deep(data, 3)[0], used)


def test_maps_of_16_bits_that_cannot_be_are_refused() -> None:
    used = np.zeros((2, 1 << 16), np.bool_)
    used[:, [7, 60000]] = True
    data = ranks.pack_deep(used, 8)
    for bad in (b"", b"\x09" + data[1:], b"\xff"):
        with pytest.raises(CorruptError, match="no shift from 0 to 8"):
            ranks.unpack_deep(bad, 2)
    used[0] = False
    with pytest.raises(CorruptError, match="no values"):
        ranks.unpack_deep(ranks.pack_deep(used, 0), 2)


@pytest.mark.parametrize("noise", [0, 3, 50, 1000, 10**6])
def test_levels_are_as_coarse_as_the_noise(noise: int) -> None:
    plane = 30000 + np.random.default_rng(0).normal(0, noise, (60, 50, 1))
    image = np.rint(plane.clip(0, 65535)).astype(np.uint16)
    shift = ranks.depth(image, ranks.span(ranks.count(image))).shift
    assert shift == {0: 0, 3: 1, 50: 3, 1000: 6, 10**6: 8}[noise]


@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 2, 3), (5, 1, 1)])
def test_narrow_images_have_the_finest_levels(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 1 << 16, shape).astype(np.uint16)
    assert ranks.depth(image, ranks.span(ranks.count(image))) == Depth(
        int(np.ptp(image, (0, 1)).max()) + 1, 0
    )


# Files -----------------------------------------------------------------------------------------


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks are used wherever an image has them."""
    bits = lambda source, _: float(not source.sections)  # noqa: E731
    monkeypatch.setattr(coding.Source, "_bits_of_crop", bits)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("effort", [0, 1])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(71, 83), (1, 300), (257, 1), (5, 4)])
def test_round_trip(
    height: int, width: int, channels: int, effort: int, lattice_model: str
) -> None:
    image = six_bits(height, width, channels)
    if channels % 2 == 0:
        image[..., -1] = np.random.default_rng(0).integers(0, 256, (height, width))
    options: dict[str, Any] = {"model": lattice_model, "effort": effort}
    data = noisepress.encode(image, "ardm", fallback=False, **options)
    assert [name for name, _, _ in noisepress.inspect(data).sections][:2] == ["values", "data"]
    decoded = noisepress.decode(data, model=lattice_model)
    np.testing.assert_array_equal(decoded.reshape(image.shape), image)
    colours = channels - (channels % 2 == 0)
    pictures = list(noisepress.decode_progressive(data, model=lattice_model))
    for level, part in enumerate(reversed(pictures)):
        expected = image[:: 2**level, :: 2**level, :colours]
        np.testing.assert_array_equal(part.reshape(*part.shape[:2], -1)[..., :colours], expected)


def test_ranks_are_used_where_they_pay(lattice_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for ranks_cost in (1.0, 2.0, 3.0):
        monkeypatch.setattr(
            coding.Source,
            "_bits_of_crop",
            lambda source, _, cost=ranks_cost: cost if source.sections else 2.0,
        )
        data = noisepress.encode(six_bits(40, 50), "ardm", model=lattice_model, fallback=False)
        sections = [name for name, _, _ in noisepress.inspect(data).sections]
        assert ("values" in sections) == (ranks_cost < 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_six_bits_are_much_smaller_with_ranks(
    channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = smooth(96, 96, channels, noise=6) & 0xFC
    with_ranks = noisepress.encode(image, "ardm", fallback=False)
    monkeypatch.setattr(ranks, "find", lambda _: None)
    assert len(with_ranks) < 0.9 * len(noisepress.encode(image, "ardm", fallback=False))


@pytest.mark.parametrize("effort", [0, 1])
def test_the_estimate_is_the_file(effort: int, lattice_model: str) -> None:
    image = six_bits(70, 90)
    options: dict[str, Any] = {"model": lattice_model, "effort": effort}
    sections = read(noisepress.encode(image, "ardm", fallback=False, **options)).sections
    assert sections[0].kind == SectionKind.VALUES
    bits = noisepress.estimate(image, **options)
    assert 0 <= 8 * sum(len(section.payload) for section in sections) - bits < 64 * len(sections)


def test_sections_that_cannot_be_are_refused() -> None:
    image = six_bits(40, 50)
    contents = read(noisepress.encode(image, "ardm", fallback=False))
    values, *data = contents.sections
    assert values.kind == SectionKind.VALUES
    np.testing.assert_array_equal(noisepress.decode(write(contents.header, [values, *data])), image)
    exceptions = Section(SectionKind.EXCEPTIONS, b"")
    for bad, message in (
        ([data[0], values, *data[1:]], "not in one section"),
        ([*data, values], "not in one section"),
        ([values, values, *data], "not in one section"),
        ([exceptions, values, *data], "without source planes"),
        (data, "checksum"),
    ):
        with pytest.raises(CorruptError, match=message):
            noisepress.decode(write(contents.header, bad))
    parameters = ArdmParameters.parse(contents.header.parameters)
    header = replace(contents.header, parameters=replace(parameters, planes="jpeg").pack())
    with pytest.raises(CorruptError, match="source planes has values"):
        noisepress.decode(write(header, [values, *data]))
    cut = write(contents.header, [values, *data])[:-1]
    with pytest.warns(TruncatedWarning):
        half = noisepress.decode(cut, partial=True)
    np.testing.assert_array_equal(half, image[::2, ::2])
    rng = np.random.default_rng(0)
    for size in (0, 1, 7, 40, 4000):
        with pytest.raises(CorruptError):
            other = Section(SectionKind.VALUES, rng.bytes(size))
            noisepress.decode(write(contents.header, [other, *data]))


def test_files_in_random_order_have_no_ranks(masked_model: str) -> None:
    options = Ardm(order="random", model=masked_model, calls=6)
    contents = read(noisepress.encode(six_bits(12, 12), options, fallback=False))
    assert contents.sections[0].kind == SectionKind.DATA
    values = Section(SectionKind.VALUES, b"")
    with pytest.raises(CorruptError, match="random order"):
        noisepress.decode(write(contents.header, [values, *contents.sections]), model=masked_model)


# Files of 16 bits ------------------------------------------------------------------------------


def of_bits(bits: int, image: Deep) -> Deep:
    return image >> np.uint16(16 - bits)


def deep_images(height: int, width: int, channels: int) -> dict[str, Deep]:
    noisy = deep(height, width, channels)
    twelve, eight = of_bits(12, noisy), picture(height, width, channels).astype(np.uint16)
    images = {
        "9 bits": of_bits(9, noisy),
        "12 bits": twelve,
        "16 bits": deep(height, width, channels, 300, 65535),
        "12 bits in the upper 12 of 16": twelve << np.uint16(4),
        "12 bits stretched to 16": np.rint(twelve * (65535 / 4095)),
        "8 bits, repeated": eight * np.uint16(257),
        "few values far apart": eight // 16 * np.uint16(999),
        "padding far below": np.where(np.indices(noisy.shape)[0] < 8, 0, noisy),
        "flat": np.full(noisy.shape, 51234),
    }
    return {name: image.astype(np.uint16) for name, image in images.items()}


@pytest.mark.parametrize("name", deep_images(1, 1, 1))
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_16_bits_come_back(name: str, channels: int, lattice_model: str) -> None:
    for height, width in ((71, 46), (1, 90), (5, 4), (1, 1)):
        image = deep_images(height, width, channels)[name]
        data = noisepress.encode(image, "ardm", fallback=False, model=lattice_model)
        info = noisepress.inspect(data)
        assert info.mode == {1: "L16", 2: "LA16", 3: "RGB16", 4: "RGBA16"}[channels]
        kinds = [kind for kind, _, _ in info.sections]
        assert kinds[0] in ("values", "reduction") and "data" in kinds[:3]
        decoded = noisepress.decode(data, model=lattice_model)
        assert decoded.dtype == np.uint16
        np.testing.assert_array_equal(decoded.reshape(image.shape), image)
        colours = channels - (channels % 2 == 0)
        pictures = list(noisepress.decode_progressive(data, model=lattice_model))
        for level, part in enumerate(reversed(pictures)):
            shown = part.reshape(*part.shape[:2], -1)
            step = 2**level
            np.testing.assert_array_equal(shown[..., :colours], image[::step, ::step, :colours])
            if level and channels > colours:
                assert (shown[..., -1] == 65535).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_unused_values_cost_nothing(channels: int, lattice_model: str) -> None:
    """The same image in 12 of 16 bits, the lower ones, the upper ones, or stretched."""
    image = of_bits(12, deep(90, 80, channels, 40))
    layouts = (image, image << np.uint16(4), np.rint(image * (65535 / 4095)).astype(np.uint16))
    sizes = [
        len(noisepress.encode(layout, "ardm", fallback=False, model=lattice_model))
        for layout in layouts
    ]
    assert max(sizes) < 1.03 * min(sizes)


@pytest.mark.parametrize("noise", [2, 40, 900])
def test_files_of_16_bits_are_near_the_entropy_of_their_noise(noise: int) -> None:
    image = deep(160, 150, 1, noise)
    entropy = np.log2(noise * np.sqrt(2 * np.pi * np.e))
    size = len(noisepress.encode(image, "ardm", fallback=False))
    assert entropy < 8 * size / image.size < entropy + 0.75


def test_the_estimate_of_16_bits_is_the_file(lattice_model: str) -> None:
    image = deep(70, 90)
    file = noisepress.encode(image, "ardm", fallback=False, model=lattice_model)
    sections = read(file).sections
    bits = noisepress.estimate(image, model=lattice_model)
    assert 0 <= 8 * sum(len(section.payload) for section in sections) - bits < 64 * len(sections)


def test_16_bits_need_lattice_order_and_mixing(lattice_model: str, masked_model: str) -> None:
    image = deep(12, 12)
    lattice: dict[str, Any] = {"model": lattice_model, "effort": 0}
    for options in (lattice, {"order": "random", "model": masked_model}):
        with pytest.raises(UnsupportedImageError, match="RGB16"):
            noisepress.encode(image, "ardm", fallback=False, **options)
        with pytest.raises(UnsupportedImageError, match="does not code RGB16"):
            noisepress.estimate(image, **options)
        fallback = noisepress.encode(image, "ardm", **options)
        assert noisepress.inspect(fallback).codec in ("png", "jpegxl")


def test_files_of_16_bits_that_cannot_be_are_refused(lattice_model: str) -> None:
    image = deep(40, 50)
    contents = read(noisepress.encode(image, "ardm", fallback=False, model=lattice_model))
    values, *data = contents.sections

    def refused(message: str | None, header: Header, sections: list[Section]) -> None:
        with pytest.raises(CorruptError, match=message):
            noisepress.decode(write(header, sections), model=lattice_model)

    refused("no section of values", contents.header, data)
    refused("not in one section", contents.header, [data[0], values, *data[1:]])
    refused(
        "without source planes",
        contents.header,
        [Section(SectionKind.EXCEPTIONS, b""), values, *data],
    )
    parameters = ArdmParameters.parse(contents.header.parameters, [lattice_model])
    for other, message in (({"planes": "jpeg"}, "source planes"), ({"effort": 0}, "no RGB16")):
        header = replace(contents.header, parameters=replace(parameters, **other).pack())
        refused(message, header, [values, *data])
    rng = np.random.default_rng(0)
    for size in (0, 1, 7, 40, 4000):
        refused(None, contents.header, [Section(SectionKind.VALUES, rng.bytes(size)), *data])
    used, depth = ranks.unpack_deep(values.payload, 3)
    fewer = used & (used.cumsum(1) < used.sum(1, keepdims=True))
    refused(
        None,
        contents.header,
        [Section(SectionKind.VALUES, ranks.pack_deep(fewer, depth.shift)), *data],
    )
