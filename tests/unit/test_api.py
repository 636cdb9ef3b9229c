"""The public functions: inputs, prefixes, damage, options, metadata, and any machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from common import one_line, picture, to_pillow
from numpy.typing import NDArray
from PIL import Image

import noisepress
from noisepress import Ardm, JpegXL, Png, Screen, WebP
from noisepress.bitstream.container import read
from noisepress.bitstream.errors import (
    CorruptError,
    LimitError,
    ModelError,
    OptionError,
    UnsupportedImageError,
)
from noisepress.bitstream.header import write_varint
from noisepress.codec import api
from noisepress.codec.ardm import lattice as lattice_codec
from noisepress.codec.fallback import codecs
from noisepress.codec.fallback.attempts import attempted, is_clear
from noisepress.codec.image.raster import Mode, Raster
from noisepress.codec.image.read import from_pillow
from noisepress.codec.options import Options
from noisepress.models import registry
from noisepress.models.exact import Exact
from noisepress.models.lattice import LatticeConfig, LatticeNet
from noisepress.models.masked import MaskedConfig, MaskedNet
from noisepress.models.storage import read_network, write_network

Samples = NDArray[Any]


@pytest.fixture
def options(order_and_model: tuple[str, str]) -> dict[str, Any]:
    """Options of both orders for a fast encode with a tiny model."""
    order, model = order_and_model
    calls = {"calls": 6} if order == "random" else {}
    return {"order": order, "model": model, "fallback": False, **calls}


def test_arrays_tensors_pillow_images_and_files_give_the_same_file(
    options: dict[str, Any], tmp_path: Path
) -> None:
    image = picture(21, 18)
    pillow = Image.fromarray(image)
    path = tmp_path / "image.png"
    pillow.save(path)
    inputs = [
        image,
        np.asfortranarray(image),
        torch.from_numpy(image.transpose(2, 0, 1).copy()),
        pillow,
        path,
        str(path),
        path.read_bytes(),
        from_pillow(pillow),
    ]
    files = [noisepress.encode(each, **options) for each in inputs]
    assert len(set(files)) == 1
    assert np.array_equal(noisepress.decode(files[0], model=options["model"]), image)


def test_the_seed_changes_the_file(masked_model: str) -> None:
    image = picture(9, 9)
    files = [
        noisepress.encode(
            image, order="random", model=masked_model, calls=6, fallback=False, seed=seed
        )
        for seed in (0, 1)
    ]
    assert files[0] != files[1]


def test_lattice_pictures_grow_to_the_image(lattice_model: str) -> None:
    image = picture(150, 97)
    data = noisepress.encode(image, model=lattice_model, fallback=False)
    pictures = list(noisepress.decode_progressive(data, model=lattice_model))
    assert [p.shape for p in pictures] == [(19, 13, 3), (38, 25, 3), (75, 49, 3), (150, 97, 3)]
    for shown, step in zip(pictures, (8, 4, 2, 1), strict=True):
        assert np.array_equal(shown, image[::step, ::step])


def test_random_order_pictures_sharpen_to_the_image(masked_model: str) -> None:
    """After each stage two more bits of every sample are known."""
    image = picture(12, 10)
    data = noisepress.encode(image, order="random", model=masked_model, calls=8, fallback=False)
    pictures = list(noisepress.decode_progressive(data, model=masked_model))
    assert [p.shape for p in pictures] == [image.shape] * 4
    for shown, left in zip(pictures, (6, 4, 2, 0), strict=True):
        assert np.array_equal(shown >> left, image >> left)
    assert np.array_equal(pictures[-1], image)


@pytest.mark.parametrize("mode", [Mode.L8, Mode.LA8, Mode.RGBA8])
def test_progressive_pictures_keep_the_mode(mode: Mode, lattice_model: str) -> None:
    samples = picture(40, 33, mode.channels)
    data = noisepress.encode(Raster(samples, mode), model=lattice_model, fallback=False)
    pictures = list(noisepress.decode_progressive(data, model=lattice_model))
    expected = samples[:, :, 0] if mode is Mode.L8 else samples
    assert [p.ndim for p in pictures] == [expected.ndim] * len(pictures)
    assert [p.shape[2:] for p in pictures] == [expected.shape[2:]] * len(pictures)
    assert np.array_equal(pictures[-1], expected)


def test_the_winner_is_checked(lattice_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The winner is always checked, and a damaged winner is never returned."""
    flat = np.full((40, 40, 3), 7, np.uint8)
    checked = []
    original = api._checked

    def spied(raster: Raster, file: bytes, options: Options) -> bytes:
        checked.append(file)
        return original(raster, file, options)

    monkeypatch.setattr(api, "_checked", spied)
    data = noisepress.encode(flat, model=lattice_model, effort=0)
    assert noisepress.inspect(data).codec != "ardm"
    assert checked[-1] == data

    monkeypatch.setattr(api, "decode_raster", lambda *_, **__: Raster(flat[:2, :2], Mode.RGB8))
    with pytest.raises(CorruptError, match="does not decode to itself"):
        noisepress.encode(flat, model=lattice_model, effort=0)


