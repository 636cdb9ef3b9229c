"""The codec for numcodecs: the checks that numcodecs' own codecs pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from common import picture, raster

import noisepress
from noisepress.codec.image.raster import Mode

pytest.importorskip("numcodecs", reason="the extra zarr is not installed")
battery = pytest.importorskip("numcodecs.tests.common")

import zarr  # noqa: E402
from numcodecs import get_codec  # noqa: E402

from noisepress.numcodecs import Noisepress  # noqa: E402

CODEC = Noisepress(codec="png")
SHAPES: dict[str, Any] = {
    "grey": picture(9, 14, 1)[..., 0],
    "rgb": picture(9, 14),
    "stack": picture(9, 14, 5).transpose(2, 0, 1).copy(),
    "deep": raster(Mode.L16, 9, 14).samples[..., 0],
    "levels": raster(Mode.L8, 9, 14).samples[..., 0] > 128,
    "fortran": np.asfortranarray(picture(9, 14)),
    "deep fortran": np.asfortranarray(raster(Mode.L16, 9, 14).samples[..., 0]),
    "row": picture(1, 60, 1).reshape(-1),
}


@pytest.mark.parametrize("array", SHAPES.values(), ids=SHAPES)
def test_battery(array: Any) -> None:
    battery.check_encode_decode(array, CODEC)
    battery.check_encode_decode_array(array, CODEC)


def test_buffers_of_other_types_are_rows_of_bytes() -> None:
    battery.check_encode_decode(np.arange(40, dtype=np.int32), CODEC)


@pytest.mark.parametrize(
    "codec", [CODEC, Noisepress(), Noisepress(codec="hfd", quality=30), Noisepress(axes="cyx")]
)
def test_config_and_representation(codec: Noisepress) -> None:
    battery.check_config(codec)
    assert eval(repr(codec), {"Noisepress": Noisepress}) == codec
    assert get_codec(json.loads(json.dumps(codec.get_config()))) == codec
    assert codec != Noisepress(codec="webp") != object()


def test_objects_are_refused() -> None:
    battery.check_err_encode_object_buffer(CODEC)
    battery.check_err_decode_object_buffer(CODEC)


def test_signed_samples_are_refused() -> None:
    with pytest.raises(noisepress.UnsupportedImageError, match="Zarr 3 codec"):
        CODEC.encode(np.zeros((3, 3), np.int16))


@pytest.mark.parametrize("order", ["C", "F"])
def test_zarr_format_2(order: Any, tmp_path: Path) -> None:
    stack = raster(Mode.L16, 40, 50).samples[..., 0].reshape(4, 10, 50)
    stored = zarr.create_array(
        tmp_path / "a.zarr",
        shape=stack.shape,
        chunks=(3, 10, 32),
        dtype=stack.dtype,
        zarr_format=2,
        order=order,
        compressors=Noisepress(codec="png"),
    )
    stored[:] = stack
    assert np.array_equal(zarr.open_array(tmp_path / "a.zarr")[:], stack)
    described = json.loads((tmp_path / "a.zarr" / ".zarray").read_text())
    assert described["compressor"] == {"id": "noisepress", "codec": "png"}
