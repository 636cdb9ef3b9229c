"""hfd files: pictures, sizes, options, prefixes, damage, renderings, and other machines."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
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
from noisepress.bitstream.coders import Decoder, Tally
from noisepress.bitstream.container import SectionKind, read, write
from noisepress.bitstream.errors import (
    CorruptError,
    ModelError,
    NoisepressError,
    OptionError,
    UnsupportedImageError,
)
from noisepress.bitstream.header import unpack_all
from noisepress.bitstream.noise import normals
from noisepress.codec.hfd import stages
from noisepress.codec.hfd.codec import FIELDS, HfdCodec, HfdParameters
from noisepress.codec.hfd.hyperprior import SECTIONS, Hyperprior
from noisepress.codec.hfd.stages import CALLS, DETAIL, Drawer, Picture
from noisepress.codec.image.raster import Mode, Palette, Raster
from noisepress.codec.pixels import image_of, shown
from noisepress.codec.protocol import Decoding, Render
from noisepress.models import registry, tiling
from noisepress.models.autoencoder import Autoencoder
from noisepress.models.card import Card
from noisepress.models.diffusion import alpha_sigma
from noisepress.models.storage import read_network, write_network
from noisepress.models.unet import SCORE_LOGSNR_MAX, SCORE_LOGSNR_MIN, Known, UNet

Samples = NDArray[np.uint8]
LAST = 32
"""The highest rate of the small model."""


class Codec:
    """hfd with small models."""

    def __init__(self, model: str, decoder: str) -> None:
        self.model, self.decoder = model, decoder
        self.models = [model, decoder]

    def encode(self, image: object, **options: Any) -> bytes:
        given: dict[str, Any] = {"model": self.model, "decoder": self.decoder, **options}
        return noisepress.encode(image, "hfd", **given)

    def decode(self, data: bytes, **options: Any) -> NDArray[Any]:
        return noisepress.decode(data, model=self.models, **options)

    def pictures(self, data: bytes, **options: Any) -> list[NDArray[Any]]:
        return list(noisepress.decode_progressive(data, model=self.models, **options))

    def network(self) -> Autoencoder:
        found = registry.load(registry.find(self.model))
        assert isinstance(found, Autoencoder)
        return found

    def at(self, image: object, rate: int) -> bytes:
        data = self.encode(image, quality=100 * rate / LAST)
        assert rate_of(data) == rate
        return data


def rate_of(data: bytes) -> int:
    rate = noisepress.inspect(data).parameters["rate"]
    assert isinstance(rate, int)
    return rate


@pytest.fixture
def codec(autoencoder_model: str, score_model: str) -> Codec:
    return Codec(autoencoder_model, score_model)


# Pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_quality_buys_nearness(channels: int, codec: Codec) -> None:
    image = smooth(80, 70, channels).squeeze()
    files = [codec.encode(image, quality=quality) for quality in (0, 40, 100)]
    found = [psnr(codec.decode(data), image) for data in files]
    assert [rate_of(data) for data in files] == [0, 13, LAST]
    assert [len(data) for data in files] == sorted(len(data) for data in files)
    assert found == sorted(found)
    assert found[-1] > found[0] + 2


def test_the_picture_is_the_networks_reconstruction(codec: Codec) -> None:
    image, rate = smooth(64, 128), 20
    with torch.inference_mode():
        network = codec.network()
        expected = network.reconstruction(image_of(image, 64, 128), torch.tensor([float(rate)]))
    found = codec.decode(codec.at(image, rate))
    # Networks do not round where latents are expected, so that a few become another number.
    assert psnr(found, shown(expected, *image.shape)) > 50


def test_extreme_images(codec: Codec) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (70, 20, 3), np.uint8)
    flat = [np.full((20, 20, 3), shade, np.uint8) for shade in (0, 100, 255)]
    for image, least in zip((noise, *flat), (8, 38, 38, 38), strict=True):
        found = codec.decode(codec.encode(image, quality=100))
        assert found.shape == image.shape and psnr(found, image) > least


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
        "model": "number 1028",
        "digest": f"{registry.find(codec.model).digest:08x}",
        "decoder": "number 1029",
        "decoder digest": f"{registry.find(codec.decoder).digest:08x}",
        "rate": 16,
        "seed": 2**32 - 1,
    }


def test_archives_hold_hfd_files(codec: Codec) -> None:
    images = {"a": smooth(20, 30), "b": smooth(9, 70, 4), "c": smooth(16, 16, 1)[..., 0]}
    options: dict[str, Any] = {"model": codec.model, "decoder": codec.decoder, "quality": 40}
    data = noisepress.archive(images.items(), "hfd", group=2, **options)
    stored = noisepress.Archive(data)
    assert [member.name for member in stored.members] == list(images)
    for name, image in images.items():
        file = codec.encode(image, quality=40)
        renderings: tuple[dict[str, Any], ...] = ({}, {"render": "flow", "detail": 0.5, "steps": 3})
        for rendering in renderings:
            found = stored.read(name, model=codec.models, **rendering)
            np.testing.assert_array_equal(found, codec.decode(file, **rendering))
    group = stored.read_group(0, model=codec.models, render="flow", steps=2)
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
def test_the_highest_rate_that_fits_is_taken(seed: int, codec: Codec) -> None:
    rng = np.random.default_rng(seed)
    image = smooth(int(rng.integers(20, 90)), int(rng.integers(20, 90)), (1, 3, 4, 3)[seed], seed)
    least, most = (len(codec.at(image, rate)) for rate in (0, LAST))
    for share in (0, 0.3, 0.8):
        allowed = round(least + share * (most - least))
        data = codec.encode(image, bytes=allowed, seed=seed)
        rate = rate_of(data)
        assert len(data) <= allowed
        assert rate == LAST or len(codec.at(image, rate + 1)) > allowed - 4
        codec.decode(data)


def test_bytes_count_everything_in_the_file(codec: Codec) -> None:
    raster = Raster(smooth(30, 70, 4), Mode.RGBA8, icc=np.random.default_rng(0).bytes(500))
    beside = len(codec.encode(raster)) - len(codec.encode(raster.samples[..., :3]))
    assert beside > 1000
    allowed = len(codec.at(raster, 12)) + 8
    data = codec.encode(raster, bytes=allowed)
    assert len(data) <= allowed and rate_of(data) >= 11
    assert noisepress.decode_raster(data, model=codec.models).icc == raster.icc


@pytest.mark.parametrize("rate", [2, 17, 30])
def test_bpp_are_bytes_for_the_size(rate: int, codec: Codec) -> None:
    image = smooth(64, 100)
    bpp = 8 * (len(codec.at(image, rate)) + 3.7) / (64 * 100)
    data = codec.encode(image, bpp=bpp)
    assert 8 * len(data) / (64 * 100) <= bpp and rate_of(data) >= rate - 1
    assert data == codec.encode(image, bytes=int(bpp * 64 * 100 / 8))


@pytest.mark.parametrize("given", [{"bytes": 10**6}, {"bpp": 10**5}])
def test_sizes_out_of_reach_end_at_the_highest_rate(given: dict[str, Any], codec: Codec) -> None:
    assert rate_of(codec.encode(smooth(16, 16), **given)) == LAST


@pytest.mark.parametrize("given", [{"bytes": 0}, {"bytes": 100}, {"bpp": 0}, {"bpp": 0.2}])
def test_too_few_bytes_are_an_error_that_names_the_smallest_file(
    given: dict[str, Any], codec: Codec
) -> None:
    image = smooth(33, 40, 4)
    least = len(codec.at(image, 0))
    with pytest.raises(OptionError, match=f"too few: the smallest file has {least}$") as error:
        codec.encode(image, **given)
    one_line(error)
    assert len(codec.encode(image, bytes=least)) == least


@pytest.mark.parametrize("shape", [(40, 70, 3), (64, 64, 1), (30, 33, 4)])
def test_psnr_is_met_by_the_least_rate(shape: tuple[int, int, int], codec: Codec) -> None:
    """Of the colours alone."""
    image = smooth(*shape).squeeze()

    def reached(data: bytes) -> float:
        found = codec.decode(data)
        return psnr(found[..., :3], image[..., :3]) if shape[2] == 4 else psnr(found, image)

    wanted = (reached(codec.at(image, 4)) + reached(codec.at(image, 20))) / 2
    data = codec.encode(image, psnr=wanted)
    assert reached(data) >= wanted
    assert 4 < rate_of(data) <= 20
    assert reached(codec.at(image, rate_of(data) - 1)) < wanted + 0.1


def test_psnr_of_any_picture_takes_the_lowest_rate(codec: Codec) -> None:
    assert rate_of(codec.encode(smooth(33, 17), psnr=1)) == 0


@pytest.mark.parametrize("wanted", [99, math.inf])
def test_qualities_out_of_reach_are_refused(wanted: float, codec: Codec) -> None:
    with pytest.raises(OptionError, match=r"cannot be reached: at most \d\d\.\d\d dB is") as error:
        codec.encode(smooth(16, 16), psnr=wanted)
    one_line(error)


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
        ({"effort": 8}, "quality, bpp, bytes, psnr, device, seed, model, decoder"),
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
    for model in (lattice_model, unet_model, codec.decoder):
        with pytest.raises(ModelError, match=r"has the architecture .*, not autoencoder") as error:
            codec.encode(image, model=model)
        one_line(error)
    for decoder in (lattice_model, unet_model, codec.model):
        wrong = "is not a score decoder for hfd|has the architecture .*, not unet"
        with pytest.raises(ModelError, match=wrong) as error:
            codec.encode(image, decoder=decoder)
        one_line(error)
    for name in ("model", "decoder"):
        with pytest.raises(ModelError, match="unknown model 'hfd-huge'"):
            codec.encode(image, **{name: "hfd-huge"})
    for model in (codec.model, codec.decoder):
        with pytest.raises(ModelError, match=r"not unet|no table of errors") as error:
            noisepress.encode(image, "diffc", model=model)
        one_line(error)
        with pytest.raises(ModelError) as error:
            noisepress.encode(image, model=model)
        one_line(error)


def test_missing_and_changed_models_are_refused(codec: Codec, tmp_path: Path) -> None:
    data = codec.encode(smooth(4, 4))
    for given, needed in (
        (None, 1028),
        ([codec.decoder], 1028),
        ([codec.model], 1029),
    ):
        with pytest.raises(ModelError, match=f"needs model {needed}") as error:
            noisepress.decode(data, model=given)
        one_line(error)
    for path, number in ((codec.model, 1028), (codec.decoder, 1029)):
        card = registry.find(path)
        network = read_network(card.path, card.architecture, card.config)
        other = tmp_path / f"{number}.safetensors"
        write_network(network, other, name="other", number=number, tables={}, facts={"a": 1})
        with pytest.raises(ModelError, match=f"{card.digest:08x}") as error:
            noisepress.decode(data, model=[str(other), *codec.models])
        one_line(error)


# Prefixes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("render", ["mmse", "flow"])
def test_prefixes_decode_to_the_pictures_on_the_way(
    channels: int, render: str, codec: Codec
) -> None:
    data = codec.encode(smooth(66, 31, channels), quality=50)
    pictures = codec.pictures(data, render=render)
    ends = read(data).ends()[1:]
    assert len(pictures) == SECTIONS
    for end, picture in zip(ends[: SECTIONS - 1], pictures, strict=False):
        np.testing.assert_array_equal(codec.decode(data[:end], render=render), picture)
    np.testing.assert_array_equal(codec.decode(data, render=render), pictures[-1])
    early = codec.pictures(data[: ends[1]], render=render)
    np.testing.assert_array_equal(early, pictures[:2])


def test_pictures_on_the_way_are_what_the_encoder_thinks(codec: Codec) -> None:
    image, rate = smooth(66, 100), 25
    data = codec.at(image, rate)
    own = Picture(codec.network(), image)
    x, (height, width) = own._latents, own._latents.shape[2:]
    run = Hyperprior(codec.network(), rate).run(x, height, width, itertools.repeat(Tally()))
    expected = [shown(stages._synthesis(codec.network(), latents), *image.shape) for latents in run]
    pictures = codec.pictures(data)
    np.testing.assert_array_equal(pictures, expected)
    found = [psnr(picture, image) for picture in pictures]
    assert found == sorted(found) and found[0] < found[-1] - 3
    assert own.psnr(rate) == pytest.approx(found[-1])


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
        assert np.abs(picture.astype(int) - another).mean() > 2
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
    data = codec.encode(smooth(20, 20))
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
    return Drawer(ideal, None, seed).draw(KNOWN, decoding) - IMAGE


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
        Drawer(ideal, levels, 0).draw(KNOWN, Decoding(render=render))
        assert asked == pytest.approx(levels)


@pytest.mark.parametrize("command", ["flow", "ancestral"])
def test_command_line_takes_steps_and_models(command: str, codec: Codec, tmp_path: Path) -> None:
    image = smooth(20, 33)
    source, file, back = (tmp_path / name for name in ("a.png", "a.nzp", "b.png"))
    Image.fromarray(image).save(source)
    models = ("--model", codec.model, "--decoder", codec.decoder)
    with pytest.raises(SystemExit) as done:
        encode = ("encode", str(source), str(file), "--codec", "hfd", "--quality", "40", "-q")
        cli.main([*encode, *models])
    assert not done.value.code
    assert file.read_bytes() == codec.encode(image, quality=40)
    with pytest.raises(SystemExit) as done:
        decode = ("decode", str(file), str(back), "--render", command, "--steps", "3")
        cli.main([*decode, "--model", codec.model, "--model", codec.decoder])
    assert not done.value.code


# Damage --------------------------------------------------------------------------------------


def test_header_fields_come_back(codec: Codec) -> None:
    cards = registry.find(codec.model), registry.find(codec.decoder)
    packed = HfdParameters(*cards, 27, 2**32 - 1).pack()
    assert HfdParameters.parse(packed, codec.models) == HfdParameters(*cards, 27, 2**32 - 1)
    values = unpack_all(FIELDS, packed, "hfd")
    assert list(values) == [field.name for field in FIELDS]
    assert (values["model"], values["decoder"], values["rate"]) == (1028, 1029, 27)
    for wrong in (packed[:-1], packed + b"\0", b""):
        with pytest.raises(NoisepressError) as error:
            unpack_all(FIELDS, wrong, "hfd")
        one_line(error)


@pytest.mark.parametrize("rate", [LAST + 1, 2**10])
def test_rates_beyond_the_models_are_refused(rate: int, codec: Codec) -> None:
    contents = read(codec.encode(smooth(5, 6)))
    cards = registry.find(codec.model), registry.find(codec.decoder)
    header = replace(contents.header, parameters=HfdParameters(*cards, rate, 0).pack())
    data = write(header, contents.sections)
    assert rate_of(data) == rate
    with pytest.raises(CorruptError, match=f"rate {rate}, .* has {LAST}") as error:
        codec.decode(data)
    one_line(error)


def test_latents_of_ones_are_refused(codec: Codec) -> None:
    contents = read(codec.encode(smooth(7, 9), quality=5))
    *others, last = contents.sections
    forged = write(contents.header, [*others, replace(last, payload=b"\xff" * 500)])
    with pytest.raises(CorruptError) as error:
        codec.decode(forged)
    one_line(error)


def test_too_many_sections_are_refused(codec: Codec) -> None:
    contents = read(codec.encode(smooth(7, 9)))
    for count in (1, 5, 100):
        more = [contents.sections[-1]] * count
        with pytest.raises(CorruptError, match=f"{SECTIONS + count} data sections") as error:
            codec.decode(write(contents.header, [*contents.sections, *more]))
        one_line(error)
    for fewer in range(1, SECTIONS):
        data = write(contents.header, contents.sections[:fewer])
        assert codec.decode(data).shape == (7, 9, 3)


# Other machines ------------------------------------------------------------------------------


def known_to(network: Autoencoder, data: bytes) -> list[Tensor]:
    """The latents after each section."""
    contents = read(data)
    header = contents.header
    height, width = (-(-side // 64) * 4 for side in (header.height, header.width))
    decoders = (Decoder(payload) for payload in contents.payloads(SectionKind.DATA))
    return list(Hyperprior(network, rate_of(data)).run(None, height, width, decoders))


@pytest.mark.parametrize(
    ("threads", "onednn", "layout", "dtype"),
    [
        (1, True, torch.channels_last, torch.float32),
        (2, False, torch.contiguous_format, torch.float32),
        (1, False, torch.channels_last, torch.float64),
        (2, True, torch.contiguous_format, torch.float64),
    ],
)
def test_a_file_holds_the_same_symbols_everywhere(
    threads: int,
    onednn: bool,
    layout: Any,
    dtype: torch.dtype,
    codec: Codec,
    machine: Callable[[int, bool], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = smooth(70, 130)
    data = codec.encode(image, quality=60)
    expected, picture = known_to(codec.network(), data), codec.decode(data)
    changed = copy.deepcopy(codec.network()).to(memory_format=layout)
    forward = changed.hyper_synthesis.to(dtype).forward

    def in_other_numbers(hyper: Tensor) -> tuple[Tensor, Tensor]:
        mean, scale = forward(hyper.to(dtype).contiguous(memory_format=layout))
        return mean.float(), scale.float()

    monkeypatch.setattr(changed.hyper_synthesis, "forward", in_other_numbers)
    loaded = registry.load_network

    def load(card: Card, kind: Any, device: str = "cpu") -> Any:
        return changed if kind is Autoencoder else loaded(card, kind, device)

    monkeypatch.setattr("noisepress.codec.hfd.coding.load_network", load)
    with machine(threads, onednn):
        found = known_to(changed, data)
        shown_elsewhere = codec.decode(data)
        recoded = codec.encode(image, quality=60)
    assert len(found) == len(expected) == SECTIONS
    assert all(map(torch.equal, found, expected))
    assert np.abs(shown_elsewhere.astype(int) - picture).max() <= 1
    assert psnr(shown_elsewhere, image) == pytest.approx(psnr(picture, image), abs=0.05)
    assert psnr(codec.decode(recoded), image) == pytest.approx(psnr(picture, image), abs=0.05)
    assert abs(len(recoded) - len(data)) <= 0.02 * len(data)


def test_file_is_deterministic_and_options_change_it(codec: Codec) -> None:
    image = smooth(20, 18)
    plain = codec.encode(image)
    assert codec.encode(image) == plain
    for change in ({"seed": 1}, {"quality": 61}):
        other = codec.encode(image, **change)
        assert other != plain
    assert codec.encode(image, quality=30) == plain


def test_codec_is_lossy_and_has_an_id_of_its_own(codec: Codec) -> None:
    assert (HfdCodec.ID, HfdCodec.NAME, HfdCodec.LOSSLESS) == (6, "hfd", False)
    data = codec.encode(smooth(9, 9))
    noisepress.verify(data, model=codec.models)
    with pytest.raises(OptionError, match="hfd is lossy"):
        noisepress.verify(data, smooth(9, 9), model=codec.models)


@pytest.mark.parametrize("steps", [0, -1, 1001, 2.5, "8"])
@pytest.mark.parametrize("render", ["mmse", "flow"])
def test_wrong_steps_are_errors(steps: Any, render: str, codec: Codec) -> None:
    data = codec.encode(smooth(4, 4))
    for call in (codec.decode, codec.pictures):
        with pytest.raises(OptionError, match="whole numbers from 1 to 1000") as error:
            call(data, render=render, steps=steps)
        assert repr(steps) in one_line(error)
