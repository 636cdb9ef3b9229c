"""Writes docs/results.md, and the README's table and picture.

    python -m noisepress.benchmarks.document

`measured/kodak.json` and `measured/cifar10.json` are the `results.json` of `noisepress bench` and
of `python -m noisepress.benchmarks.small_images`, `measured/chains.json` the output of
`python -m noisepress.benchmarks.chains`, `measured/bits_back.json` that of
`python -m noisepress.benchmarks.bits_back`. `measured/published.json` are means over Kodak that
CompressAI's repository publishes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import noisepress

from . import bits_back, decoders
from .chains import LEVELS, Point, summaries
from .chains import read as read_points
from .codecs import LOSSLESS, LOSSY, parse, parse_all
from .report.page import progressive
from .report.tables import (
    ANCHOR,
    Delta,
    Mean,
    bd_between,
    bd_rates,
    curves,
    lossless_rows,
    means,
    metric,
    metric_names,
)
from .report.tables import Point as CurvePoint
from .results import Results, Setting

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
    names = metric_names(results)
    header = ("setting", "bits per pixel", *(metric(name).label for name in names), "Fréchet")
    rows = [
        (
            _name(mean),
            f"{mean.bpp:.3f}",
            *(f"{mean.quality[name]:.{metric(name).digits}f}" for name in names),
            "" if mean.frechet is None else f"{mean.frechet:.2f}",
        )
        for mean in lossy
    ]
    return _markdown(header, rows)


def _difference(delta: Delta | None) -> str:
    return "" if delta is None else delta.reason or f"{delta.percent:+.1f} %"


def delta_table(results: Results) -> str:
    """Bjøntegaard delta rates against JPEG, of codecs with enough settings for one."""
    names = metric_names(results)
    deltas = {name: bd_rates(results, name, ANCHOR) for name in names}
    known = [codec for name in names for codec, one in deltas[name].items() if not one.reason]
    codecs = list(dict.fromkeys(known))
    rows = []
    for codec in codecs:
        rows.append((codec, *(_difference(deltas[name].get(codec)) for name in names)))
    return _markdown(("codec", *(metric(name).label for name in names)), rows)


def published_table(results: Results) -> str:
    """Curves that others published, against JPEG as it was measured here."""
    anchor = curves(results, "psnr").get(ANCHOR, [])
    rows = []
    for one in json.loads((MEASURED / "published.json").read_text()):
        pairs = list(zip(one["bpp"], one["psnr"], strict=True))
        delta = bd_between(anchor, [CurvePoint("", *pair, 24) for pair in pairs])
        points = ", ".join(f"{bpp:.3f} {psnr:.2f}" for bpp, psnr in pairs)
        rows.append((one["codec"], _difference(delta), points))
    return _markdown(("codec", "against JPEG", "bits per pixel and PSNR"), rows)


def chains_table(points: Sequence[Point]) -> str:
    """What diffc's coders, step counts and error tables cost."""
    rates = [f"bits per pixel at {level:.0f} dB" for level in LEVELS]
    header = ("coder", "steps", "variances", "file against divergence", *rates)
    rows = [
        (
            one.variant.coder,
            str(one.variant.steps),
            "by frequency" if one.variant.spectrum else "one",
            f"{100 * one.overhead:+.1f} %",
            *(f"{rate:.3f}" for rate in one.rates),
        )
        for one in summaries(points)
    ]
    return _markdown(header, rows)


def decoders_table(points: Sequence[decoders.Point]) -> str:
    """What hfd's score decoders show."""
    rows = [
        (
            one.decoder or "none: the first stage",
            str(one.calls or ""),
            f"{one.bpp:.3f}",
            f"{one.psnr:.2f}",
            f"{one.frechet:.2f}",
        )
        for one in points
    ]
    return _markdown(("decoder", "calls", "bits per pixel", "PSNR", "Fréchet"), rows)


def bits_back_table(points: Sequence[bits_back.Point]) -> str:
    """Files of vdm against its bound and against other codecs."""
    header = ("images", "codec", "steps", "bytes", "bits per sub-pixel", "file against bound")
    rows = [
        (
            one.what,
            NAMES.get(one.codec, one.codec),
            str(one.steps or ""),
            f"{one.bits // 8:,}",
            f"{one.bits / one.samples:.3f}",
            f"{100 * (one.bits / one.bound - 1):+.2f} %" if one.bound else "",
        )
        for one in sorted(points, key=lambda one: (one.what, one.codec, one.steps))
    ]
    return _markdown(header, rows)


def loans_table(loans: Sequence[bits_back.Loan]) -> str:
    """Bits that vdm's chain borrows."""
    rows = [(str(one.steps), f"{one.bit_swap:.1f}", f"{one.top_down:.1f}") for one in loans]
    return _markdown(("steps", "Bit-Swap order", "top-down order"), rows)


def _text(settings: Sequence[Setting]) -> str:
    """What `codecs.parse` reads, for settings of one codec with the same options."""
    codec, names = settings[0].codec, list(settings[0].options)
    values = [dict.fromkeys(str(one.options[name]) for one in settings) for name in names]
    listed = [f"{name}={'/'.join(some)}" for name, some in zip(names, values, strict=True)]
    return f"{codec}:{','.join(listed)}" if listed else codec


