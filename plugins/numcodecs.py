"""A codec for numcodecs, and so for Zarr arrays of format 2: `{"id": "noisepress"}`.

numcodecs finds it by its entry point. `noisepress.zarr` has the codec for format 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .bitstream.errors import UnsupportedImageError
from .codec.arrays import ArrayCoding
from .codec.extras import extra

with extra("zarr"):
    from numcodecs.abc import Codec
    from numcodecs.compat import (
        ensure_bytes,
        ensure_contiguous_ndarray,
        ensure_ndarray,
        ndarray_copy,
    )
    from numcodecs.registry import register_codec


class Noisepress(Codec):  # type: ignore[misc]
    """Codes arrays of images; lossless unless the codec is a lossy one.

    Args:
        codec, axes: see `noisepress.zarr.NoisepressCodec`.
        options: of the codec, see `noisepress.encode`; JSON must have them.

    Raises:
        OptionError: a value is not supported, or the codec has no such option.
    """

    codec_id = "noisepress"

    def __init__(self, **config: Any) -> None:
        self._coding = ArrayCoding.of(**config)

    def encode(self, buf: Any) -> bytes:
        """The file of an array (..., y, x), (..., y, x, c) or (..., c, y, x).

        Samples are bool, uint8 or uint16. Buffers with one axis and of any type are coded as one
        row of bytes, and arrays in Fortran order as their transpose.

        Raises:
            TypeError: the array holds objects.
            NoisepressError: see `noisepress.encode`.
        """
        array = ensure_ndarray(buf)
        if array.dtype.hasobject:
            raise TypeError("arrays of objects hold no samples: bool, uint8 and uint16 do")
        if array.ndim <= 1:
            return self._coding.encode(np.ascontiguousarray(array).view(np.uint8).reshape(1, -1))
        if array.dtype.kind == "i":
            raise UnsupportedImageError(
                f"array of dtype {array.dtype}: bool, uint8 and uint16 are supported; "
                "the Zarr 3 codec takes signed samples"
            )
        if array.flags.f_contiguous and not array.flags.c_contiguous:
            return ArrayCoding.of(**{**self._coding.config, "axes": "yx"}).encode(array.T)
        return self._coding.encode(array)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The samples (n,) in the order in which they were in memory.

        Args:
            buf: bytes that `encode` gave.
            out: writeable buffer of the right size for the samples.

        Raises:
            TypeError: `out` is for objects.
            NoisepressError: see `noisepress.decode`.
        """
        target = None if out is None else ensure_contiguous_ndarray(out)
        return ndarray_copy(self._coding.decode(ensure_bytes(buf)).reshape(-1), target)

    def get_config(self) -> dict[str, Any]:
        """What JSON keeps of the codec."""
        return {"id": self.codec_id, **self._coding.config}

    def __repr__(self) -> str:
        config = ", ".join(f"{name}={value!r}" for name, value in self._coding.config.items())
        return f"{type(self).__name__}({config})"


register_codec(Noisepress)
