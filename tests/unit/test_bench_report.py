"""What the report makes of a run."""

from __future__ import annotations

import csv
import json
import math
import re
import xml.etree.ElementTree as ET
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import noisepress
from noisepress.benchmarks.report import summary, write_report
from noisepress.benchmarks.report.files import compressai, write_compressai, write_csv
from noisepress.benchmarks.report.page import (
    CROP,
    Shown,
    centre,
    direction,
    near_rates,
    nearest_pair,
    number,
    percent,
    pictures,
    seconds,
    strips,
    times,
)
from noisepress.benchmarks.report.plots import codec_colours, rate_ticks
from noisepress.benchmarks.report.tables import (
    Point,
    anchor_of,
    axis_value,
    bd_between,
    bd_rates,
    curves,
    lossless_rows,
    means,
    metric_names,
)
from noisepress.benchmarks.results import Measurement, Results, Setting, Value

HOSTILE = "\"><img src=x onerror=alert(1)></script><script>alert('2')</script>$\\frac{"


def coded(
    image: str, codec: str, size: int, quality: dict[str, float] | None = None, **options: Value
) -> Measurement:
    """A result for an image of 40 x 20 pixels; lossless without `quality`."""
    return Measurement(
        image=image,
        setting=Setting(codec, options),
        width=40,
        height=20,
        size=size,
        digest="ab" * 32,
        encode_s=2.0,
        decode_s=0.5,
        encode_cpu_s=3.0,
        decode_cpu_s=0.75,
        peak_mib=100.0,
        lossless=quality is None,
        quality=quality or {},
    )


def failure(image: str, codec: str, error: str, **options: Value) -> Measurement:
    return Measurement(image, Setting(codec, options), error=error)


def of(*measurements: Measurement, **frechet: float) -> Results:
    return Results({"processor": "abacus", "cores": 1}, measurements, frechet)


def line(codec: str, rates: list[float], factor: float = 1.0) -> list[Measurement]:
    """Settings on PSNR = 30 + 6 log2(rate / factor), so that log rates are linear in PSNR."""
    return [
        coded(
            "a.png", codec, round(rate * 100), {"psnr": 30 + 6 * math.log2(rate / factor)}, q=rate
        )
        for rate in rates
    ]


def points(values: list[tuple[float, float]]) -> list[Point]:
    return [Point(str(bpp), bpp, value, 1) for bpp, value in values]


def test_means() -> None:
    results = of(
        coded("a.png", "x", 100, {"psnr": 30.0, "ms-ssim": 0.9}),
        replace(coded("b.png", "x", 300, {"psnr": 34.0}), encode_s=4.0, peak_mib=150.0),
        failure("c.png", "x", "ValueError: no"),
        failure("c.png", "never", "ValueError: no"),
        x=7.5,
    )
    (mean,) = means(results)
    assert (mean.images, mean.failures, mean.size) == (2, 1, 400)
    assert mean.bpp == pytest.approx((1 + 3) / 2)
    assert mean.bits == pytest.approx(2 / 3)
    assert (mean.encode_s, mean.decode_s) == (3.0, 0.5)
    assert (mean.encode_cpu_s, mean.decode_cpu_s) == (3.0, 0.75)
    assert mean.peak_mib == 150.0
    assert mean.quality == {"psnr": 32.0, "ms-ssim": 0.9}
    assert mean.frechet == 7.5
    assert not mean.lossless


def test_means_without_what_the_system_does_not_tell() -> None:
    (mean,) = means(of(replace(coded("a.png", "x", 100), peak_mib=None)))
    assert mean.peak_mib is None
    assert mean.frechet is None
    assert mean.lossless


def test_values_that_are_not_finite_have_no_mean() -> None:
    results = of(
        coded("a.png", "x", 100, {"psnr": math.inf, "ms-ssim": math.nan}),
        coded("b.png", "x", 100, {"psnr": 40.0}),
    )
    assert metric_names(results) == ["psnr"]
    assert means(results)[0].quality == {"psnr": 40.0}


