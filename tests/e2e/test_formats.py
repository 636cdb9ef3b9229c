"""Odd image files: kept exactly through encode, decode and save, or refused in one line.

The first part makes its own files, of photographs, and states what must become of each. The second,
slow part walks folders of collected files where they are at hand (not part of the repository).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from common import HEIGHT, WIDTH, crop, photograph, pillow, saved, tiff, to_pillow, with_chunk
from PIL import Image

import noisepress
from noisepress.codec.image.png import chunk as png_chunk
from noisepress.codec.image.raster import Mode, Raster, Samples
from noisepress.codec.image.read import open_image
from noisepress.codec.image.write import save_image

OVERHEAD = 40
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>\xc3\xa9</x:xmpmeta>"
ICC = bytes(range(256)) * 2


def grey16() -> Image.Image:
    return Image.fromarray(crop(1, np.uint16)[:, :, 0])


def pgm16() -> bytes:
    return f"P5\n{WIDTH} {HEIGHT}\n65535\n".encode() + crop(1, np.uint16).astype(">u2").tobytes()


def palette_png() -> bytes:
    """Indices with a translucent palette."""
    image = Image.fromarray(crop(1)[:, :, 0] % 9).convert("L")
    image.putpalette(bytes(range(27)))
    return saved(image, "PNG", transparency=bytes([0, 128, 255, 7]))


def bilevel() -> Image.Image:
    return Image.fromarray(crop(1)[:, :, 0] > 128)


def turned_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(pillow(3), "JPEG", quality=90, exif=exif)


def icc_xmp_png() -> bytes:
    plain = saved(pillow(3), "PNG", icc_profile=ICC)
    return with_chunk(plain, png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP))


def frames(kind: str) -> bytes:
    second = Image.fromarray(255 - crop(1)[:, :, 0])
    return saved(pillow(1), kind, save_all=True, append_images=[second])


def colour_key_png() -> bytes:
    return saved(pillow(3), "PNG", transparency=tuple(int(v) for v in crop(3)[3, 4]))


def keyed() -> Samples:
    array = crop(3)
    shown = (array != array[3, 4]).any(2, keepdims=True)
    return np.concatenate([array, np.where(shown, 255, 0).astype(np.uint8)], 2)


@dataclass(frozen=True)
class Kept:
    """A file that must come back with these samples and metadata."""

    make: Callable[[], bytes]
    mode: Mode
    samples: Callable[[], Samples] | None = None
    metadata: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A file that must be refused with words that match."""

    make: Callable[[], bytes]
    match: str


KEPT: Mapping[str, Kept] = {
    "grey 8 PNG": Kept(lambda: saved(pillow(1), "PNG"), Mode.L8, lambda: crop(1)),
    "grey 16 PNG": Kept(lambda: saved(grey16(), "PNG"), Mode.L16, lambda: crop(1, np.uint16)),
    "grey 16 TIFF": Kept(lambda: saved(grey16(), "TIFF"), Mode.L16, lambda: crop(1, np.uint16)),
    "grey 16 PGM": Kept(pgm16, Mode.L16, lambda: crop(1, np.uint16)),
    "colour 16 PNG": Kept(
        lambda: bytes(imagecodecs.png_encode(crop(3, np.uint16))),
        Mode.RGB16,
        lambda: crop(3, np.uint16),
    ),
    "colour 16 TIFF": Kept(
        lambda: tiff(crop(3, np.uint16)), Mode.RGB16, lambda: crop(3, np.uint16)
    ),
    "colour and opacity 16 PNG": Kept(
        lambda: bytes(imagecodecs.png_encode(crop(4, np.uint16))),
        Mode.RGBA16,
        lambda: crop(4, np.uint16),
    ),
    "grey and opacity PNG": Kept(lambda: saved(pillow(2), "PNG"), Mode.LA8, lambda: crop(2)),
    "translucent palette PNG": Kept(palette_png, Mode.PALETTE8, lambda: crop(1) % 9),
    "palette GIF": Kept(lambda: saved(pillow(3).quantize(16), "GIF"), Mode.PALETTE8),
    "one bit PNG": Kept(
        lambda: saved(bilevel(), "PNG"), Mode.BILEVEL, lambda: (crop(1) > 128).astype(np.uint8)
    ),
    "one bit TIFF": Kept(
        lambda: saved(bilevel(), "TIFF", compression="group4"),
        Mode.BILEVEL,
        lambda: (crop(1) > 128).astype(np.uint8),
    ),
    "colour TIFF": Kept(lambda: tiff(crop(3)), Mode.RGB8, lambda: crop(3)),
    "colour and opacity PNG": Kept(lambda: saved(pillow(4), "PNG"), Mode.RGBA8, lambda: crop(4)),
    "colour and opacity WebP": Kept(
        lambda: saved(pillow(4), "WEBP", lossless=True, exact=True), Mode.RGBA8, lambda: crop(4)
    ),
    "colour key PNG": Kept(colour_key_png, Mode.RGBA8, keyed),
    "colour BMP": Kept(lambda: saved(pillow(3), "BMP"), Mode.RGB8, lambda: crop(3)),
    "turned JPEG": Kept(turned_jpeg, Mode.RGB8, metadata=("exif",)),
    "ICC and XMP PNG": Kept(icc_xmp_png, Mode.RGB8, lambda: crop(3), ("icc", "xmp")),
}