def _texts(settings: Iterable[Setting]) -> Iterator[str]:
    """Few texts that `codecs.parse` reads as these settings."""
    alike: dict[tuple[str, ...], list[Setting]] = {}
    for one in settings:
        alike.setdefault((one.codec, *one.options), []).append(one)
    for group in alike.values():
        together = _text(group)
        if len(parse(together)) == len(group):
            yield together
        else:  # not every value of an option stands with every one of another
            yield from (_text([one]) for one in group)


def command(settings: Sequence[Setting]) -> str:
    """A `noisepress bench` that measures these settings and no others."""
    left = {one.label: one for one in settings}
    words = ["noisepress bench kodak24/"]
    for flag, texts in (("--lossy", LOSSY), ("--lossless", LOSSLESS)):
        usual = {one.label for one in parse_all(texts)}
        if usual <= left.keys():
            words.append(flag)
            left = {label: one for label, one in left.items() if label not in usual}
            break  # the command takes one of them
    words += (f"--codec {text}" for text in _texts(left.values()))
    return " ".join([*words, "-o OUT"])


def _machine(results: Results) -> str:
    return ", ".join(f"{key} {value}" for key, value in results.machine.items())


def document() -> str:
    """The text of docs/results.md."""
    kodak, cifar = read("kodak"), read("cifar10")
    chains, whole = (read_points(MEASURED / f"{name}.json") for name in ("chains", "chains_whole"))
    drawn = decoders.read(MEASURED / "decoders.json")
    points, loans = bits_back.read_points(MEASURED / "bits_back.json")
    images = len({one.image for one in kodak.measurements})
    small = len({one.image for one in cifar.measurements})
    parts = [
        "# Results\n",
        "Written by `python -m noisepress.benchmarks.document` from "
        "[benchmarks/measured](../benchmarks/measured). Sizes are those of real files. Times are "
        "ratios to WebP's on the same machine; a run that was resumed mixes times of day.\n",
        f"## Kodak, lossless\n\n{images} images, `{command(kodak.settings())}`.\n",
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
            "What CompressAI's repository publishes of the same images (its folder "
            "`results/image/kodak`, rates by its ANS coder), against JPEG by PSNR:\n",
            published_table(kodak),
        ]
    parts += [
        "## diffc: coders and steps\n",
        f"The middles of {len({one.image for one in chains})} images, "
        "`python -m noisepress.benchmarks.chains PHOTO... -o OUT.json`. The divergence is what "
        "the steps would cost with a perfect code. `ideal` sends exact samples of q at that price, "
        "which no code does; `trellis12` has 2^12 states.\n",
        chains_table(chains),
        f"The same without cutting, images: {len({one.image for one in whole})}. Headers and "
        "sections are a smaller share there (`--side 768 --coder trellis12 --coder trellis16`):\n",
        chains_table(whole),
        "## hfd: score decoders\n",
        f"{drawn[0].images} Kodak images at quality {decoders.QUALITY:.0f}, drawn with the given "
        "number of network calls, `python -m noisepress.benchmarks.decoders "
        "kodak24/{01,07,13,19}.png -o OUT.json --decoder hfd-photo-fast.safetensors`; that one was "
        "distilled for 400 steps and is not bundled.\n",
        decoders_table(drawn),
        "## vdm: files against the bound\n",
        f"An archive of {bits_back.CROPS} crops of 64 x 64 of all Kodak images, and whole images, "
        "`python -m noisepress.benchmarks.bits_back kodak24/*.png -o OUT.json`. The bound is what "
        "the same pixels take with the same model and number of steps in a chain of real numbers "
        "(arXiv 2107.00630, eq. 4), with ardm's part. JPEG XL's crops are files of their own.\n",
        bits_back_table(points),
        "Bits that a tile's chain borrows before it gives any back, for each pixel and plane:\n",
        loans_table(loans),
        f"## CIFAR-10, random order\n\n{small} images of 32 x 32, each a file of its own, "
        f"`python -m noisepress.benchmarks.small_images ARCHIVE --images {small} -o OUT`. Every "
        "file holds its header; `calls` is how often the network runs.\n",
        lossless_table(cifar),
        f"## Machine\n\nKodak: {_machine(kodak)}.\n",
        f"CIFAR-10: {_machine(cifar)}.\n",
    ]
    return "\n".join(parts)


def readme(text: str) -> str:
    """The README with its measured blocks brought up to date."""
    kodak = read("kodak")
    tables = {"lossless": sizes_table, "lossy": delta_table}
    return _BLOCK.sub(lambda m: f"{m[1]}{tables[m[2]](kodak)}{m[3]}", text)


def film_strip(pixels: NDArray[np.uint8], count: int = 4) -> Image.Image:
    """The last pictures of a file that is cut after each of its sections, side by side."""
    data = noisepress.encode(pixels, fallback=False)
    steps = list(progressive(data))[-count:]
    width, height = pixels.shape[1] * 3 // 4, pixels.shape[0] * 3 // 4
    strip = Image.new("RGB", (count * (width + 8) - 8, height + 28), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(15)
    for index, (picture, size) in enumerate(steps):
        left = index * (width + 8)
        shown = picture.resize((width, height), Image.Resampling.NEAREST)
        strip.paste(shown, (left, 0))
        text = f"{picture.width} x {picture.height}, {size} bytes ({size / len(data):.0%})"
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