def test_names_of_metrics_are_in_order() -> None:
    quality = {"zeta": 1.0, "ssimulacra2": 1.0, "alpha": 1.0, "psnr": 1.0}
    names = metric_names(of(coded("a.png", "x", 1, quality)))
    assert names == ["psnr", "ssimulacra2", "alpha", "zeta"]


def test_curves() -> None:
    results = of(
        coded("a.png", "x", 300, {"psnr": 40.0}, q=9),
        coded("b.png", "x", 500, {"psnr": 44.0}, q=9),
        coded("a.png", "x", 100, {"psnr": 30.0, "ms-ssim": 0.99}, q=1),
        coded("b.png", "x", 900, {}, q=1),
        coded("a.png", "y", 100),
    )
    expected = [Point("x q=1", 1.0, 30.0, 1), Point("x q=9", 4.0, 42.0, 2)]
    assert curves(results, "psnr") == {"x": expected}
    (only,) = curves(results, "ms-ssim")["x"]
    assert only.value == pytest.approx(20.0)


def test_ms_ssim_in_decibels() -> None:
    assert axis_value("ms-ssim", 0.9) == pytest.approx(10.0)
    assert axis_value("ms-ssim", 1.0) == pytest.approx(60.0)
    assert axis_value("psnr", 0.9) == 0.9


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_delta_of_curves_a_factor_apart(factor: float) -> None:
    """Log rates that differ by log f everywhere: 100 (f - 1) percent, whatever is in between."""
    anchor = [(0.1, 28.0), (0.3, 33.0), (0.8, 36.5), (2.0, 40.0)]
    delta = bd_between(points(anchor), points([(factor * rate, psnr) for rate, psnr in anchor]))
    assert delta.percent == pytest.approx(100 * (factor - 1), abs=1e-9)
    assert delta.overlap == 1.0


def test_delta_over_the_common_range() -> None:
    """Lines in log rate: the factor is the same over any part of them."""
    results = of(*line("jpeg", [1.0, 2.0, 4.0, 8.0]), *line("x", [1.0, 2.0, 4.0], 0.5))
    delta = bd_rates(results, "psnr", "jpeg")["x"]
    assert delta.percent == pytest.approx(-50.0)
    assert delta.overlap == pytest.approx(12 / 18)
    assert bd_rates(results, "psnr", "jpeg").keys() == {"x"}


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ([(1.0, 50.0), (2.0, 55.0), (3.0, 60.0)], "ranges do not overlap"),
        ([(1.0, 30.0), (2.0, 35.0)], "fewer than 3 settings"),
        ([(1.0, 30.0), (2.0, 30.0), (3.0, 35.0)], "two settings of equal quality"),
        ([], "no image that both codecs have"),
    ],
)
def test_no_delta(test: list[tuple[float, float]], reason: str) -> None:
    anchor = points([(0.1, 28.0), (0.3, 33.0), (0.8, 36.5)])
    delta = bd_between(anchor, points(test))
    assert delta.percent is None
    assert delta.reason == reason


def test_deltas_are_over_common_images() -> None:
    """A second image that only the anchor has would change its curve."""
    extra = [replace(row, image="b.png", size=9 * row.size) for row in line("jpeg", [1, 2, 4])]
    results = of(*line("jpeg", [1, 2, 4]), *extra, *line("x", [1, 2, 4]))
    assert bd_rates(results, "psnr", "jpeg")["x"].percent == pytest.approx(0.0, abs=1e-9)
    moved = [replace(row, image="c.png") for row in line("x", [1, 2, 4])]
    apart = bd_rates(of(*line("jpeg", [1, 2, 4]), *moved), "psnr", "jpeg")["x"]
    assert apart.reason == "no image that both codecs have"


def test_anchor() -> None:
    assert anchor_of(["x", "jpeg"]) == "jpeg"
    assert anchor_of(["x", "y"]) == "x"
    assert anchor_of([]) is None