def test_estimate_refuses_the_same_options() -> None:
    with pytest.raises(OptionError):
        noisepress.estimate(picture(4, 4), order="raster")
    with pytest.raises(UnsupportedImageError):
        noisepress.estimate(np.zeros((4, 4), bool))


@pytest.mark.parametrize(
    ("own", "webp", "jpegxl", "extra"),
    [
        (10_000, 99_000, 99_000, []),
        (37_000, 63_000, 99_000, [WebP(effort=3)]),
        (37_000, 64_000, 99_000, []),
        (40_000, 99_000, 66_000, [JpegXL(effort=9)]),
        (40_000, 99_000, 67_000, []),
        (95_000, 98_000, 97_000, [JpegXL(effort=9), WebP(effort=1)]),
        (95_000, 96_000, 99_900, [WebP(effort=1), WebP(effort=3)]),
        (400_000, 300_000, 300_000, [WebP(effort=1), WebP(effort=3)]),
        (None, 300_000, 300_000, [WebP(effort=1), WebP(effort=3)]),
    ],
)
def test_long_searches_are_made_where_they_may_win(
    own: int | None, webp: int, jpegxl: int, extra: list[Options]
) -> None:
    """An image of 200,000 samples: 45,000 bytes are 1.8 bits a sample, 150,000 are 6."""
    sizes = {WebP: range(webp), JpegXL: range(jpegxl), Png: range(990_000)}
    known: dict[Options, range] = {} if own is None else {Ardm(): range(own)}
    files = attempted(200_000, known, lambda options: sizes.get(type(options)))
    assert list(files) == [*known, Png(), WebP(), JpegXL(), *extra]


def test_every_attempt_is_made_for_a_tiny_file() -> None:
    files = attempted(200_000, {Ardm(): b"tiny"}, lambda options: bytes(90_000))
    assert {JpegXL(effort=9), WebP(effort=1), WebP(effort=3), Screen()} < set(files)


def test_searches_beyond_screen_are_few() -> None:
    sizes = {WebP: range(20_000), JpegXL: range(20_000), Png: range(90_000), Screen: range(12_000)}
    files = attempted(200_000, {}, lambda options: sizes[type(options)])
    assert list(files) == [Png(), WebP(), JpegXL(), Screen()]
    sizes[Screen] = range(14_000)
    assert JpegXL(effort=9) in attempted(200_000, {}, lambda options: sizes[type(options)])


