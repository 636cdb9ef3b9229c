"""Plots of a run as SVG."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ..results import Results, Setting
from .tables import Point, Row, curves, lossless_rows, means, metric, metric_names

COLOURS = (
    "#2f7fd6",
    "#d9731a",
    "#2a9d5c",
    "#c94f9b",
    "#8a68d8",
    "#1a9ba8",
    "#d64545",
    "#8f8a1f",
    "#a5704c",
    "#7d8590",
)
"""Of codecs, in their order; each is legible on white and on near-black."""

_INK, _PAPER = "#1b2129", "#fffffe"
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True)
class Plots:
    """Drawings as SVG documents.

    Attributes:
        rate_distortion: name of a metric to its curves.
        lossless: sizes as bars; None without lossless settings.
    """

    rate_distortion: Mapping[str, str]
    lossless: str | None


def rate_ticks(rates: Sequence[float]) -> list[float]:
    """Powers of two, at least two of them, that enclose the rates."""
    first = math.floor(math.log2(min(rates)))
    last = max(math.ceil(math.log2(max(rates))), first + 1)
    return [2.0**power for power in range(first, last + 1)]


def codec_colours(results: Results) -> dict[str, str]:
    """Codec to its colour, the same in every plot of a run.

    Lossless and lossy codecs are counted separately, since no plot shows both; with more than ten,
    colours repeat.
    """
    lossy = {mean.setting.codec for mean in means(results) if not mean.lossless}
    codecs = dict.fromkeys(setting.codec for setting in results.settings())
    groups = [codec for codec in codecs if codec in lossy], [c for c in codecs if c not in lossy]
    return {codec: COLOURS[i % len(COLOURS)] for group in groups for i, codec in enumerate(group)}


def _document(figure: Figure, salt: str) -> str:
    """As SVG text; different salts keep the ids of drawings on one page apart."""
    out = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    return out.getvalue()


def _label_axes(found: Mapping[str, Sequence[Point]], name: str, axes: Axes) -> None:
    shown = metric(name)
    ticks = rate_ticks([point.bpp for points in found.values() for point in points])
    axes.set_xscale("log", base=2)
    axes.set_xlim(ticks[0], ticks[-1])
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel(f"{shown.label} [{shown.unit}]" if shown.unit else shown.label)
    axes.grid(color=_INK, alpha=0.12)
    axes.legend(frameon=False)


def rate_distortion_plot(results: Results, name: str) -> str:
    """A curve per codec through its settings, over bits per pixel on a log axis."""
    found = curves(results, name)
    colours = codec_colours(results)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 4.6), facecolor=_PAPER)
        axes = figure.add_subplot(facecolor="none")
        for codec, points in found.items():
            axes.plot(
                [point.bpp for point in points],
                [point.value for point in points],
                marker="o",
                markersize=4.5,
                linewidth=1.8,
                color=colours[codec],
                label=codec,
            )
        _label_axes(found, name, axes)
        return _document(figure, name)


def lossless_plot(rows: Sequence[Row], colours: Mapping[str, str]) -> str:
    """A bar of the mean bits per sub-pixel for each lossless setting, in the order of the rows."""
    most = max(row.mean.images for row in rows)
    labels = [
        f"{label} ({row.mean.images} of {most} images)" if row.mean.images < most else label
        for row in rows
        for label in [row.mean.setting.label]
    ]
    bits = [row.mean.bits for row in rows]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 0.6 + 0.36 * len(rows)), facecolor=_PAPER)
        axes = figure.add_subplot(facecolor="none")
        bars = axes.barh(
            range(len(rows)), bits, 0.66, color=[colours[row.mean.setting.codec] for row in rows]
        )
        axes.bar_label(bars, [f"{value:.3f}" for value in bits], padding=5)
        axes.set_yticks(range(len(rows)), labels)
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.set_xlabel("bits per sub-pixel")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        return _document(figure, "lossless")


def inline(svg: str) -> str:
    """An SVG document as an element of a page, in the page's colours of text and background.

    Matplotlib's ids of groups are dropped, since a page may hold several drawings.
    """
    element = svg[svg.index("<svg") :]
    element = re.sub(r' id="[A-Za-z0-9.]+_[0-9]+"', "", element)
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    return element.replace(_INK, "currentColor").replace(f"fill: {_PAPER}", "fill: none")


def write_plots(results: Results, folder: Path) -> Plots:
    """Write `METRIC.svg` for each metric and `lossless.svg`, and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    rate_distortion = {name: rate_distortion_plot(results, name) for name in metric_names(results)}
    rows = lossless_rows(results)
    lossless = lossless_plot(rows, codec_colours(results)) if rows else None
    for name, svg in rate_distortion.items():
        (folder / f"{Setting(name).slug}.svg").write_text(svg, encoding="utf-8")
    if lossless:
        (folder / "lossless.svg").write_text(lossless, encoding="utf-8")
    return Plots(rate_distortion, lossless)
