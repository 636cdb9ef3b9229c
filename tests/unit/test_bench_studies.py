"""Studies of the codecs' parts, and the file that an interrupted one continues from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import noisepress
from noisepress.benchmarks.studies import (
    bands,
    bits_back,
    chains,
    decoders,
    fallbacks,
    jpegfiles,
    loans,
    planes,
    rates,
    stacks,
    synthetic,
)
from noisepress.benchmarks.studies.chains import Point, Variant, flat, summaries
from noisepress.benchmarks.studies.points import measure_missing, middle, read, write
from noisepress.bitstream.errors import ModelError
from noisepress.codec.ardm.codec import Planes
from noisepress.codec.diffc.chain import Errors
from noisepress.codec.diffc.coding import denoiser
from noisepress.codec.image.raster import Mode, Raster
from noisepress.models.registry import find, load
from noisepress.models.storage import write_network

CROPS = 14


def photo(height: int, width: int) -> NDArray[np.uint8]:
    """Soft shades with grain."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:height, :width][..., None]
    shade = 120 + 50 * np.sin(row / 30 + np.arange(3) / 2) + 20 * np.cos(column / 17)
    noisy: NDArray[np.float64] = (shade + rng.normal(0, 5, shade.shape)).clip(0, 255)
    return noisy.astype(np.uint8)


@dataclass(frozen=True)
class Product:
    """A point for tests."""

    first: int
    second: int
    value: float

    @property
    def job(self) -> tuple[int, int]:
        return self.first, self.second


def test_an_interrupted_study_measures_what_is_missing(tmp_path: Path) -> None:
    path, calls = tmp_path / "points.json", []

    def measure(first: int, second: int) -> Product:
        if second > 4:
            raise KeyboardInterrupt
        calls.append((first, second))
        return Product(first, second, first * second / 8)

    with pytest.raises(KeyboardInterrupt):
        measure_missing(path, Product, measure, [(3, 4), (2, 3), (1, 5)])
    assert read(path, Product) == [Product(3, 4, 1.5), Product(2, 3, 0.75)]
    measure_missing(path, Product, measure, [(3, 4), (1, 1), (2, 3)])
    assert calls == [(3, 4), (2, 3), (1, 1)]
    assert read(path, Product)[2] == Product(1, 1, 0.125)


@pytest.mark.parametrize(
    "point",
    [
        Point("a.png", "pfr", 36, True, 60.0, 1000, 81.5, 70.25, 33.5),
        bits_back.Point("crops", "vdm", 10, 100, 333, 320.5),
        decoders.Point(3, "x", 4, 0.25, 29.5, 300.0),
        loans.Loan("a.png", 10, 9.5, 50.25),
    ],
)
def test_points_come_back_from_the_file(
    point: Point | bits_back.Point | decoders.Point | loans.Loan, tmp_path: Path
) -> None:
    write([point, point], tmp_path / "points.json")
    assert read(tmp_path / "points.json", type(point)) == [point, point]


def points(variant: Variant, factor: float, divergence: float) -> list[Point]:
    """Two images whose rate is factor 2^(dB / 6) / 64."""
    return [
        Point(
            name,
            **vars(variant),
            quality=quality,
            pixels=1000,
            bits=bits,
            divergence=divergence * bits,
            psnr=psnr,
        )
        for quality, psnr in ((20.0, 26.0), (40.0, 32.0), (60.0, 37.0))
        for name in ("a", "b")
        for bits in [1000 * factor * 2 ** (psnr / 6) / 64]
    ]


def test_summaries_interpolate_rates_and_add_up_bits() -> None:
    variants = Variant("trellis12"), Variant("ideal", 12, False)
    first, second = summaries([*points(variants[0], 1, 0.8), *points(variants[1], 0.5, 1)])
    assert (first.variant, second.variant) == variants
    assert first.overhead == pytest.approx(0.25)
    assert second.overhead == pytest.approx(0)
    expected = [2 ** (level / 6) / 64 for level in chains.LEVELS]
    assert first.rates == pytest.approx(expected)
    assert second.rates == pytest.approx([rate / 2 for rate in expected])


@pytest.mark.parametrize("coder", ["ideal", "trellis8"])
def test_measured_files_of_diffc(coder: str) -> None:
    picture = np.random.default_rng(0).integers(100, 140, (24, 40, 3)).astype(np.uint8)
    variant = Variant(coder, 10)
    small, large = (chains.measure(picture, "x", variant, quality) for quality in (40, 60))
    assert (small.job, small.pixels) == (("x", variant, 40), 24 * 40)
    assert small.psnr < large.psnr
    for point in (small, large):
        assert point.bits == point.divergence if coder == "ideal" else point.bits % 8 == 0
    growth = (large.bits - small.bits) / (large.divergence - small.divergence)
    assert growth == 1 if coder == "ideal" else 0.9 < growth < 1.6