@pytest.mark.parametrize(
    ("screen", "jpegxl", "clear"),
    [(7_000, 10_000, True), (8_000, 10_000, False), (30_000, 90_000, False), (None, 9_000, False)],
)
def test_no_network_is_tried_where_screen_is_clearly_smaller(
    screen: int | None, jpegxl: int, clear: bool
) -> None:
    files: dict[Options, range] = {JpegXL(): range(jpegxl)}
    if screen is not None:
        files[Screen()] = range(screen)
    assert is_clear(200_000, files) is clear


def test_formats_that_do_not_take_an_image() -> None:
    known: dict[Options, bytes] = {Png(): bytes(30)}
    files = attempted(10, known, lambda options: b"?" if isinstance(options, WebP) else None)
    assert files == {**known, WebP(): b"?", WebP(effort=3): b"?", WebP(effort=1): b"?"}
    assert attempted(10, {}, lambda options: None) == {}


@pytest.mark.parametrize("codec", ["webp", "png", "jpegxl"])
def test_a_codec_is_not_its_own_fallback(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    for name in ("encode_webp", "encode_png", "encode_jpegxl"):
        real = getattr(codecs, name)

        def spied(*args: Any, name: str = name, real: Any = real) -> Any:
            calls.append((name, *args[1:]))
            return real(*args)

        monkeypatch.setattr(codecs, name, spied)
    noisepress.encode(picture(9, 9), codec)
    assert len(calls) == len(set(calls)) >= 3


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.float32), np.zeros((0, 4), np.uint8), np.zeros((2, 2, 5), np.uint8), 3],
    ids=["float", "empty", "channels", "number"],
)
def test_other_inputs_are_refused(image: object) -> None:
    with pytest.raises(UnsupportedImageError) as error:
        noisepress.encode(image)
    one_line(error)


def test_models_of_the_other_order_are_refused(lattice_model: str, masked_model: str) -> None:
    kinds = {"random": "masked", "lattice": "lattice"}
    for order, model in (("random", lattice_model), ("lattice", masked_model)):
        with pytest.raises(
            ModelError, match=f"has the architecture .*, not {kinds[order]}"
        ) as error:
            noisepress.encode(picture(4, 4), order=order, model=model)
        one_line(error)


def test_missing_and_other_models_are_refused(lattice_model: str, tmp_path: Path) -> None:
    image = picture(8, 8)
    with pytest.raises(ModelError, match="ardm-photo"):
        noisepress.encode(image, model="ardm-huge")
    data = noisepress.encode(image, model=lattice_model, fallback=False)
    with pytest.raises(ModelError, match="needs model 1024") as error:
        noisepress.decode(data)
    one_line(error)
    torch.manual_seed(9)
    other = tmp_path / "other.safetensors"
    network = LatticeNet(LatticeConfig(width=8, blocks=1, components=2, levels=2))
    write_network(network, other, name="other", number=1024, tables={}, facts={})
    with pytest.raises(ModelError) as error:
        noisepress.decode(data, model=str(other))
    digests = [registry.find(path).digest for path in (lattice_model, str(other))]
    assert all(f"{digest:08x}" in one_line(error) for digest in digests)
    assert noisepress.inspect(data).parameters["digest"] == f"{digests[0]:08x}"


