"""Rasters, palettes, and arrays and tensors as rasters: exact, or refused in one line."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from common import noise, photograph

from noisepress.bitstream.errors import UnsupportedImageError
from noisepress.codec.image.raster import Mode, Palette, Raster, from_array, from_tensor, to_array
from noisepress.codec.inputs import as_raster


def test_rasters_are_equal_if_all_that_comes_back_is() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    image = Raster(grey, Mode.L8, icc=b"i", exif=b"e", xmp=b"x")
    assert image == replace(image, samples=grey.copy())
    assert image != replace(image, samples=grey + 1)
    assert image != Raster(grey.astype(np.uint16), Mode.L16, icc=b"i", exif=b"e", xmp=b"x")
    others = (replace(image, icc=b"o"), replace(image, exif=b"o"), replace(image, xmp=b"o"))
    for other in others:
        assert image != other
        assert image.shows(other)
    red, blue = (Palette(np.array([[*rgb]], np.uint8), b"") for rgb in ((255, 0, 0), (0, 0, 255)))
    indices = np.zeros((2, 2, 1), np.uint8)
    painted = Raster(indices, Mode.PALETTE8, palette=red.pack())
    assert not painted.shows(Raster(indices, Mode.PALETTE8, palette=blue.pack()))
    assert image != "an image"


def test_check_is_the_crc_of_little_endian_samples() -> None:
    assert from_array(np.array([[1, 258]], np.uint16)).check == zlib.crc32(b"\1\0\2\1")


def test_raster_refuses_what_does_not_agree() -> None:
    pixel = np.ones((1, 1, 1), np.uint8)
    palette_of_five = noise(Mode.PALETTE8).palette
    for samples, mode, palette in [
        (pixel, Mode.RGB8, b""),
        (pixel, Mode.L16, b""),
        (pixel, Mode.PALETTE8, b""),
        (pixel, Mode.L8, palette_of_five),
        (pixel, Mode.PALETTE8, palette_of_five[:-4]),
        (pixel * 5, Mode.PALETTE8, palette_of_five),
        (pixel * 2, Mode.BILEVEL, b""),
    ]:
        with pytest.raises(UnsupportedImageError):
            Raster(samples, mode, palette)


def test_arrays_of_every_channel_count() -> None:
    for dtype in (np.uint8, np.uint16):
        for channels in (2, 3, 4):
            array = np.arange(24 * channels, dtype=dtype).reshape(4, 6, channels)
            assert np.array_equal(to_array(from_array(array[::-1, ::2])), array[::-1, ::2])
    assert from_array(np.array([[258]], ">u2")).samples.tolist() == [[[258]]]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2), np.int16),
        np.zeros((2, 2), np.uint32),
        np.zeros((0, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((2, 2, 3), np.bool_),
        np.zeros((1, 2, 2, 3), np.uint8),
    ],
)
def test_unsupported_arrays(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(UnsupportedImageError, match="supported"):
        from_array(array)


class Wrapped:
    """Has nothing but numpy's conversion."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if isinstance(self.array, Exception):
            raise self.array
        return self.array


class Subclass(np.ndarray[Any, Any]):
    """An array of another type."""


MASKED: Any = np.ma.MaskedArray
PHOTO = photograph("astronaut")[:30, :40]


@pytest.mark.parametrize(
    "array",
    [
        PHOTO.copy(order="F"),
        PHOTO[::-1, ::-2],
        np.broadcast_to(PHOTO[:, :1], PHOTO.shape),
        MASKED(PHOTO, False),
        PHOTO.view(Subclass),
        PHOTO.astype(">u2"),
        Wrapped(PHOTO),
        SimpleNamespace(__array_interface__=PHOTO.__array_interface__),
    ],
)
def test_whatever_numpy_takes_for_an_array(array: Any) -> None:
    expected = np.ascontiguousarray(np.asarray(array))
    assert np.array_equal(to_array(as_raster(array)), expected)