def test_flat_errors_have_the_same_mean() -> None:
    _, errors = denoiser(find("diffc-photo"), "cpu")
    even = flat(errors)
    assert isinstance(even, Errors) and even.first == errors.first
    for level in (None, -100, 0, 77):
        values = even.at(level)
        assert len(set(values.tolist())) == 1
        mean = math.log2(np.exp2(errors.at(level) / 32).mean()) * 32
        assert abs(values[0] - mean) <= 4


@pytest.mark.parametrize(("shape", "kept"), [((300, 400), (256, 256)), ((300, 100), (256, 100))])
def test_middle(shape: tuple[int, int], kept: tuple[int, int]) -> None:
    image = np.indices((*shape, 3)).sum(0).astype(np.uint8)
    found = middle(image, 256, 256)
    assert found.shape == (*kept, 3)
    top, left = ((whole - part) // 2 for whole, part in zip(shape, kept, strict=True))
    np.testing.assert_array_equal(found, image[top : top + kept[0], left : left + kept[1]])


def test_files_of_vdm_are_about_the_bound() -> None:
    crops = bits_back.crops_of({"a": photo(130, 260), "b": photo(390, 64)}, CROPS)
    assert len(crops) == CROPS
    assert {name[0] for name, _ in crops} == {"a", "b"}
    assert all(image.shape == (64, 64, 3) for _, image in crops)
    point = bits_back.measure("crops", crops, "vdm", 2)
    assert point.job == ("crops", "vdm", 2)
    assert point.samples == CROPS * 64 * 64 * 3
    assert 1 < point.bits / point.bound < 1.05  # headers of small files


@pytest.mark.parametrize("codec", ["ardm", "jpegxl-lossless"])
def test_peers_of_vdm_code_the_same_images(codec: str) -> None:
    crops = bits_back.crops_of({"a": photo(64, 128)}, CROPS)
    point = bits_back.measure("crops", crops, codec, 0)
    assert (point.steps, point.bound, point.samples) == (0, 0, 2 * 64 * 64 * 3)
    assert 2 < point.bits / point.samples < 8


def test_bit_swap_borrows_two_values_and_the_top_down_order_all() -> None:
    few, many = (loans.measure(photo(64, 64), "x", steps) for steps in (2, 6))
    assert 5 < few.bit_swap < 13 and 5 < many.bit_swap < 13
    assert few.top_down == pytest.approx(3 * 4.7, rel=0.2)
    assert many.top_down == pytest.approx(7 * 4.7, rel=0.2)


ROW, COLUMN = np.mgrid[:128, :128][..., None]
SHADES = (120 + 60 * np.sin(ROW / 9 + COLUMN / 7 + np.arange(3))).astype(np.uint8)
IMAGES = [SHADES, SHADES[::-1].copy()]


def test_the_first_stage_is_measured_once_and_every_decoder_at_all_calls() -> None:
    bundled = decoders.BUNDLED
    assert decoders.ways([bundled]) == [("", 0), *((bundled, calls) for calls in decoders.CALLS)]


def test_a_decoder_made_for_few_calls_is_measured_at_its_own(tmp_path: Path) -> None:
    path = str(tmp_path / "few.safetensors")
    network = load(find(decoders.BUNDLED))
    tables = {"levels": [-46, 58, 162]}
    write_network(network, Path(path), name="few", number=1100, tables=tables, facts={})
    assert decoders.ways([path])[1:] == [(path, 3)]
    point = decoders.measure(IMAGES, path, 3)
    assert point.job == ("few", 3) and point.frechet > 0


def test_pictures_cost_the_same_by_all_decoders() -> None:
    ways = (("", 0), (decoders.BUNDLED, 1), (decoders.BUNDLED, 3))
    first, few, more = (decoders.measure(IMAGES, *way) for way in ways)
    assert (first.job, few.job) == ways[:2]
    assert first.images == 2
    assert first.bpp == few.bpp == more.bpp > 0
    assert len({first.psnr, few.psnr, more.psnr}) == 3
    assert all(point.frechet > 0 for point in (first, few, more))


def test_decoders_of_files_are_named_by_the_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read"):
        decoders.measure(IMAGES, str(tmp_path / "own.safetensors"), 1)


def test_parts_of_hfd_are_left_out_one_by_one() -> None:
    image = photo(128, 160)
    found = {
        way: bands.measure(image, "a.png", way, settings[1])
        for way, settings in bands.ways().items()
    }
    whole = found[bands.FIRST_STAGE]
    assert found[bands.RESTORED].bytes == whole.bytes
    assert found[bands.RESTORED].psnr != whole.psnr
    for way in (bands.FIXED, *bands.LEFT_OUT):
        assert (found[way].bytes, found[way].psnr) != (whole.bytes, whole.psnr), way
    assert found["without choosing by cost"].psnr > whole.psnr
    assert found["without the lesson"].bytes > whole.bytes
    assert bands.measure(image, "a.png", bands.FIRST_STAGE, 28) == whole


def test_the_table_of_hfds_parts_compares_sizes_at_equal_psnr() -> None:
    points = [
        bands.Point(image, way, setting, round(size * factor), psnr)
        for image in ("a.png", "b.png")
        for way, factor in zip(bands.ways(), np.linspace(1, 1.5, 10), strict=True)
        for setting, size, psnr in ((4, 4000, 44.0), (3, 2000, 38.0), (2, 1000, 33.0))
    ]
    rows = bands.table(points).splitlines()
    assert len(rows) == 2 + 9 and rows[0] == "| | mean | a.png | b.png |"
    assert rows[-1] == "| AVIF, 4:4:4, speed 4 | +50.0 % | +50.0 % | +50.0 % |"


def test_seams_are_steps_on_a_grid() -> None:
    image = photo(256, 256).astype(int)
    row, column = np.mgrid[:256, :256][..., None]
    blocks = (image + 6 * ((row // 16 + column // 16) % 2)).clip(0, 255).astype(np.uint8)
    eight, sixteen, thirty_two, _ = rates.seams(blocks)
    assert sixteen > 1.3 and 1 < eight < sixteen and 1 < thirty_two < sixteen
    assert all(abs(found - 1) < 0.06 for found in rates.seams(image.astype(np.uint8)))


def test_rates_and_seams_make_tables() -> None:
    goals = [("hfd", "bpp=0.5"), ("hfd", "psnr=45"), *list(rates.goals())[-2:]]
    image = photo(136, 136)
    points = [rates.measure(image, "a.png", *goal) for goal in goals]
    small, large, peer, original = points
    assert 0.45 * image[..., 0].size < 8 * small.bytes <= 0.5 * image[..., 0].size
    assert large.psnr >= 45 and peer.bytes <= 0.15 * image[..., 0].size / 8
    assert original.seams == rates.seams(image)
    assert rates.falls(points) == 0
    assert rates.falls([*points, replace(small, goal="bpp=1", bytes=10**6)]) == 1
    rows = rates.rates_table([small, small, large]).splitlines()
    rate = 8 * small.bytes / small.pixels
    assert rows[2] == (
        f"| bpp 0.5 | {rate:.3f} | {small.psnr:.2f} to {small.psnr:.2f} | {rate / 0.5 - 1:+.2%} |"
    )
    seams = rates.seams_table([replace(small, goal=rates.LOOKED_AT), peer, original])
    assert [row.split(" | ")[0] for row in seams.splitlines()[2:]] == [
        "| hfd", "| avif-psnr", "| original"
    ]  # fmt: skip


def test_planes_save_bytes_where_there_are_planes() -> None:
    picture = BytesIO()
    Image.fromarray(photo(64, 96)).save(picture, "JPEG", quality=95, subsampling=0)
    decoded = np.asarray(Image.open(picture))
    found, without = (planes.measure(decoded, "a.jpg", way) for way in get_args(Planes))
    assert (without.job, found.job) == (("a.jpg", "rgb"), ("a.jpg", "auto"))
    assert found.found == "jpeg" and found.bytes < 0.95 * without.bytes
    rows = planes.table([without, found]).splitlines()
    difference = f"{found.bytes / without.bytes - 1:+.1%}".replace("%", " %")
    cells = f"{found.bytes:,} | {without.bytes:,} | {difference} |"
    assert rows[2:] == [f"| a.jpg | jpeg | {cells}", f"| all |  | {cells}"]


def test_synthetic_images_are_made_of_a_photograph() -> None:
    image = photo(300, 500)
    made = {case: make(image) for case, make in synthetic.CASES.items()}
    assert all(each.shape[2] == 3 and each.dtype == np.uint8 for each in made.values())
    np.testing.assert_array_equal(made["half text"][:, :250], image[:, :250])
    assert (made["half text"][:, 250:] == 255).mean() > 0.5
    np.testing.assert_array_equal(made["enlarged"][1::2, 1::2], image[:150, :250])
    assert not (made["6 bits"] & 3).any()
    for channel in range(3):
        assert len(np.unique(made["contrast"][..., channel])) <= 161
    assert made["contrast"].std() > 1.5 * image.std()
    assert abs(made["equalised"].mean() - 128) < 2
    assert len(np.unique(made["flat"].reshape(-1, 3), axis=0)) == 1
    assert (np.diff(made["ramp"].astype(int), axis=1)[..., 0] >= 0).all()


def test_sizes_of_synthetic_images_make_a_table() -> None:
    sizes = [
        synthetic.measure(photo(400, 30), "a.png", "6 bits", codec) for codec in synthetic.CODECS
    ]
    assert sizes[0].bytes <= sizes[1].bytes < min(size.bytes for size in sizes[2:])
    assert synthetic.table(sizes).splitlines()[2:] == [
        "| a.png | 6 bits | " + " | ".join(f"{size.bytes:,}" for size in sizes) + " |"
    ]


def test_jpeg_files_of_every_kind_come_back() -> None:
    steps = np.arange(90 * 120, dtype=np.uint32).reshape(90, 120)
    pixels = np.stack([steps * factor // 300 % 251 for factor in (3, 5, 7)], 2).astype(np.uint8)
    picture = Image.fromarray(pixels)
    found = []
    for name, (encoder, make) in jpegfiles.MADE.items():
        found.append(jpegfiles.measure(name, encoder, make(picture)))
        assert found[-1].kept <= found[-1].bytes + 40
    photograph = jpegfiles.measure("a.jpg", jpegfiles.PHOTOGRAPH, make(picture))
    table = jpegfiles.table([photograph, *found])
    assert table.count("\n") == len(found) + 4
    assert f"| all photographs | photograph | {photograph.bytes:,} | {photograph.kept:,} |" in table


def test_a_scan_a_channel_shows_the_picture() -> None:
    pixels = (
        np.random.default_rng(0).integers(0, 255, (5, 6, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    )
    data = jpegfiles.MADE["one scan a channel"][1](Image.fromarray(pixels))
    assert data.count(b"\xff\xda") == 3
    found = noisepress.open_image(data).samples.astype(int)
    assert abs(found - pixels).mean() < 5


def test_fallbacks() -> None:
    image = Raster(photo(CROPS, 20), Mode.RGB8)
    deep = Raster(np.full((CROPS, 20, 1), 300, np.uint16), Mode.L16)
    trials = [
        fallbacks.measure(raster, name, coder)
        for name, raster in (("a.png", image), ("b.png", deep))
        for coder in fallbacks.CODERS
    ]
    sizes = {trial.job: trial.bytes for trial in trials}
    assert sizes["b.png", "webp 0"] == 0 < sizes["b.png", "png"]
    _, _, first, second, total = fallbacks.table(trials)
    smallest = min(size for (name, _), size in sizes.items() if name == "a.png")
    assert f"| {smallest} | {sizes['a.png', 'jpegxl 9']} |" in first
    assert second.startswith("| b.png | L16 | ") and total.startswith("| all | ")


@pytest.mark.parametrize(
    "codec", [name for name in stacks.CODECS if not name.startswith("noisepress")]
)
@pytest.mark.parametrize(
    ("shape", "dtype"), [((3, 40, 56), "u1"), ((3, 40, 56, 3), "u1"), ((3, 40, 56), "u2")]
)
def test_codecs_of_stacks_are_lossless(codec: str, shape: tuple[int, ...], dtype: str) -> None:
    made = stacks.CODECS[codec]
    stack = np.random.default_rng(0).integers(0, 9000, shape).astype(dtype)
    if not made.takes(stack):
        return
    if codec.startswith(("FFV1", "x26", "VP9")):
        pytest.importorskip("av")
    found = stacks.measure(stack, "noise", codec)
    assert found.bytes > 0.5 * stack.nbytes
    assert f"| noise, {stack.dtype} {' x '.join(map(str, shape))} | {codec} |" in stacks.table(
        [found]
    )


def test_simulated_stacks() -> None:
    found = stacks.microscopy(3, 32)
    assert found.shape == (3, 32, 32) and found.dtype == np.uint16
    assert len(np.unique(found)) > 100
    slices = stacks.ct(2, 24)
    assert slices.shape == (2, 24, 24) and not (slices[0] == slices[1]).all()
