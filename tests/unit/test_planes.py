"""Source planes: conversions and their inverses, detection, and files with planes."""

from __future__ import annotations

import inspect
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from common import picture, smooth
from numpy.typing import NDArray
from PIL import Image

import noisepress
from noisepress.bitstream import _chroma, _planes
from noisepress.bitstream.container import Contents, Section, SectionKind, read, write
from noisepress.bitstream.errors import CorruptError
from noisepress.codec.ardm import chroma, coding, planes
from noisepress.codec.ardm.codec import ArdmParameters
from noisepress.codec.ardm.conversions import (
    CONVERSIONS,
    NAMES,
    WHOLE,
    Conversion,
    named,
)
from noisepress.codec.protocol import Decoding

Pixels = NDArray[np.uint8]

FULL = [conversion for conversion in CONVERSIONS if conversion.chroma == WHOLE]
HALVED = [conversion for conversion in CONVERSIONS if conversion.chroma != WHOLE]
EACH, EACH_FULL, EACH_HALVED = (
    pytest.mark.parametrize("conversion", group, ids=lambda conversion: conversion.name)
    for group in (CONVERSIONS, FULL, HALVED)
)


def as_code(colours: Pixels) -> NDArray[np.int32]:
    """A number for each colour (.., 3)."""
    whole = colours.astype(np.int32)
    codes: NDArray[np.int32] = whole[..., 0] << 16 | whole[..., 1] << 8 | whole[..., 2]
    return codes


def cube(step: int) -> Pixels:
    """All colours or planes on a lattice that has the corners, (1, n, 3)."""
    axis = np.arange(0, 256, step, dtype=np.uint8)
    points: Pixels = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(1, -1, 3)
    return points


