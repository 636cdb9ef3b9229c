"""Writes docs/results.md, and the README's table and picture.

    python -m noisepress.benchmarks.document

`measured/kodak.json` and `measured/cifar10.json` are the `results.json` of `noisepress bench` and
of `python -m noisepress.benchmarks.small_images`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import noisepress

from .report.tables import Mean, bd_rates, curves, lossless_rows, means, metric
from .results import Results

ROOT = Path(__file__).resolve().parents[1]
MEASURED = Path(__file__).resolve().parent / "measured"
README, DOCUMENT = ROOT / "README.md", ROOT / "docs" / "results.md"
PHOTO, PICTURE = ROOT / "codec" / "demo.png", ROOT / "docs" / "progressive.png"
_BLOCK = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

NAMES = {
    "ardm": "noisepress",
    "ardm-alone": "ardm alone",
    "png": "PNG",
    "webp-lossless": "WebP",
    "jpeg2000-lossless": "JPEG 2000",
    "jpegxl-lossless": "JPEG XL",
}


def read(name: str) -> Results:
    """Committed measurements."""
    return Results.read(MEASURED / f"{name}.json")


def _name(mean: Mean) -> str:
    options = [f"{key} {value}" for key, value in mean.setting.options.items()]
    return ", ".join([NAMES.get(mean.setting.codec, mean.setting.codec), *options])


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, rule, *rows))


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def lossless_table(results: Results) -> str:
    """Sizes of lossless files and times as ratios to WebP's, smallest files first."""
    header = ("codec", "bytes", "bits per sub-pixel", "against WebP", "encode time", "decode time")
    rows = [
        (
            _name(row.mean),
            f"{row.mean.size:,}",
            f"{row.mean.bits:.3f}",
            "" if row.difference is None else f"{row.difference:+.1f} %",
            _ratio(row.encode_ratio),
            _ratio(row.decode_ratio),
        )
        for row in lossless_rows(results)
    ]
    return _markdown(header, rows)


def sizes_table(results: Results) -> str:
    """Bytes and bits per sub-pixel of lossless files, smallest first: the README's table."""
    rows = [
        (_name(row.mean), f"{row.mean.size:,}", f"{row.mean.bits:.3f}")
        for row in lossless_rows(results)
    ]
    return _markdown(("codec", "bytes", "mean bits per sub-pixel"), rows)


def lossy_table(results: Results) -> str:
    """Rate and quality of every lossy setting."""
    lossy = [mean for mean in means(results) if not mean.lossless]
    names = [name for name in ("psnr", "ms-ssim", "ssimulacra2") if curves(results, name)]
    header = ("setting", "bits per pixel", *(metric(name).label for name in names), "Fréchet")
    rows = [
        (
            _name(mean),
            f"{mean.bpp:.3f}",
            *(f"{mean.quality[name]:.{4 if name == 'ms-ssim' else 2}f}" for name in names),
            "" if mean.frechet is None else f"{mean.frechet:.2f}",
        )
        for mean in lossy
    ]
    return _markdown(header, rows)


def delta_table(results: Results) -> str:
    """Bjøntegaard delta rates against JPEG."""
    names = [name for name in ("psnr", "ms-ssim", "ssimulacra2") if curves(results, name)]
    deltas = {name: bd_rates(results, name, "jpeg") for name in names}
    codecs = list(dict.fromkeys(codec for name in names for codec in deltas[name]))
    rows = []
    for codec in codecs:
        cells = [deltas[name].get(codec) for name in names]
        shown = ["" if cell is None else cell.reason or f"{cell.percent:+.1f} %" for cell in cells]
        rows.append((codec, *shown))
    return _markdown(("codec", *(metric(name).label for name in names)), rows)


def _machine(results: Results) -> str:
    return ", ".join(f"{key} {value}" for key, value in results.machine.items())


def document() -> str:
    """The text of docs/results.md."""
    kodak, cifar = read("kodak"), read("cifar10")
    images = len({one.image for one in kodak.measurements})
    small = len({one.image for one in cifar.measurements})
    parts = [
        "# Results\n",
        "Written by `python -m noisepress.benchmarks.document` from "
        "[benchmarks/measured](../benchmarks/measured). Sizes are those of real files. Times are "
        "ratios to WebP's on the same machine; a run that was resumed mixes times of day.\n",
        f"## Kodak, lossless\n\n{images} images, `noisepress bench kodak24/ --lossless -o OUT`.\n",
        lossless_table(kodak),
        '"noisepress" is what `encode` writes: the smallest of ardm, WebP and PNG, decoded again '
        'before it is returned. "ardm alone" is the model without the others.\n',
    ]
    if any(not mean.lossless for mean in means(kodak)):
        parts += [
            "## Kodak, lossy\n",
            lossy_table(kodak),
            "Bjøntegaard delta rates against JPEG, by quality metric; negative is smaller:\n",
            delta_table(kodak),
        ]
    parts += [
        f"## CIFAR-10, random order\n\n{small} images of 32 x 32, each a file of its own, "
        "`python -m noisepress.benchmarks.small_images ARCHIVE -o OUT`. Every file holds its "
        "header; `calls` is how often the network runs.\n",
        lossless_table(cifar),
        f"## Machine\n\nKodak: {_machine(kodak)}.\n",
        f"CIFAR-10: {_machine(cifar)}.\n",
    ]
    return "\n".join(parts)


def readme(text: str) -> str:
    """The README with its measured blocks brought up to date."""
    return _BLOCK.sub(lambda m: f"{m[1]}{sizes_table(read(m[2]))}{m[3]}", text)


def film_strip(pixels: NDArray[np.uint8], count: int = 4) -> Image.Image:
    """The last pictures of a file that is cut after each of its sections, side by side."""
    data = noisepress.encode(pixels, fallback=False)
    sections = noisepress.inspect(data).sections
    sizes = accumulate(size for kind, size, _ in sections if kind == "data")
    steps = list(zip(noisepress.decode_progressive(data), sizes, strict=True))[-count:]
    width, height = pixels.shape[1] * 3 // 4, pixels.shape[0] * 3 // 4
    strip = Image.new("RGB", (count * (width + 8) - 8, height + 28), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(15)
    for index, (picture, size) in enumerate(steps):
        left = index * (width + 8)
        shown = Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST)
        strip.paste(shown, (left, 0))
        text = f"{picture.shape[1]} x {picture.shape[0]}, {size} bytes ({size / len(data):.0%})"
        draw.text((left + 4, height + 4), text, "black", font)
    return strip


def main() -> None:
    """Write the documents and the picture."""
    DOCUMENT.write_text(document())
    README.write_text(readme(README.read_text()))
    with Image.open(PHOTO) as photo:
        film_strip(np.asarray(photo.convert("RGB"))).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
