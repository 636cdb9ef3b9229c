"""diffc files: pictures, prefixes, sizes, options, damage, and other machines' floats."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import common
import numpy as np
import pytest
import torch
from common import one_line, psnr
from numpy.typing import NDArray
from torch import Tensor

import noisepress
from noisepress.bitstream import reverse_channel
from noisepress.bitstream.container import Header, Section, SectionKind, read, write
from noisepress.bitstream.errors import (
    CorruptError,
    ModelError,
    OptionError,
)
from noisepress.codec import pixels
from noisepress.codec.diffc import rate_control
from noisepress.codec.diffc.chain import (
    HIGHEST,
    LONGEST_STEP,
    LOWEST,
    Chain,
    Errors,
    lowest_level,
    quality_level,
)
from noisepress.codec.diffc.codec import DiffcCodec
from noisepress.codec.image.raster import Mode, Raster
from noisepress.models import registry, tiling
from noisepress.models.storage import read_network, write_network

Picture = NDArray[np.uint8]
OCTAVE = 32

smooth = partial(common.smooth, noise=6)


class Codec:
    """diffc with a tiny model and little effort."""

    def __init__(self, model: str) -> None:
        self.model = model

    def encode(self, image: object, **options: Any) -> bytes:
        given: dict[str, Any] = {"model": self.model, "effort": 6, **options}
        return noisepress.encode(image, "diffc", **given)

    def decode(self, data: bytes, **options: Any) -> NDArray[Any]:
        return noisepress.decode(data, model=self.model, **options)

    def pictures(self, data: bytes, **options: Any) -> list[NDArray[Any]]:
        return list(noisepress.decode_progressive(data, model=self.model, **options))


@pytest.fixture
def codec(unet_model: str) -> Codec:
    return Codec(unet_model)


# Pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_quality_buys_nearness(channels: int, codec: Codec) -> None:
    image = smooth(33, 17, channels).squeeze()
    files = [codec.encode(image, quality=quality) for quality in (50, 65, 80, 100)]
    found = [psnr(codec.decode(data), image) for data in files]
    assert [len(data) for data in files] == sorted(len(data) for data in files)
    assert found == sorted(found)
    assert found[-1] > 36


def test_extreme_images(codec: Codec) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    flat = [np.full((20, 20, 3), shade, np.uint8) for shade in (100, 0, 255)]
    # Black and white are far from the images that the tiny model was made for.
    for image, least in zip((noise, *flat), (30, 40, 13, 13), strict=True):
        found = codec.decode(codec.encode(image, quality=100))
        assert found.shape == image.shape and psnr(found, image) > least


def test_options_change_the_file(codec: Codec) -> None:
    image = smooth(20, 18)
    plain = codec.encode(image)
    for change in ({"seed": 1}, {"effort": 7}, {"steps": 30}, {"quality": 61}):
        other = codec.encode(image, **change)
        assert other != plain
        assert psnr(codec.decode(other), image) == pytest.approx(
            psnr(codec.decode(plain), image), abs=2.5
        )


def test_info_names_the_parameters(codec: Codec) -> None:
    info = noisepress.inspect(codec.encode(smooth(9, 9), seed=2**32 - 1))
    digest = registry.find(codec.model).digest
    assert info.parameters == {
        "model": "number 1026",
        "digest": f"{digest:08x}",
        "reverse": "trellis",
        "states": 6,
        "seed": 2**32 - 1,
    }


def test_pfr_is_a_codec_too(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reverse_channel, "LONGEST", 16)  # less memory
    image = smooth(17, 20)
    data = codec.encode(image, reverse="pfr", quality=80)
    assert noisepress.inspect(data).parameters["reverse"] == "pfr"
    pictures = codec.pictures(data)
    np.testing.assert_array_equal(pictures[-1], codec.decode(data))
    assert psnr(pictures[-1], image) > 28
    assert len(codec.encode(image, reverse="pfr", bytes=500)) <= 500


# Prefixes ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::noisepress.TruncatedWarning")
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("render", ["mmse", "flow", "ancestral"])
def test_prefixes_decode_to_the_pictures_on_the_way(
    channels: int, render: str, codec: Codec
) -> None:
    data = codec.encode(smooth(16, 31, channels), quality=20)
    pictures = codec.pictures(data, render=render)
    ends = read(data).ends()[1:]
    assert len(pictures) == len(read(data).payloads(SectionKind.DATA)) > 4
    for end, shown in zip(ends[: len(pictures) - 1], pictures, strict=False):
        np.testing.assert_array_equal(codec.decode(data[:end], render=render), shown)
    np.testing.assert_array_equal(codec.decode(data, render=render), pictures[-1])
    early = codec.pictures(data[: ends[2]], render=render)
    np.testing.assert_array_equal(early, pictures[:3])


def test_sections_grow(codec: Codec) -> None:
    """Each but the last has half of what is before it, so that there are few."""
    data = codec.encode(smooth(40, 40), quality=90)
    sizes = [len(payload) for payload in read(data).payloads(SectionKind.DATA)]
    assert len(sizes) < 20
    for index in range(1, len(sizes) - 1):
        assert sizes[index] >= 0.5 * sum(sizes[:index])


# Sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_bytes_are_used_and_never_exceeded(seed: int, codec: Codec) -> None:
    rng = np.random.default_rng(seed)
    height, width, channels = (int(rng.integers(*ends)) for ends in ((20, 48), (20, 48), (1, 4)))
    image = smooth(height, width, channels if channels != 2 else 4, seed)
    if seed % 3 == 0:
        image = rng.integers(0, 256, image.shape, np.uint8)
        image[..., 3:] = 255
    fixed = len(codec.encode(image, quality=0))
    for extra in (20, 60, 150, 400):
        data = codec.encode(image, bytes=fixed + extra, seed=seed)
        assert 0.85 * (fixed + extra) - 10 <= len(data) <= fixed + extra
        codec.decode(data)


@pytest.mark.parametrize("factor", [0.1, 10])
def test_bytes_are_used_whatever_the_forecast(
    factor: float, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast = Chain.forecast_bits
    monkeypatch.setattr(Chain, "forecast_bits", lambda *args: factor * forecast(*args))
    data = codec.encode(smooth(33, 17), bytes=900)
    assert 0.9 * 900 <= len(data) <= 900


@pytest.mark.parametrize("factor", [0.1, 10])
def test_psnr_is_met_whatever_the_forecast(
    factor: float, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast = Chain.forecast_error
    monkeypatch.setattr(Chain, "forecast_error", lambda *args: factor * forecast(*args))
    image = smooth(33, 17)
    found = psnr(codec.decode(codec.encode(image, psnr=30)), image)
    assert found >= 30 and (found < 33 or factor > 1)


def test_bytes_count_everything_in_the_file(codec: Codec) -> None:
    raster = Raster(smooth(30, 30, 4), Mode.RGBA8, icc=np.random.default_rng(0).bytes(500))
    data = codec.encode(raster, bytes=1500)
    assert 0.9 * 1500 <= len(data) <= 1500
    assert noisepress.decode_raster(data, model=codec.model).icc == raster.icc


@pytest.mark.parametrize("bpp", [3, 5.5, 8])
def test_bpp_is_used_and_never_exceeded(bpp: float, codec: Codec) -> None:
    image = smooth(33, 17)
    data = codec.encode(image, bpp=bpp)
    assert 0.85 * bpp <= 8 * len(data) / (33 * 17) <= bpp
    assert data == codec.encode(image, bytes=int(bpp * 33 * 17 / 8))


@pytest.mark.parametrize("given", [{"bytes": 10**6}, {"bpp": 10**5}])
def test_sizes_out_of_reach_end_at_the_highest_level(given: dict[str, Any], codec: Codec) -> None:
    image = smooth(16, 16)
    found = codec.decode(codec.encode(image, **given))
    assert psnr(found, image) > 38


@pytest.mark.parametrize("wanted", [99, math.inf])
def test_qualities_out_of_reach_are_refused(wanted: float, codec: Codec) -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    with pytest.raises(OptionError, match=r"cannot be reached: at most \d\d\.\d\d dB is") as error:
        codec.encode(image, psnr=wanted)
    one_line(error)


def wild_model(model: str, path: Path) -> str:
    """The same network with a table of errors that makes gains jump at every step."""
    card = registry.find(model)
    errors = np.array(card.tables["errors"])
    jumps = np.where(np.arange(len(errors)) % 2, 128, -128)[:, None]
    tables = {**card.tables, "errors": (errors + jumps).tolist()}
    network = read_network(card.path, card.architecture, card.config)
    write_network(network, path, name="wild", number=1040, tables=tables, facts={})
    return str(path)


@pytest.mark.parametrize("kind", ["trellis", "pfr"])
def test_bytes_are_not_exceeded_with_a_table_that_is_wrong(
    kind: str, codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reverse_channel, "LONGEST", 16)  # less memory for pfr
    model = wild_model(codec.model, tmp_path / "wild.safetensors")
    image = smooth(21, 30)
    for size in range(150, 700, 25 if kind == "trellis" else 110):
        data = codec.encode(image, model=model, reverse=kind, bytes=size)
        assert len(data) <= size
    assert noisepress.decode(data, model=model).shape == image.shape


@pytest.mark.parametrize(
    ("shape", "wanted"), [((33, 17, 3), 20), ((33, 17, 3), 32.5), ((9, 30, 1), 36)]
)
def test_psnr_is_met_by_the_mmse_picture(
    shape: tuple[int, int, int], wanted: float, codec: Codec
) -> None:
    image = smooth(*shape).squeeze()
    data = codec.encode(image, psnr=wanted)
    assert wanted <= psnr(codec.decode(data), image) < wanted + 5
    assert len(data) < len(codec.encode(image, psnr=wanted + 6))


def test_psnr_is_of_the_colours_alone(codec: Codec) -> None:
    image = smooth(20, 20, 4)
    found = codec.decode(codec.encode(image, psnr=30))
    assert 30 <= psnr(found[..., :3], image[..., :3]) < 35


@pytest.mark.parametrize(
    "given", [{"bytes": 0}, {"bytes": 40}, {"bpp": 0}, {"bpp": 0.01}, {"bytes": 52}]
)
def test_too_few_bytes_are_an_error(given: dict[str, Any], codec: Codec) -> None:
    with pytest.raises(OptionError, match="too few") as error:
        codec.encode(smooth(20, 20, 4), **given)
    one_line(error)


# Options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({"quality": -1}, "0 to 100"),
        ({"quality": 100.1}, "0 to 100"),
        ({"quality": math.nan}, "0 to 100"),
        ({"steps": 9}, "10 to 1000"),
        ({"steps": 1001}, "10 to 1000"),
        ({"effort": 5}, "6 to 16"),
        ({"effort": 17}, "6 to 16"),
        ({"seed": -1}, "0 to 4294967295"),
        ({"seed": 2**32}, "0 to 4294967295"),
        ({"bpp": -0.1}, "bpp is -0.1"),
        ({"bpp": math.nan}, "bpp is nan"),
        ({"bpp": math.inf}, "bpp is inf"),
        ({"bytes": -1}, "bytes is -1"),
        ({"psnr": -1}, "psnr is -1"),
        ({"reverse": "viterbi"}, "trellis, pfr"),
        ({"steps": 24.0}, "steps is 24.0, supported are whole numbers from 10 to 1000"),
        ({"bytes": 100.5}, "whole numbers"),
        ({"quality": "high"}, "quality is 'high'"),
        ({"effort": None}, "effort is None"),
        ({"colour": 3}, "quality, bpp, bytes, psnr, device, seed, steps, effort, reverse, model"),
        ({"bpp": 1, "bytes": 100}, "exclude each other"),
        ({"bpp": 1, "psnr": 30}, "exclude each other"),
        ({"bytes": 100, "psnr": 30}, "exclude each other"),
    ],
)
def test_wrong_options_name_the_supported_ones(
    given: dict[str, Any], known: str, codec: Codec
) -> None:
    with pytest.raises(OptionError) as error:
        codec.encode(smooth(4, 4), **given)
    assert known in one_line(error)


@pytest.mark.parametrize("quality", [0, 0.5, 1, 2, 100])
@pytest.mark.parametrize("steps", [10, 1000])
def test_options_at_their_limits(quality: float, steps: int, codec: Codec) -> None:
    image = smooth(5, 5)
    assert codec.decode(codec.encode(image, quality=quality, steps=steps)).shape == image.shape


def test_models_of_other_codecs_are_refused(
    codec: Codec, lattice_model: str, tmp_path: Path
) -> None:
    image = smooth(4, 4)
    with pytest.raises(
        ModelError, match="tiny-lattice has the architecture lattice, not unet"
    ) as error:
        codec.encode(image, model=lattice_model)
    one_line(error)
    with pytest.raises(ModelError, match="has the architecture unet, not lattice"):
        noisepress.encode(image, model=codec.model)
    card = registry.find(codec.model)
    network = read_network(card.path, card.architecture, card.config)
    bare = tmp_path / "bare.safetensors"
    write_network(network, bare, name="bare", number=1041, tables={}, facts={})
    with pytest.raises(ModelError, match="bare has no table of errors") as error:
        codec.encode(image, model=str(bare))
    one_line(error)
    with pytest.raises(ModelError, match="unknown model"):
        codec.encode(image, model="diffc-huge")


def test_missing_and_changed_models_are_refused(codec: Codec, tmp_path: Path) -> None:
    data = codec.encode(smooth(4, 4))
    with pytest.raises(ModelError, match="needs model 1026") as error:
        noisepress.decode(data)
    one_line(error)
    card = registry.find(codec.model)
    network = read_network(card.path, card.architecture, card.config)
    other = tmp_path / "other.safetensors"
    write_network(network, other, name="other", number=1026, tables=card.tables, facts={"a": 1})
    with pytest.raises(ModelError, match=f"{card.digest:08x}") as error:
        noisepress.decode(data, model=str(other))
    one_line(error)


# Renderings ----------------------------------------------------------------------------------


def test_renderings_are_deterministic_and_differ(codec: Codec) -> None:
    image = smooth(33, 17)
    data = codec.encode(image, quality=20)
    found = {}
    for render in ("mmse", "flow", "ancestral"):
        found[render] = codec.decode(data, render=render)
        np.testing.assert_array_equal(codec.decode(data, render=render), found[render])
        assert found[render].shape == image.shape
    for picture, other in itertools.combinations(found.values(), 2):
        assert np.abs(picture.astype(int) - other).mean() > 2
    np.testing.assert_array_equal(found["mmse"], codec.decode(data))
    assert psnr(found["mmse"], image) > max(
        psnr(found[name], image) for name in found if name != "mmse"
    )


def spied(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The levels at which the denoiser is called."""
    calls: list[float] = []
    exact = tiling.estimate

    def spy(*args: Any) -> Tensor:
        calls.append(args[2])
        return exact(*args)

    monkeypatch.setattr(tiling, "estimate", spy)
    return calls