def test_lossless_rows() -> None:
    results = of(
        coded("a.png", "png", 150),
        coded("b.png", "png", 250),
        coded("a.png", "webp-lossless", 100),
        coded("b.png", "webp-lossless", 100),
        replace(coded("b.png", "ardm", 90), encode_cpu_s=7.5, decode_cpu_s=1.5),
        failure("a.png", "ardm", "ValueError: no"),
        coded("a.png", "jpeg", 10, {"psnr": 30.0}),
        coded("c.png", "late", 1),
    )
    rows = lossless_rows(results)
    assert [row.mean.setting.codec for row in rows] == ["ardm", "webp-lossless", "png", "late"]
    ours, peer, png, late = rows
    assert ours.difference == pytest.approx(-10.0)
    assert (ours.encode_ratio, ours.decode_ratio) == (2.5, 2.0)
    assert peer.difference == 0.0
    assert png.difference == pytest.approx(100.0)
    assert (late.difference, late.encode_ratio, late.decode_ratio) == (None, None, None)


def test_lossless_rows_without_the_peer() -> None:
    rows = lossless_rows(of(coded("a.png", "x", 200), coded("a.png", "y", 100)))
    assert [(row.mean.setting.codec, row.difference) for row in rows] == [("y", None), ("x", None)]


def test_summary_by_kind() -> None:
    deep = replace(coded("deep.png", "ardm", 400), kind="16 bits", channels=1)
    results = of(deep, coded("a.png", "ardm", 75), coded("a.png", "webp-lossless", 150))
    lines = [" | ".join(line.split(" | ")[:4]) for line in summary(results).splitlines()]
    assert lines == [
        "| lossless, 8-bit colour | images | bytes | bits per sub-pixel",
        "| --- | ---: | ---: | ---:",
        "| ardm | 1 | 75 | 0.250",
        "| webp-lossless | 1 | 150 | 0.500",
        "",
        "| lossless, 16 bits | images | bytes | bits per sub-pixel",
        "| --- | ---: | ---: | ---:",
        "| ardm | 1 | 400 | 4.000",
    ]


def test_summary() -> None:
    results = of(
        replace(coded("a.png", "ardm", 75), encode_s=3.0, encode_cpu_s=4.5),
        replace(coded("b.png", "ardm", 150), encode_s=5.0, encode_cpu_s=7.5),
        replace(coded("a.png", "png", 300), encode_s=1.0, encode_cpu_s=1.5),
        coded("a.png", "webp-lossless", 150),
        coded("b.png", "webp-lossless", 1500),
        coded("a.png", "jpeg", 1250, {"psnr": 30.0}),
        coded("b.png", "jpeg", 50, {"psnr": 31.0}),
        replace(
            coded("a.png", "jpeg", 9, {"psnr": 20.0, "ms-ssim": 0.5}, q=1),
            decode_s=1.0,
            decode_cpu_s=1.5,
        ),
        failure("a.png", "avif", "ValueError: no"),
        jpeg=1.234,
    )
    assert summary(results).splitlines() == [
        "| lossless | images | bytes | bits per sub-pixel | encode s | decode s"
        " | encode / webp-lossless | decode / webp-lossless |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| ardm | 2 | 225 | 0.375 | 4.0000 | 0.5000 | 2.00 | 1.00 |",
        "| webp-lossless | 2 | 1,650 | 2.750 | 2.0000 | 0.5000 | 1.00 | 1.00 |",
        "| png | 1 | 300 | 1.000 | 1.0000 | 0.5000 | 0.50 | 1.00 |",
        "",
        "| lossy | images | bytes | bits per pixel | PSNR | MS-SSIM | Fréchet | encode s | decode s"
        " | encode / jpeg | decode / jpeg |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| jpeg | 2 | 1,300 | 6.500 | 30.50 |  | 1.23 | 2.0000 | 0.5000 | 1.00 | 1.00 |",
        "| jpeg q=1 | 1 | 9 | 0.090 | 20.00 | 0.5000 |  | 2.0000 | 1.0000 | 1.00 | 2.00 |",
    ]
    alone = summary(of(coded("a.png", "ardm", 75)))
    assert alone.splitlines()[-1] == "| ardm | 1 | 75 | 0.250 | 2.0000 | 0.5000 |"
    assert summary(of(failure("a.png", "x", "ValueError: no"))) == ""


