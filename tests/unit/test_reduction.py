"""Images that are simpler than their layout, and how they come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from common import noise, one_line, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import noisepress
from noisepress.bitstream.container import Contents, Header, Section, SectionKind, read, write
from noisepress.bitstream.errors import CorruptError, TruncatedError
from noisepress.codec.ardm.codec import modes
from noisepress.codec.image.raster import Mode, Palette, Raster, Samples, mode_of, to_whole_range
from noisepress.codec.image.reduction import Reduction, reduce, reduction_of

H, W = 40, 50
PHOTO = picture(H, W)
GREY = PHOTO[..., :1]
DEEP = GREY.astype(np.uint16) * 200 + np.random.default_rng(0).integers(0, 150, GREY.shape, "u2")


def opaque(samples: Samples, opacity: int) -> Samples:
    return np.concatenate([samples, np.full_like(samples[..., :1], opacity)], 2)


def palette(colours: NDArray[Any], indices: Samples, alpha: bytes = b"") -> Raster:
    packed = Palette(colours.astype(np.uint8), alpha).pack()
    return Raster(indices.astype(np.uint8), Mode.PALETTE8, packed)


def greys(order: NDArray[Any]) -> Raster:
    """GREY, its shades in a palette with the entry of shade i at order[i]."""
    colours = np.repeat(np.argsort(order)[:, np.newaxis], 3, 1)
    return palette(colours, order[GREY])


def of(samples: Samples) -> Raster:
    return Raster(np.ascontiguousarray(samples), mode_of(samples))


RAMP, SHUFFLED = np.arange(256), np.random.default_rng(1).permutation(256)
TWO_LEVELS = (GREY > 120).astype(np.uint8)
SPARSE = np.sort(np.random.default_rng(2).choice(65536, 256, replace=False)).astype(np.uint16)

FEW, NONE = np.arange(9).astype(np.uint16), np.zeros(0, np.uint16)

SIMPLER: Mapping[str, tuple[Raster, Mode]] = {
    "grey as RGB": (of(np.repeat(GREY, 3, 2)), Mode.L8),
    "grey as opaque RGBA": (of(opaque(np.repeat(GREY, 3, 2), 255)), Mode.L8),
    "grey as RGBA": (of(np.concatenate([np.repeat(GREY, 3, 2), PHOTO[..., 1:2]], 2)), Mode.LA8),
    "opaque": (of(opaque(PHOTO, 255)), Mode.RGB8),
    "invisible": (of(opaque(PHOTO, 0)), Mode.RGB8),
    "opaque grey": (of(opaque(GREY, 255)), Mode.L8),
    "8 bits in 16": (of(PHOTO.astype(np.uint16) * 257), Mode.RGB8),
    "8 low bits of 16": (of(PHOTO.astype(np.uint16)), Mode.RGB8),
    "8 bits in 16, opaque": (of(opaque(PHOTO.astype(np.uint16) * 257, 65535)), Mode.RGB8),
    "8 bits in 16, translucent": (of(PHOTO[..., [0, 1, 2, 0]] * np.uint16(257)), Mode.RGBA8),
    "12 bits in 16": (of(DEEP >> 4 << 4), Mode.L16),
    "12 bits scaled to 16": (of(to_whole_range(DEEP >> 4, 4095)), Mode.L16),
    "10 bits scaled to 16, opaque": (
        of(opaque(to_whole_range(DEEP >> 6, 1023), 65535)),
        Mode.L16,
    ),
    "256 levels of 16 bits": (of(SPARSE[GREY]), Mode.L8),
    "levels above 255": (of(GREY + np.uint16(300)), Mode.L8),
    "two levels as bytes": (of(TWO_LEVELS * np.uint8(255)), Mode.BILEVEL),
    "two levels of 16 bits": (of(TWO_LEVELS * np.uint16(65535)), Mode.BILEVEL),
    "two levels as RGB": (of(np.repeat(TWO_LEVELS * np.uint8(255), 3, 2)), Mode.BILEVEL),
    "two shades": (of(TWO_LEVELS * np.uint8(9) + np.uint8(70)), Mode.BILEVEL),
    "black": (of(np.zeros_like(PHOTO)), Mode.BILEVEL),
    "white": (of(np.full_like(DEEP, 65535)), Mode.BILEVEL),
    "palette of greys": (greys(RAMP), Mode.L8),
    "shuffled palette of greys": (greys(SHUFFLED), Mode.L8),
}

AS_THEY_ARE: Mapping[str, Raster] = {
    "photograph": of(PHOTO),
    "grey": of(GREY),
    "16 bits": of(DEEP),
    "translucent": of(np.concatenate([PHOTO, GREY], 2)),
    "bilevel": Raster(TWO_LEVELS, Mode.BILEVEL),
    "small": of(np.repeat(GREY[:20, :51], 3, 2)[:, :50]),
    "palette of colours": noise(Mode.PALETTE8, H, W, 200),
    "palette of few greys": palette(np.repeat(RAMP[:16, None], 3, 1), GREY // 16),
    "palette of equal greys": palette(np.repeat(RAMP[:, None] // 2, 3, 1), GREY),
    "palette of translucent greys": palette(np.repeat(RAMP[:, None], 3, 1), GREY, bytes(200)),
}


def contents(raster: Raster, reduction: Reduction) -> Contents:
    header = Header(3, raster.mode, raster.width, raster.height, 0, b"")
    return read(write(header, [reduction.section()]))


@pytest.mark.parametrize("name", SIMPLER)
def test_simpler_images(name: str) -> None:
    raster, mode = SIMPLER[name]
    found = reduce(raster)
    assert found is not None
    simpler, reduction = found
    assert simpler.mode is mode and simpler.palette == b""
    again = reduction_of(contents(raster, reduction))
    assert again is not None
    for each in (reduction, again):
        back = each.expand(simpler.samples, raster.mode, raster.palette)
        assert back.dtype == raster.samples.dtype
        np.testing.assert_array_equal(back, raster.samples)


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_images_that_are_what_they_are(name: str) -> None:
    assert reduce(AS_THEY_ARE[name]) is None


def test_12_bits_get_their_range() -> None:
    found = reduce(SIMPLER["12 bits in 16"][0])
    assert found is not None
    np.testing.assert_array_equal(found[0].samples, DEEP >> 4)
    found = reduce(SIMPLER["12 bits scaled to 16"][0])
    assert found is not None
    np.testing.assert_array_equal(found[0].samples, DEEP >> 4)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_image_comes_back(data: st.DataObject) -> None:
    channels = data.draw(st.integers(1, 4))
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    top = 255 if dtype is np.uint8 else 65535
    values = np.array(data.draw(st.lists(st.integers(0, top), min_size=1, max_size=5)), dtype)
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    samples = rng.choice(values, (32, 32, channels)).astype(dtype)
    if channels > 2 and data.draw(st.booleans()):
        samples[..., 1:3] = samples[..., :1]
    found = reduce(of(samples))
    if found:
        again = reduction_of(contents(of(samples), found[1]))
        assert again is not None
        back = again.expand(found[0].samples, mode_of(samples), b"")
        np.testing.assert_array_equal(back, samples)


# Files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["png", "webp", "jpegxl", "ardm"])
@pytest.mark.parametrize("name", SIMPLER)
def test_files(name: str, codec: str, lattice_model: str) -> None:
    raster, mode = SIMPLER[name]
    kept = replace(raster, icc=b"profile", exif=b"II*\0", xmp=b"<x/>")
    options: dict[str, Any] = {"model": lattice_model} if codec == "ardm" else {}
    data = noisepress.encode(kept, codec, **options)
    assert noisepress.decode_raster(data, model=lattice_model) == kept
    noisepress.verify(data, kept, model=lattice_model)
    info = noisepress.inspect(data)
    assert (info.mode, info.width, info.height) == (raster.mode.name, W, H)
    if info.codec != "ardm" or mode in modes("lattice", 1):
        assert info.parameters["coded"] == f"as {mode.name}"
    assert info.metadata == ("icc", "exif", "xmp")


def test_codecs_get_what_they_take(lattice_model: str) -> None:
    grey, _ = SIMPLER["grey as RGB"]
    data = noisepress.encode(grey, model=lattice_model, fallback=False)
    assert noisepress.inspect(data).parameters["coded"] == "as L8"
    pictures = list(noisepress.decode_progressive(data, model=lattice_model))
    assert len(pictures) > 1
    for level, found in enumerate(reversed(pictures)):
        np.testing.assert_array_equal(found, grey.samples[:: 2**level, :: 2**level])


def test_estimates_are_of_what_is_coded(lattice_model: str) -> None:
    grey, _ = SIMPLER["grey as RGB"]
    alone = noisepress.estimate(GREY, model=lattice_model)
    assert noisepress.estimate(grey, model=lattice_model) == alone


def test_a_named_codec_that_takes_only_the_image_gets_it(masked_model: str) -> None:
    grey, _ = SIMPLER["grey as RGB"]
    options: dict[str, Any] = {"order": "random", "calls": 4, "model": masked_model}
    data = noisepress.encode(grey, fallback=False, **options)
    assert "coded" not in noisepress.inspect(data).parameters
    assert noisepress.decode_raster(data, model=masked_model) == grey


@pytest.mark.filterwarnings("ignore::noisepress.TruncatedWarning")
def test_cut_files(lattice_model: str) -> None:
    grey, _ = SIMPLER["grey as RGB"]
    data = noisepress.encode(grey, model=lattice_model, fallback=False)
    ends = read(data).ends()
    assert noisepress.truncate(data, ends[2]) == data[: ends[2]]
    for size in (ends[1], ends[2] - 1):
        with pytest.raises(TruncatedError, match=str(ends[2])) as error:
            noisepress.truncate(data, size)
        one_line(error)
        with pytest.raises(TruncatedError, match=str(ends[2])):
            noisepress.decode(data[:size], model=lattice_model)
    assert "coded" not in noisepress.inspect(data[: ends[0]]).parameters
    half = noisepress.decode(data[: ends[2]], partial=True, model=lattice_model)
    assert half.shape[2] == 3


def forged(raster: Raster, payload: bytes) -> bytes:
    """A file through PNG with another section of how the image comes from the simpler one."""
    whole = read(noisepress.encode(raster, "png", fallback=False))
    sections = [
        Section(section.kind, payload) if section.kind == SectionKind.REDUCTION else section
        for section in whole.sections
    ]
    return write(whole.header, sections)


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("grey as RGB", b""),
        ("grey as RGB", b"\1\0"),
        ("grey as RGB", b"\77\0\1\0"),
        ("grey as RGB", b"\1\0\1\0?"),
        ("grey as RGB", b"\1\0\2\0"),
        ("grey as RGB", b"\3\0\1\0"),
        ("grey as RGB", b"\2\0\1\0"),
        ("grey as RGB", b"\5\0\1\0"),
        ("grey as RGB", b"\1\0\0\0"),
        ("grey as RGB", b"\1\0\0\0?"),
        ("grey as RGB", b"\1\0\2\7"),
        ("grey as RGB", b"\1\0\1\7"),
        ("opaque", b"\3\xff\7\1\0"),
        ("opaque", b"\3\0\1\0"),
        ("256 levels of 16 bits", Reduction(Mode.L8, 0, 0, values=SPARSE[:9]).section().payload),
        ("256 levels of 16 bits", Reduction(Mode.L8, 0, 0, values=NONE).section().payload),
        ("256 levels of 16 bits", b"\1\0\xff\x7f\0"),
        ("palette of greys", Reduction(Mode.L8, 0, 0, values=FEW).section().payload),
    ],
)
def test_damaged_sections(name: str, payload: bytes) -> None:
    raster, _ = SIMPLER[name]
    with pytest.raises((CorruptError, TruncatedError)) as error:
        noisepress.decode(forged(raster, payload))
    one_line(error)


def test_palettes_without_a_shade() -> None:
    raster, _ = SIMPLER["palette of greys"]
    whole = read(noisepress.encode(raster, "png", fallback=False))
    reduction = reduction_of(whole)
    assert reduction is not None
    for bad in (Palette(np.zeros((9, 3), np.uint8), b"").pack(), b"\7"):
        with pytest.raises(CorruptError) as error:
            reduction.expand(GREY, Mode.PALETTE8, bad)
        one_line(error)
