"""Encoding and decoding of files, bags of images and arrays with Dask.

Tasks of a worker that died run again on another one. Files are written whole or not at all, and
always under the same name, so none is lost and none is there twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .bitstream.atomic import write_atomically
from .bitstream.errors import NoisepressError, OptionError
from .codec.api import decode, decode_raster, encode
from .codec.arrays import ArrayCoding, Axes
from .codec.extras import extra
from .codec.image.write import save_image

with extra("dask"):
    import dask.array as da
    import dask.bag as db


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        source, target: paths.
        size: bytes of the target; 0 if it could not be made.
        error: why, else empty.
    """

    source: str
    target: str
    size: int
    error: str = ""


def encode_files(
    paths: Iterable[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    codec: str | None = None,
    *,
    partition_size: int = 1,
    **options: Any,
) -> db.Bag:
    """Encode image files into a folder that all workers can write to.

    Files that are there already are kept, so a run that was stopped is continued by another one.

    Args:
        paths: of image files, whose names differ by more than the suffix.
        folder: for the .nzp files; it exists.
        codec, options: see `noisepress.encode`.
        partition_size: files of a task.

    Returns:
        A bag of an `Outcome` for each path, in order; `compute` starts the work. One bad file does
        not stop the others.

    Raises:
        OptionError: two files would have the same name.
    """
    work = partial(encode, codec=codec, **options)
    return _files(paths, Path(folder), ".nzp", work, partition_size)


def decode_files(
    paths: Iterable[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    suffix: str = ".png",
    *,
    partition_size: int = 1,
    **options: Any,
) -> db.Bag:
    """Decode .nzp files into a folder, as `encode_files` encodes.

    Args:
        paths: of .nzp files, whose names differ by more than the suffix.
        folder: for the images; it exists.
        suffix: of the images, see `noisepress.save_image`.
        partition_size: files of a task.
        options: see `noisepress.decode`.

    Returns:
        A bag of an `Outcome` for each path, in order.

    Raises:
        OptionError: two files would have the same name.
    """
    return _files(paths, Path(folder), suffix, partial(_decoded, suffix, options), partition_size)


def encode_bag(images: db.Bag, codec: str | None = None, **options: Any) -> db.Bag:
    """A bag of .nzp files as bytes, from one of what `noisepress.encode` takes for an image."""
    return images.map(partial(encode, codec=codec, **options))


def decode_bag(files: db.Bag, **options: Any) -> db.Bag:
    """A bag of arrays, from one of what `noisepress.decode` takes for a .nzp file."""
    return files.map(partial(decode, **options))


def encode_array(
    array: da.Array, codec: str | None = None, *, axes: Axes | None = None, **options: Any
) -> da.Array:
    """The chunks of an array of images as .nzp files.

    Args:
        array: (..., y, x), (..., y, x, c) or (..., c, y, x), of bool, uint8 or uint16; an axis of
            colour is in one chunk.
        codec, axes, options: see `noisepress.zarr.NoisepressCodec`.

    Returns:
        An array of bytes objects, one for each chunk, with as many axes.

    Raises:
        OptionError: a value is not supported, or the codec has no such option.
    """
    coding = ArrayCoding.of(codec=codec, axes=axes, **options)
    single = tuple((1,) * count for count in array.numblocks)
    return array.map_blocks(partial(_encode_chunk, coding), dtype=object, chunks=single, meta=_NONE)


def decode_array(
    files: da.Array,
    chunks: tuple[tuple[int, ...], ...],
    dtype: DTypeLike,
    codec: str | None = None,
    *,
    axes: Axes | None = None,
    **options: Any,
) -> da.Array:
    """Inverse of `encode_array`.

    Args:
        files: what it gave.
        chunks, dtype: of the array that was encoded.
        codec, axes, options: the same as for `encode_array`.

    Raises:
        OptionError: a value is not supported, or the codec has no such option.
    """
    coding = ArrayCoding.of(codec=codec, axes=axes, **options)
    work = partial(_decode_chunk, coding)
    return files.map_blocks(work, dtype=dtype, chunks=chunks, meta=np.empty(0, dtype))


_NONE = np.empty(0, object)


def _encode_chunk(coding: ArrayCoding, chunk: NDArray[Any]) -> NDArray[Any]:
    out = np.empty((1,) * chunk.ndim, object)
    out[...] = coding.encode(chunk)
    return out


def _decode_chunk(coding: ArrayCoding, file: NDArray[Any], block_info: Any) -> NDArray[Any]:
    return coding.decode(file.item()).reshape(block_info[None]["chunk-shape"])


def _files(
    paths: Iterable[str | os.PathLike[str]],
    folder: Path,
    suffix: str,
    work: Callable[[str], bytes],
    partition_size: int,
) -> db.Bag:
    pairs: dict[Path, str] = {}
    for path in (os.fspath(path) for path in paths):
        target = folder / (Path(path).stem + suffix)
        if target in pairs:
            raise OptionError(f"{pairs[target]} and {path} would both become {target}")
        pairs[target] = path
    tasks = [(source, str(target)) for target, source in pairs.items()]
    return db.from_sequence(tasks, partition_size=partition_size).map(partial(_made, work))


def _made(work: Callable[[str], bytes], paths: tuple[str, str]) -> Outcome:
    """Make a file unless it is there."""
    source, target = paths
    place = Path(target)
    try:
        if not place.exists():
            write_atomically(place, work(source))
        return Outcome(source, target, place.stat().st_size)
    except (NoisepressError, OSError, MemoryError) as error:
        return Outcome(source, target, 0, str(error) or type(error).__name__)


def _decoded(suffix: str, options: dict[str, Any], path: str) -> bytes:
    return save_image(decode_raster(path, **options), suffix)
