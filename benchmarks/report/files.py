"""A run as files for other programs: CSV, and the JSON that CompressAI's plot tool reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from ..results import MS_SSIM, PSNR, Results, Setting
from .tables import Mean, means, metric_names

_COLUMNS = (
    *("kind", "width", "height", "size", "bits_per_pixel", "bits_per_subpixel", "coder"),
    *("encode_s", "decode_s", "encode_cpu_s", "decode_cpu_s", "peak_mib", "lossless", "digest"),
)
"""Attributes of a `Measurement` that become columns."""

_COMPRESSAI = {PSNR: "psnr-rgb", MS_SSIM: "ms-ssim-rgb"}
"""Names of metrics in CompressAI's files."""


def write_csv(results: Results, path: Path) -> None:
    """Write one row per measurement, in the order of the run; after an error, cells are empty."""
    names = metric_names(results)
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        columns = ("image", "codec", "options", *_COLUMNS, *names, "error")
        table = csv.DictWriter(file, columns, extrasaction="ignore")
        table.writeheader()
        for one in results.measurements:
            options = " ".join(f"{key}={value}" for key, value in one.setting.options.items())
            row = {"image": one.image, "codec": one.setting.codec, "options": options}
            if one.error:
                table.writerow(row | {"error": one.error})
            else:
                measured = {name: getattr(one, name) for name in _COLUMNS}
                table.writerow(row | measured | dict(one.quality))


def compressai(results: Results) -> dict[str, dict[str, object]]:
    """Codec to what CompressAI's bench prints for one of its codecs.

    Every list has an entry per setting, a mean over the images, by rising rate. A metric that
    some setting lacks is left out, since its list would not match that of the rates; for the same
    reason, the lossless settings of a codec that has lossy ones are left out. MS-SSIM is not in
    dB: the plot tool takes the logarithm itself.
    """
    by_codec: dict[str, list[Mean]] = {}
    for mean in sorted(means(results), key=lambda mean: mean.bpp):
        by_codec.setdefault(mean.setting.codec, []).append(mean)
    return {codec: _layout(codec, settings) for codec, settings in by_codec.items()}


def _layout(codec: str, settings: list[Mean]) -> dict[str, object]:
    chosen = [mean for mean in settings if not mean.lossless] or settings
    return {
        "name": codec,
        "description": "; ".join(mean.setting.label for mean in chosen),
        "results": {
            "bpp": [mean.bpp for mean in chosen],
            **{
                key: [mean.quality[name] for mean in chosen]
                for name, key in _COMPRESSAI.items()
                if all(name in mean.quality for mean in chosen)
            },
            "encoding_time": [mean.encode_s for mean in chosen],
            "decoding_time": [mean.decode_s for mean in chosen],
        },
    }


def write_compressai(results: Results, folder: Path) -> None:
    """Write what `compressai` gives as one JSON file per codec."""
    folder.mkdir(parents=True, exist_ok=True)
    for codec, layout in compressai(results).items():
        path = folder / f"{Setting(codec).slug}.json"
        path.write_text(json.dumps(layout, indent=2) + "\n", encoding="utf-8")
