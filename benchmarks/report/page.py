"""The page that reports a run: one HTML file that needs no other file and no network."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import accumulate, combinations
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

import noisepress

from ..results import (
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
    lossless_rows,
    means,
    metric,
    metric_names,
)

VIEWER_IMAGES = 3
CROP = 512
RATES = (0.15, 0.3, 0.6, 1.2)
"""Bits per pixel that the viewer shows of every codec, as near as its settings come."""

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
        facts: name and value of what was measured of the whole image.
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
    """A progressive step.

    Attributes:
        width, height: of the decoded picture.
        size: bytes of the sections that it needs.
        share: the same as a part of all sections, 0 to 1.
        source: the picture, scaled to `STRIP_WIDTH`, as a data URL.
    """

    width: int
    height: int
    size: int
    share: float
    source: str


@dataclass(frozen=True)
class Strip:
    """The steps of a file, from the coarsest; or, without any, why it does not decode."""

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
    """The labels whose rates come nearest, in octaves, to `RATES`; each once, by rising rate."""
    chosen = {min(settings, key=lambda s: abs(math.log(settings[s] / rate))) for rate in RATES}
    return sorted(chosen, key=lambda label: settings[label])


def nearest_pair(shown: Sequence[Shown]) -> Pair:
    """The two of different codecs whose rates differ by the smallest factor.

    Of one codec only: its lowest and highest rate.
    """
    pairs = [
        (i, j) for i, j in combinations(range(len(shown)), 2) if shown[i].codec != shown[j].codec
    ]
    if not pairs:
        return 0, len(shown) - 1
    return min(pairs, key=lambda pair: abs(math.log(shown[pair[0]].bpp / shown[pair[1]].bpp)))


def number(value: float, digits: int) -> str:
    """With a minus sign that is as wide as a plus."""
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
    """A measured metric; MS-SSIM as measured has no unit, only its curve is in dB."""
    shown = metric(name)
    unit = f"\N{NO-BREAK SPACE}{shown.unit}" if shown.unit and name != "ms-ssim" else ""
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
    order = {label: place for place, label in enumerate(_viewed(results))}
    found = 0
    for image in _images(results):
        mine = [one for one in results.measurements if one.image == image and not one.error]
        original = original_path(folder, Path(image))
        paths = {
            one.setting.label: (one, decoded_path(folder, Path(image), one.setting))
            for one in mine
            if one.setting.label in order
        }
        there = sorted(
            (label for label in paths if paths[label][1].exists()), key=order.__getitem__
        )
        if len(there) < 2 or not original.exists():
            continue
        shown = [_shown(*paths[label]) for label in there]
        crop = _crop(original)
        yield Picture(image, *crop.size, data_url(crop), shown, nearest_pair(shown))
        found += 1
        if found == VIEWER_IMAGES:
            return


def _shown(one: Measurement, path: Path) -> Shown:
    source = data_url(_crop(path))
    return Shown(one.setting.label, one.setting.codec, one.bits_per_pixel, _facts(one), source)


def progressive(data: bytes) -> Iterator[tuple[Image.Image, int]]:
    """The picture after each data section of a file, with the bytes of these sections so far.

    Raises:
        NoisepressError: the file is wrong.
    """
    sections = noisepress.inspect(data).sections
    sizes = accumulate(size for kind, size, _ in sections if kind == "data")
    for pixels, size in zip(noisepress.decode_progressive(data), sizes, strict=True):
        yield Image.fromarray(pixels), size


def strips(results: Results, folder: Path) -> Iterator[Strip]:
    """The files in the folder that have several steps: of the first images, one per codec."""
    found = 0
    for image in _images(results):
        here: dict[str, Strip] = {}
        for setting in results.settings():
            path = coded_path(folder, Path(image), setting)
            if setting.codec not in here and path.exists():
                strip = _strip(image, setting, path.read_bytes())
                if strip.error or len(strip.steps) > 1:
                    here[setting.codec] = strip
        yield from here.values()
        found += bool(here)
        if found == STRIPS:
            return


def _strip(image: str, setting: Setting, data: bytes) -> Strip:
    try:
        sections = noisepress.inspect(data).sections
        if sum(kind == "data" for kind, _, _ in sections) < 2:
            return Strip(image, setting.label, [])
        steps = list(progressive(data))
    except noisepress.NoisepressError as error:
        return Strip(image, setting.label, [], str(error))
    whole = sum(size for _, size, _ in sections)
    last, _ = steps[-1]
    height = max(1, round(STRIP_WIDTH * last.height / last.width))
    made = [
        Step(
            *step.size,
            size,
            size / whole,
            data_url(step.resize((STRIP_WIDTH, height), Image.Resampling.NEAREST)),
        )
        for step, size in steps
    ]
    return Strip(image, setting.label, made)


@dataclass(frozen=True)
class Deltas:
    """The Bjøntegaard table: codec to a delta for each metric, where it has that metric."""

    anchor: str
    rows: Mapping[str, Mapping[str, Delta]]


def _deltas(results: Results, names: Sequence[str]) -> Deltas | None:
    codecs = [codec for name in names for codec in curves(results, name)]
    anchor = anchor_of(codecs)
    if anchor is None:
        return None
    columns = {name: bd_rates(results, name, anchor) for name in names}
    rows = {
        codec: {name: column[codec] for name, column in columns.items() if codec in column}
        for codec in dict.fromkeys(codecs)
        if codec != anchor
    }
    return Deltas(anchor, rows)


def _curve_data(results: Results, names: Sequence[str]) -> list[dict[str, object]]:
    """What the script draws: a metric each, with a curve per codec."""
    colours = codec_colours(results)
    found: list[dict[str, object]] = []
    for name in names:
        shown = metric(name)
        by_codec = curves(results, name)
        rates = [point.bpp for points in by_codec.values() for point in points]
        drawn = [
            {"codec": codec, "colour": colours[codec], "points": [asdict(one) for one in points]}
            for codec, points in by_codec.items()
        ]
        found.append(
            {
                "label": shown.label,
                "unit": shown.unit,
                "ticks": rate_ticks(min(rates), max(rates)),
                "curves": drawn,
            }
        )
    return found


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
    table = means(results)
    text = environment.get_template("page.html").render(
        machine=results.machine,
        images=_images(results),
        settings=results.settings(),
        failed=results.failed(),
        means=table,
        has_frechet=any(mean.frechet is not None for mean in table),
        peer=PEER,
        names=names,
        lossless=lossless_rows(results),
        deltas=_deltas(results, names),
        strips=list(strips(results, out / PICTURES)),
        colours=codec_colours(results),
        lossless_svg=inline(plots.lossless) if plots.lossless else "",
        curve_svgs={name: inline(svg) for name, svg in plots.rate_distortion.items()},
        curves=_curve_data(results, names),
        pictures=[asdict(picture) for picture in pictures(results, out / PICTURES)],
    )
    path = out / "report.html"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path
