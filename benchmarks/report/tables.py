"""The means, comparisons and curves that reports show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bjontegaard import bd_rate

from ..results import KINDS, MS_SSIM, PSNR, SSIMULACRA2, Measurement, Results, Setting

PEER = "webp-lossless"
"""The codec that lossless ones are compared with."""

ANCHOR = "jpeg"
"""The codec that lossy ones are compared with, where it was measured."""

MIN_POINTS = 3
"""Settings that both sides of a Bjøntegaard delta need: two would give only a straight line."""


@dataclass(frozen=True)
class Metric:
    """How a metric is shown; for all of them, larger is better.

    Attributes:
        label: name for readers.
        unit: of the values on a curve; may be empty.
        digits: after the decimal point.
    """

    label: str
    unit: str = ""
    digits: int = 2


METRICS = {
    PSNR: Metric("PSNR", "dB"),
    MS_SSIM: Metric("MS-SSIM", "dB", 4),
    SSIMULACRA2: Metric("SSIMULACRA 2"),
}
"""Name of a metric to how it is shown, in the order of columns."""


@dataclass(frozen=True)
class Mean:
    """A setting over the images for which it has a result.

    Attributes:
        images: how many.
        failures: images without a result.
        size: bytes of all files together.
        bpp: bits per pixel.
        bits: bits per sub-pixel.
        encode_s, decode_s, encode_cpu_s, decode_cpu_s: seconds per image.
        peak_mib: peak memory over all images in MiB; None where none is known.
        lossless: every image came back exactly.
        quality: name of a metric to its mean over the images that have it.
        frechet: distance between decoded and original crops; None where it was not measured.
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
            where it cannot be computed.
        overlap: the part of both curves' range of quality, 0 to 1, that the difference covers.
        reason: why there is no difference; empty when there is one.
    """

    percent: float | None
    overlap: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """A setting beside its peer.

    Attributes:
        mean: of the setting.
        peer: label of the first setting of that codec; empty where it was not measured.
        size_ratio, encode_ratio, decode_ratio: the setting's bytes and processor times divided by
            the peer's, over the images that both have; None without such images.
    """

    mean: Mean
    peer: str
    size_ratio: float | None
    encode_ratio: float | None
    decode_ratio: float | None

    @property
    def difference(self) -> float | None:
        """Of the sizes, in percent of the peer's."""
        return None if self.size_ratio is None else 100 * (self.size_ratio - 1)


def by_kind(results: Results) -> dict[str, Results]:
    """Kind of the images to the measurements of those that have one, in the order of `KINDS`."""
    kinds: dict[str, list[Measurement]] = {kind: [] for kind in KINDS}
    for one in results.measurements:
        if not one.error:
            kinds[one.kind].append(one)
    return {kind: replace(results, measurements=tuple(of)) for kind, of in kinds.items() if of}


Groups = Mapping[str, Sequence[Measurement]]
"""Label of a setting to its measurements that have a result."""


def grouped(results: Results) -> Groups:
    """The measurements with a result by setting, in the order of the run."""
    groups: dict[str, list[Measurement]] = {}
    for one in results.measurements:
        group = groups.setdefault(one.setting.label, [])
        if not one.error:
            group.append(one)
    return groups


def finite(quality: Mapping[str, float]) -> dict[str, float]:
    """Without infinite values and NaN, which have no mean."""
    return {name: value for name, value in quality.items() if math.isfinite(value)}


def metric_names(results: Results) -> list[str]:
    """The metrics that were measured: those of `METRICS` in that order, then others by name."""
    found = {
        name for group in grouped(results).values() for one in group for name in finite(one.quality)
    }
    return [*(name for name in METRICS if name in found), *sorted(found - METRICS.keys())]


def metric(name: str) -> Metric:
    """How to show a metric; one that `METRICS` lacks is shown by its name."""
    return METRICS.get(name, Metric(name))


def means(results: Results) -> list[Mean]:
    """The settings that have at least one result, in the order of the run."""
    failures: dict[str, int] = {}
    for one in results.failed():
        failures[one.setting.label] = failures.get(one.setting.label, 0) + 1
    return [
        _mean(group, failures.get(label, 0), results.frechet.get(label))
        for label, group in grouped(results).items()
        if group
    ]


def _mean(group: Sequence[Measurement], failures: int, frechet: float | None) -> Mean:
    quality: dict[str, list[float]] = {}
    for one in group:
        for name, value in finite(one.quality).items():
            quality.setdefault(name, []).append(value)
    return Mean(
        setting=group[0].setting,
        images=len(group),
        failures=failures,
        size=sum(one.size for one in group),
        bpp=fmean(one.bits_per_pixel for one in group),
        bits=fmean(one.bits_per_subpixel for one in group),
        encode_s=fmean(one.encode_s for one in group),
        decode_s=fmean(one.decode_s for one in group),
        encode_cpu_s=fmean(one.encode_cpu_s for one in group),
        decode_cpu_s=fmean(one.decode_cpu_s for one in group),
        peak_mib=max((one.peak_mib for one in group if one.peak_mib is not None), default=None),
        lossless=all(one.lossless for one in group),
        quality={name: fmean(values) for name, values in quality.items()},
        frechet=frechet,
    )