def image_of(conversion: Conversion, height: int, width: int, seed: int = 0) -> Pixels:
    """An image of smooth planes, some of its pixels clipped and some not of any planes."""
    rng = np.random.default_rng(seed)
    shade = smooth(height, width, 1, seed, 9)
    chroma = smooth(-(-height // 2), -(-width // 2), 2, seed + 1).repeat(2, 0).repeat(2, 1)
    chroma = (chroma[:height, :width] // 2 + 80).astype(np.uint8)
    bright = np.where(np.arange(width)[:, None] > width // 2, 100, 0)
    luma = (shade + bright).clip(0, 255).astype(np.uint8)
    samples = planes.join(np.concatenate([chroma[..., :1], luma, chroma[..., 1:]], 2), conversion)
    foreign = rng.random((height, width)) < 0.02
    samples[foreign] = rng.integers(0, 256, (foreign.sum(), 3))
    return samples


@EACH
def test_luma_is_estimated_from_colours(conversion: Conversion) -> None:
    """Within a level and a half, wherever no colour is clipped."""
    luma, first, second = cube(15)[0].astype(int).T
    table, divisor = conversion.table, conversion.divisor
    red = (table[0, luma] + table[1, second]) // divisor
    green = (table[0, luma] - table[2, first] - table[3, second]) // divisor
    blue = (table[0, luma] + table[4, first]) // divisor
    constant, *factors = conversion.estimate
    found = constant + factors[0] * red + factors[1] * green + factors[2] * blue
    assert np.abs(found - luma).max() < 1.5


@EACH
def test_tables_rise_and_numbers_are_kept(conversion: Conversion) -> None:
    assert conversion.table.shape == (5, 256)
    assert (np.diff(conversion.table) >= 0).all()


def test_names() -> None:
    assert len(set(NAMES)) == len(CONVERSIONS) + 1 and NAMES[0] == "rgb"


@pytest.mark.parametrize(
    ("number", "offset", "scale", "weights"),
    [
        (1, 0, (1, 1), (0.299, 0.114)),
        (3, 16, (255 / 219, 255 / 224), (0.299, 0.114)),
        (4, 16, (255 / 219, 255 / 224), (0.2126, 0.0722)),
        (5, 0, (1, 1), (0.2126, 0.0722)),
        (6, 0, (1, 1), (0.299, 0.114)),
        (7, 16, (255 / 219, 255 / 224), (0.299, 0.114)),
        (8, 0, (1, 1), (0.2126, 0.0722)),
        (9, 16, (255 / 219, 255 / 224), (0.2126, 0.0722)),
    ],
)
def test_video_conversions_are_near_their_standard(
    number: int, offset: int, scale: tuple[float, float], weights: tuple[float, float]
) -> None:
    """Rounded ones within half a level, those that round products down up to three below."""
    conversion = CONVERSIONS[number - 1]
    sent = cube(15)
    first, luma, second = np.moveaxis(sent.astype(float), 2, 0)
    grey, (cb, cr) = scale[0] * (luma - offset), (scale[1] * (p - 128) for p in (first, second))
    kr, kb = weights
    red, blue = grey + 2 * (1 - kr) * cr, grey + 2 * (1 - kb) * cb
    green = grey - (2 * (1 - kb) * kb * cb + 2 * (1 - kr) * kr * cr) / (1 - kr - kb)
    exact = np.stack([red, green, blue], 2).clip(0, 255)
    error = planes.join(sent, conversion) - exact
    low, high = (-3, 0.1) if "floored" in conversion.name else (-0.51, 0.51)
    assert low <= error.min() and error.max() <= high


def jpeg(image: Pixels, quality: int = 90, subsampling: int = 2) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=quality, subsampling=subsampling)
    return out.getvalue()


def test_jpeg_is_what_libjpeg_computes() -> None:
    data = jpeg(np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8), subsampling=0)
    with Image.open(io.BytesIO(data)) as decoded, Image.open(io.BytesIO(data)) as raw:
        raw.draft("YCbCr", raw.size)
        assert raw.mode == "YCbCr"
        sent = np.asarray(raw)[..., [1, 0, 2]]
        converted = planes.join(np.ascontiguousarray(sent), CONVERSIONS[0])
        np.testing.assert_array_equal(converted, np.asarray(decoded.convert("RGB")))


def test_photo_ycc_is_the_formula() -> None:
    sent = cube(17)
    c1, y, c2 = np.moveaxis(sent.astype(int), 2, 0)
    a, b = 22179 * (c1 - 156) // 10000, 18215 * (c2 - 137) // 10000
    red = (13584 * y + 18215 * (c2 - 137)) // 10000
    green = (13584 * y - 1940 * a - 5090 * b) // 10000
    blue = (13584 * y + 22179 * (c1 - 156)) // 10000
    expected = np.stack([red, green, blue], 2).clip(0, 255)
    np.testing.assert_array_equal(planes.join(sent, CONVERSIONS[1]), expected)


def assert_inverted(sent: Pixels, conversion: Conversion) -> None:
    """Colours of planes (1, n, 3) come back; without clipped channels so do the planes."""
    colours = planes.join(sent, conversion)
    found, differences = planes.separate(colours, conversion)
    assert not differences.any()
    clear = ((colours > 0) & (colours < 255)).all(2)
    np.testing.assert_array_equal(found[clear], sent[clear])


@EACH_FULL
def test_conversions_are_inverted_on_a_lattice(conversion: Conversion) -> None:
    assert_inverted(cube(5), conversion)
    assert_inverted(np.random.default_rng(0).permuted(cube(15), axis=1), conversion)


@pytest.mark.slow
@EACH_FULL
def test_conversions_are_inverted_everywhere(conversion: Conversion) -> None:
    """Every colour that planes give comes back, and no other does."""
    sent = cube(1)
    assert_inverted(sent, conversion)
    reached = np.zeros(2**24, bool)
    reached[as_code(planes.join(sent, conversion)).reshape(-1)] = True
    missed = planes.separate(sent, conversion)[1].any(2).reshape(-1)
    np.testing.assert_array_equal(missed, ~reached)
    clear = reached.reshape(256, 256, 256)[1:255, 1:255, 1:255]
    assert clear.mean() == pytest.approx(conversion.reached, abs=1e-4)


@EACH_FULL
def test_the_inverse_is_that_of_plain_python(conversion: Conversion) -> None:
    image = image_of(conversion, 9, 11)
    table, divisor = conversion.table, conversion.divisor
    found, missed = np.empty_like(image), np.empty(image.shape[:2], np.bool_)
    inspect.unwrap(_planes.to_planes)(image, table, divisor, conversion.estimate, found, missed)
    expected, differences = planes.separate(image, conversion)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(missed, differences.any(2))
    out = np.empty_like(image)
    inspect.unwrap(_planes.to_rgb)(found, table, divisor, out)
    np.testing.assert_array_equal(out, image - differences)


@EACH_FULL
def test_detection(conversion: Conversion) -> None:
    found = planes.find(image_of(conversion, 90, 120))
    assert found is not None and found.reached == pytest.approx(conversion.reached, abs=0.02)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_decoded_jpeg_is_detected(subsampling: int) -> None:
    image = picture(96, 80)
    with Image.open(io.BytesIO(jpeg(image, subsampling=subsampling))) as decoded:
        assert planes.find(np.asarray(decoded)) is CONVERSIONS[0]
        rescaled = np.asarray(decoded.resize((60, 72), Image.Resampling.BICUBIC))
    assert planes.find(rescaled) is None


def test_other_images_have_no_planes() -> None:
    rng = np.random.default_rng(0)
    assert planes.find(picture(96, 80)) is None
    assert planes.find(smooth(90, 120, noise=6)) is None
    assert planes.find(rng.integers(0, 256, (90, 90, 3), np.uint8)) is None
    assert planes.find(np.zeros((1, 1, 3), np.uint8)) is None
    assert planes.find(np.full((90, 90, 3), 255, np.uint8)) is None


# Chroma of half the resolution ------------------------------------------------------------------


def decoded_jpeg(image: Pixels, conversion: Conversion) -> tuple[Pixels, Pixels]:
    """What libjpeg makes of an image, which is enlarged for it and cut again.

    Returns:
        The planes in coding order, and RGB.
    """
    before = [(odd, 0) for odd in (*conversion.chroma.odd, 0)]
    data = jpeg(np.pad(image, before, "edge"), subsampling=2 if conversion.chroma.rows else 1)
    with Image.open(io.BytesIO(data)) as decoded, Image.open(io.BytesIO(data)) as raw:
        raw.draft("YCbCr", raw.size)
        cut = np.s_[conversion.chroma.odd[0] :, conversion.chroma.odd[1] :]
        planes_ = np.asarray(raw)[..., [1, 0, 2]][cut]
        return planes_.copy(), np.asarray(decoded.convert("RGB"))[cut].copy()


def soft(height: int, width: int, seed: int = 0) -> Pixels:
    """Colours that are not clipped, with grain."""
    rng = np.random.default_rng(seed)
    image = smooth(height, width, 3, seed, 9) // 2 + 60 + rng.normal(0, 3, (height, width, 1))
    return image.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 80), (33, 47), (16, 17), (257, 40)])