def test_csv_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    results = of(
        coded('a, "b"\nc.png', "x", 100, {"psnr": 30.25, "ms-ssim": 0.9}, q=5, fast=True),
        coded("\udcff.png", "y", 200),
        failure(HOSTILE, "x", "ValueError: no"),
    )
    write_csv(results, path)
    with path.open(encoding="utf-8", newline="") as file:
        first, second, third = csv.DictReader(file)
    assert first == {
        "image": 'a, "b"\nc.png',
        "codec": "x",
        "options": "q=5 fast=True",
        "kind": "8-bit colour",
        "coder": "",
        "width": "40",
        "height": "20",
        "size": "100",
        "bits_per_pixel": "1.0",
        "bits_per_subpixel": str(1 / 3),
        "encode_s": "2.0",
        "decode_s": "0.5",
        "encode_cpu_s": "3.0",
        "decode_cpu_s": "0.75",
        "peak_mib": "100.0",
        "lossless": "False",
        "psnr": "30.25",
        "ms-ssim": "0.9",
        "digest": "ab" * 32,
        "error": "",
    }
    assert (second["image"], second["psnr"], second["lossless"]) == ("\\udcff.png", "", "True")
    empty = {name for name, value in third.items() if not value}
    assert third["image"] == HOSTILE
    assert third["error"] == "ValueError: no"
    assert empty == third.keys() - {"image", "codec", "error"}


def test_compressai_layout(tmp_path: Path) -> None:
    results = of(
        coded("a.png", "x", 400, {"psnr": 40.0, "ms-ssim": 0.9}, q=9),
        coded("a.png", "x", 100, {"psnr": 30.0, "ms-ssim": 0.7}, q=1),
        coded("b.png", "x", 300, {"psnr": 32.0, "ms-ssim": 0.8}, q=1),
        coded("a.png", "x", 900, q=100),
        coded("a.png", "Exact/../one", 500),
    )
    write_compressai(results, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", "exact-..-one.json"}
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "name": "x",
        "description": "x q=1; x q=9",
        "results": {
            "bpp": [2.0, 4.0],
            "psnr-rgb": [31.0, 40.0],
            "ms-ssim-rgb": [0.75, 0.9],
            "encoding_time": [2.0, 2.0],
            "decoding_time": [0.5, 0.5],
        },
    }
    exact = json.loads((tmp_path / "exact-..-one.json").read_text())["results"]
    assert exact.keys() == {"bpp", "encoding_time", "decoding_time"}


def test_compressai_leaves_out_a_metric_that_a_setting_lacks() -> None:
    results = of(
        coded("a.png", "x", 100, {"psnr": 30.0, "ms-ssim": 0.9}, q=1),
        coded("a.png", "x", 200, {"psnr": 32.0}, q=2),
    )
    layout = compressai(results)["x"]["results"]
    assert isinstance(layout, dict)
    assert "psnr-rgb" in layout
    assert "ms-ssim-rgb" not in layout


def test_ticks_hold_the_rates() -> None:
    assert rate_ticks([1.1, 0.7, 0.3]) == [0.25, 0.5, 1.0, 2.0]
    assert rate_ticks([0.25]) == [0.25, 0.5]
    assert rate_ticks([0.0001, 0.0002])[0] <= 0.0001


def test_colours_differ_within_a_plot() -> None:
    lossy = [coded("a.png", f"lossy{i}", 9, {"psnr": 30.0}) for i in range(8)]
    exact = [coded("a.png", f"exact{i}", 9) for i in range(8)]
    colours = codec_colours(of(*lossy, *exact))
    assert len({colours[f"lossy{i}"] for i in range(8)}) == 8
    assert len({colours[f"exact{i}"] for i in range(8)}) == 8


def test_near_rates() -> None:
    rates = {"a": 0.05, "b": 0.2, "c": 0.5, "d": 0.7, "e": 3.0}
    assert near_rates(rates) == ["b", "d"]
    assert near_rates({"only": 9.0}) == ["only"]


def test_nearest_pair_is_of_two_codecs() -> None:
    rates = [("x", 0.30), ("x", 0.31), ("y", 0.10), ("y", 0.35), ("z", 0.8)]
    shown = [Shown("", codec, bpp, (), "") for codec, bpp in rates]
    assert nearest_pair(shown) == (1, 3)
    assert nearest_pair(shown[:2]) == (0, 1)


