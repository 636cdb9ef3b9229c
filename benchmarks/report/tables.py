"""Tables of a run: a row for each measurement, means for each setting, differences in rate."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from bjontegaard import bd_rate

from ..results import Measurement, Results, Setting

PEER = "webp-lossless"
"""The codec that lossless ones are compared with."""

ANCHOR = "jpeg"
"""The codec that lossy ones are compared with, where it was measured."""

MIN_POINTS = 3
"""Settings that a Bjøntegaard delta needs on either side: two would only be a straight line."""


@dataclass(frozen=True)
class Metric:
    """How a metric is shown; the larger value is the better one for all.

    Attributes:
        label: name for readers.
        unit: of the values on a curve, or empty.
        digits: after the point.
    """

    label: str
    unit: str = ""
    digits: int = 2


METRICS = {
    "psnr": Metric("PSNR", "dB"),
    "ms-ssim": Metric("MS-SSIM", "dB", 4),
    "ssimulacra2": Metric("SSIMULACRA 2"),
}
"""The known metrics by their name in a measurement, in the order of columns."""


@dataclass(frozen=True)
class Mean:
    """A setting over the images for which it has a result.

    Attributes:
        images: how many.
        failures: images without a result.
        size: bytes of all files together.
        bpp: bits per pixel.
        bits: per sub-pixel.
        encode_s, decode_s, encode_cpu_s, decode_cpu_s: seconds per image.
        peak_mib: the largest memory of any image; None where none is known.
        lossless: every image came back exactly.
        quality: name of a metric to its mean over the images that have it.
        frechet: distance of decoded from original crops; None where it was not measured.
    """

    setting: Setting
    images: int
    failures: int
    size: int
    bpp: float
    bits: float
    encode_s: float
    decode_s: float
    encode_cpu_s: float
    decode_cpu_s: float
    peak_mib: float | None
    lossless: bool
    quality: Mapping[str, float]
    frechet: float | None


@dataclass(frozen=True)
class Point:
    """A setting on a rate-distortion curve.

    Attributes:
        label: of the setting.
        bpp: bits per pixel, the mean over the images.
        value: of the metric, as `axis_value` gives it.
        images: how many had the metric.
    """

    label: str
    bpp: float
    value: float
    images: int


@dataclass(frozen=True)
class Delta:
    """A Bjøntegaard delta rate.

    Attributes:
        percent: difference in rate at equal quality; negative is smaller than the anchor. None
            where it cannot be said.
        overlap: the part of both curves' range of quality, 0 to 1, that the difference is of.
        reason: why there is no difference; empty when there is one.
    """

    percent: float | None
    overlap: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class LosslessRow:
    """A lossless setting beside its peer.

    Attributes:
        mean: of the setting.
        difference: its bytes less the peer's, in percent of the peer's.
        encode_ratio, decode_ratio: its time to the peer's.

    All three are over the images that both have, and None without any or without a peer.
    """

    mean: Mean
    difference: float | None
    encode_ratio: float | None
    decode_ratio: float | None


Groups = Mapping[str, Sequence[Measurement]]
"""Label of a setting to its measurements that have a result."""


def grouped(results: Results) -> Groups:
    """The measurements with a result by setting, in the order of the run."""
    groups: dict[str, list[Measurement]] = {}
    for one in results.measurements:
        mine = groups.setdefault(one.setting.label, [])
        if not one.error:
            mine.append(one)
    return groups


def finite(quality: Mapping[str, float]) -> dict[str, float]:
    """Without infinite values and those that are not numbers, which have no mean."""
    return {name: value for name, value in quality.items() if math.isfinite(value)}


def metric_names(results: Results) -> list[str]:
    """The metrics that were measured: the known ones in their order, then others by name."""
    found = {
        name for group in grouped(results).values() for one in group for name in finite(one.quality)
    }
    return [*(name for name in METRICS if name in found), *sorted(found - METRICS.keys())]


def metric(name: str) -> Metric:
    """How to show a metric; one that is not known keeps its name."""
    return METRICS.get(name, Metric(name))


def means(results: Results) -> list[Mean]:
    """The settings that have at least one result, in the order of the run."""
    failures: dict[str, int] = {}
    for one in results.failed():
        failures[one.setting.label] = failures.get(one.setting.label, 0) + 1
    return [
        _mean(mine, failures.get(label, 0), results.frechet.get(label))
        for label, mine in grouped(results).items()
        if mine
    ]


def _mean(mine: Sequence[Measurement], failures: int, frechet: float | None) -> Mean:
    quality: dict[str, list[float]] = {}
    for one in mine:
        for name, value in finite(one.quality).items():
            quality.setdefault(name, []).append(value)
    return Mean(
        setting=mine[0].setting,
        images=len(mine),
        failures=failures,
        size=sum(one.size for one in mine),
        bpp=fmean(one.bits_per_pixel for one in mine),
        bits=fmean(one.bits_per_subpixel for one in mine),
        encode_s=fmean(one.encode_s for one in mine),
        decode_s=fmean(one.decode_s for one in mine),
        encode_cpu_s=fmean(one.encode_cpu_s for one in mine),
        decode_cpu_s=fmean(one.decode_cpu_s for one in mine),
        peak_mib=max((one.peak_mib for one in mine if one.peak_mib is not None), default=None),
        lossless=all(one.lossless for one in mine),
        quality={name: fmean(values) for name, values in quality.items()},
        frechet=frechet,
    )


def lossless_rows(results: Results) -> list[LosslessRow]:
    """The settings whose every result is lossless, the smallest against the peer first.

    Those that cannot be compared come last, by mean bits per sub-pixel.
    """
    groups = grouped(results)
    exact = [one for one in means(results) if one.lossless]
    peer = next((one for one in exact if one.setting.codec == PEER), None)
    base = {one.image: one for one in groups[peer.setting.label]} if peer else {}
    rows = []
    for mean in exact:
        mine = [one for one in groups[mean.setting.label] if one.image in base]
        theirs = [base[one.image] for one in mine]
        rows.append(
            LosslessRow(
                mean,
                _percent(sum(one.size for one in mine), sum(one.size for one in theirs)),
                _ratio(sum(one.encode_s for one in mine), sum(one.encode_s for one in theirs)),
                _ratio(sum(one.decode_s for one in mine), sum(one.decode_s for one in theirs)),
            )
        )
    return sorted(
        rows, key=lambda row: (row.difference is None, row.difference or 0.0, row.mean.bits)
    )


def _ratio(mine: float, theirs: float) -> float | None:
    return mine / theirs if theirs else None


def _percent(mine: float, theirs: float) -> float | None:
    ratio = _ratio(mine, theirs)
    return None if ratio is None else 100 * (ratio - 1)


def axis_value(name: str, value: float) -> float:
    """A metric as curves show it.

    MS-SSIM x becomes -10 log10(1 - x) dB, as CompressAI plots it, and at most 60 dB: the values
    of different codecs would otherwise all lie close to 1. The others stay as they are.
    """
    return -10 * math.log10(max(1 - value, 1e-6)) if name == "ms-ssim" else value


def curves(results: Results, name: str) -> dict[str, list[Point]]:
    """Codec to its lossy settings, by rising rate: mean bits per pixel and mean of a metric.

    Both means are over the same images: those that have the metric.
    """
    found: dict[str, list[Point]] = {}
    for codec, settings in _with_metric(results, name).items():
        points = [_point(mine, name) for mine in settings]
        found[codec] = sorted(points, key=lambda point: point.bpp)
    return found


def _with_metric(results: Results, name: str) -> dict[str, list[list[Measurement]]]:
    """Codec to the measurements of each of its settings that have a metric."""
    found: dict[str, list[list[Measurement]]] = {}
    for group in grouped(results).values():
        mine = [one for one in group if name in finite(one.quality)]
        if mine:
            found.setdefault(mine[0].setting.codec, []).append(mine)
    return found


def _point(mine: Sequence[Measurement], name: str) -> Point:
    bpp = fmean(one.bits_per_pixel for one in mine)
    value = axis_value(name, fmean(one.quality[name] for one in mine))
    return Point(mine[0].setting.label, bpp, value, len(mine))


def anchor_of(codecs: Iterable[str]) -> str | None:
    """`ANCHOR` if it is among the codecs, else the first; None without any."""
    names = list(codecs)
    return ANCHOR if ANCHOR in names else next(iter(names), None)


def bd_rates(results: Results, name: str, anchor: str) -> dict[str, Delta]:
    """Codec to its Bjøntegaard delta rate for a metric; the anchor itself is left out.

    Each pair is compared over the images that all settings of both have.
    """
    measured = _with_metric(results, name)
    return {
        codec: bd_between(*_in_common(measured.get(anchor, []), settings, name))
        for codec, settings in measured.items()
        if codec != anchor
    }


def _in_common(
    anchor: Sequence[Sequence[Measurement]], test: Sequence[Sequence[Measurement]], name: str
) -> tuple[list[Point], list[Point]]:
    everywhere = [{one.image for one in mine} for mine in (*anchor, *test)]
    images = set.intersection(*everywhere)
    if not images:
        return [], []
    first, second = (
        [_point([one for one in mine if one.image in images], name) for mine in settings]
        for settings in (anchor, test)
    )
    return first, second


def bd_between(anchor: Sequence[Point], test: Sequence[Point]) -> Delta:
    """The mean difference of the log rates of two curves over the quality that both reach.

    Bjøntegaard 2001 (VCEG-M33), by the package bjontegaard. Between the points the log rate is a
    piecewise cubic (PCHIP) of the quality, which follows the points and, unlike one cubic through
    all of them or Akima's, never leaves the range between two neighbours.
    """
    if not anchor or not test:
        return Delta(None, reason="no image that both codecs have")
    if min(len(anchor), len(test)) < MIN_POINTS:
        return Delta(None, reason=f"fewer than {MIN_POINTS} settings")
    (rate_a, value_a), (rate_b, value_b) = _by_value(anchor), _by_value(test)
    if any(len(set(values)) < len(values) for values in (value_a, value_b)):
        return Delta(None, reason="two settings of equal quality")
    shared = min(value_a[-1], value_b[-1]) - max(value_a[0], value_b[0])
    if shared <= 0:
        return Delta(None, reason="ranges do not overlap")
    whole = max(value_a[-1], value_b[-1]) - min(value_a[0], value_b[0])
    percent = bd_rate(
        rate_a, value_a, rate_b, value_b, "pchip", require_matching_points=False, min_overlap=0
    )
    return Delta(float(percent), shared / whole)


def _by_value(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    ordered = sorted(points, key=lambda point: point.value)
    return [point.bpp for point in ordered], [point.value for point in ordered]


def write_csv(results: Results, path: Path) -> None:
    """One row per measurement, in the order of the run, with empty cells after an error."""
    names = metric_names(results)
    columns = (
        *("image", "codec", "options", "width", "height", "size", "bpp", "bits_per_subpixel"),
        *("encode_s", "decode_s", "encode_cpu_s", "decode_cpu_s", "peak_mib", "lossless"),
        *(*names, "digest", "error"),
    )
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(_row(one, names) for one in results.measurements)


def _row(one: Measurement, names: Sequence[str]) -> dict[str, object]:
    options = " ".join(f"{key}={value}" for key, value in one.setting.options.items())
    row: dict[str, object] = {"image": one.image, "codec": one.setting.codec, "options": options}
    if one.error:
        return row | {"error": one.error}
    return row | {
        "width": one.width,
        "height": one.height,
        "size": one.size,
        "bpp": one.bits_per_pixel,
        "bits_per_subpixel": one.bits_per_subpixel,
        "encode_s": one.encode_s,
        "decode_s": one.decode_s,
        "encode_cpu_s": one.encode_cpu_s,
        "decode_cpu_s": one.decode_cpu_s,
        "peak_mib": one.peak_mib,
        "lossless": one.lossless,
        **{name: one.quality.get(name) for name in names},
        "digest": one.digest,
    }


_COMPRESSAI_METRICS = {"psnr-rgb": "psnr", "ms-ssim-rgb": "ms-ssim"}


def compressai(results: Results) -> dict[str, dict[str, object]]:
    """Codec to what CompressAI's bench prints for one of its codecs, and its plot tool reads.

    Every list has an entry per setting, a mean over the images, by rising rate. A metric that
    some setting lacks is left out, for its list would not fit that of the rates; where a codec
    has lossy settings, its lossless ones are left out for that reason. MS-SSIM is not in dB: the
    plot tool takes the logarithm itself.
    """
    by_codec: dict[str, list[Mean]] = {}
    for mean in sorted(means(results), key=lambda mean: mean.bpp):
        by_codec.setdefault(mean.setting.codec, []).append(mean)
    return {codec: _layout(codec, settings) for codec, settings in by_codec.items()}


def _layout(codec: str, settings: Sequence[Mean]) -> dict[str, object]:
    chosen = [mean for mean in settings if not mean.lossless] or settings
    listed: dict[str, list[float]] = {"bpp": [mean.bpp for mean in chosen]}
    for key, name in _COMPRESSAI_METRICS.items():
        values = [mean.quality[name] for mean in chosen if name in mean.quality]
        if len(values) == len(chosen):
            listed[key] = values
    listed["encoding_time"] = [mean.encode_s for mean in chosen]
    listed["decoding_time"] = [mean.decode_s for mean in chosen]
    description = "; ".join(mean.setting.label for mean in chosen)
    return {"name": codec, "description": description, "results": listed}


def write_compressai(results: Results, folder: Path) -> None:
    """Write what `compressai` gives as one JSON file per codec."""
    folder.mkdir(parents=True, exist_ok=True)
    for codec, layout in compressai(results).items():
        path = folder / f"{Setting(codec).slug}.json"
        path.write_text(json.dumps(layout, indent=2) + "\n", encoding="utf-8")
