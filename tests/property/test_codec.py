"""Round trips of random images through the whole codec."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import noisepress
from noisepress.bitstream.container import SectionKind, read
from noisepress.bitstream.errors import NoisepressError
from noisepress.codec.image.raster import Mode, Palette, Raster

Samples = NDArray[Any]

QUICK = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
COLOUR = (Mode.RGB8, Mode.RGBA8)
LATTICE = (Mode.L8, Mode.LA8, *COLOUR, Mode.L16, Mode.LA16, Mode.RGB16, Mode.RGBA16)
SIDES = st.one_of(st.integers(1, 4), st.integers(1, 40))


def metadata() -> st.SearchStrategy[bytes]:
    return st.one_of(st.just(b""), st.binary(min_size=1, max_size=80))


@st.composite
def rasters(draw: st.DrawFn, modes: tuple[Mode, ...] = tuple(Mode)) -> Raster:
    """Images of any mode and size 1x1 to 40x40, flat, smooth or random, some with metadata."""
    mode = draw(st.sampled_from(modes))
    height, width = draw(SIDES), draw(SIDES)
    shape = (height, width, mode.channels)
    colours = draw(st.integers(1, 256)) if mode is Mode.PALETTE8 else 0
    full = int(np.iinfo(mode.dtype).max) + 1
    if mode.dtype == np.uint16:
        full >>= draw(st.integers(0, 8))
    top = {Mode.BILEVEL: 2, Mode.PALETTE8: colours}.get(mode, full)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["flat", "smooth", "random", "drawn"]))
    if kind == "flat":
        samples = np.full(shape, draw(st.integers(0, top - 1)))
    elif kind == "smooth":
        row, column, channel = np.ogrid[:height, :width, : mode.channels]
        samples = (row * 3 + column * 2 + channel * 40 + rng.integers(0, 3, shape)) % top
    elif kind == "random":
        samples = rng.integers(0, top, shape)
    else:
        fill = st.integers(0, top - 1)
        samples = draw(arrays(np.int64, shape, elements=fill, fill=fill))
    if mode.dtype == np.uint16:  # values that leave out others, or start high
        samples = samples * draw(st.integers(1, 65535 // (top - 1)))
        samples += draw(st.integers(0, 65535 - int(samples.max())))
    palette = b""
    if mode is Mode.PALETTE8:
        table = rng.integers(0, 256, (colours, 3)).astype(np.uint8)
        alpha = rng.integers(0, 256, draw(st.integers(0, colours)), np.uint8).tobytes()
        palette = Palette(table, alpha.rstrip(b"\xff")).pack()
    return Raster(
        samples.astype(mode.dtype),
        mode,
        palette,
        icc=draw(metadata()),
        exif=draw(metadata()),
        xmp=draw(metadata()),
    )


@given(raster=rasters())
@QUICK
def test_lattice_order_with_fallback_keeps_every_image(raster: Raster, lattice_model: str) -> None:
    data = noisepress.encode(raster, model=lattice_model)
    assert noisepress.decode_raster(data, model=lattice_model) == raster
    noisepress.verify(data, raster, model=lattice_model)


@given(raster=rasters(LATTICE), block=st.sampled_from([16, 17, 512]))
@QUICK
def test_lattice_order_alone(raster: Raster, block: int, lattice_model: str) -> None:
    data = noisepress.encode(raster, fallback=False, model=lattice_model, block=block)
    assert noisepress.inspect(data).codec == "ardm"
    assert noisepress.decode_raster(data, model=lattice_model) == raster


@given(
    raster=rasters(COLOUR),
    calls=st.sampled_from([4, 5, 8, 12]),
    schedule=st.sampled_from(["equal", "dynamic"]),
    seed=st.integers(0, 2**32 - 1),
)
@QUICK
def test_random_order_alone(
    raster: Raster, calls: int, schedule: str, seed: int, masked_model: str
) -> None:
    options: dict[str, Any] = {
        "order": "random",
        "calls": calls,
        "schedule": schedule,
        "seed": seed,
    }
    data = noisepress.encode(raster, fallback=False, model=masked_model, **options)
    parameters = noisepress.inspect(data).parameters
    assert all(parameters[name] == value for name, value in options.items())
    assert noisepress.decode_raster(data, model=masked_model) == raster


@given(raster=rasters())
@QUICK
def test_random_order_with_fallback(raster: Raster, masked_model: str) -> None:
    data = noisepress.encode(raster, order="random", calls=6, model=masked_model)
    assert noisepress.decode_raster(data, model=masked_model) == raster


@given(raster=rasters(), codec=st.sampled_from(["webp", "png"]))
@QUICK
def test_fallbacks_alone(raster: Raster, codec: str) -> None:
    try:
        data = noisepress.encode(raster, codec, fallback=False)
    except NoisepressError:
        assert codec == "webp" and raster.mode.dtype == np.uint16
        return
    assert noisepress.inspect(data).codec == codec
    assert noisepress.decode_raster(data) == raster


@pytest.mark.filterwarnings("ignore::noisepress.TruncatedWarning")
@given(raster=rasters(LATTICE), cut=st.floats(0, 1))
@QUICK
def test_any_prefix_decodes_or_is_refused(raster: Raster, cut: float, lattice_model: str) -> None:
    data = noisepress.encode(raster, fallback=False, model=lattice_model)
    part = data[: int(cut * len(data))]
    height, width = raster.samples.shape[:2]
    try:
        picture = noisepress.decode(part, partial=True, model=lattice_model)
    except NoisepressError as error:
        assert "\n" not in str(error)
        return
    step = -(-height // picture.shape[0])
    step = max(step, -(-width // picture.shape[1]))
    step = 1 << (step - 1).bit_length()
    colour = raster.mode.channels - raster.mode.has_alpha
    shown = picture if picture.ndim == 3 else picture[..., None]
    assert np.array_equal(shown[..., :colour], raster.samples[::step, ::step, :colour])


def gradient_and_noise(height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    row, column, channel = np.ogrid[:height, :width, :3]
    shade = row + column * 0.7 + channel * 20
    image: NDArray[np.uint8]
    image = np.clip(shade + rng.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)
    return image


def test_small_blocks_round_trip_and_differ_from_one_block(lattice_model: str) -> None:
    image = gradient_and_noise(100, 70)
    files = [
        noisepress.encode(image, fallback=False, model=lattice_model, block=block)
        for block in (16, 512)
    ]
    assert files[0] != files[1]
    for data in files:
        assert np.array_equal(noisepress.decode(data, model=lattice_model), image)


SHAPES = [(1, 1), (1, 2), (2, 1), (1, 33), (33, 1), (1, 100), (100, 1), (2, 70), (33, 32), (65, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_narrow_images(shape: tuple[int, int], channels: int, lattice_model: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, channels), np.uint8)
    data = noisepress.encode(image, fallback=False, model=lattice_model)
    found = noisepress.decode(data, model=lattice_model)
    assert np.array_equal(found.reshape(image.shape), image)


def test_estimate_is_the_size_of_the_data_sections(order_and_model: tuple[str, str]) -> None:
    order, model = order_and_model
    image = gradient_and_noise(128, 128) if order == "lattice" else gradient_and_noise(48, 48)
    options: dict[str, Any] = {"order": order, "model": model}
    if order == "random":
        options["calls"] = 16
    bits = noisepress.estimate(image, **options)
    data = noisepress.encode(image, fallback=False, **options)
    sections = read(data).payloads(SectionKind.DATA)
    coded = 8 * sum(map(len, sections))
    assert abs(coded - bits) <= 0.005 * bits + 64 * len(sections)