def test_centre() -> None:
    assert centre(100, 50) == (0, 0, 100, 50)
    assert centre(CROP + 11, CROP) == (5, 0, CROP + 5, CROP)


def test_numbers_for_readers() -> None:
    assert number(-1234.5, 1) == "\N{MINUS SIGN}1,234.5"
    assert [percent(v) for v in (-1.25, 0.04, 3.0)] == [
        "\N{MINUS SIGN}1.2\xa0%",
        "0.0\xa0%",
        "+3.0\xa0%",
    ]
    assert [direction(v) for v in (-1.25, 0.04, 3.0)] == ["good", "", "bad"]
    assert [seconds(v) for v in (0.0123, 1.5)] == ["12.3\xa0ms", "1.50\xa0s"]
    assert [times(v) for v in (0.5, 12.34, 349.7)] == [
        "0.50\xa0\N{MULTIPLICATION SIGN}",
        "12.3\xa0\N{MULTIPLICATION SIGN}",
        "350\xa0\N{MULTIPLICATION SIGN}",
    ]


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts.append(data)
        self.text += data


def save(folder: Path, name: str, seed: int, size: tuple[int, int] = (40, 20)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(folder / name)


def test_report_of_hostile_names(tmp_path: Path) -> None:
    name = f"{HOSTILE.replace('/', '_')}.png"
    lossy = [replace(measurement, image=name) for measurement in line("jpeg", [1, 2, 4])]
    other = [replace(measurement, image=name) for measurement in line(HOSTILE, [1, 2, 4])]
    folder = tmp_path / "pictures" / name
    save(folder, "original.png", 0)
    for i, measurement in enumerate([*lossy, *other]):
        save(folder, f"{measurement.setting.slug}.png", i)
    results = Results(
        {HOSTILE: HOSTILE},
        (*lossy, *other, coded(name, f"exact {HOSTILE}", 9), failure(name, "jpeg", HOSTILE)),
    )
    path = write_report(results, tmp_path)
    assert path == tmp_path / "report.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("script") == 3
    assert "onerror" not in dict(page.attributes)
    assert page.text.count(HOSTILE) >= 6
    curve_data, picture_data = (json.loads(script) for script in page.scripts[:2])
    assert {curve["codec"] for curve in curve_data[0]["curves"]} == {"jpeg", HOSTILE}
    assert picture_data[0]["name"] == name
    for svg in (tmp_path / "plots").iterdir():
        ET.parse(svg)


def test_report_needs_nothing_else(tmp_path: Path) -> None:
    save(tmp_path / "pictures" / "a", "original.png", 0)
    for measurement in line("jpeg", [1, 2, 4]):
        save(tmp_path / "pictures" / "a", f"{measurement.setting.slug}.png", 1)
    text = write_report(of(*line("jpeg", [1, 2, 4])), tmp_path).read_text(encoding="utf-8")
    page = Page(text)
    loaded = [value or "" for key, value in page.attributes if key in ("src", "srcset", "data")]
    linked = [value or "" for key, value in page.attributes if key.endswith("href")]
    assert all(value.startswith("data:") for value in loaded)
    assert all(value.startswith("#") for value in linked)
    assert not {"link", "iframe", "object", "embed"} & set(page.tags)
    assert "default-src 'none'" in text
    ids = [value for key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))


def test_report_without_results(tmp_path: Path) -> None:
    text = write_report(of(failure("a.png", "x", "ValueError: no")), tmp_path).read_text()
    assert "ValueError: no" in text
    assert 'id="lossless"' not in text
    assert 'id="curves"' not in text
    assert list((tmp_path / "plots").iterdir()) == []


