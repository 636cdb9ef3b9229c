"""Smaller pictures of a file: of a pyramid from its beginning, of others from the whole."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from common import noise, picture, raster
from hypothesis import given, settings
from hypothesis import strategies as st

import noisepress
from noisepress.bitstream.header import FileBytes
from noisepress.codec.ardm import lattice
from noisepress.codec.image.raster import Mode, Raster, to_array

SIZES = st.integers(1, 40)


def levels_of(image: Raster, **options: Any) -> None:
    """Check every level of an image's file."""
    data = noisepress.encode(image, fallback=False, **options)
    pixels = to_array(image)
    how = {"model": options["model"]} if "model" in options else {}
    for level in range(8):
        found = noisepress.decode_preview(data, level, **how)
        assert found.dtype == pixels.dtype
        assert np.array_equal(found, pixels[:: 1 << level, :: 1 << level])


@settings(deadline=None, max_examples=15)
@given(SIZES, SIZES)
def test_levels_of_any_size(lattice_model: str, height: int, width: int) -> None:
    levels_of(raster(Mode.L8, height, width), model=lattice_model)


@pytest.mark.parametrize("mode", [Mode.LA8, Mode.RGBA8, Mode.RGB8, Mode.L16, Mode.RGBA16])
def test_levels_keep_the_opacity(mode: Mode, lattice_model: str) -> None:
    levels_of(raster(mode, 70, 45), model=lattice_model, effort=1)


def test_levels_of_a_simpler_image_with_opacity(lattice_model: str) -> None:
    grey = raster(Mode.LA8, 70, 45).samples
    as_rgba = Raster(grey[..., [0, 0, 0, 1]].copy(), Mode.RGBA8)
    levels_of(as_rgba, model=lattice_model)


@pytest.mark.parametrize("mode", [Mode.BILEVEL, Mode.PALETTE8, Mode.RGB16])
def test_levels_of_files_without_a_pyramid(mode: Mode) -> None:
    levels_of(noise(mode, 17, 50), codec="png")


def test_levels_of_vdm(vdm_model: str) -> None:
    levels_of(raster(Mode.RGB8, 40, 50), codec="vdm", model=vdm_model)


def test_levels_of_random_order(masked_model: str) -> None:
    levels_of(raster(Mode.RGB8, 9, 12), order="random", model=masked_model, calls=8)


def test_levels_of_a_lossy_file() -> None:
    data = noisepress.encode(picture(40, 50), "hfd", quality=40)
    whole = noisepress.decode(data)
    assert np.array_equal(noisepress.decode_preview(data, 2), whole[::4, ::4])


def test_nothing_finer_is_decoded(lattice_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = noisepress.encode(picture(100, 150), fallback=False, model=lattice_model)
    coded = []
    original = lattice.Lattice._level

    def spied(self: Any, target: Any, shape: tuple[int, ...], *rest: Any) -> Any:
        coded.append(shape[:2])
        return original(self, target, shape, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(lattice.Lattice, "_level", spied)
    noisepress.decode_preview(data, 2, model=lattice_model)
    assert coded[-1] == (25, 38)


def test_levels_of_a_file_that_was_cut(lattice_model: str) -> None:
    image = picture(100, 150)
    data = noisepress.encode(image, fallback=False, model=lattice_model)
    assert len(noisepress.inspect(data).sections) == 4
    for level in (2, 1):
        found = noisepress.decode_preview(data[:-9], level, model=lattice_model)
        assert np.array_equal(found, image[:: 1 << level, :: 1 << level])
    with pytest.warns(noisepress.TruncatedWarning, match="missing: pixels"):
        found = noisepress.decode_preview(data[:-9], 0, model=lattice_model)
    assert np.array_equal(found, image[::2, ::2])


def test_a_damaged_file_is_noticed_at_the_whole_picture(lattice_model: str) -> None:
    data = bytearray(noisepress.encode(picture(40, 50), model=lattice_model, fallback=False))
    data[-8] ^= 1
    with pytest.raises(noisepress.CorruptError):
        noisepress.decode_preview(data, 1, model=lattice_model)


@pytest.mark.parametrize("level", [-1, 25, 1.0, None])
def test_levels_that_are_not_supported(level: Any) -> None:
    with pytest.raises(noisepress.OptionError, match="whole numbers to 24"):
        noisepress.decode_preview(b"", level)


def test_a_file_as_bytes() -> None:
    data = bytes(range(100))
    file = FileBytes(BytesIO(data))
    assert (len(file), file[7], file[5:9], file[:3], file[98:200], file[9:5]) == (
        *(100, 7, data[5:9], data[:3], data[98:]),
        b"",
    )
    with pytest.raises(IndexError):
        file[100]
