"""Ranks: which images have them, the map of the values in use, and files with ranks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from common import photograph, picture, smooth
from numpy.typing import NDArray

import noisepress
from noisepress.bitstream.container import Section, SectionKind, read, write
from noisepress.bitstream.errors import CorruptError
from noisepress.codec.ardm import coding, ranks
from noisepress.codec.ardm.codec import Ardm, ArdmParameters

Pixels = NDArray[np.uint8]


def six_bits(height: int, width: int, channels: int = 3, seed: int = 0) -> Pixels:
    return picture(height, width, channels, seed) & np.uint8(0xFC)


def stretched(image: Pixels, factor: float) -> Pixels:
    values = (factor * (image.astype(float) - 128) + 128).clip(0, 255).round()
    return values.astype(np.uint8)


# Which images have ranks -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["astronaut", "coffee", "coins"])
def test_photographs_have_no_ranks_but_stretched_ones_do(name: str) -> None:
    image = photograph(name)
    image = image if image.ndim == 3 else image[..., None]
    assert ranks.find(image) is None
    assert ranks.find(image // 4 + 20) is None
    for changed in (stretched(image, 1.1), stretched(image, 1.6), image & 0xFC, image & 0xFE):
        used = ranks.find(changed)
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
    assert ranks.find(image) is None


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
    np.testing.assert_array_equal(noisepress.decode(cut), image[::2, ::2])
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