REFUSED: Mapping[str, Refused] = {
    "CMYK JPEG": Refused(lambda: saved(Image.new("CMYK", (9, 9)), "JPEG"), "CMYK"),
    "float TIFF": Refused(lambda: tiff(crop(1)[:, :, 0].astype(np.float32)), "F|float"),
    "Lab TIFF": Refused(lambda: saved(Image.new("LAB", (9, 9)), "TIFF"), "LAB"),
    "animated GIF": Refused(lambda: frames("GIF"), "2 frames"),
    "animated WebP": Refused(lambda: frames("WEBP"), "2 frames"),
    "TIFF of two pages": Refused(lambda: frames("TIFF"), "2 frames"),
    "truncated PNG": Refused(lambda: saved(pillow(3), "PNG")[:-200], "cannot read"),
    "truncated JPEG": Refused(lambda: turned_jpeg()[:-200], "cannot read"),
    "wrong header": Refused(lambda: b"\x89PNF\r\n\x1a\n" + saved(pillow(3), "PNG")[8:], "damaged"),
    "text": Refused(lambda: b"a picture is worth a thousand words", "damaged"),
    "nothing": Refused(lambda: b"", "damaged"),
}


def assert_refused(data: bytes, model: str) -> str:
    with pytest.raises(noisepress.NoisepressError) as error:
        noisepress.encode(data, "ardm", model=model)
    text = str(error.value)
    assert text and "\n" not in text
    return text


def round_trip(data: bytes, model: str) -> tuple[Raster, bytes]:
    """The image of a file, checked through a .nzp file and a PNG, and the .nzp file."""
    original = open_image(data)
    coded = noisepress.encode(data, model=model)
    restored = noisepress.decode_raster(coded, model=model)
    assert restored == original
    assert open_image(save_image(restored, ".png")) == original
    return original, coded


@pytest.mark.parametrize("name", KEPT)
def test_kept_exactly(name: str, lattice_model: str) -> None:
    case = KEPT[name]
    original, _ = round_trip(case.make(), lattice_model)
    assert original.mode is case.mode
    if case.samples is not None:
        assert np.array_equal(original.samples, case.samples())
    assert original.samples.size > 100 and len(np.unique(original.samples)) > 1
    present = tuple(part for part in ("icc", "exif", "xmp") if getattr(original, part))
    assert present == case.metadata


