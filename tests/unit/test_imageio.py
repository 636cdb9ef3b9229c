"""The plugin for imageio, by what imageio's documentation asks of one."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from common import noise, one_line, picture, raster, saved
from PIL import Image

import noisepress
from noisepress.codec.image.raster import Mode, to_array
from noisepress.codec.image.write import save_image

iio = pytest.importorskip("imageio.v3", reason="the extra imageio is not installed")

import noisepress.imageio  # noqa: E402

METADATA = {"icc": b"a profile", "exif": b"II*\0\x08\0\0\0\0\0", "xmp": b"<x/>"}


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """An archive of two images of different size."""
    images = [("a", picture(9, 12)), ("b", picture(5, 7, 1))]
    (tmp_path / "two.nzp").write_bytes(noisepress.archive(images, "png"))
    return tmp_path / "two.nzp"


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.name)
def test_layouts(mode: Mode, tmp_path: Path) -> None:
    image = noise(mode, 9, 12, 5, **METADATA)
    path = tmp_path / "image.nzp"
    path.write_bytes(noisepress.encode(save_image(image, ".png"), "png", fallback=False))
    expected = to_array(image)
    found = iio.imread(path)
    assert found.dtype == expected.dtype and np.array_equal(found, expected)
    properties = iio.improps(path)
    assert (properties.shape, properties.dtype) == (expected.shape, expected.dtype)
    assert not properties.is_batch
    assert iio.immeta(path) == {"mode": mode.name, "codec": "png", **METADATA}
    with_all = iio.immeta(path, exclude_applied=False)
    assert ("palette" in with_all) == (mode is Mode.PALETTE8)


@pytest.mark.parametrize("target", ["path", "bytes", "file"])
def test_resources(target: str, tmp_path: Path) -> None:
    image = picture(9, 12)
    if target == "bytes":
        data = iio.imwrite("<bytes>", image, extension=".nzp", codec="png")
        assert np.array_equal(iio.imread(data, extension=".nzp"), image)
        assert np.array_equal(iio.imread(data, plugin="noisepress"), image)
    elif target == "file":
        file = BytesIO()
        iio.imwrite(file, image, plugin="noisepress", extension=".nzp", codec="png")
        file.seek(0)
        assert np.array_equal(iio.imread(file, extension=".nzp"), image)
    else:
        assert iio.imwrite(tmp_path / "x.nzp", image, codec="png") is None
        assert np.array_equal(noisepress.decode(tmp_path / "x.nzp"), image)


def test_levels_and_decoding_options(lattice_model: str, tmp_path: Path) -> None:
    image = picture(40, 50)
    iio.imwrite(tmp_path / "x.nzp", image, model=lattice_model, fallback=False)
    assert np.array_equal(
        iio.imread(tmp_path / "x.nzp", level=2, model=lattice_model), image[::4, ::4]
    )
    with pytest.raises(noisepress.OptionError, match="render"):
        iio.imread(tmp_path / "x.nzp", render="best")


def test_members_of_an_archive(two: Path) -> None:
    assert np.array_equal(iio.imread(two, index=1), picture(5, 7, 1)[..., 0])
    assert [image.shape for image in iio.imiter(two)] == [(9, 12, 3), (5, 7)]
    assert iio.improps(two, index=0).shape == (9, 12, 3)
    assert iio.immeta(two, index=1) == {"name": "b", "mode": "L8"}
    assert iio.immeta(two) == {"members": ["a", "b"]}
    with pytest.raises(ValueError):
        iio.imread(two)
    with pytest.raises(ValueError, match="differ in size"):
        iio.improps(two, index=...)
    for wrong in (2, -1):
        with pytest.raises(ValueError, match=f"no image {wrong}, the file has 2"):
            iio.imread(two, index=wrong)


def test_stacks(tmp_path: Path) -> None:
    stack = picture(9, 12, 4).transpose(2, 0, 1)
    path = tmp_path / "stack.nzp"
    iio.imwrite(path, stack, is_batch=True, codec="png")
    assert np.array_equal(iio.imread(path), stack)
    assert np.array_equal(iio.imread(path, index=...), stack)
    properties = iio.improps(path)
    assert (properties.shape, properties.n_images, properties.is_batch) == ((4, 9, 12), 4, True)
    iio.imwrite(path, stack[0], codec="png")
    assert np.array_equal(iio.imread(path, index=...), stack[:1])


def test_metadata_of_a_kept_jpeg_file(tmp_path: Path) -> None:
    jpeg = saved(Image.fromarray(picture(16, 24)), "JPEG", icc_profile=b"profile")
    (tmp_path / "x.nzp").write_bytes(noisepress.encode(jpeg))
    assert iio.immeta(tmp_path / "x.nzp") == {
        "mode": "RGB8",
        "codec": "jpegfile",
        "icc": b"profile",
    }


def test_other_files_and_formats(tmp_path: Path) -> None:
    (tmp_path / "x.nzp").write_bytes(save_image(raster(Mode.RGB8, 4, 4), ".png"))
    assert iio.imread(tmp_path / "x.nzp").shape == (4, 4, 3)  # by another plugin
    with pytest.raises(OSError):
        iio.imread(tmp_path / "x.nzp", plugin="noisepress")
    with pytest.raises(OSError, match="can not handle"):
        iio.imwrite(tmp_path / "x.png", picture(4, 4), plugin="noisepress")


def test_damage_is_named(tmp_path: Path) -> None:
    data = bytearray(noisepress.encode(picture(9, 12), "png"))
    data[12] ^= 1
    (tmp_path / "x.nzp").write_bytes(data)
    with pytest.raises(noisepress.NoisepressError) as error:
        iio.imread(tmp_path / "x.nzp")
    assert one_line(error)


def test_scikit_image(tmp_path: Path) -> None:
    from skimage import io

    deep: Any = raster(Mode.RGB16, 9, 12).samples
    io.imsave(tmp_path / "x.nzp", deep, check_contrast=False)
    assert np.array_equal(io.imread(tmp_path / "x.nzp"), deep)


def test_registering_loads_no_network() -> None:
    script = "import sys, noisepress.imageio; assert not {'torch', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
