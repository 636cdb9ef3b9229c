"""The page that reports a run: one HTML file that needs no other file and no network."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import accumulate, combinations, islice
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

import noisepress

from ..images import as_rgb
from ..results import (
    MS_SSIM,
    PICTURES,
    Measurement,
    Results,
    Setting,
    coded_path,
    decoded_path,
    original_path,
)
from .plots import Plots, codec_colours, inline, rate_ticks
from .tables import (
    PEER,
    Delta,
    anchor_of,
    bd_rates,
    curves,
    finite,
    lossless_by_kind,
    means,
    metric,
    metric_names,
)

VIEWER_IMAGES = 3
CROP = 512
RATES = (0.15, 0.3, 0.6, 1.2)
"""Bits per pixel: the viewer shows the settings of each codec that come nearest to these."""

STRIPS = 2
STRIP_WIDTH = 320

Pair = tuple[int, int]


@dataclass(frozen=True)
class Shown:
    """A decoded picture in the viewer.

    Attributes:
        label: of its setting.
        codec: of its setting.
        bpp: bits per pixel of the whole file.
        facts: name and value of measurements of the whole image.
        source: the crop as a data URL.
    """

    label: str
    codec: str
    bpp: float
    facts: Sequence[tuple[str, str]]
    source: str


@dataclass(frozen=True)
class Picture:
    """An image in the viewer.

    Attributes:
        name: of its file.
        width, height: of the crop.
        original: the crop as a data URL.
        shown: its decoded pictures, by codec and rising rate.
        pair: which two are shown first.
    """

    name: str
    width: int
    height: int
    original: str
    shown: Sequence[Shown]
    pair: Pair


@dataclass(frozen=True)
class Step:
    """A progressive step of a file.

    Attributes:
        width, height: of the decoded picture.
        size: bytes of the sections that it needs.
        share: `size` as a part of all sections, 0 to 1.
        source: the picture, scaled to `STRIP_WIDTH`, as a data URL.
    """

    width: int
    height: int
    size: int
    share: float
    source: str


@dataclass(frozen=True)
class Strip:
    """The steps of a file, coarsest first; or no steps and the error of decoding it."""

    image: str
    label: str
    steps: Sequence[Step]
    error: str = ""


def data_url(picture: Image.Image) -> str:
    """A picture as a PNG within a URL."""
    out = BytesIO()
    picture.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def centre(width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the crop around the centre, at most `CROP` wide and high."""
    w, h = min(width, CROP), min(height, CROP)
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def _crop(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        return opened.convert("RGB").crop(centre(*opened.size))


def near_rates(settings: Mapping[str, float]) -> list[str]:
    """The labels whose log rates are nearest to those of `RATES`; each once, by rising rate."""
    chosen = {min(settings, key=lambda s: abs(math.log(settings[s] / rate))) for rate in RATES}
    return sorted(chosen, key=lambda label: settings[label])


def nearest_pair(shown: Sequence[Shown]) -> Pair:
    """The two of different codecs whose rates differ by the smallest factor.

    With a single codec, those of its lowest and highest rate.
    """
    pairs = [
        (i, j) for i, j in combinations(range(len(shown)), 2) if shown[i].codec != shown[j].codec
    ]
    if not pairs:
        return 0, len(shown) - 1
    return min(pairs, key=lambda pair: abs(math.log(shown[pair[0]].bpp / shown[pair[1]].bpp)))


def number(value: float, digits: int) -> str:
    """With thousands separators and a true minus sign."""
    return f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def percent(value: float) -> str:
    """A difference, with its sign unless it rounds to nothing."""
    rounded = round(value, 1)
    shown = f"{rounded:+,.1f}" if rounded else "0.0"
    return shown.replace("-", "\N{MINUS SIGN}") + "\N{NO-BREAK SPACE}%"


def direction(value: float) -> str:
    """The class of a difference as `percent` shows it: less is good."""
    rounded = round(value, 1)
    return "good" if rounded < 0 else "bad" if rounded > 0 else ""


def times(value: float) -> str:
    """A ratio to three digits."""
    return (
        number(value, 2 if value < 10 else 1 if value < 100 else 0)
        + "\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}"
    )


def seconds(value: float) -> str:
    """In milliseconds below one second."""
    shown = f"{value * 1000:,.1f} ms" if value < 1 else f"{value:,.2f} s"
    return shown.replace(" ", "\N{NO-BREAK SPACE}")


def measured(value: float, name: str) -> str:
    """A metric with its unit; MS-SSIM has none, only its curve is in dB."""
    shown = metric(name)
    unit = f"\N{NO-BREAK SPACE}{shown.unit}" if shown.unit and name != MS_SSIM else ""
    return number(value, shown.digits) + unit


def _facts(one: Measurement) -> list[tuple[str, str]]:
    quality = finite(one.quality)
    return [
        ("Rate", f"{one.bits_per_pixel:.3f} bpp"),
        ("File", f"{one.size:,} bytes"),
        *((metric(name).label, measured(value, name)) for name, value in quality.items()),
    ]


def _images(results: Results) -> list[str]:
    return list(dict.fromkeys(one.image for one in results.measurements))


def _viewed(results: Results) -> list[str]:
    """The labels of the settings that the viewer shows."""
    rates: dict[str, dict[str, float]] = {}
    for mean in means(results):
        if not mean.lossless:
            rates.setdefault(mean.setting.codec, {})[mean.setting.label] = mean.bpp
    return [label for settings in rates.values() for label in near_rates(settings)]


def pictures(results: Results, folder: Path) -> Iterator[Picture]:
    """The first images with an original and at least two decoded pictures in the folder."""
    found = (_picture(results, image, folder) for image in _images(results))
    return islice((picture for picture in found if picture is not None), VIEWER_IMAGES)


def _picture(results: Results, image: str, folder: Path) -> Picture | None:
    coded = {one.setting.label: one for one in results.measurements if one.image == image}
    shown = []
    for one in (coded[label] for label in _viewed(results) if label in coded):
        path = decoded_path(folder, Path(image), one.setting)
        if path.exists() and not one.error:
            label, codec, source = one.setting.label, one.setting.codec, data_url(_crop(path))
            shown.append(Shown(label, codec, one.bits_per_pixel, _facts(one), source))
    original = original_path(folder, Path(image))
    if len(shown) < 2 or not original.exists():
        return None
    crop = _crop(original)
    return Picture(image, *crop.size, data_url(crop), shown, nearest_pair(shown))


def progressive(data: bytes) -> Iterator[tuple[Image.Image, int]]:
    """The picture after each data section of a file, with the bytes of all sections so far.

    Raises:
        NoisepressError: the file is damaged.
    """
    sections = noisepress.inspect(data).sections
    ends = accumulate(size for _, size, _ in sections)
    sizes = [end for (kind, *_), end in zip(sections, ends, strict=True) if kind == "data"]
    for pixels, size in zip(noisepress.decode_progressive(data), sizes, strict=True):
        yield Image.fromarray(as_rgb(pixels)), size


def strips(results: Results, folder: Path) -> list[Strip]:
    """The files in the folder that have several steps: of the first images, one per codec."""
    found = ([*_strips(results, image, folder)] for image in _images(results))
    return [strip for group in islice(filter(None, found), STRIPS) for strip in group]


def _strips(results: Results, image: str, folder: Path) -> Iterable[Strip]:
    by_codec: dict[str, Strip] = {}
    for setting in results.settings():
        path = coded_path(folder, Path(image), setting)
        if setting.codec not in by_codec and path.exists():
            strip = _strip(image, setting, path.read_bytes())
            if strip.error or strip.steps:
                by_codec[setting.codec] = strip
    return by_codec.values()


def _strip(image: str, setting: Setting, data: bytes) -> Strip:
    try:
        whole = sum(size for _, size, _ in noisepress.inspect(data).sections)
        steps = list(progressive(data))
    except noisepress.NoisepressError as error:
        return Strip(image, setting.label, [], str(error))
    last, _ = steps[-1]
    shape = STRIP_WIDTH, max(1, round(STRIP_WIDTH * last.height / last.width))
    made = [
        Step(*step.size, size, size / whole, data_url(step.resize(shape, Image.Resampling.NEAREST)))
        for step, size in steps
    ]
    return Strip(image, setting.label, made if len(made) > 1 else [])


def _deltas(results: Results, names: Sequence[str], anchor: str) -> dict[str, dict[str, Delta]]:
    """Codec to the Bjøntegaard delta of each metric that it has."""
    rows: dict[str, dict[str, Delta]] = {}
    for name in names:
        for codec, delta in bd_rates(results, name, anchor).items():
            rows.setdefault(codec, {})[name] = delta
    return rows


def _curve_data(results: Results, names: Sequence[str]) -> Iterator[dict[str, object]]:
    """What the script draws: for each metric, a curve per codec."""
    colours = codec_colours(results)
    for name in names:
        by_codec = curves(results, name)
        yield {
            "label": metric(name).label,
            "unit": metric(name).unit,
            "ticks": rate_ticks([one.bpp for points in by_codec.values() for one in points]),
            "curves": [
                {"codec": codec, "colour": colours[codec], "points": [asdict(p) for p in points]}
                for codec, points in by_codec.items()
            ],
        }


def write_page(results: Results, plots: Plots, out: Path) -> Path:
    """Write `report.html`.

    Args:
        results: the run.
        plots: its drawings.
        out: folder of the page, with `pictures/` if the run kept any.

    Returns:
        The path of the page.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for formatter in (number, percent, direction, times, seconds, metric, measured):
        environment.filters[formatter.__name__] = formatter
    names = metric_names(results)
    anchor = anchor_of(codec for name in names for codec in curves(results, name))
    text = environment.get_template("page.html").render(
        results=results,
        images=_images(results),
        failed=results.failed(),
        means=means(results),
        peer=PEER,
        names=names,
        lossless=lossless_by_kind(results),
        anchor=anchor,
        deltas=_deltas(results, names, anchor) if anchor else {},
        strips=strips(results, out / PICTURES),
        colours=codec_colours(results),
        lossless_svg=inline(plots.lossless) if plots.lossless else "",
        curve_svgs={name: inline(svg) for name, svg in plots.rate_distortion.items()},
        curves=list(_curve_data(results, names)),
        pictures=[asdict(picture) for picture in pictures(results, out / PICTURES)],
    )
    path = out / "report.html"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path