def test_metadata_is_what_the_file_holds(lattice_model: str) -> None:
    original, _ = round_trip(icc_xmp_png(), lattice_model)
    assert (original.icc, original.xmp) == (ICC, XMP)
    original, _ = round_trip(turned_jpeg(), lattice_model)
    assert to_pillow(original).getexif()[0x0112] == 6


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name: str, lattice_model: str) -> None:
    case = REFUSED[name]
    with pytest.raises(noisepress.NoisepressError, match=case.match):
        noisepress.encode(case.make(), "ardm", model=lattice_model)
    assert_refused(case.make(), lattice_model)


def best_peer(raster: Raster) -> int:
    """Bytes of the smallest PNG or lossless WebP that Pillow makes of the same samples."""
    image = to_pillow(Raster(raster.samples, raster.mode, raster.palette))
    sizes = [len(saved(image, "PNG", optimize=True))]
    if raster.mode in (Mode.RGB8, Mode.RGBA8):
        sizes += [
            len(saved(image, "WEBP", lossless=True, exact=True, method=method))
            for method in (4, 5, 6)
        ]
    return min(sizes)


def pattern(kind: str, mode: Mode) -> Raster:
    """Metadata-free images of several natures, 70 x 90; opacity is a part of the text."""
    rng = np.random.default_rng(0)
    shape = (70, 90, mode.channels)
    row, column, channel = np.ogrid[: shape[0], : shape[1], : shape[2]]
    if kind == "noise":
        array = rng.integers(0, 256, shape)
    elif kind == "tiles":
        array = np.tile(rng.integers(0, 256, (10, 10, mode.channels)), (7, 9, 1))
    elif kind == "drawing":
        array = np.where((row // 9 + column // 13) % 2, 250, 30 + channel) + 0 * channel
    else:
        place = slice(60, 130), slice(150, 240)
        colours = np.broadcast_to(np.atleast_3d(photograph(kind)[place]), (70, 90, 3))
        planes = np.dstack([colours, photograph("text")[place]])
        array = planes[:, :, {1: [1], 2: [1, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[mode.channels]]
    return Raster(array.astype(np.uint8), mode)


KINDS = ("noise", "tiles", "drawing", "chelsea", "coffee", "coins", "page")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", [Mode.L8, Mode.LA8, Mode.RGB8, Mode.RGBA8])
def test_never_larger_than_what_the_user_has(kind: str, mode: Mode, lattice_model: str) -> None:
    raster = pattern(kind, mode)
    coded = noisepress.encode(raster, model=lattice_model)
    assert len(coded) <= best_peer(raster) + OVERHEAD


@pytest.mark.parametrize("name", [name for name, case in KEPT.items() if not case.metadata])
def test_odd_files_are_not_larger_either(name: str, lattice_model: str) -> None:
    original, coded = round_trip(KEPT[name].make(), lattice_model)
    if original.mode.pillow is not None:
        assert len(coded) <= best_peer(original) + OVERHEAD


COLLECTIONS = Path(__file__).parents[2].parent / "shared" / "data"


def collected(name: str) -> list[Path]:
    folder = COLLECTIONS / name
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["formats", "screen"])
def test_collected_files(folder: str, lattice_model: str) -> None:
    """Every file is kept exactly or refused; most are kept, and none grows."""
    paths = collected(folder)
    if not paths:
        pytest.skip(f"no {folder} collection beside the repository")
    kept, failures = 0, []
    for path in paths:
        data = path.read_bytes()
        try:
            original = open_image(data)
        except noisepress.NoisepressError as error:
            if "\n" in str(error):
                failures.append(f"{path.name}: {error}")
            continue
        try:
            original, coded = round_trip(data, lattice_model)
        except (noisepress.NoisepressError, AssertionError) as error:
            failures.append(f"{path.name}: {error!r}")
            continue
        kept += 1
        bare = not (original.icc or original.exif or original.xmp)
        if bare and original.mode.pillow is not None:
            peer = best_peer(original)
            if len(coded) > peer + OVERHEAD:
                failures.append(f"{path.name}: {len(coded)} bytes, {peer} elsewhere")
    assert not failures, "\n".join(failures)
    assert kept > len(paths) / 2