@EACH_HALVED
def test_chroma_is_what_libjpeg_enlarges(size: tuple[int, int], conversion: Conversion) -> None:
    sent, image = decoded_jpeg(soft(*size), conversion)
    halving = conversion.chroma
    # Where a cut leaves half of the last pair, there is no sample for it and its neighbour.
    inside = tuple(np.s_[: side - 2 * odd] for side, odd in zip(size, halving.odd, strict=True))
    for place in (0, 2):
        plane, known = sent[..., place], np.ones(size, bool)
        reduced = chroma.reduced(plane, halving, known)
        rows, columns = halving.step
        assert reduced.shape == (-(-size[0] // rows), -(-size[1] // columns))
        missed = chroma.enlarged(reduced, halving, *size) != plane
        assert missed[inside].mean() < 0.002 and chroma.misfit(plane, halving, known) < 0.2
    found, differences = planes.separate(image, conversion)
    assert (differences.max(2) > 0)[inside].mean() < 0.002
    assert (found[..., 1] != sent[..., 1])[inside].mean() < 0.002
    rows, columns = halving.step
    whole = found[::rows, ::columns].repeat(rows, 0).repeat(columns, 1)
    np.testing.assert_array_equal(found[..., ::2], whole[: size[0], : size[1], ::2])
    every_second = planes.join(found[::2, ::2], conversion, 2)
    np.testing.assert_array_equal(every_second, (image - differences)[::2, ::2])


@EACH_HALVED
def test_clipped_pixels_leave_few_exceptions(conversion: Conversion) -> None:
    image = soft(120, 160).astype(int) + np.where(np.arange(160)[:, None] > 110, 140, 0)
    _, decoded = decoded_jpeg(image.clip(0, 255).astype(np.uint8), conversion)
    assert (decoded == 255).any(2).mean() > 0.1
    different = planes.separate(decoded, conversion)[1].max(2) > 0
    assert different[:-1, :-1].mean() < 0.01


@pytest.mark.parametrize("seed", range(20))
@EACH_HALVED
def test_any_image_comes_back(seed: int, conversion: Conversion) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 30, 2)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    if seed % 2:
        image[:, width // 2 :] = rng.choice([0, 255], 3)
    found, differences = planes.separate(image, conversion)
    np.testing.assert_array_equal(planes.join(found, conversion) + differences, image)


@EACH_HALVED
def test_only_chroma_of_that_resolution_is_a_candidate(conversion: Conversion) -> None:
    _, image = decoded_jpeg(soft(160, 150), conversion)
    assert list(planes.candidates(image, FULL[0])) == [FULL[0], conversion]
    assert list(planes.candidates(image, FULL[1])) == [FULL[1]]
    grainy = jpeg(np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8), subsampling=0)
    with Image.open(io.BytesIO(grainy)) as whole:
        assert list(planes.candidates(np.asarray(whole), FULL[0])) == FULL[:1]


def test_the_search_is_that_of_plain_python() -> None:
    rng = np.random.default_rng(0)
    for rows, height in ((True, 9), (False, 5)):
        plane = rng.integers(100, 110, (5, 6)).astype(np.int32)
        lows = rng.integers(1580, 1780, (height, 11)).astype(np.int32)
        if not rows:
            lows //= 4
        known = rng.random((height, 11)) < 0.9
        for start in (0, 1):
            results = []
            for search in (_chroma.improve, inspect.unwrap(_chroma.improve)):
                trial = plane.copy()
                costs = np.zeros((2, _chroma.CHANGES), np.int32)
                came = np.zeros((6, _chroma.CHANGES), np.int32)
                unit = 16 if rows else 4
                missed = search(trial, lows, known, start, rows, unit, costs, came)
                results.append((missed, trial))
            (first, one), (second, other) = results
            assert first == second > 0 and (one != plane).any()
            np.testing.assert_array_equal(one, other)


# Files -----------------------------------------------------------------------------------------


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planes are used wherever an image has them."""
    bits = lambda source, _: float(source.parameters.planes == "rgb")  # noqa: E731
    monkeypatch.setattr(coding.Source, "_bits_of_crop", bits)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("effort", [0, 1])
@EACH_FULL
def test_round_trip(conversion: Conversion, effort: int, lattice_model: str) -> None:
    image = image_of(conversion, 71, 83)
    options: dict[str, Any] = {"model": lattice_model, "effort": effort}
    data = noisepress.encode(image, "ardm", fallback=False, **options)
    found = noisepress.inspect(data)
    used = NAMES.index(str(found.parameters["planes"]))
    assert CONVERSIONS[used - 1].reached == pytest.approx(conversion.reached, abs=0.02)
    assert [name for name, _, _ in found.sections][:2] == ["exceptions", "data"]
    np.testing.assert_array_equal(noisepress.decode(data, model=lattice_model), image)
    pictures = list(noisepress.decode_progressive(data, model=lattice_model))
    for level, part in enumerate(reversed(pictures)):
        np.testing.assert_array_equal(part, image[:: 2**level, :: 2**level])
    cut = noisepress.truncate(data, len(data) - 1)
    with pytest.warns(noisepress.TruncatedWarning):
        half = noisepress.decode(cut, partial=True, model=lattice_model)
    np.testing.assert_array_equal(half, image[::2, ::2])


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("height", "width"), [(1, 300), (257, 1), (64, 65), (33, 120)])
def test_sizes_and_opacity(height: int, width: int, lattice_model: str) -> None:
    image = image_of(CONVERSIONS[0], height, width)
    opacity = np.random.default_rng(0).integers(0, 256, (height, width, 1), np.uint8)
    for samples in (image, np.concatenate([image, opacity], 2)):
        data = noisepress.encode(samples, "ardm", model=lattice_model, fallback=False)
        assert noisepress.inspect(data).parameters["planes"] == "jpeg"
        np.testing.assert_array_equal(noisepress.decode(data, model=lattice_model), samples)
        step = 2 ** (len(list(noisepress.decode_progressive(data, model=lattice_model))) - 1)
        first = next(noisepress.decode_progressive(data, model=lattice_model))
        np.testing.assert_array_equal(first[..., :3], image[::step, ::step])


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    ("name", "size", "effort"),
    [
        ("jpeg-420", (71, 83), 1),
        ("jpeg-420-both", (71, 83), 0),
        ("jpeg-422", (71, 83), 1),
        ("jpeg-422-right", (71, 83), 0),
        ("jpeg-420-down", (258, 261), 1),
        ("jpeg-420-right", (1, 60), 1),
        ("jpeg-422", (64, 1), 1),
    ],
)
def test_files_with_halved_chroma(
    name: str,
    size: tuple[int, int],
    effort: int,
    lattice_model: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exact at both finest levels, also with streams side by side; coarser ones come close."""
    conversion = named(name)
    monkeypatch.setattr(planes, "candidates", lambda *_: [conversion])
    monkeypatch.setattr(planes, "find", lambda _: FULL[0])
    image = soft(*size)
    if min(size) > 1:
        _, image = decoded_jpeg(image, conversion)
        image[5, 7] = 255, 0, 255
    options: dict[str, Any] = {"model": lattice_model, "effort": effort}
    data = noisepress.encode(image, "ardm", fallback=False, **options)
    assert noisepress.inspect(data).parameters["planes"] == conversion.name
    np.testing.assert_array_equal(noisepress.decode(data, model=lattice_model), image)
    pictures = list(noisepress.decode_progressive(data, model=lattice_model))[::-1]
    for level, part in enumerate(pictures):
        expected = image[:: 2**level, :: 2**level]
        if level < 2:
            np.testing.assert_array_equal(part, expected)
        else:
            assert part.shape == expected.shape
            assert np.abs(part.astype(int) - expected).mean() < 12
    if size[0] == 71:
        places = coding.bits_by_place(read(data), Decoding(model=lattice_model), 16)
        payloads = sum(len(part.payload) for part in read(data).sections if part.kind == 0)
        assert places.sum() == pytest.approx(8 * payloads)


def test_halved_chroma_pays(lattice_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, image = decoded_jpeg(soft(120, 120), named("jpeg-420-both"))
    sizes = {}
    for ways in ([FULL[0]], None):
        if ways:
            monkeypatch.setattr(planes, "candidates", lambda *_, ways=ways: ways)
        else:
            monkeypatch.undo()
        data = noisepress.encode(image, "ardm", model=lattice_model, fallback=False)
        sizes[noisepress.inspect(data).parameters["planes"]] = len(data)
    assert sizes["jpeg-420-both"] < 0.98 * sizes["jpeg"]


def test_planes_are_not_used_where_they_do_not_pay(
    lattice_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = image_of(CONVERSIONS[0], 70, 90)
    for planes_cost in (1.0, 3.0):
        bits = {"jpeg": planes_cost, "rgb": 2.0}
        monkeypatch.setattr(
            coding.Source,
            "_bits_of_crop",
            lambda source, _, bits=bits: bits[source.parameters.planes],
        )
        data = noisepress.encode(image, "ardm", model=lattice_model, fallback=False)
        expected = min(bits, key=lambda name: bits[name])
        assert noisepress.inspect(data).parameters["planes"] == expected


@pytest.mark.parametrize("options", [{"planes": "rgb"}, {"effort": 0, "planes": "rgb"}])
def test_planes_can_be_switched_off(options: dict[str, Any], lattice_model: str) -> None:
    image = image_of(CONVERSIONS[0], 70, 90)
    data = noisepress.encode(image, "ardm", model=lattice_model, fallback=False, **options)
    assert noisepress.inspect(data).parameters["planes"] == "rgb"


@pytest.mark.parametrize("effort", [0, 1])
def test_the_estimate_is_the_file(effort: int, lattice_model: str) -> None:
    image = image_of(CONVERSIONS[1], 70, 90)
    options: dict[str, Any] = {"model": lattice_model, "effort": effort}
    data = noisepress.encode(image, "ardm", fallback=False, **options)
    payloads = sum(len(section.payload) for section in read(data).sections)
    bits = noisepress.estimate(image, **options)
    assert 0 <= 8 * payloads - bits < 64 * len(read(data).sections)


def forged(contents: Contents, sections: list[Section], **fields: Any) -> bytes:
    """A file with other sections, or other parameters, and good checksums."""
    header = contents.header
    if fields:
        parameters = ArdmParameters.parse(header.parameters)
        header = replace(header, parameters=replace(parameters, **fields).pack())
    return write(header, sections)


@pytest.mark.usefixtures("always")
def test_sections_that_cannot_be_are_refused(lattice_model: str) -> None:
    image = image_of(CONVERSIONS[0], 40, 50)
    contents = read(noisepress.encode(image, "ardm", fallback=False))
    exceptions, *data = contents.sections
    assert exceptions.kind == SectionKind.EXCEPTIONS
    good = forged(contents, [exceptions, *data])
    np.testing.assert_array_equal(noisepress.decode(good), image)
    for bad, message in (
        (forged(contents, [data[0], exceptions, *data[1:]]), "not in one section"),
        (forged(contents, [*data, exceptions]), "not in one section"),
        (forged(contents, [exceptions, exceptions, *data]), "not in one section"),
        (forged(contents, [exceptions, *data], planes="rgb"), "without source planes"),
        (forged(contents, data), "checksum"),
        (forged(contents, [exceptions, *data], planes="photoycc"), "checksum"),
    ):
        with pytest.raises(CorruptError, match=message):
            noisepress.decode(bad)
    rng = np.random.default_rng(0)
    for size in (0, 1, 7, 40, 4000):
        other = Section(SectionKind.EXCEPTIONS, rng.bytes(size))
        with pytest.raises(CorruptError):
            noisepress.decode(forged(contents, [other, *data]))


def test_grey_images_have_no_planes(lattice_model: str) -> None:
    contents = read(noisepress.encode(picture(20, 20, 1)[..., 0], "ardm", fallback=False))
    with pytest.raises(CorruptError, match="grey"):
        noisepress.decode(forged(contents, list(contents.sections), planes="jpeg"))
