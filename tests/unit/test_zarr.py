"""The codec for Zarr arrays of format 3."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from common import one_line, picture, raster

import noisepress
from noisepress.codec.image.raster import Mode

zarr = pytest.importorskip("zarr", reason="the extra zarr is not installed")

from noisepress.zarr import NAME, NoisepressCodec  # noqa: E402

ARRAYS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "grey": (picture(40, 50, 1)[..., 0], (32, 32)),
    "rgb": (picture(40, 50), (16, 32, 3)),
    "stack": (picture(40, 50, 5).transpose(2, 0, 1), (2, 32, 32)),
    "deep": (raster(Mode.L16, 40, 50).samples[..., 0], (32, 32)),
    "deep rgb": (raster(Mode.RGB16, 40, 50).samples, (32, 32, 3)),
    "signed": (raster(Mode.L16, 40, 50).samples[..., 0].view(np.int16), (32, 32)),
    "short": (picture(40, 50, 1)[..., 0].view(np.int8), (32, 32)),
    "big endian": (raster(Mode.L16, 40, 50).samples[..., 0].astype(">u2"), (32, 32)),
    "levels": (picture(40, 50, 1)[..., 0] > 100, (32, 32)),
    "five axes": (
        picture(40, 50, 4).transpose(2, 0, 1).reshape(2, 1, 2, 40, 50),
        (1, 1, 1, 32, 32),
    ),
}


def stored(path: Path, array: Any, codec: NoisepressCodec, **options: Any) -> Any:
    made = zarr.create_array(
        path,
        shape=array.shape,
        dtype=array.dtype,
        serializer=codec,
        compressors=None,
        **options,
    )
    made[:] = array
    return made


@pytest.mark.parametrize(("array", "chunks"), ARRAYS.values(), ids=ARRAYS)
def test_arrays_come_back(array: Any, chunks: tuple[int, ...], tmp_path: Path) -> None:
    stored(tmp_path, array, NoisepressCodec(codec="png"), chunks=chunks)
    found = zarr.open_array(tmp_path, mode="r")
    assert found.dtype == array.dtype.newbyteorder("=") and np.array_equal(found[:], array)
    assert np.array_equal(found[..., 3:7], array[..., 3:7])


@pytest.mark.parametrize(("array", "chunks"), ARRAYS.values(), ids=ARRAYS)
def test_shards(array: Any, chunks: tuple[int, ...], tmp_path: Path) -> None:
    shards = tuple(2 * side if side > 4 else side for side in chunks)
    stored(tmp_path, array, NoisepressCodec(codec="png"), chunks=chunks, shards=shards)
    found = zarr.open_array(tmp_path, mode="r")
    assert np.array_equal(found[:], array)
    assert np.array_equal(found[..., -2:], array[..., -2:])


def test_metadata_name_the_codec_by_an_address_and_are_read_again(tmp_path: Path) -> None:
    codec = NoisepressCodec(codec="hfd", axes="yxc", quality=40)
    stored(tmp_path, picture(32, 32), codec, chunks=(32, 32, 3))
    (described,) = json.loads((tmp_path / "zarr.json").read_text())["codecs"]
    assert described["name"] == NAME and re.match(r"https://\S+/docs/zarr\.md$", NAME)
    assert described["configuration"] == {"codec": "hfd", "axes": "yxc", "quality": 40}
    assert NoisepressCodec.from_dict(described) == codec
    found = zarr.open_array(tmp_path, mode="r")[:]
    assert 0 < np.abs(found.astype(int) - picture(32, 32)).mean() < 9


def test_a_chunk_is_a_file_of_noisepress(tmp_path: Path) -> None:
    stack = ARRAYS["stack"][0]
    stored(tmp_path, stack, NoisepressCodec(codec="png"), chunks=(5, 40, 50))
    archive = noisepress.Archive(tmp_path / "c" / "0" / "0" / "0")
    assert np.array_equal(archive.read("3"), stack[3])


def test_the_order_of_signed_samples_is_kept(tmp_path: Path) -> None:
    """Samples around 0 are neighbours for the codec too, so they are as small as others."""
    ramp = np.arange(-600, 600, dtype=np.int16).reshape(30, 40)
    sizes = []
    for shift in (0, 5000):
        stored(tmp_path / str(shift), ramp + np.int16(shift), NoisepressCodec(codec="jpegxl"))
        sizes.append((tmp_path / str(shift) / "c" / "0" / "0").stat().st_size)
    assert abs(sizes[0] - sizes[1]) < 20


@pytest.mark.parametrize(("shape", "dtype"), [((8, 8), "float32"), ((8, 8), "int32"), ((8,), "u1")])
def test_other_arrays_are_refused_when_they_are_made(
    shape: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    with pytest.raises(noisepress.UnsupportedImageError, match="uint16") as error:
        stored(tmp_path, np.zeros(shape, dtype), NoisepressCodec())
    assert one_line(error)


def test_a_chunk_of_another_shape_is_noticed(tmp_path: Path) -> None:
    stored(tmp_path, picture(8, 8, 1)[..., 0], NoisepressCodec(codec="png"))
    (tmp_path / "c" / "0" / "0").write_bytes(noisepress.encode(picture(8, 9, 1), "png"))
    with pytest.raises(noisepress.CorruptError, match=r"uint8 \(8, 8\)"):
        zarr.open_array(tmp_path)[:]
