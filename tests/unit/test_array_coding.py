"""Arrays of images as one file, whatever their axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from common import one_line, raster
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import noisepress
from noisepress.codec.arrays import ArrayCoding
from noisepress.codec.image.raster import Mode

PNG = ArrayCoding.of(codec="png")


@settings(deadline=None, max_examples=25)
@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16, np.bool_]),
        array_shapes(min_dims=2, max_dims=5, max_side=5),
    )
)
def test_any_shape_comes_back(array: Any) -> None:
    coding = ArrayCoding.of(codec="png", axes="yx")
    found = coding.decode(coding.encode(array))
    assert found.dtype == array.dtype and np.array_equal(found.reshape(array.shape), array)


@pytest.mark.parametrize(
    ("axes", "shape", "images", "mode"),
    [
        (None, (7, 9), 1, "L8"),
        (None, (7, 3), 1, "L8"),
        (None, (7, 9, 3), 1, "RGB8"),
        (None, (7, 9, 4), 1, "RGBA8"),
        (None, (3, 7, 9), 3, "L8"),
        (None, (1, 1, 2, 7, 9), 2, "L8"),
        ("yx", (7, 9, 3), 7, "L8"),
        ("yxc", (2, 7, 9, 1), 2, "L8"),
        ("yxc", (2, 7, 9, 2), 2, "LA8"),
        ("cyx", (3, 7, 9), 1, "RGB8"),
        ("cyx", (2, 4, 7, 9), 2, "RGBA8"),
    ],
)
def test_axes(axes: Any, shape: tuple[int, ...], images: int, mode: str) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    coding = ArrayCoding.of(codec="png", axes=axes)
    data = coding.encode(array)
    assert np.array_equal(coding.decode(data).reshape(shape), array)
    if images == 1:
        assert noisepress.inspect(data).mode == mode
    else:
        members = noisepress.Archive(data).members
        assert (len(members), {member.mode for member in members}) == (images, {mode})


def test_lossy_codecs_and_models_of_the_options(lattice_model: str) -> None:
    image = raster(Mode.RGB8, 24, 32).samples
    coding = ArrayCoding.of(codec="hfd", quality=50)
    found = coding.decode(coding.encode(image))
    assert found.shape == (1, 24, 32, 3) and 0 < np.abs(found[0] - image.astype(int)).mean() < 9
    own = ArrayCoding.of(model=lattice_model, effort=0)
    assert np.array_equal(own.decode(own.encode(image))[0], image)


@pytest.mark.parametrize(
    "config",
    [{"codec": "gzip"}, {"quality": 3}, {"codec": "hfd", "quality": 200}, {"axes": "xy"}],
)
def test_wrong_configurations(config: dict[str, Any]) -> None:
    with pytest.raises(noisepress.OptionError) as error:
        ArrayCoding.of(**config)
    assert one_line(error)


@pytest.mark.parametrize(
    ("axes", "array"),
    [
        (None, np.zeros(5, np.uint8)),
        (None, np.zeros((0, 5), np.uint8)),
        ("yxc", np.zeros((5, 5), np.uint8)),
        ("yxc", np.zeros((5, 5, 5), np.uint8)),
        ("cyx", np.zeros((5, 5, 3), np.uint8)),
        (None, np.zeros((5, 5), np.float32)),
        (None, np.zeros((5, 5), np.int16)),
    ],
)
def test_other_arrays_are_refused(axes: Any, array: Any) -> None:
    with pytest.raises(noisepress.UnsupportedImageError) as error:
        ArrayCoding.of(axes=axes).encode(array)
    assert one_line(error)


def test_archives_that_are_no_arrays() -> None:
    unequal = noisepress.archive(
        [("0", np.zeros((4, 4), np.uint8)), ("1", np.zeros((4, 5), np.uint8))], "png"
    )
    with pytest.raises(noisepress.CorruptError, match="differ in size"):
        PNG.decode(unequal)
    groups = noisepress.archive([(str(k), np.full((4, 4), k, np.uint8)) for k in range(3)], group=2)
    assert PNG.decode(groups)[:, 0, 0].tolist() == [0, 1, 2]
