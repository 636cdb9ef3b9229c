"""The codec of pages, palettes and screenshots: exact, small, and refused where it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import screen_twin
from common import noise, one_line, picture, raster
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from screen_twin import PixelDecoder, decode_page

import noisepress
from noisepress.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryTally
from noisepress.bitstream.container import read, write
from noisepress.bitstream.contexts import Page, Pixels, Rows
from noisepress.bitstream.entropy import Ints
from noisepress.bitstream.errors import CorruptError
from noisepress.bitstream.header import pack
from noisepress.codec import api
from noisepress.codec.image.raster import Mode, Palette, Raster
from noisepress.codec.screen.codec import FIELDS, Screen, may_win

MODES = [mode for mode in Mode if mode.dtype == np.uint8]
WORDS = ("seven", "wizards", "make", "toxic", "brew", "while", "a", "lazy", "fox", "jumps")


def encode(image: object) -> bytes:
    return noisepress.encode(image, "screen", fallback=False)


def text(height: int, width: int, ink: str = "black") -> Image.Image:
    """A page of words in random order, antialiased."""
    page, rng = Image.new("RGB", (width, height), "white"), np.random.default_rng(0)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for top in range(4, height - 15, 15):
        line = " ".join(WORDS[k] for k in rng.integers(0, len(WORDS), width // 25))
        draw.text((4, top), line, fill=ink, font=font)
    return page


def two_levels(page: Image.Image) -> Raster:
    levels = np.asarray(page.convert("L")) > 127
    return Raster(levels[..., None].astype(np.uint8), Mode.BILEVEL)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(MODES),
    st.integers(1, 12),
    st.integers(1, 40),
    st.integers(1, 300),
    st.integers(0, 2**32 - 1),
)
def test_all_layouts_sizes_and_numbers_of_colours_come_back(
    mode: Mode, height: int, width: int, colours: int, seed: int
) -> None:
    """Colours come back in patches, as they do in drawings, and here and there alone."""
    rng = np.random.default_rng(seed)
    top = 2 if mode is Mode.BILEVEL else 256
    known = rng.integers(0, top, (colours, mode.channels), np.uint8)
    patches = rng.integers(0, colours, (-(-height // 3), -(-width // 4)))
    which = patches.repeat(3, 0).repeat(4, 1)[:height, :width]
    which = np.where(rng.random((height, width)) < 0.2, rng.integers(0, colours), which)
    palette = Palette(rng.integers(0, 256, (256, 3), np.uint8), b"").pack()
    image = Raster(known[which], mode, palette if mode is Mode.PALETTE8 else b"")
    data = encode(image)
    assert noisepress.decode_raster(data) == image
    assert noisepress.inspect(data).parameters["kind"] == (
        "page" if len(np.unique(image.samples.reshape(-1, mode.channels), axis=0)) < 3 else "pixels"
    )


def symbols(kind: str, height: int = 60, width: int = 70) -> Ints:
    page = text(height, width)
    if kind == "page":
        return two_levels(page).samples[..., 0].astype(np.int32)
    return np.asarray(page.convert("RGBX")).view(np.int32)[..., 0].copy()


def image_of(kind: str, height: int, width: int) -> Page | Pixels:
    return Page(height, width) if kind == "page" else Pixels(height, width, 4)


@pytest.mark.parametrize("kind", ["page", "pixels"])
def test_rows_may_be_coded_together_or_one_by_one(kind: str) -> None:
    rows = symbols(kind)
    height, width = rows.shape
    streams = set()
    for step in (1, 7, height):
        encoder, image = BinaryEncoder(), image_of(kind, height, width)
        for first in range(0, height, step):
            part = rows[first : first + step]
            encoder.code(part.ravel(), Rows(image, first, len(part)))
        streams.add(encoder.finish())
    assert len(streams) == 1
    decoder, image = BinaryDecoder(streams.pop()), image_of(kind, height, width)
    for first in range(height):
        found = decoder.code(None, Rows(image, first, 1))
        np.testing.assert_array_equal(found, rows[first])


@pytest.mark.parametrize("kind", ["page", "pixels"])
def test_a_tally_is_the_size_of_the_stream(kind: str) -> None:
    rows = symbols(kind)
    sizes = []
    for coder in (BinaryEncoder(), BinaryTally()):
        coder.code(rows.ravel(), Rows(image_of(kind, *rows.shape), 0, len(rows)))
        sizes.append(coder.bits if isinstance(coder, BinaryTally) else 8 * len(coder.finish()))
    assert sizes[0] == pytest.approx(sizes[1], abs=64)


def test_pages_are_smaller_than_by_fax_codes() -> None:
    """Group 4 needs 2.5 times as much: glyphs come again."""
    image, out = two_levels(text(300, 400)), BytesIO()
    Image.fromarray(image.samples[..., 0] == 0).save(out, "TIFF", compression="group4")
    assert len(encode(image)) < 0.4 * len(out.getvalue())


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_text_is_far_smaller_than_by_webp(mode: str) -> None:
    page = text(200, 300, "navy")
    image = page.quantize(16) if mode == "P" else page.convert(mode)
    webp = noisepress.encode(image, "webp", fallback=False, effort=3)
    assert len(encode(image)) < 0.7 * len(webp)


def test_images_of_one_colour_take_a_few_bytes() -> None:
    for shape in ((500, 500, 4), (1, 1)):
        image = np.full(shape, 77, np.uint8)
        data = encode(image)
        assert len(data) < 80
        np.testing.assert_array_equal(noisepress.decode(data), image)


def test_it_is_chosen_where_it_is_smallest() -> None:
    for image in (two_levels(text(100, 200)), text(100, 200).quantize(8)):
        data = noisepress.encode(image)
        assert noisepress.inspect(data).codec == "screen"
        others = [noisepress.encode(image, each, fallback=False) for each in ("webp", "png")]
        assert len(data) < min(map(len, others))


def test_it_is_tried_where_pixels_repeat() -> None:
    assert may_win(two_levels(text(50, 60)))
    assert may_win(raster(Mode.PALETTE8, 30, 40))
    assert not may_win(noise(Mode.RGB8, 20, 20))
    assert not may_win(raster(Mode.RGB16, 20, 20))
    half = np.asarray(text(64, 64)).copy()
    half[:, :32] = picture(64, 32)
    assert may_win(Raster(half, Mode.RGB8))


def test_it_is_not_tried_on_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Raster] = []

    def spied(image: Raster) -> bool:
        tried.append(image)
        return False

    monkeypatch.setattr(api, "may_win", spied)
    image = noise(Mode.RGB8, 20, 20)
    file = noisepress.encode(image, noisepress.Png())
    assert tried == [image]
    assert noisepress.inspect(file).codec in ("webp", "png", "jpegxl")
    assert Screen() == noisepress.Screen()


# The decoder that is written from docs/format.md ---------------------------------------------

GOLDEN = Path(__file__).parents[1] / "golden" / "codec"
ORDERS = {1: (0,), 2: (1, 0), 3: (1, 0, 2), 4: (3, 1, 0, 2)}


@pytest.mark.parametrize(
    "name", ["screen_palette", "screen_rgb", pytest.param("screen_rgba", marks=pytest.mark.slow)]
)
def test_pixels_decode_as_the_format_says(name: str) -> None:
    data = (GOLDEN / f"{name}.nzp").read_bytes()
    contents, samples = read(data), noisepress.decode_raster(data).samples
    height, width, channels = samples.shape
    pixels = PixelDecoder(contents.only_payload(), height, width, channels).decode()
    for place, channel in enumerate(ORDERS[channels]):
        np.testing.assert_array_equal(np.array(pixels) >> 8 * place & 255, samples[..., channel])


def test_a_page_decodes_as_the_format_says() -> None:
    data = (GOLDEN / "screen_page.nzp").read_bytes()
    contents, samples = read(data), noisepress.decode_raster(data).samples
    _, zero, one = contents.header.parameters
    bits = decode_page(contents.only_payload(), *samples.shape[:2])
    np.testing.assert_array_equal(np.where(bits, one, zero), samples[..., 0])


def test_tables_of_histories_are_as_the_format_says() -> None:
    numbers = [*screen_twin.NEXT, *[(0, 0)] * (256 - len(screen_twin.NEXT))]
    chances = [*screen_twin.FIRST, *[0.5] * (256 - len(screen_twin.FIRST))]
    whole = [int(chance * 65536) for chance in chances]
    table = [*screen_twin.RATES, *(number for pair in numbers for number in pair), *whole]
    assert zlib.crc32(np.array(table, "<i8").tobytes()) == 0xDD5B4F0B


# Forged and damaged files --------------------------------------------------------------------


def forged(image: Raster, **values: int) -> bytes:
    contents = read(encode(image))
    header = replace(contents.header, parameters=pack(FIELDS, values))
    return write(header, contents.sections)


@pytest.mark.parametrize(
    ("mode", "values", "message"),
    [
        (Mode.L8, {"kind": 1, "zero": 256, "one": 0}, "more than the 1 samples of L8"),
        (Mode.RGB8, {"kind": 1, "zero": 0, "one": 2**24}, "more than the 3 samples of RGB8"),
        (Mode.BILEVEL, {"kind": 1, "zero": 0, "one": 2}, "checksum"),
        (Mode.BILEVEL, {"kind": 0}, "checksum"),
    ],
)
def test_colours_that_a_layout_lacks_are_refused(
    mode: Mode, values: dict[str, int], message: str
) -> None:
    image = two_levels(text(40, 50)) if mode is Mode.BILEVEL else noise(mode)
    with pytest.raises(CorruptError, match=message) as error:
        noisepress.decode(forged(image, **values))
    one_line(error)


def test_16_bits_are_refused_in_a_file() -> None:
    contents = read(encode(noise(Mode.L8)))
    data = write(replace(contents.header, mode=int(Mode.L16)), contents.sections)
    with pytest.raises(CorruptError, match="screen has no L16 images"):
        noisepress.decode(data)


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=200), st.sampled_from(MODES))
def test_any_data_decode_or_are_an_error(payload: bytes, mode: Mode) -> None:
    """Nothing that a stream says leads outside of the tables."""
    height, width = 9, 14
    kinds: tuple[Any, ...] = (Page(height, width), Pixels(height, width, mode.channels))
    for image in kinds:
        try:
            found = BinaryDecoder(payload).code(None, Rows(image, 0, height))
        except CorruptError as error:
            one_line(error)
        else:
            assert found.size == height * width


# Exactness -----------------------------------------------------------------------------------

ENCODE = """
import sys
from hashlib import sha256
import numpy as np
import noisepress
for name in sys.argv[1:]:
    data = noisepress.encode(np.load(name), "screen", fallback=False)
    print(sha256(data).hexdigest())
"""


@pytest.mark.parametrize("compiled", [False, True], ids=["Python", "oldest"])
def test_python_and_other_instructions_give_the_same_bytes(
    compiled: bool, oldest_processor: dict[str, str], tmp_path: Path
) -> None:
    """The kernels as Python, statement by statement, and compiled for the oldest processors."""
    colours = np.asarray(text(19, 24, "navy")).copy()
    colours[12:, :9] = picture(7, 9)
    opacity = np.arange(9 * 12, dtype=np.uint8).reshape(9, 12) // 9
    images = {
        "page": two_levels(text(20, 30)).samples[..., 0].astype(bool),
        "pixels": colours,
        "opacity": np.dstack([colours[10:, :12], opacity]),
    }
    for name, image in images.items():
        np.save(tmp_path / f"{name}.npy", image)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ENCODE, *(tmp_path / f"{n}.npy" for n in images)],
        env={**os.environ, **(oldest_processor if compiled else {"NUMBA_DISABLE_JIT": "1"})},
        capture_output=True,
        text=True,
    )
    expected = [sha256(encode(image)).hexdigest() for image in images.values()]
    assert done.stdout.split() == expected, done.stderr
