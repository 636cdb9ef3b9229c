"""Files of several frames: what comes in is what the file shows, what goes out comes back."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from noisepress import About, Animation, LossWarning, Stack, archive
from noisepress.bitstream.errors import UnsupportedImageError
from noisepress.codec.about import NOTHING
from noisepress.codec.sequences import by_number, open_files, open_frames, write_frames


def frames(dtype: type[Any] = np.uint8, *channels: int, count: int = 3) -> NDArray[Any]:
    """Noise (n, 7, 9) or (n, 7, 9, c)."""
    top = np.iinfo(dtype).max
    return np.random.default_rng(1).integers(0, top, (count, 7, 9, *channels), dtype, endpoint=True)


def stacked(samples: NDArray[Any], about: About = NOTHING) -> Stack:
    """A stack of PNG images, which need no model."""
    data = archive([(str(number), frame) for number, frame in enumerate(samples)], "png")
    found = Stack(data)
    found.about = about
    return found


def opened(path: Path) -> NDArray[Any]:
    found = open_frames(path)
    assert found is not None
    samples: NDArray[Any] = np.stack([np.asarray(frame) for frame in found.each()])
    np.testing.assert_array_equal(samples, np.stack(list(found.each())))  # a second time
    assert len(samples) == found.count
    return samples


KINDS = [
    frames(),
    frames(np.uint8, 3),
    frames(np.uint8, 4),
    frames(np.uint8, 2),
    frames(np.uint16),
    frames(np.uint16, 3),
    frames() > 99,
]


@pytest.mark.parametrize(
    "samples", KINDS, ids=lambda samples: f"{samples.dtype}{samples.shape[3:]}"
)
@pytest.mark.parametrize("suffix", [".tif", ".npy", ".png"])
def test_what_is_written_comes_back(suffix: str, samples: NDArray[Any], tmp_path: Path) -> None:
    path = tmp_path / f"stack{suffix}"
    with path.open("wb") as file:
        write_frames(stacked(samples), suffix, file)
    if suffix == ".png" and samples.dtype == np.uint16:
        with pytest.raises(UnsupportedImageError, match="animated PNG of 16 bits"):
            open_frames(path)
        return
    found = opened(path)
    if suffix == ".png" and samples.dtype == np.bool_:
        np.testing.assert_array_equal(found, 255 * samples.astype(np.uint8))
        return
    assert found.dtype == samples.dtype
    np.testing.assert_array_equal(found, samples)


def test_16_bits_in_animated_png_are_kept(tmp_path: Path) -> None:
    samples, out = frames(np.uint16), BytesIO()
    write_frames(stacked(samples), ".png", out)
    np.testing.assert_array_equal(np.asarray(Image.open(out)), samples[0])


@pytest.mark.parametrize(
    "options",
    [
        {"imagej": True},
        {"ome": True, "metadata": {"axes": "ZYX"}},
        {"bigtiff": True},
        {"compression": "zlib", "predictor": True, "tile": (16, 16)},
        {"byteorder": ">"},
    ],
    ids=str,
)
def test_tiff_of_other_programs(options: dict[str, Any], tmp_path: Path) -> None:
    samples, path = frames(np.uint16), tmp_path / "stack.tif"
    tifffile.imwrite(path, samples, photometric="minisblack", **options)
    np.testing.assert_array_equal(opened(path), samples)
    found = open_frames(path)
    assert found is not None and bool(found.about.description) == ("ome" in options)


def test_axes_before_rows_are_frames(tmp_path: Path) -> None:
    samples, path = frames(np.uint8, count=12), tmp_path / "stack.ome.tif"
    five = samples.reshape(2, 3, 2, 7, 9)
    tifffile.imwrite(path, five, ome=True, metadata={"axes": "TZCYX"}, photometric="minisblack")
    np.testing.assert_array_equal(opened(path), samples)
    planar = np.moveaxis(frames(np.uint8, 3), 3, 1)
    tifffile.imwrite(tmp_path / "p.tif", planar, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(opened(tmp_path / "p.tif"), frames(np.uint8, 3))


def test_one_page_is_an_image(tmp_path: Path) -> None:
    path = tmp_path / "one.tif"
    tifffile.imwrite(path, frames()[0])
    assert open_frames(path) is None
    with tifffile.TiffWriter(path) as file:  # with a thumbnail
        file.write(frames()[0], subfiletype=0)
        file.write(frames()[0, ::2, ::2], subfiletype=1)
    assert open_frames(path) is None
    for suffix in (".png", ".gif", ".webp"):
        Image.fromarray(frames()[0]).save(path.with_suffix(suffix))
        assert open_frames(path.with_suffix(suffix)) is None
    assert open_frames(tmp_path / "photo.jpg") is None


@pytest.mark.parametrize(
    ("samples", "options", "match"),
    [
        (frames().astype(np.float32), {"photometric": "minisblack"}, "float32, minisblack"),
        (frames().astype(np.int16), {"photometric": "minisblack"}, "int16"),
        (frames(), {"photometric": "miniswhite"}, "miniswhite"),
        (frames(np.uint8, 5), {"photometric": "rgb"}, "5 samples a pixel"),
        (frames(np.uint8, 4), {"photometric": "rgb", "extrasamples": [1]}, "straight alpha"),
        (
            frames(),
            {"photometric": "minisblack", "extratags": [(274, 3, 1, 6, True)]},
            "turned",
        ),
    ],
    ids=["float", "signed", "white", "bands", "premultiplied", "turned"],
)
def test_tiff_that_would_not_be_kept_exactly(
    samples: NDArray[Any], options: dict[str, Any], match: str, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", samples, **options)
    with pytest.raises(UnsupportedImageError, match=match):
        open_frames(tmp_path / "stack.tif")


def test_pages_of_several_kinds_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "stack.tif") as file:
        file.write(frames()[0])
        file.write(frames()[0, 1:])
    with pytest.raises(UnsupportedImageError, match="2 kinds"):
        open_frames(tmp_path / "stack.tif")


def animated(path: Path, pictures: NDArray[Any], **options: Any) -> None:
    first, *rest = map(Image.fromarray, pictures)
    first.save(path, save_all=True, append_images=rest, **options)


@pytest.mark.parametrize("suffix", [".webp", ".png"])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_animations(suffix: str, channels: tuple[int, ...], tmp_path: Path) -> None:
    samples, path = frames(np.uint8, *channels), tmp_path / f"a{suffix}"
    exact = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    animated(path, samples, duration=[40, 50, 3000], loop=3, **exact)
    np.testing.assert_array_equal(opened(path), samples)
    found = open_frames(path)
    assert found is not None
    assert found.about.animation == Animation((40.0, 50.0, 3000.0), 3)


@pytest.mark.parametrize(("loops", "plays"), [({}, 1), ({"loop": 0}, 0), ({"loop": 2}, 3)])
def test_gif_as_it_is_shown(loops: dict[str, int], plays: int, tmp_path: Path) -> None:
    path, samples = tmp_path / "a.gif", np.zeros((3, 7, 9, 3), np.uint8)
    samples[1:, 2:4, 3:5] = 255, 0, 0
    samples[2, 5:, 5:] = 0, 0, 255  # the frames after the first hold the part that changes
    animated(path, samples, duration=70, **loops)
    np.testing.assert_array_equal(opened(path), samples)
    found = open_frames(path)
    assert found is not None
    assert found.about.animation == Animation((70.0, 70.0, 70.0), plays)


def test_durations_are_written(tmp_path: Path) -> None:
    durations = (33.333, 0.0, 65.0, 120_000.0, 1.0)
    samples, path = np.repeat(frames()[:1], 5, 0), tmp_path / "a.png"  # equal frames stay frames
    about = About(Animation(durations, 2))
    with path.open("wb") as file:
        write_frames(stacked(samples, about), ".png", file)
    with Image.open(path) as image:
        assert (image.n_frames, image.info["loop"]) == (5, 2)  # type: ignore[attr-defined]
    found = open_frames(path)
    assert found is not None and found.about.animation is not None
    assert found.about.animation.durations == pytest.approx(durations, rel=1e-3)


def test_what_a_format_does_not_keep_is_said(tmp_path: Path) -> None:
    about = About(Animation((1.0, 2.0, 3.0)), "<OME/>")
    found = stacked(frames(), about)
    with pytest.warns(LossWarning, match=r"\.npy does not keep the durations of frames, the descr"):
        write_frames(found, ".npy", BytesIO())
    with pytest.warns(LossWarning, match=r"\.tif does not keep the durations of frames$"):
        write_frames(found, ".tif", BytesIO())
    with pytest.raises(UnsupportedImageError, match=r"as \.gif: \.tif, \.tiff, \.png"):
        write_frames(found, ".gif", BytesIO())


def test_numbered_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"slice{number}.png" for number in (10, 9, 1)]
    for path, frame in zip(paths, frames(), strict=True):
        Image.fromarray(frame).save(path)
    found = open_files(sorted(paths, key=by_number))
    np.testing.assert_array_equal(np.stack(list(found.each())), frames()[::-1])


def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"no array")
    with pytest.raises(UnsupportedImageError, match="cannot read the image"):
        open_frames(path)
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0no tags")
    assert open_frames(path) is None  # the reader of images says what is wrong