def test_read_only_arrays_and_memory_maps(tmp_path: Path) -> None:
    np.save(tmp_path / "photo.npy", PHOTO)
    mapped = np.load(tmp_path / "photo.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    assert as_raster(mapped) == from_array(PHOTO)


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (MASKED(PHOTO, PHOTO > 9), "masked samples"),
        (Wrapped(TypeError("not\nhere")), "cannot make an array of Wrapped: not here"),
        (Wrapped(PHOTO / 255), "array of dtype float64"),
        (Wrapped(np.arange(3)), "array of dtype int64"),
        (np.uint8(3), r"uint8 array of shape \(\)"),
        (np.frombuffer(b"file", np.uint8), r"bytes of a file are array\.tobytes\(\)"),
        (np.array([PHOTO, None], object), "array of dtype object"),
        (np.zeros(3, [("a", "u1")]), "array of dtype"),
        (np.broadcast_to(np.uint8(0), (2**16, 2**16)), "65536x65536 pixels"),
    ],
)
def test_arrays_that_are_refused_by_name(array: Any, match: str) -> None:
    with pytest.raises(UnsupportedImageError, match=match) as info:
        as_raster(array)
    assert "\n" not in str(info.value)


def test_tensors_are_channels_first() -> None:
    array = np.ascontiguousarray(PHOTO.transpose(2, 0, 1))
    assert np.array_equal(from_tensor(torch.tensor(array)).samples, PHOTO)
    assert as_raster(torch.zeros(2, 4, dtype=torch.bool)).mode is Mode.BILEVEL


class Picture(torch.Tensor):
    """A subclass from outside torch."""


def test_tensors_of_any_strides() -> None:
    last = torch.tensor(PHOTO)
    for tensor in (last.permute(2, 0, 1), last.permute(2, 1, 0), last[::2, :, 1], last[..., 0].T):
        expected = tensor.numpy() if tensor.ndim == 2 else np.moveaxis(tensor.numpy(), 0, -1)
        assert np.array_equal(to_array(as_raster(tensor)), expected)
        assert as_raster(tensor.as_subclass(Picture)) == as_raster(tensor)
    assert as_raster(last[..., 0].to(torch.uint16) * 257).samples.max() > 255


@pytest.mark.filterwarnings("ignore:.*quantize:UserWarning", "ignore:.*nested:UserWarning")
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: torch.zeros(3, 2, 4), "float32"),
        (lambda: torch.zeros(2, 2, requires_grad=True), "float32"),
        (lambda: torch.zeros(2, 2, dtype=torch.complex64), "complex64"),
        (lambda: torch.quantize_per_tensor(torch.zeros(2, 2), 1.0, 0, torch.quint8), "quint8"),
        (lambda: torch.zeros(5, 2, 4, dtype=torch.uint8), r"shape \(5, 2, 4\)"),
        (lambda: torch.zeros((), dtype=torch.uint8), r"shape \(\)"),
        (lambda: torch.zeros(3, 2, 4, dtype=torch.bool), "bool array"),
        (lambda: torch.zeros(2, 2, dtype=torch.uint8).to_sparse(), "sparse_coo tensor on cpu"),
        (lambda: torch.zeros(2, 2, dtype=torch.uint8, device="meta"), "tensor on meta"),
        (lambda: torch.nested.nested_tensor([torch.zeros(2, 2, dtype=torch.uint8)]), "tensor on"),
    ],
)
def test_tensors_that_are_refused_by_name(make: Callable[[], torch.Tensor], match: str) -> None:
    with pytest.raises(UnsupportedImageError, match=match) as info:
        as_raster(make())
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("mode", Mode)
def test_arrays_that_come_out_are_the_callers_own(mode: Mode) -> None:
    image = noise(mode)
    stored = np.asfortranarray(image.samples)
    stored.flags.writeable = False
    array = to_array(replace(image, samples=stored))
    assert array.flags.writeable and array.flags.c_contiguous and array.flags.owndata
    assert not np.shares_memory(array, stored)
    assert array.shape[:2] == stored.shape[:2]
    if mode is Mode.PALETTE8:
        assert np.array_equal(array, Palette.unpack(image.palette).table()[stored[:, :, 0]])
    else:
        assert np.array_equal(array.reshape(stored.shape), stored)