def test_report_is_the_same_twice(tmp_path: Path) -> None:
    results = of(*line("jpeg", [1, 2, 4]), coded("a.png", "png", 90))
    first, second = (write_report(results, tmp_path / name) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    for plot in (tmp_path / "a" / "plots").iterdir():
        assert plot.read_bytes() == (tmp_path / "b" / "plots" / plot.name).read_bytes()


def test_report_tells_missing_metrics_and_failures(tmp_path: Path) -> None:
    results = of(
        coded("a.png", "jpeg", 100, {"psnr": 30.0, "ssimulacra2": -3.0}),
        coded("a.png", "webp", 100, {"psnr": 30.0}),
        failure("b.png", "webp", "OSError: broken"),
    )
    text = " ".join(Page(write_report(results, tmp_path).read_text()).text.split())
    assert "1 of 2" in text
    assert "not measured" in text
    assert "OSError: broken" in text
    assert "\N{MINUS SIGN}3.00" in text


def test_viewer_shows_crops(tmp_path: Path) -> None:
    size = (CROP + 60, CROP // 4)
    folder = tmp_path / "a.png"
    save(folder, "original.png", 0, size)
    measured = line("jpeg", [0.5, 1.0]) + line("webp", [0.6])
    for i, point in enumerate(measured):
        save(folder, f"{point.setting.slug}.png", i, size)
    (picture,) = pictures(of(*measured), tmp_path)
    assert (picture.width, picture.height) == (CROP, CROP // 4)
    assert [point.label for point in picture.shown] == ["jpeg q=0.5", "jpeg q=1.0", "webp q=0.6"]
    assert picture.pair == (0, 2)
    assert dict(picture.shown[0].facts) == {
        "Rate": "0.500 bpp",
        "File": "50 bytes",
        "PSNR": "24.00\xa0dB",
    }
    assert re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/]+=*", picture.original)


def test_viewer_needs_an_original_and_two_pictures(tmp_path: Path) -> None:
    measured = line("jpeg", [0.5, 1.0])
    save(tmp_path / "a.png", f"{measured[0].setting.slug}.png", 0)
    save(tmp_path / "a.png", "original.png", 0)
    assert list(pictures(of(*measured), tmp_path)) == []
    save(tmp_path / "a.png", f"{measured[1].setting.slug}.png", 0)
    (tmp_path / "a.png" / "original.png").unlink()
    assert list(pictures(of(*measured), tmp_path)) == []


def test_strips(tmp_path: Path) -> None:
    y, x = np.mgrid[:32, :48].astype(np.uint8)
    pixels = np.stack([4 * x, 4 * y, x + y], 2)
    data = noisepress.encode(pixels, fallback=False)
    results = of(coded("a.png", "ardm", len(data)), coded("b.png", "ardm", 9))
    (tmp_path / "a.png").mkdir()
    (tmp_path / "a.png" / "ardm.nzp").write_bytes(data)
    (tmp_path / "b.png").mkdir()
    (tmp_path / "b.png" / "ardm.nzp").write_bytes(b"no such file")
    good, bad = strips(results, tmp_path)
    assert (good.image, good.label, good.error) == ("a.png", "ardm", "")
    kinds = [kind for kind, *_ in noisepress.inspect(data).sections]
    assert len(good.steps) == kinds.count("data") > 1
    assert [step.share for step in good.steps] == sorted(step.share for step in good.steps)
    last = good.steps[-1]
    assert (last.width, last.height, last.share) == (48, 32, 1.0)
    assert last.size == sum(size for _, size, _ in noisepress.inspect(data).sections)
    assert bad.steps == []
    assert bad.error
    text = write_report(results, tmp_path / "out").read_text()
    assert 'id="strips"' not in text


def test_files_of_one_step_make_no_strip(tmp_path: Path) -> None:
    data = noisepress.encode(np.zeros((8, 8, 3), np.uint8), codec="png", fallback=False)
    (tmp_path / "a.png").mkdir()
    (tmp_path / "a.png" / "ardm.nzp").write_bytes(data)
    assert list(strips(of(coded("a.png", "ardm", len(data))), tmp_path)) == []


def test_data_urls_hold_the_crop(tmp_path: Path) -> None:
    save(tmp_path / "a.png", "original.png", 3)
    measured = line("jpeg", [0.5, 1.0])
    for measurement in measured:
        save(tmp_path / "a.png", f"{measurement.setting.slug}.png", 4)
    (picture,) = pictures(of(*measured), tmp_path)
    with Image.open(BytesIO(b64decode(picture.original.split(",")[1]))) as held:
        shown = np.asarray(held)
    with Image.open(tmp_path / "a.png" / "original.png") as original:
        assert np.array_equal(shown, np.asarray(original))