def lossless_rows(results: Results, peer: str = PEER) -> list[Row]:
    """The settings whose every result is lossless, the smallest against the peer first.

    Those that cannot be compared come last, by mean bits per sub-pixel.

    Args:
        peer: a codec.
    """
    rows = _rows(results, True, peer)
    return sorted(
        rows, key=lambda row: (row.size_ratio is None, row.size_ratio or 0.0, row.mean.bits)
    )


def lossless_by_kind(results: Results) -> dict[str, list[Row]]:
    """Kind of the images to the `lossless_rows` of those."""
    rows = {kind: lossless_rows(of) for kind, of in by_kind(results).items()}
    return {kind: of for kind, of in rows.items() if of}


def lossy_rows(results: Results) -> list[Row]:
    """The other settings, in the order of the run."""
    return _rows(results, False, ANCHOR)


def _rows(results: Results, lossless: bool, codec: str) -> list[Row]:
    groups = grouped(results)
    chosen = [mean for mean in means(results) if mean.lossless == lossless]
    peer = next((mean.setting.label for mean in chosen if mean.setting.codec == codec), "")
    base = {one.image: one for one in groups.get(peer, ())}
    rows = []
    for mean in chosen:
        pairs = [(m, base[m.image]) for m in groups[mean.setting.label] if m.image in base]
        rows.append(
            Row(
                mean,
                peer,
                _ratio([(one.size, other.size) for one, other in pairs]),
                _ratio([(one.encode_cpu_s, other.encode_cpu_s) for one, other in pairs]),
                _ratio([(one.decode_cpu_s, other.decode_cpu_s) for one, other in pairs]),
            )
        )
    return rows


def _ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Of the sums."""
    below = sum(other for _, other in pairs)
    return sum(one for one, _ in pairs) / below if below else None


def axis_value(name: str, value: float) -> float:
    """A metric as curves show it.

    MS-SSIM x becomes -10 log10(1 - x) dB, as CompressAI plots it, and at most 60 dB: otherwise
    the values of all codecs would lie close to 1. Other metrics are unchanged.
    """
    return -10 * math.log10(max(1 - value, 1e-6)) if name == MS_SSIM else value


def curves(results: Results, name: str) -> dict[str, list[Point]]:
    """Codec to its lossy settings, by rising rate: mean bits per pixel and mean of a metric.

    Both means are over the same images: those that have the metric.
    """
    return {
        codec: sorted((_point(group, name) for group in groups), key=lambda point: point.bpp)
        for codec, groups in _with_metric(results, name).items()
    }


def _with_metric(results: Results, name: str) -> dict[str, list[list[Measurement]]]:
    """Codec to the measurements of each of its settings that have a metric."""
    found: dict[str, list[list[Measurement]]] = {}
    for group in grouped(results).values():
        if having := [one for one in group if name in finite(one.quality)]:
            found.setdefault(having[0].setting.codec, []).append(having)
    return found


def _point(group: Sequence[Measurement], name: str) -> Point:
    bpp = fmean(one.bits_per_pixel for one in group)
    value = axis_value(name, fmean(one.quality[name] for one in group))
    return Point(group[0].setting.label, bpp, value, len(group))


def anchor_of(codecs: Iterable[str]) -> str | None:
    """`ANCHOR` if it is among the codecs, else the first; None without any."""
    names = list(codecs)
    return ANCHOR if ANCHOR in names else next(iter(names), None)


def bd_rates(results: Results, name: str, anchor: str) -> dict[str, Delta]:
    """Codec to its Bjøntegaard delta rate for a metric; the anchor itself is left out.

    Each codec is compared over the images that all settings of it and of the anchor have.
    """
    measured = _with_metric(results, name)
    base = measured.get(anchor, [])
    deltas = {}
    for codec, groups in measured.items():
        if codec != anchor:
            shared = set.intersection(*({one.image for one in group} for group in base + groups))
            deltas[codec] = bd_between(_over(base, shared, name), _over(groups, shared, name))
    return deltas


def _over(groups: Iterable[Sequence[Measurement]], images: set[str], name: str) -> list[Point]:
    """A point for each group, over some of the images; no points without images."""
    chosen = ([one for one in group if one.image in images] for group in groups)
    return [_point(group, name) for group in chosen if group]


def bd_between(anchor: Sequence[Point], test: Sequence[Point]) -> Delta:
    """The mean difference of the log rates of two curves over the quality that both reach.

    Bjøntegaard 2001 (VCEG-M33), by the package bjontegaard. Between the points the log rate is a
    piecewise cubic (PCHIP) of the quality. Unlike a single cubic or Akima's spline, it never
    leaves the range between two neighbouring points.
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
    """Rates and values, by rising value."""
    ordered = sorted(points, key=lambda point: point.value)
    return [point.bpp for point in ordered], [point.value for point in ordered]
