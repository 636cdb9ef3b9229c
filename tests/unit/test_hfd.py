"""hfd files: pictures, sizes, options, prefixes, damage, renderings, and other machines."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from common import one_line, psnr, smooth
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import noisepress
from noisepress import cli
from noisepress.bitstream.container import read, write
from noisepress.bitstream.errors import (
    CorruptError,
    ModelError,
    NoisepressError,
    OptionError,
    UnsupportedImageError,
)
from noisepress.bitstream.header import unpack_all
from noisepress.bitstream.noise import normals
from noisepress.codec.hfd import coding, stages
from noisepress.codec.hfd.codec import FIELDS, STEPS, HfdCodec, HfdParameters
from noisepress.codec.hfd.coding import fitted, step_of
from noisepress.codec.hfd.first_stage import SECTIONS, Source
from noisepress.codec.hfd.stages import CALLS, DETAIL, Painter
from noisepress.codec.image.raster import Mode, Palette, Raster
from noisepress.codec.pixels import shown
from noisepress.codec.protocol import Decoding, Render
from noisepress.models import registry, tiling
from noisepress.models.diffusion import alpha_sigma
from noisepress.models.storage import read_network, write_network
from noisepress.models.unet import (
    RESTORING_LOGSNR,
    SCORE_LOGSNR_MAX,
    SCORE_LOGSNR_MIN,
    Known,
    UNet,
)

Samples = NDArray[np.uint8]


class Codec:
    """hfd with a small model."""

    def __init__(self, model: str) -> None:
        self.model = model

    def encode(self, image: object, **options: Any) -> bytes:
        return noisepress.encode(image, "hfd", **{"model": self.model, **options})

    def decode(self, data: bytes, **options: Any) -> NDArray[Any]:
        return noisepress.decode(data, model=self.model, **options)

    def pictures(self, data: bytes, **options: Any) -> list[NDArray[Any]]:
        return list(noisepress.decode_progressive(data, model=self.model, **options))


def number_of(data: bytes, field: str) -> int:
    number = noisepress.inspect(data).parameters[field]
    assert isinstance(number, int)
    return number


@pytest.fixture
def codec(score_model: str) -> Codec:
    return Codec(score_model)


@pytest.fixture
def restoring(restoring_model: str) -> Codec:
    """A model that also restores the pictures of the first stage."""
    return Codec(restoring_model)


# Pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_quality_buys_nearness(channels: int, codec: Codec) -> None:
    image = smooth(80, 70, channels, noise=8).squeeze()
    files = [codec.encode(image, quality=quality) for quality in range(0, 101, 10)]
    found = [psnr(codec.decode(data), image) for data in files]
    assert [number_of(files[place], "step") for place in (0, 5, 10)] == [2**17, 5793, 256]
    sizes = [len(data) for data in files[2:]]  # below, a byte more or less is the coder's last one
    assert all(more >= less - 1 for less, more in itertools.pairwise(sizes))
    assert all(nearer > farther - 0.1 for farther, nearer in itertools.pairwise(found))
    assert found[0] < 32 and found[-1] > 50


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 70), (3, 2), (64, 1), (65, 33)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_size(height: int, width: int, channels: int, codec: Codec) -> None:
    image = np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)
    for quality, least in ((0, 5), (60, 25), (100, 45)):
        found = codec.decode(
            codec.encode(image.squeeze(2) if channels == 1 else image, quality=quality)
        )
        colours = channels - (channels in (2, 4))
        assert psnr(found.reshape(image.shape)[..., :colours], image[..., :colours]) > least


def test_a_model_that_restores_makes_the_picture(codec: Codec, restoring: Codec) -> None:
    image = smooth(40, 33)
    plain, restored = (at.decode(at.encode(image)) for at in (codec, restoring))
    assert np.abs(plain.astype(int) - restored).max() > 0
    data = restoring.encode(image, psnr=psnr(restored, image))
    assert psnr(restoring.decode(data), image) >= psnr(restored, image)
    drawn = restoring.decode(restoring.encode(image), render="flow", detail=0)
    np.testing.assert_array_equal(drawn, restored)


def test_extreme_images(codec: Codec) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (70, 20, 3), np.uint8)
    flat = [np.full((20, 20, 3), shade, np.uint8) for shade in (0, 100, 255)]
    for image in (noise, *flat):
        found = codec.decode(codec.encode(image, quality=100))
        assert found.shape == image.shape and psnr(found, image) > 48
    assert len(codec.encode(flat[1], quality=100)) < 60


def test_options_change_the_file(codec: Codec) -> None:
    image = smooth(20, 18)
    plain = codec.encode(image)
    for change in ({"seed": 1}, {"quality": 61}):
        other = codec.encode(image, **change)
        assert other != plain
    assert codec.encode(image, quality=30) == plain


def test_info_names_the_parameters(codec: Codec) -> None:
    info = noisepress.inspect(codec.encode(smooth(9, 9), seed=2**32 - 1, quality=50))
    assert info.parameters == {
        "model": "number 1029",
        "digest": f"{registry.find(codec.model).digest:08x}",
        "step": 5793,
        "colours": number_of(codec.encode(smooth(9, 9)), "colours"),
        "seed": 2**32 - 1,
    }


def test_archives_hold_hfd_files(codec: Codec) -> None:
    images = {"a": smooth(20, 30), "b": smooth(9, 70, 4), "c": smooth(16, 16, 1)[..., 0]}
    options: dict[str, Any] = {"model": codec.model, "quality": 40}
    data = noisepress.archive(images.items(), "hfd", group=2, **options)
    stored = noisepress.Archive(data)
    assert [member.name for member in stored.members] == list(images)
    for name, image in images.items():
        file = codec.encode(image, quality=40)
        renderings: tuple[dict[str, Any], ...] = ({}, {"render": "flow", "detail": 0.5, "steps": 3})
        for rendering in renderings:
            found = stored.read(name, model=codec.model, **rendering)
            np.testing.assert_array_equal(found, codec.decode(file, **rendering))
    group = stored.read_group(0, model=codec.model, render="flow", steps=2)
    expected = codec.decode(codec.encode(images["a"], quality=40), render="flow", steps=2)
    assert isinstance(group[0], noisepress.Raster)
    np.testing.assert_array_equal(group[0].samples, expected)


def test_the_bundled_models_code() -> None:
    image = smooth(40, 66)
    data = noisepress.encode(image, "hfd")
    for render in get_args(Render):
        found = noisepress.decode(data, render=render, steps=2)
        assert found.shape == image.shape and found.dtype == np.uint8
    assert len(noisepress.encode(image, "hfd", bytes=len(data))) <= len(data)


# Sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_sizes_are_met(seed: int, codec: Codec) -> None:
    rng = np.random.default_rng(seed)
    image = smooth(int(rng.integers(90, 150)), 140, (1, 3, 4, 3)[seed], seed, noise=8).squeeze()
    least, most = (len(codec.encode(image, quality=quality)) for quality in (0, 90))
    for share in (0.05, 0.3, 0.8):
        allowed = round(least + share * (most - least))
        data = codec.encode(image, bytes=allowed, seed=seed)
        assert 0.98 * allowed - 8 <= len(data) <= allowed
        codec.decode(data)


def test_bytes_count_everything_in_the_file(codec: Codec) -> None:
    raster = Raster(smooth(90, 70, 4), Mode.RGBA8, icc=np.random.default_rng(0).bytes(500))
    beside = len(codec.encode(raster)) - len(codec.encode(raster.samples[..., :3]))
    assert beside > 1000
    data = codec.encode(raster, bytes=beside + 1000)
    assert beside + 900 < len(data) <= beside + 1000
    assert noisepress.decode_raster(data, model=codec.model).icc == raster.icc


@pytest.mark.parametrize("bpp", [0.5, 2.0, 5.0])
def test_bpp_are_bytes_for_the_size(bpp: float, codec: Codec) -> None:
    image = smooth(64, 100, noise=10)
    data = codec.encode(image, bpp=bpp)
    assert 0.95 * bpp <= 8 * len(data) / (64 * 100) <= bpp
    assert data == codec.encode(image, bytes=int(bpp * 64 * 100 / 8))


@pytest.mark.parametrize("given", [{"bytes": 10**6}, {"bpp": 10**5}])
def test_sizes_out_of_reach_end_at_the_least_step(given: dict[str, Any], codec: Codec) -> None:
    assert number_of(codec.encode(smooth(16, 16), **given), "step") == STEPS[0]


@pytest.mark.parametrize("given", [{"bytes": 0}, {"bytes": 100}, {"bpp": 0}, {"bpp": 0.2}])
def test_too_few_bytes_are_an_error_that_names_the_smallest_file(
    given: dict[str, Any], codec: Codec
) -> None:
    image = smooth(33, 40, 4)
    with pytest.raises(OptionError, match=r"too few: the smallest file has \d+$") as error:
        codec.encode(image, **given)
    least = int(one_line(error).split()[-1])
    assert len(codec.encode(image, bytes=least)) <= least


@pytest.mark.parametrize("shape", [(40, 70, 3), (64, 64, 1), (30, 33, 4)])
@pytest.mark.parametrize("wanted", [30.0, 38.5, 45.0])
def test_psnr_is_met_by_a_large_step(
    shape: tuple[int, int, int], wanted: float, codec: Codec
) -> None:
    """Of the colours alone."""
    image = smooth(*shape, noise=6).squeeze()

    def reached(data: bytes) -> float:
        found = codec.decode(data)
        return psnr(found[..., :3], image[..., :3]) if shape[2] == 4 else psnr(found, image)

    assert wanted <= reached(codec.encode(image, psnr=wanted)) < wanted + 0.35


def test_psnr_of_any_picture_takes_the_largest_step(codec: Codec) -> None:
    assert number_of(codec.encode(smooth(33, 17), psnr=1), "step") > 2**17


@pytest.mark.parametrize("wanted", [99, math.inf])
def test_qualities_out_of_reach_are_refused(
    wanted: float, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coding, "psnr", lambda samples, image: 40.0)
    with pytest.raises(OptionError, match=r"cannot be reached: at most 40\.00 dB is") as error:
        codec.encode(smooth(16, 16), psnr=wanted)
    one_line(error)


def test_the_least_step_keeps_every_pixel(codec: Codec) -> None:
    image = np.random.default_rng(0).integers(0, 256, (33, 50, 3), np.uint8)
    np.testing.assert_array_equal(codec.decode(codec.encode(image, psnr=math.inf)), image)


@pytest.mark.parametrize("rising", [False, True])
def test_steps_are_found_on_curves_and_stairs(rising: bool) -> None:
    sign = 1 if rising else -1
    for height, stairs in itertools.product((-3.0, 0.2, 9.0), (0, 1, 0.5)):

        def excess(step: int, height: float = height, stairs: float = stairs) -> float:
            found = float(math.log2(step) ** 1.3 - 20 + height)
            return sign * (math.floor(found / stairs) * stairs if stairs else found)

        step = fitted(excess, 5000, sign * 2.0, 0.01)
        assert step is not None and excess(step) <= 0
        assert excess(step) > -0.011 or excess(step + sign) > 0 or stairs
    assert fitted(lambda step: 1.0, 300, sign, 0.01) is None


def test_the_range_of_qualities() -> None:
    assert (step_of(0), step_of(100)) == (512 * 256, 256)
    assert STEPS[0] < step_of(100) and step_of(0) < STEPS[1]


# Options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({"quality": -1}, "0 to 100"),
        ({"quality": 100.1}, "0 to 100"),
        ({"quality": math.nan}, "0 to 100"),
        ({"quality": "high"}, "quality is 'high'"),
        ({"quality": None}, "quality is None"),
        ({"seed": -1}, "0 to 4294967295"),
        ({"seed": 2**32}, "0 to 4294967295"),
        ({"seed": 1.0}, "whole numbers"),
        ({"bpp": -0.1}, "bpp is -0.1"),
        ({"bpp": math.nan}, "bpp is nan"),
        ({"bpp": math.inf}, "bpp is inf"),
        ({"bytes": -1}, "bytes is -1"),
        ({"bytes": 100.5}, "whole numbers"),
        ({"psnr": -1}, "psnr is -1"),
        ({"psnr": math.nan}, "psnr is nan"),
        ({"effort": 8}, "quality, bpp, bytes, psnr, device, seed, model"),
        ({"steps": 8}, "unknown option 'steps'"),
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


@pytest.mark.parametrize("mode", [Mode.BILEVEL, Mode.PALETTE8, Mode.L16, Mode.RGB16, Mode.RGBA16])
@pytest.mark.parametrize("fallback", [False, True])
def test_other_layouts_are_refused(mode: Mode, fallback: bool, codec: Codec) -> None:
    palette = Palette(np.zeros((2, 3), np.uint8), b"").pack() if mode is Mode.PALETTE8 else b""
    raster = Raster(np.zeros((4, 4, mode.channels), mode.dtype), mode, palette)
    with pytest.raises(UnsupportedImageError, match=f"hfd does not code {mode.name}") as error:
        codec.encode(raster, fallback=fallback)
    one_line(error)


def test_models_of_other_codecs_are_refused(
    codec: Codec, lattice_model: str, unet_model: str
) -> None:
    image = smooth(4, 4)
    for decoder in (lattice_model, unet_model):
        wrong = "is not a score decoder for hfd|has the architecture .*, not unet"
        with pytest.raises(ModelError, match=wrong) as error:
            codec.encode(image, model=decoder)
        one_line(error)
    with pytest.raises(ModelError, match="unknown model 'hfd-huge'"):
        codec.encode(image, model="hfd-huge")
    with pytest.raises(ModelError, match="no table of errors") as error:
        noisepress.encode(image, "diffc", model=codec.model)
    one_line(error)
    with pytest.raises(ModelError) as error:
        noisepress.encode(image, model=codec.model)
    one_line(error)


def test_missing_and_changed_models_are_refused(codec: Codec, tmp_path: Path) -> None:
    data = codec.encode(smooth(4, 4))
    with pytest.raises(ModelError, match="needs model 1029") as error:
        noisepress.decode(data)
    one_line(error)
    card = registry.find(codec.model)
    network = read_network(card.path, card.architecture, card.config)
    other = tmp_path / "other.safetensors"
    write_network(network, other, name="other", number=1029, tables={}, facts={"a": 1})
    with pytest.raises(ModelError, match=f"{card.digest:08x}") as error:
        noisepress.decode(data, model=[str(other), codec.model])
    one_line(error)


# Prefixes ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::noisepress.TruncatedWarning")
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("render", ["mmse", "flow"])
def test_prefixes_decode_to_the_pictures_on_the_way(
    channels: int, render: str, codec: Codec
) -> None:
    data = codec.encode(smooth(66, 31, channels), quality=80)
    pictures = codec.pictures(data, render=render)
    ends = read(data).ends()[1:]
    assert len(pictures) == SECTIONS
    for end, picture in zip(ends[: SECTIONS - 1], pictures, strict=False):
        np.testing.assert_array_equal(codec.decode(data[:end], render=render), picture)
    np.testing.assert_array_equal(codec.decode(data, render=render), pictures[-1])
    early = codec.pictures(data[: ends[1]], render=render)
    np.testing.assert_array_equal(early, pictures[:2])


def test_pictures_on_the_way_are_what_the_encoder_knows(codec: Codec) -> None:
    image = smooth(66, 100, noise=10)
    data = codec.encode(image, quality=80)
    source, step = Source(image), step_of(80)
    payloads, known = source.coded(step)
    assert [section.payload for section in read(data).sections] == payloads
    expected = shown(source.picture(known, step).image, *image.shape)
    pictures = codec.pictures(data)
    np.testing.assert_array_equal(pictures[-1], expected)
    found = [psnr(picture, image) for picture in pictures]
    assert found == sorted(found) and found[0] < found[-1] - 3


def test_sections_without_coefficients_are_not_written(codec: Codec) -> None:
    blurred = np.repeat(np.repeat(smooth(8, 8, noise=0), 16, 0), 16, 1)
    data = codec.encode(blurred, quality=0)
    assert len(read(data).sections) < SECTIONS
    assert codec.decode(data).shape == blurred.shape


# Renderings ----------------------------------------------------------------------------------


def test_renderings_are_deterministic_and_differ(codec: Codec) -> None:
    image = smooth(33, 17)
    data, other = (codec.encode(image, seed=seed) for seed in (0, 1))
    found = {}
    for render in ("mmse", "flow", "ancestral"):
        found[render] = codec.decode(data, render=render)
        np.testing.assert_array_equal(codec.decode(data, render=render), found[render])
        assert found[render].shape == image.shape
        same = np.array_equal(codec.decode(other, render=render), found[render])
        assert same == (render == "mmse")
    for picture, another in itertools.combinations(found.values(), 2):
        assert np.abs(picture.astype(int) - another).mean() > 1
    np.testing.assert_array_equal(found["mmse"], codec.decode(data))


def spied(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The levels at which the score decoder is called."""
    levels: list[float] = []
    exact = tiling.estimate

    def spy(network: UNet, z: Tensor, logsnr: float, *args: Any) -> Tensor:
        levels.append(logsnr)
        return exact(network, z, logsnr, *args)

    monkeypatch.setattr(stages, "estimate", spy)
    return levels


