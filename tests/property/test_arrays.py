"""Arrays and tensors as rasters: the same samples whatever their memory looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from noisepress.codec.image.raster import to_array
from noisepress.codec.inputs import as_raster

SLICES = st.builds(slice, st.none(), st.none(), st.sampled_from([1, 2, 3, -1, -2]))
DTYPES = ("u1", "<u2", ">u2", "?")


@st.composite
def views(draw: st.DrawFn, dtypes: tuple[str, ...] = DTYPES) -> NDArray[Any]:
    """Images (h, w) or (h, w, c) as slices of transposed arrays, some read-only."""
    dtype: np.dtype[Any] = np.dtype(draw(st.sampled_from(dtypes)))
    sides = st.integers(1, 7)
    channels = st.just(1) if dtype == np.bool_ else st.integers(1, 4)
    shape = (draw(sides), draw(sides), *draw(st.one_of(st.just(()), st.tuples(channels))))
    order = draw(st.permutations(range(len(shape))))
    stored = draw(arrays(dtype, tuple(shape[axis] for axis in order)))
    stored.flags.writeable = draw(st.booleans())
    image = stored.transpose(np.argsort(order))
    view: NDArray[Any] = image[draw(SLICES), draw(SLICES)]
    return view


@given(views())
@settings(max_examples=200, deadline=None)
def test_arrays(array: NDArray[Any]) -> None:
    raster = as_raster(array)
    plain = np.ascontiguousarray(array)
    assert raster == as_raster(plain)
    assert raster.samples.ravel().tolist() == plain.ravel().tolist()
    assert raster.samples.dtype.isnative and raster.samples.flags.c_contiguous
    assert np.array_equal(
        to_array(raster), np.squeeze(plain, 2) if plain.shape[2:] == (1,) else plain
    )


@given(views(("u1", "<u2", "?")), st.booleans())
@settings(max_examples=100, deadline=None)
def test_tensors(array: NDArray[Any], copied: bool) -> None:
    last = torch.tensor(array.copy())
    first = last.permute(2, 0, 1) if last.ndim == 3 else last
    assert as_raster(first.contiguous() if copied else first) == as_raster(array)