def test_model_without_loss_curves_is_refused_by_the_dynamic_schedule(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    network = MaskedNet(MaskedConfig(width=4, blocks=1, components=2))
    write_network(network, path, name="bare", number=1030, tables={}, facts={})
    with pytest.raises(ModelError, match="bare has no loss curves"):
        noisepress.encode(picture(4, 4), order="random", model=str(path))


def test_limits_are_checked_before_decoding(options: dict[str, Any]) -> None:
    data = noisepress.encode(picture(10, 10), **options)
    model = options["model"]
    tight = noisepress.Limits(pixels=99)
    for call in (
        lambda: noisepress.decode(data, model=model, limits=tight),
        lambda: noisepress.inspect(data, limits=tight),
        lambda: next(noisepress.decode_progressive(data, model=model, limits=tight)),
        lambda: noisepress.decode(data, model=model, limits=noisepress.Limits(header=10)),
    ):
        with pytest.raises(LimitError) as error:
            call()
        one_line(error)
    assert noisepress.decode(data, model=model, limits=noisepress.Limits(pixels=100)).size == 300


ICC, XMP = bytes(range(256)) * 2, b"<x:xmpmeta>\xc3\xa9</x:xmpmeta>"


def test_metadata_comes_back_byte_for_byte(options: dict[str, Any]) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    image = Image.fromarray(picture(10, 12))
    out = BytesIO()
    image.save(out, "WEBP", lossless=True, icc_profile=ICC, exif=exif.tobytes(), xmp=XMP)
    data = noisepress.encode(out.getvalue(), **options)
    raster = noisepress.decode_raster(data, model=options["model"])
    assert raster.icc == ICC
    assert raster.xmp == XMP
    assert raster.exif == exif.tobytes().removeprefix(b"Exif\0\0")
    assert to_pillow(raster).getexif()[0x010E] == "a description"
    kinds = [kind for kind, *_ in noisepress.inspect(data).sections]
    assert kinds[-3:] == ["icc", "exif", "xmp"]


def test_smallest_of_all_codecs_wins(lattice_model: str) -> None:
    tiles = np.tile(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8), (8, 8, 1))
    flat = np.zeros((64, 64, 3), np.uint8)
    for image in (tiles, flat):
        sizes = {
            codec: len(noisepress.encode(image, codec, fallback=False))
            for codec in ("webp", "png", "screen")
        }
        sizes["ardm"] = len(noisepress.encode(image, model=lattice_model, fallback=False))
        best = noisepress.encode(image, model=lattice_model)
        assert len(best) <= min(sizes.values())
        assert noisepress.inspect(best).codec == "screen"


def test_info_describes_the_file(lattice_model: str) -> None:
    data = noisepress.encode(picture(40, 50), model=lattice_model, fallback=False, block=32)
    info = noisepress.inspect(data)
    assert (info.codec, info.mode, info.width, info.height) == ("ardm", "RGB8", 50, 40)
    assert info.size == len(data) and not info.truncated
    assert info.bits_per_sample == pytest.approx(8 * len(data) / 6000)
    assert info.parameters["order"] == "lattice" and info.parameters["block"] == 32
    assert [kind for kind, *_ in info.sections] == ["data", "data"]


def test_fixed_overhead_of_an_image_is_small(options: dict[str, Any]) -> None:
    data = noisepress.encode(picture(20, 20), **options)
    contents = read(data)
    entries = sum(len(write_varint(kind) + write_varint(size)) for kind, size in contents.table)
    assert contents.start - entries <= 40


def _wide(network: Exact, dtype: torch.dtype, layout: Any) -> Exact:
    made = network.to(dtype=dtype).to(memory_format=layout)
    assert isinstance(made, Exact)
    return made