def test_steps_are_the_networks_calls(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec.encode(smooth(20, 20), quality=80)
    levels = spied(monkeypatch)
    for render in ("flow", "ancestral"):
        for steps in (None, 1, 2, 13):
            levels.clear()
            codec.decode(data, render=render, steps=steps)
            assert len(levels) == (CALLS if steps is None else steps)
            assert levels == sorted(levels) and levels[0] == SCORE_LOGSNR_MIN
            assert levels[-1] == pytest.approx(SCORE_LOGSNR_MAX) or steps == 1
    levels.clear()
    codec.decode(data, steps=5)
    codec.decode(data, render="mmse", detail=0.5)
    assert not levels
    codec.pictures(data, render="flow", steps=2)
    assert len(levels) == 2 * SECTIONS


def test_restoring_is_one_call(restoring: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    data = restoring.encode(smooth(20, 20))
    levels = spied(monkeypatch)
    restoring.decode(data)
    assert levels == [RESTORING_LOGSNR]
    restoring.decode(data, render="flow", steps=2, detail=0.9)
    assert len(levels) == 4
    restoring.decode(data, render="flow", steps=2, detail=1)
    assert len(levels) == 6


def test_detail_is_how_much_of_what_is_drawn_is_shown(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = codec.encode(smooth(20, 20))
    known = codec.decode(data)
    levels = spied(monkeypatch)
    for render in ("flow", "ancestral"):
        levels.clear()
        np.testing.assert_array_equal(codec.decode(data, render=render, detail=0), known)
        assert not levels
        drawn = codec.decode(data, render=render, detail=1).astype(float)
        assert np.abs(drawn - known).max() > 1
        for detail in (0.25, DETAIL):
            shown = codec.decode(data, render=render, detail=detail)
            line = (1 - detail) * known + detail * drawn
            inside = (drawn > 0) & (drawn < 255)  # as the picture before it is clamped
            assert np.abs(shown - line)[inside].max() <= 1.5
        np.testing.assert_array_equal(codec.decode(data, render=render), shown)
    np.testing.assert_array_equal(codec.decode(data, render="mmse", detail=0.25), known)


class Ideal(nn.Module):
    """The score decoder of images that are normal around the first stage's."""

    MULTIPLE, reach = 16, 0

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = nn.Parameter(torch.tensor(deviation))

    def forward(self, z: Tensor, logsnr: Tensor, known: Known) -> Tensor:
        alpha, sigma = alpha_sigma(logsnr)
        power = (alpha * self.deviation) ** 2
        return known.image + power / (power + sigma**2) / alpha * (z - alpha * known.image)


DEVIATION = 0.1
IMAGE = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
KNOWN = Known(IMAGE, torch.tensor([4.0]))


def drawn(seed: int = 0, **options: Any) -> Tensor:
    """The difference between a drawn picture and the image that it is drawn around."""
    ideal: Any = Ideal(DEVIATION)
    decoding = Decoding(**{"render": "flow", "detail": 1.0, **options})
    return Painter(ideal, False, None, seed).drawn(KNOWN, decoding) - IMAGE


@pytest.mark.parametrize("render", ["flow", "ancestral"])
def test_what_is_drawn_is_distributed_as_images_are(render: str) -> None:
    beside = drawn(render=render, steps=200)
    assert 0.97 * DEVIATION < float(beside.std()) < 1.03 * DEVIATION
    assert abs(float(beside.mean())) < 0.005
    other = drawn(render=render, steps=200, seed=1)
    correlation = torch.corrcoef(torch.stack([beside.flatten(), other.flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.03
    few = drawn(render=render)
    assert 0.7 * DEVIATION < few.std() < 1.1 * DEVIATION


@pytest.mark.parametrize(("render", "streams"), [("flow", [0]), ("ancestral", [0, 1, 2])])
def test_no_noise_is_used_twice(
    render: str, streams: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []

    def spy(*stream: int, n: int) -> NDArray[np.float32]:
        asked.append(stream)
        return normals(*stream, n=n)

    monkeypatch.setattr(stages, "normals", spy)
    drawn(render=render, steps=3, seed=5)
    assert asked == [(5, stream) for stream in streams]


@pytest.mark.parametrize("render", ["flow", "ancestral"])
def test_detail_leads_from_the_mean_to_one_image(render: str) -> None:
    whole = drawn(render=render)
    for detail in (0, 0.1, 0.4, 0.7):
        torch.testing.assert_close(drawn(render=render, detail=detail), detail * whole)
    torch.testing.assert_close(drawn(render=render, detail=None), DETAIL * whole)


def test_decoders_for_few_calls_are_called_at_their_levels() -> None:
    asked: list[float] = []

    class Watched(Ideal):
        def forward(self, z: Tensor, logsnr: Tensor, known: Known) -> Tensor:
            asked.append(float(logsnr))
            return super().forward(z, logsnr, known)

    levels = [SCORE_LOGSNR_MIN, 2.5, 6.5]
    ideal: Any = Watched(DEVIATION)
    renders: tuple[Render, ...] = ("flow", "ancestral")
    for render in renders:
        asked.clear()
        Painter(ideal, False, levels, 0).drawn(KNOWN, Decoding(render=render))
        assert asked == pytest.approx(levels)


@pytest.mark.parametrize("command", ["flow", "ancestral"])
def test_command_line_takes_steps_and_models(command: str, codec: Codec, tmp_path: Path) -> None:
    image = smooth(20, 33)
    source, file, back = (tmp_path / name for name in ("a.png", "a.nzp", "b.png"))
    Image.fromarray(image).save(source)
    with pytest.raises(SystemExit) as done:
        encode = ("encode", str(source), str(file), "--codec", "hfd", "--quality", "40", "-q")
        cli.main([*encode, "--model", codec.model])
    assert not done.value.code
    assert file.read_bytes() == codec.encode(image, quality=40)
    with pytest.raises(SystemExit) as done:
        decode = ("decode", str(file), str(back), "--render", command, "--steps", "3")
        cli.main([*decode, "--model", codec.model])
    assert not done.value.code


# Damage --------------------------------------------------------------------------------------


def test_header_fields_come_back(codec: Codec) -> None:
    given = HfdParameters(registry.find(codec.model), 5793, 2**30 - 1, 2**32 - 1)
    packed = given.pack()
    assert HfdParameters.parse(packed, [codec.model]) == given
    values = unpack_all(FIELDS, packed, "hfd")
    assert list(values) == [field.name for field in FIELDS]
    assert (values["model"], values["step"]) == (1029, 5793)
    for wrong in (packed[:-1], packed + b"\0", b""):
        with pytest.raises(NoisepressError) as error:
            unpack_all(FIELDS, wrong, "hfd")
        one_line(error)


@pytest.mark.parametrize("filler", [b"\xff", b"\0", b"\x5a\xc3\x11"])
@pytest.mark.parametrize("step", STEPS)
def test_forged_coefficients_end_soon(filler: bytes, step: int, codec: Codec) -> None:
    """As a picture or as an error, whatever the coefficients are."""
    contents = read(codec.encode(smooth(40, 50), quality=90))
    parameters = HfdParameters(registry.find(codec.model), step, 12345, 0).pack()
    header = replace(contents.header, parameters=parameters)
    sections = [replace(part, payload=filler * 400) for part in contents.sections]
    try:
        assert codec.decode(write(header, sections)).shape == (40, 50, 3)
    except CorruptError as error:
        one_line(error)


def test_too_many_sections_are_refused(codec: Codec) -> None:
    contents = read(codec.encode(smooth(7, 9), quality=100))
    for count in (1, 5, 100):
        more = [contents.sections[-1]] * count
        with pytest.raises(CorruptError, match=f"{SECTIONS + count} data sections") as error:
            codec.decode(write(contents.header, [*contents.sections, *more]))
        one_line(error)
    for fewer in range(1, SECTIONS):
        data = write(contents.header, contents.sections[:fewer])
        assert codec.decode(data).shape == (7, 9, 3)


# The file ---------------------------------------------------------------------------------


def test_file_is_deterministic_and_options_change_it(codec: Codec) -> None:
    image = smooth(20, 18)
    plain = codec.encode(image)
    assert codec.encode(image) == plain
    for change in ({"seed": 1}, {"quality": 61}):
        other = codec.encode(image, **change)
        assert other != plain
    assert codec.encode(image, quality=30) == plain


def test_codec_is_lossy_and_has_an_id_of_its_own(codec: Codec) -> None:
    assert (HfdCodec.ID, HfdCodec.NAME, HfdCodec.LOSSLESS) == (10, "hfd", False)
    data = codec.encode(smooth(9, 9))
    noisepress.verify(data, model=codec.model)
    with pytest.raises(OptionError, match="hfd is lossy"):
        noisepress.verify(data, smooth(9, 9), model=codec.model)


@pytest.mark.parametrize("steps", [0, -1, 1001, 2.5, "8"])
@pytest.mark.parametrize("render", ["mmse", "flow"])
def test_wrong_steps_are_errors(steps: Any, render: str, codec: Codec) -> None:
    data = codec.encode(smooth(4, 4))
    for call in (codec.decode, codec.pictures):
        with pytest.raises(OptionError, match="whole numbers from 1 to 1000") as error:
            call(data, render=render, steps=steps)
        assert repr(steps) in one_line(error)
