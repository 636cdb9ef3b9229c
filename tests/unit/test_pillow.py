"""The plugin for Pillow, by what Pillow's own tests ask of a plugin."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from common import noise, one_line, picture, raster, saved, to_pillow
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

import noisepress
import noisepress.pillow
from noisepress.codec.api import decode_raster, preview_raster
from noisepress.codec.image.raster import Mode, Raster

PILLOW = [mode for mode in Mode if mode.pillow]
DEEP = {Mode.RGB16: "RGB", Mode.LA16: "LA", Mode.RGBA16: "RGBA"}
METADATA = {"icc": b"a profile", "xmp": b"<x:xmpmeta/>"}


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def file_of(image: Raster, codec: str = "png", **options: Any) -> BytesIO:
    return BytesIO(noisepress.encode(image, codec, fallback=False, **options))


@pytest.fixture(scope="module")
def pyramid(lattice_model: str) -> bytes:
    """RGB, 90 by 150 pixels, in lattice order."""
    image = picture(90, 150)
    return noisepress.encode(image, "ardm", model=lattice_model, fallback=False)


@pytest.fixture
def known_model(lattice_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin decodes with the tiny model, which no file name could tell it of."""
    how = noisepress.Decoding(model=lattice_model)
    monkeypatch.setattr(
        noisepress.pillow, "preview_raster", lambda data, level: preview_raster(data, level, how)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "image.nzp"
    file.write_bytes(file_of(raster(Mode.RGB8, 20, 30)).getvalue())
    return file


class Counting(BytesIO):
    """A file that counts the bytes that are read from it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


# Opening -------------------------------------------------------------------------------------


def test_a_new_process_knows_the_format_and_loads_no_network(path: Path) -> None:
    script = (
        "import sys, noisepress.pillow; from PIL import Image\n"
        f"image = Image.open({str(path)!r}); assert image.size == (30, 20)\n"
        "assert not {'torch', 'numba'} & set(sys.modules)\n"
        "image.load(); assert image.format == 'NZP'"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_sanity(path: Path) -> None:
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("NZP", "RGB", (30, 20))
        assert image.get_format_mimetype() == "image/x-noisepress"
        image.load()
        assert image.size == (30, 20)
    assert Image.registered_extensions()[".nzp"] == "NZP"


def test_opening_reads_the_header_and_the_metadata_only() -> None:
    image = raster(Mode.PALETTE8, 200, 300, icc=b"profile" * 9)
    data = file_of(image).getvalue()
    file = Counting(data)
    with Image.open(file) as opened:
        assert opened.info["icc_profile"] == b"profile" * 9
        assert opened.palette is not None
    assert file.count < 500 < len(data) / 4


@pytest.mark.parametrize("mode", PILLOW, ids=lambda mode: mode.name)
def test_modes_and_metadata_as_from_png(mode: Mode) -> None:
    image = noise(mode, 5, 13, 5, **METADATA)
    expected = to_pillow(image)
    expected.load()
    with Image.open(file_of(image)) as found:
        assert (found.mode, found.size) == (expected.mode, expected.size)
        assert found.info.get("transparency") == expected.info.get("transparency")
        assert (found.info["icc_profile"], found.info["xmp"]) == tuple(METADATA.values())
        assert found.tobytes() == expected.tobytes()
        assert found.getpalette("RGBA") == expected.getpalette("RGBA")


@pytest.mark.parametrize(("mode", "name"), DEEP.items(), ids=lambda value: str(value))
def test_deep_colour_is_shown_with_8_bits_and_refused_by_encode(mode: Mode, name: str) -> None:
    image = noise(mode)
    file = file_of(image)
    with pytest.raises(noisepress.UnsupportedImageError, match="reduces 16-bit"):
        noisepress.encode(Image.open(file))
    found = Image.open(file)
    assert found.mode == name
    upper = (image.samples >> 8).astype(np.uint8)
    assert np.array_equal(np.asarray(found), upper)


def test_exif_is_read_as_pillow_writes_it() -> None:
    data = exif(6)
    image = raster(Mode.RGB8, 8, 16, exif=data.removeprefix(b"Exif\0\0"))
    with Image.open(file_of(image)) as found:
        assert found.getexif()[0x0112] == 6
        assert ImageOps.exif_transpose(found).size == (8, 16)
        jpeg = Image.open(BytesIO(saved(found, "JPEG", exif=found.info["exif"])))
        assert jpeg.getexif()[0x0112] == 6


def test_exif_of_a_kept_jpeg_file() -> None:
    jpeg = saved(Image.fromarray(picture(16, 24)), "JPEG", exif=exif(3), icc_profile=b"profile")
    with Image.open(BytesIO(noisepress.encode(jpeg))) as found:
        assert found.getexif()[0x0112] == 3
        assert found.info["icc_profile"] == b"profile"
        assert np.array_equal(np.asarray(found), np.asarray(Image.open(BytesIO(jpeg))))


# Files that are no image ---------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 4, 8, 9, 20])
def test_files_cut_in_the_header_are_not_identified(path: Path, cut: int) -> None:
    with pytest.raises(UnidentifiedImageError):
        Image.open(BytesIO(path.read_bytes()[:cut]))


def test_other_files_are_not_identified() -> None:
    with pytest.raises(SyntaxError):
        noisepress.pillow.NzpImageFile(BytesIO(b"\x89PNG\r\n\x1a\n" + bytes(40)))
    archive = noisepress.archive([("a", picture(4, 4))], "png")
    with pytest.raises(UnidentifiedImageError):
        Image.open(BytesIO(archive))


def test_damaged_files(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    image = Image.open(BytesIO(data))
    with pytest.raises(OSError, match="checksum") as error:
        image.load()
    assert one_line(error)
    with pytest.raises(OSError, match="checksum"):
        Image.open(BytesIO(data)).verify()
    with pytest.raises(OSError, match="truncated"):
        Image.open(BytesIO(path.read_bytes()[:-9])).verify()


def test_verify_closes_an_intact_file(path: Path) -> None:
    image = Image.open(path)
    image.verify()
    assert getattr(image, "fp", None) is None


def test_a_jpeg_file_without_a_picture() -> None:
    cmyk = saved(Image.new("CMYK", (16, 16)), "JPEG")
    image = Image.open(BytesIO(noisepress.encode(cmyk)))
    with pytest.raises(OSError, match="not supported"):
        image.load()


@pytest.mark.usefixtures("known_model")
@pytest.mark.filterwarnings("ignore::noisepress.TruncatedWarning")
def test_cut_files_load_only_if_that_is_allowed(
    pyramid: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OSError, match="truncated"):
        Image.open(BytesIO(pyramid[:-9])).load()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    image = Image.open(BytesIO(pyramid[:-9]))
    image.load()
    assert image.size == (150, 90)
    far = np.abs(np.asarray(image, int) - picture(90, 150))
    assert 0 < far.mean() < 12


def test_a_decompression_bomb(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 599)
    with pytest.warns(Image.DecompressionBombWarning), Image.open(path):
        pass
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 299)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)


# File objects --------------------------------------------------------------------------------


def test_files_are_closed_as_by_other_plugins(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Image.open(path).load()
        with Image.open(path) as image:
            pass
        with pytest.raises(Exception, match=r"closed|NoneType|^$"):
            image.load()
        opened = Image.open(path)
        opened.load()
        opened.close()
        with pytest.raises(ValueError, match="closed image"):
            opened.getpixel((0, 0))


def test_an_open_file_stays_open_and_a_closed_one_is_noticed(path: Path) -> None:
    with path.open("rb") as file:
        image = Image.open(file)
        image.load()
        assert not file.closed
        late = Image.open(file)
    with pytest.raises(ValueError, match="closed file"):
        late.load()


def test_pickles(path: Path) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with Image.open(path) as image:
            again = pickle.loads(pickle.dumps(image, protocol))
        assert again == image
        again.load()
        assert again.getexif() is not None


def test_copies_and_crops(path: Path) -> None:
    with Image.open(path) as image:
        cropped = image.crop((3, 2, 9, 8))
        assert image.copy().tobytes() == image.tobytes()
    assert np.array_equal(np.asarray(cropped), raster(Mode.RGB8, 20, 30).samples[2:8, 3:9])


# Levels --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("known_model")
@pytest.mark.parametrize(
    ("asked", "level"), [((150, 90), 0), ((76, 20), 0), ((75, 45), 1), ((20, 20), 2), ((1, 1), 6)]
)
def test_draft_chooses_a_level(pyramid: bytes, asked: tuple[int, int], level: int) -> None:
    image = Image.open(BytesIO(pyramid))
    found = image.draft("L", asked)
    step = 1 << level
    assert found == ("RGB", (0, 0, 150 / step, 90 / step))
    assert image.draft("L", (1, 1)) is None
    assert np.array_equal(np.asarray(image), picture(90, 150)[::step, ::step])


@pytest.mark.usefixtures("known_model")
def test_a_thumbnail_needs_only_the_beginning_of_the_file(pyramid: bytes) -> None:
    info = noisepress.inspect(pyramid)
    rest = info.sections[-1][1] + 4
    with Image.open(BytesIO(pyramid[:-rest])) as image:
        image.thumbnail((20, 20))
        assert image.size == (20, 12)
        assert np.asarray(image).max() > 100


def test_files_without_a_pyramid_have_no_levels(path: Path) -> None:
    with Image.open(path) as image:
        assert image.draft(None, (3, 2)) is None
        image.thumbnail((15, 15))
        assert image.size == (15, 10)


# Saving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", PILLOW, ids=lambda mode: mode.name)
def test_saving_keeps_pixels_and_metadata(mode: Mode, tmp_path: Path) -> None:
    image = noise(mode, 9, 12, 5, exif=exif(2).removeprefix(b"Exif\0\0"), **METADATA)
    target = tmp_path / "image.nzp"
    to_pillow(image).save(target, codec="png", fallback=False)
    assert decode_raster(target) == image
    with Image.open(target) as again:
        again.save(target, codec="png", fallback=False)
    assert decode_raster(target) == image


def test_options_are_those_of_encode(tmp_path: Path) -> None:
    image = Image.fromarray(picture(20, 30))
    sizes = []
    for quality in (20, 80):
        data = saved(image, "nzp", codec="hfd", quality=quality)
        sizes.append(len(data))
        assert noisepress.inspect(data).codec == "hfd"
    assert sizes[0] < sizes[1]
    with pytest.raises(noisepress.OptionError, match="quality"):
        image.save(tmp_path / "x.nzp", codec="png", quality=80)
    assert not (tmp_path / "x.nzp").exists()
    saved(
        image, "NZP", codec="png", fallback=False, optimize=True, dpi=(72, 72)
    )  # not ours: ignored


def test_metadata_that_are_given_replace_those_of_the_image() -> None:
    image = Image.fromarray(picture(4, 4))
    image.info["icc_profile"] = b"profile"
    tags = Image.Exif()
    tags[0x0112] = 5
    data = saved(
        image, "NZP", codec="png", fallback=False, icc_profile=None, exif=tags, xmp=b"<x/>"
    )
    found = Image.open(BytesIO(data))
    assert "icc_profile" not in found.info and found.info["xmp"] == b"<x/>"
    assert found.getexif()[0x0112] == 5
    assert image.info == {"icc_profile": b"profile"}


@pytest.mark.parametrize("mode", ["CMYK", "F", "HSV", "YCbCr", "RGBa", "I"])
def test_other_modes_are_refused(mode: str, tmp_path: Path) -> None:
    target = tmp_path / "x.nzp"
    with pytest.raises(OSError, match=f"cannot write mode {mode} as NZP") as error:
        Image.new(mode, (4, 4)).save(target)
    assert one_line(error) and not target.exists()


def test_the_current_frame_of_an_animation_is_saved() -> None:
    frames = [Image.new("L", (8, 8), shade) for shade in (10, 200)]
    gif = Image.open(BytesIO(saved(frames[0], "GIF", save_all=True, append_images=frames[1:])))
    gif.seek(1)
    found = Image.open(BytesIO(saved(gif, "NZP", codec="png", fallback=False))).convert("L")
    assert found.getpixel((0, 0)) == 200