@pytest.mark.parametrize(
    ("threads", "onednn", "layout", "dtype"),
    [
        (1, True, torch.contiguous_format, torch.float32),
        (1, False, torch.channels_last, torch.float32),
        (2, True, torch.channels_last, torch.float32),
        (2, False, torch.contiguous_format, torch.float32),
        (1, True, torch.channels_last, torch.float64),
        (2, False, torch.contiguous_format, torch.float64),
    ],
)
def test_file_decodes_alike_everywhere(
    options: dict[str, Any],
    dtype: torch.dtype,
    layout: Any,
    onednn: bool,
    threads: int,
    machine: Callable[[int, bool], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = picture(19, 21) if options["order"] == "lattice" else picture(12, 11)
    data = noisepress.encode(image, **options)
    card = registry.find(options["model"])
    frozen = read_network(card.path, card.architecture, card.config)
    assert isinstance(frozen, Exact)
    network = _wide(frozen, dtype, layout)
    monkeypatch.setattr(registry, "load", lambda card, device: network)
    if dtype is torch.float64:
        original = lattice_codec._to_tensor
        monkeypatch.setattr(lattice_codec, "_to_tensor", lambda x: original(x).double())
        forward = network.forward
        monkeypatch.setattr(
            network, "forward", lambda a, b, stage: forward(a.double(), b.double(), stage)
        )
    with machine(threads, onednn):
        assert np.array_equal(noisepress.decode(data, model=options["model"]), image)
        assert noisepress.encode(image, **options) == data


def test_estimate_agrees_with_the_file(options: dict[str, Any]) -> None:
    image = picture(40, 40) if options["order"] == "lattice" else picture(16, 16)
    data = noisepress.encode(image, **options)
    named = {name: value for name, value in options.items() if name != "fallback"}
    bits = noisepress.estimate(image, **named)
    sections = [length for kind, length, _ in noisepress.inspect(data).sections if kind == "data"]
    assert abs(8 * sum(sections) - bits) <= 0.005 * bits + 64 * len(sections)


def test_file_is_deterministic_and_the_seed_changes_it(masked_model: str) -> None:
    image = picture(9, 9)
    files = [
        noisepress.encode(
            image, order="random", model=masked_model, calls=6, fallback=False, seed=seed
        )
        for seed in (0, 0, 1)
    ]
    assert files[0] == files[1] != files[2]


@pytest.mark.filterwarnings("ignore::noisepress.TruncatedWarning")
def test_cut_before_the_alpha_shows_an_opaque_picture(lattice_model: str) -> None:
    image = picture(8, 8, 4)
    data = noisepress.encode(image, model=lattice_model, fallback=False)
    first, last = read(data).ends()[1:]
    found = noisepress.decode(data[: last - 1], partial=True, model=lattice_model)
    assert np.array_equal(found[..., :3], image[..., :3])
    assert (found[..., 3] == 255).all()
    colour = noisepress.decode(data[:first], partial=True, model=lattice_model)
    assert np.array_equal(found, colour)


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({"codec": "jpeg"}, "ardm, webp, png"),
        ({"speed": 3}, "order, model, block, effort, planes, seed, schedule, calls"),
        ({"order": "raster"}, "lattice, random"),
        ({"order": "random", "schedule": "cosine"}, "equal, dynamic"),
        ({"order": "random", "calls": 3}, "4 to 1024"),
        ({"order": "random", "calls": 1025}, "4 to 1024"),
        ({"order": "random", "calls": 10**12}, "4 to 1024"),
        ({"order": "random", "seed": -1}, "0 to 4294967295"),
        ({"order": "random", "seed": 2**32}, "0 to 4294967295"),
        ({"block": 15}, "16 to 4096"),
        ({"block": 0}, "16 to 4096"),
        ({"block": 4097}, "16 to 4096"),
        ({"codec": "png", "order": "lattice"}, "none"),
        ({"codec": "webp", "order": "lattice"}, "effort"),
        ({"codec": "webp", "effort": 4}, "0 to 3"),
    ],
)
@pytest.mark.parametrize("fallback", [False, True])
def test_wrong_options_name_the_supported_ones(
    given: dict[str, Any], known: str, fallback: bool
) -> None:
    with pytest.raises(OptionError) as error:
        noisepress.encode(picture(4, 4), fallback=fallback, **given)
    assert known in one_line(error)


@pytest.mark.filterwarnings("ignore::noisepress.TruncatedWarning")
def test_cut_after_the_image_loses_metadata_only(options: dict[str, Any]) -> None:
    image = picture(9, 9)
    data = noisepress.encode(Raster(image, Mode.RGB8, icc=ICC, xmp=XMP), **options)
    raster = noisepress.decode_raster(data[:-1], partial=True, model=options["model"])
    assert np.array_equal(raster.samples, image)
    assert (raster.icc, raster.xmp) == (ICC, b"")
