"""A codec for Zarr arrays of format 3, as their serializer.

Zarr finds it by its entry point. `noisepress.numcodecs` has the codec for format 2.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .bitstream.errors import CorruptError, UnsupportedImageError
from .codec.arrays import ArrayCoding
from .codec.extras import extra

with extra("zarr"):
    from zarr.abc.codec import ArrayBytesCodec
    from zarr.registry import register_codec

NAME = "https://github.com/noisepress/noisepress/blob/main/docs/zarr.md"
"""Names of extensions without a place in Zarr's registry are addresses of their descriptions."""

_DTYPES = ("bool", "uint8", "uint16", "int8", "int16")


@dataclass(frozen=True)
class NoisepressCodec(ArrayBytesCodec):  # type: ignore[misc]
    """Codes chunks of images; lossless unless the codec is a lossy one.

    Chunks are (..., y, x), (..., y, x, c) or (..., c, y, x), of bool, uint8, uint16, int8 or int16.
    All images of a chunk go into one file.

    Args:
        codec: name of the codec, see `noisepress.encode`; None: the lossless default.
        axes: "yx", "yxc" or "cyx", the last axes of a chunk, which are those of an image, with c
            from 1 to 4. None: "yxc" where a chunk has three or more axes and a last one of 3 or 4
            samples, else "yx".
        options: of the codec; JSON must have them.

    Raises:
        OptionError: a value is not supported, or the codec has no such option.
    """

    is_fixed_size = False
    _coding: ArrayCoding

    def __init__(self, **config: Any) -> None:
        object.__setattr__(self, "_coding", ArrayCoding.of(**config))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The codec that JSON describes."""
        return cls(**data.get("configuration", {}))

    def to_dict(self) -> dict[str, Any]:
        """What JSON keeps of the codec."""
        return {"name": NAME, "configuration": self._coding.config}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Check that an array has samples.

        Raises:
            UnsupportedImageError: it has others, or fewer than two axes.
        """
        native = dtype.to_native_dtype()
        if native.name not in _DTYPES or len(shape) < 2:
            raise UnsupportedImageError(
                f"array of {native.name} with {len(shape)} axes: {', '.join(_DTYPES)} with two or "
                "more are supported"
            )

    async def _encode_single(self, chunk_array: Any, chunk_spec: Any) -> Any:
        array = chunk_array.as_numpy_array()
        data = await asyncio.to_thread(self._coding.encode, _unsigned(array))
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        stack = await asyncio.to_thread(self._coding.decode, chunk_bytes.to_bytes())
        dtype = chunk_spec.dtype.to_native_dtype()
        if stack.size != np.prod(chunk_spec.shape) or stack.dtype.itemsize != dtype.itemsize:
            raise CorruptError(
                f"the chunk holds {stack.dtype} {stack.shape}, the array has {dtype} "
                f"{chunk_spec.shape}"
            )
        array = _signed(stack, dtype).reshape(chunk_spec.shape).astype(dtype, copy=False)
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(array)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Not known before a chunk is coded.

        Raises:
            NotImplementedError: always, as Zarr expects.
        """
        raise NotImplementedError


def _unsigned(array: NDArray[Any]) -> NDArray[Any]:
    """Samples whose order is that of signed ones."""
    if array.dtype.kind != "i":
        return array
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    unsigned = native.view(f"u{native.dtype.itemsize}")
    inverted: NDArray[Any] = unsigned ^ unsigned.dtype.type(1 << 8 * native.dtype.itemsize - 1)
    return inverted


def _signed(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Inverse of `_unsigned`."""
    if dtype.kind != "i":
        return array
    inverted: NDArray[Any] = array ^ array.dtype.type(1 << 8 * dtype.itemsize - 1)
    return inverted.view(f"i{dtype.itemsize}")


register_codec(NAME, NoisepressCodec)