def test_only_pictures_that_are_asked_for_are_rendered(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = codec.encode(smooth(9, 9), quality=20)
    calls = spied(monkeypatch)
    counts = []
    for decode, render in itertools.product((codec.decode, codec.pictures), ("mmse", "flow")):
        calls.clear()
        decode(data, render=render)
        counts.append(len(calls))
    # The estimates that the chain needs are mmse pictures; one flow takes some ten calls.
    assert counts[0] == counts[2] < counts[1] < counts[0] + 14 < counts[3]


@pytest.mark.parametrize("render", ["flow", "ancestral"])
def test_steps_are_the_networks_calls(
    render: str, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = codec.encode(smooth(9, 9), quality=20)
    calls = spied(monkeypatch)
    counts = []
    for steps in (1, 2, 9):
        calls.clear()
        codec.decode(data, render=render, steps=steps)
        counts.append(len(calls))
    assert counts[1] == counts[0] + 1 and counts[2] == counts[0] + 8
    calls.clear()
    codec.decode(data, steps=9)
    assert len(calls) == counts[0]


def test_steps_are_no_more_than_there_are_levels(codec: Codec) -> None:
    data = codec.encode(smooth(9, 9), quality=100)
    mean = codec.decode(data)
    found = codec.decode(data, render="ancestral", steps=1000)
    assert np.abs(found.astype(int) - mean).mean() < 4
    unchanged = codec.decode(data, render="flow", detail=0, steps=5)
    assert np.abs(unchanged.astype(int) - mean).max() <= 1


def test_detail_leads_from_the_mean_to_one_image(codec: Codec) -> None:
    data = codec.encode(smooth(33, 17), quality=20)
    mean = codec.decode(data)
    pictures = [codec.decode(data, render="flow", detail=detail) for detail in (0, 0.25, 0.5, 1)]
    apart = [float(np.abs(picture.astype(int) - mean).mean()) for picture in pictures]
    assert np.abs(pictures[0].astype(int) - mean).max() <= 1
    assert apart == sorted(apart) and apart[1] > 0.1
    np.testing.assert_array_equal(pictures[-1], codec.decode(data, render="flow"))
    for render in ("mmse", "ancestral"):
        np.testing.assert_array_equal(
            codec.decode(data, render=render, detail=0.25), codec.decode(data, render=render)
        )


# Damage --------------------------------------------------------------------------------------


def _with(h: Header, position: int, value: int) -> Header:
    """One byte of the codec's parameters set."""
    parameters = bytearray(h.parameters)
    parameters[position] = value
    return replace(h, parameters=bytes(parameters))


@pytest.mark.parametrize("kind", [0, 1], ids=["trellis", "pfr"])
def test_random_data_with_good_checksums_is_a_picture_or_an_error(
    kind: int, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reverse_channel, "LONGEST", 16)  # less memory for pfr
    contents = read(codec.encode(smooth(6, 5), quality=20))
    header = _with(contents.header, 6, kind)
    rng = np.random.default_rng(0)
    outcomes = set()
    for size in (0, 1, 2, 3, 5, 9, 20, 50, 100, 200):
        forged = write(header, [Section(0, rng.bytes(size))])
        try:
            assert codec.decode(forged).shape == (6, 5, 3)
        except CorruptError as error:
            assert "\n" not in str(error)
            outcomes.add("error")
        else:
            outcomes.add("picture")
    assert outcomes == {"error", "picture"}


def test_steps_beyond_the_highest_level_are_refused(codec: Codec) -> None:
    data = codec.encode(smooth(6, 5), quality=100)
    contents = read(data)
    more = Section(0, contents.sections[0].payload)
    for count in range(1, 8):
        forged = write(contents.header, [*contents.sections, *[more] * count])
        try:
            codec.decode(forged)
        except CorruptError as error:
            assert "beyond the range of noise levels" in str(error)
            return
    raise AssertionError("no step was refused")


# Other machines ------------------------------------------------------------------------------


def shake(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    """Make the denoiser's output differ as that of another machine does."""
    exact, generator = tiling.estimate, torch.Generator().manual_seed(0)

    def shaken(*args: Any, **kwargs: Any) -> Tensor:
        found = exact(*args, **kwargs)
        return found * (1 + size * torch.randn(found.shape, generator=generator))

    monkeypatch.setattr(tiling, "estimate", shaken)


@pytest.mark.parametrize("render", ["mmse", "flow", "ancestral"])
@pytest.mark.parametrize(("size", "most", "mean"), [(1e-6, 1, 0.02), (1e-2, 60, 4)])
def test_other_floats_cost_a_few_levels_and_never_the_picture(
    size: float,
    most: int,
    mean: float,
    render: str,
    codec: Codec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = codec.encode(smooth(33, 17), quality=70)
    expected = codec.pictures(data, render=render)
    shake(monkeypatch, size)
    found = codec.pictures(data, render=render)
    assert len(found) == len(expected)
    for picture, other in zip(found, expected, strict=True):
        apart = np.abs(picture.astype(int) - other)
        assert apart.max() <= most and apart.mean() <= mean
    assert size < 1e-3 or any((a != b).any() for a, b in zip(found, expected, strict=True))


def test_other_convolutions_give_the_same_picture_up_to_rounding(codec: Codec) -> None:
    image = smooth(40, 33)
    data = codec.encode(image)
    expected = codec.decode(data)
    with torch.backends.mkldnn.flags(enabled=False):
        found = codec.decode(data)
        again = codec.encode(image)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert abs(len(again) - len(data)) < 0.05 * len(data)


# Levels --------------------------------------------------------------------------------------


FALLING = Errors(
    LOWEST, np.arange(25)[:, None] * np.full((1, 192), -OCTAVE // 2), np.zeros(192, np.int64)
)
"""Errors that halve with every two octaves."""


@pytest.mark.parametrize("first", [LOWEST, -352, -193, -192, -191, -128])
@pytest.mark.parametrize("last", [-128, -127, -120, -64, 0, 160, HIGHEST])
@pytest.mark.parametrize("steps", [10, 24, 1000])
def test_levels_rise_to_the_last_one(first: int, last: int, steps: int) -> None:
    levels = rate_control.levels(FALLING, first, last, steps)
    assert levels[0] == first and levels[-1] == max(first, last)
    if len(levels) > 1:
        lengths = np.diff(levels)
        assert lengths.min() >= 1 and lengths.max() <= LONGEST_STEP
    assert len(levels) <= max(steps, 14)
    assert len(levels) >= min(steps, last - first + 1, 10)


def test_steps_have_equal_information_unless_they_get_too_long() -> None:
    levels = rate_control.levels(FALLING, -352, 160, 24)
    assert len(levels) == 24
    assert levels[:3] == [-352, -288, -224]
    sent = np.cumsum(FALLING.densities)
    each = np.diff([sent[level - LOWEST] for level in levels])
    lengths = np.diff(levels)
    longest = lengths == LONGEST_STEP
    assert 2 < longest.sum() < 12 and not np.any(np.diff(longest.astype(int)) > 0)
    assert each[longest].max() < each[~longest].min()
    assert each[~longest].max() < 1.3 * each[~longest].min()  # levels are whole numbers


def test_chains_of_few_steps_take_as_many_as_they_need() -> None:
    assert len(rate_control.levels(FALLING, -352, 160, 1)) == 9


def test_lowest_level_falls_with_the_size() -> None:
    assert lowest_level(128, 192) == -9 * OCTAVE
    assert lowest_level(256, 192) == -10 * OCTAVE
    assert lowest_level(2**12, 2**12) == LOWEST
    assert lowest_level(1, 1) == -4 * OCTAVE
    falling = [lowest_level(1, 2**exponent) for exponent in range(25)]
    assert falling == sorted(falling, reverse=True)
    assert lowest_level(100, 7) == lowest_level(7, 100)


def test_quality_is_linear_in_the_level() -> None:
    levels = [quality_level(quality) for quality in range(101)]
    assert (levels[0], levels[100]) == (-4 * OCTAVE, HIGHEST)
    assert {round(step * 10) for step in np.diff(levels)} <= {40, 50}


@pytest.mark.parametrize("shape", [(5, 7, 1), (5, 7, 3), (16, 16, 3)])
def test_padding_repeats_the_last_row_and_column(shape: tuple[int, int, int]) -> None:
    samples = smooth(*shape)
    padded = pixels.image_of(samples, 16, 16)
    assert padded.shape == (1, 3, 16, 16)
    shown = ((padded[0] + 2) * 255 / 4).round().permute(1, 2, 0).numpy()
    rows = np.minimum(np.arange(16), shape[0] - 1)[:, None]
    columns = np.minimum(np.arange(16), shape[1] - 1)
    np.testing.assert_array_equal(shown, np.broadcast_to(samples[rows, columns], (16, 16, 3)))
    assert pixels.psnr(samples, padded) == math.inf
    assert pixels.psnr(samples, padded + 4 / 255) == pytest.approx(20 * math.log10(255), abs=0.1)


def test_file_is_deterministic_and_options_change_it(codec: Codec) -> None:
    image = smooth(20, 18)
    plain = codec.encode(image)
    assert codec.encode(image) == plain
    for change in ({"seed": 1}, {"effort": 7}, {"steps": 30}, {"quality": 61}):
        other = codec.encode(image, **change)
        assert other != plain
        assert psnr(codec.decode(other), image) == pytest.approx(
            psnr(codec.decode(plain), image), abs=2.5
        )


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({"render": "best"}, "mmse, flow, ancestral"),
        ({"render": ""}, "mmse, flow, ancestral"),
        ({"detail": -0.1}, "0 to 1"),
        ({"detail": 1.1}, "0 to 1"),
        ({"detail": math.nan, "render": "flow"}, "0 to 1"),
    ],
)
def test_wrong_renderings_are_errors(given: dict[str, Any], known: str, codec: Codec) -> None:
    data = codec.encode(smooth(4, 4), quality=0)
    for call in (codec.decode, codec.pictures):
        with pytest.raises(OptionError) as error:
            call(data, **given)
        assert known in one_line(error)


def test_codec_is_lossy_and_has_an_id_of_its_own() -> None:
    assert (DiffcCodec.ID, DiffcCodec.NAME, DiffcCodec.LOSSLESS) == (4, "diffc", False)
