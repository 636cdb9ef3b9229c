"""Writes docs/results.md, and the README's tables and picture: a tool for a checkout of noisepress.

    python -m noisepress.benchmarks.document

It reads `benchmarks/measured`, which is not installed. `kodak_lossless.json`, `clean.json`,
`kinds.json`, `kodak.json` and `cifar10.json` are the `results.json` of `noisepress bench`;
`jpegfiles.json`, `experts.json`, `chains.json`, `chains_whole.json`, `decoders.json`,
`bits_back.json`, `loans.json`, `arrays.json`, `planes.json`, `rates.json` and `stacks.json` are the
outputs of the studies of those names, and `published.json` holds means over Kodak that CompressAI's
repository publishes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import noisepress

from .codecs import LOSSLESS, LOSSY, parse, parse_all
from .errors import BenchError
from .report.markdown import (
    Columns,
    bits_per_pixel,
    bits_per_subpixel,
    decode_ratio,
    encode_ratio,
    quality_columns,
    size,
    table,
)
from .report.page import progressive
from .report.tables import (
    ANCHOR,
    Delta,
    Mean,
    Point,
    Row,
    bd_between,
    bd_rates,
    by_kind,
    curves,
    grouped,
    lossless_rows,
    lossy_rows,
    metric,
    metric_names,
)
from .results import PSNR, Measurement, Results, Setting
from .studies import (
    arrays,
    bits_back,
    chains,
    decoders,
    experts,
    jpegfiles,
    loans,
    planes,
    points,
    rates,
    stacks,
)

ROOT = Path(__file__).resolve().parents[1]
MEASURED = Path(__file__).resolve().parent / "measured"
README, DOCUMENT = ROOT / "README.md", ROOT / "docs" / "results.md"
PHOTO, PICTURE = ROOT / "codec" / "demo.png", ROOT / "docs" / "progressive.png"
BEST = "jpegxl-lossless"
"""The peer that is best on most kinds of images."""
_BLOCK = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

NAMES = {
    "ardm": "noisepress",
    "ardm-alone": "ardm alone",
    "png": "PNG",
    "oxipng": "PNG by oxipng",
    "webp-lossless": "WebP",
    "jpeg2000-lossless": "JPEG 2000",
    "jpegxl-lossless": "JPEG XL",
}


def measured(name: str) -> Path:
    """A file of committed measurements.

    Raises:
        BenchError: it is missing, as in an installed package.
    """
    path = MEASURED / f"{name}.json"
    if not path.exists():
        raise BenchError(f"{path} is missing; only a checkout of the repository has it")
    return path


def read(name: str) -> Results:
    """A committed run."""
    return Results.read(measured(name))


def _name(row: Row) -> str:
    setting = row.mean.setting
    options = [f"{key} {value}" for key, value in setting.options.items()]
    return ", ".join([NAMES.get(setting.codec, setting.codec), *options])


def _percent(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:+.{digits}f} %"


def lossless_table(results: Results) -> str:
    """Sizes of lossless files and processor times as ratios to WebP's, smallest files first."""
    columns: Columns = {
        "codec": _name,
        "bytes": size,
        "bits per sub-pixel": bits_per_subpixel,
        "against WebP": lambda row: _percent(row.difference),
        "encode time": encode_ratio,
        "decode time": decode_ratio,
    }
    return table(lossless_rows(results), columns)


def kinds_table(results: Results) -> str:
    """Sizes and processor times for each kind of image, over those that all its codecs code."""
    rows = [
        (kind, row)
        for kind, of in by_kind(results).items()
        for row in lossless_rows(_shared(of), BEST)
    ]
    peers = {kind: row.mean for kind, row in rows if row.mean.setting.codec == BEST}

    def time(of: Callable[[Mean], float]) -> Callable[[tuple[str, Row]], str]:
        return lambda at: f"{of(at[1].mean) / of(peers[at[0]]):.2f}"

    return table(
        rows,
        {
            "kind": lambda at: at[0],
            "codec": lambda at: _name(at[1]),
            "images": lambda at: str(at[1].mean.images),
            "bytes": lambda at: size(at[1]),
            "against JPEG XL": lambda at: _percent(at[1].difference),
            "encode time": time(lambda mean: mean.encode_cpu_s),
            "decode time": time(lambda mean: mean.decode_cpu_s),
        },
    )


def _shared(results: Results) -> Results:
    """The measurements of the images that every codec with a result has."""
    groups = [group for group in grouped(results).values() if group]
    shared = set.intersection(*({one.image for one in group} for group in groups))
    return replace(
        results, measurements=tuple(one for one in results.measurements if one.image in shared)
    )


def files_table(results: Results) -> str:
    """What each image takes, the codec that won, and what peers take."""
    peers = [one.codec for one in results.settings() if one.codec != "ardm"]
    sizes: dict[str, dict[str, int]] = {}
    for one in results.measurements:
        if one.setting.codec in peers and not one.error:
            sizes.setdefault(one.image, {})[one.setting.codec] = one.size

    def column(peer: str) -> Callable[[Measurement], str]:
        return lambda one: f"{sizes[one.image][peer]:,}" if peer in sizes.get(one.image, {}) else ""

    def against(one: Measurement) -> str:
        return f"{one.size - min(sizes[one.image].values()):+,}" if one.image in sizes else ""

    return table(
        [one for of in by_kind(results).values() for one in of.measurements if one.coder],
        {
            "image": lambda one: one.image,
            "kind": lambda one: one.kind,
            "codec that won": lambda one: one.coder,
            "bytes": lambda one: f"{one.size:,}",
            **{NAMES[peer]: column(peer) for peer in peers},
            "against the smallest": against,
        },
    )


def sizes_table(results: Results) -> str:
    """Sizes of lossless files, smallest first: the README's table."""
    columns: Columns = {"codec": _name, "bytes": size, "mean bits per sub-pixel": bits_per_subpixel}
    return table(lossless_rows(results), columns)


def lossy_table(results: Results) -> str:
    """Rate and quality of every lossy setting."""
    columns: Columns = {"setting": _name, "bits per pixel": bits_per_pixel}
    return table(lossy_rows(results), columns | quality_columns(results))


def _difference(delta: Delta | None) -> str:
    return "" if delta is None else delta.reason or _percent(delta.percent)


def delta_table(results: Results) -> str:
    """Bjøntegaard delta rates against JPEG, of codecs with enough settings for one."""
    deltas = {name: bd_rates(results, name, ANCHOR) for name in metric_names(results)}
    codecs = [codec for of in deltas.values() for codec, one in of.items() if not one.reason]

    def column(of: Mapping[str, Delta]) -> Callable[[str], str]:
        return lambda codec: _difference(of.get(codec))

    columns = {metric(name).label: column(of) for name, of in deltas.items()}
    return table(dict.fromkeys(codecs), {"codec": str, **columns})


def published_table(results: Results) -> str:
    """Curves that others published, against JPEG as it was measured here."""
    anchor = curves(results, PSNR).get(ANCHOR, [])
    published = {
        one["codec"]: [Point("", *pair, 24) for pair in zip(one["bpp"], one["psnr"], strict=True)]
        for one in json.loads(measured("published").read_text())
    }
    columns: dict[str, Callable[[str], str]] = {
        "codec": str,
        "against JPEG": lambda codec: _difference(bd_between(anchor, published[codec])),
        "bits per pixel and PSNR": lambda codec: ", ".join(
            f"{point.bpp:.3f} {point.value:.2f}" for point in published[codec]
        ),
    }
    return table(published, columns)


def chains_table(found: Sequence[chains.Point]) -> str:
    """What diffc's coders, step counts and error variances cost."""

    def rate(at: int) -> Callable[[chains.Summary], str]:
        return lambda one: f"{one.rates[at]:.3f}"

    return table(
        chains.summaries(found),
        {
            "coder": lambda one: one.variant.coder,
            "steps": lambda one: str(one.variant.steps),
            "variances": lambda one: "by frequency" if one.variant.spectrum else "one",
            "file against divergence": lambda one: _percent(100 * one.overhead),
            **{
                f"bits per pixel at {level:.0f} dB": rate(at)
                for at, level in enumerate(chains.LEVELS)
            },
        },
    )


def decoders_table(found: Sequence[decoders.Point]) -> str:
    """Quality of the pictures of hfd's score decoders."""
    return table(
        found,
        {
            "decoder": lambda one: one.decoder or "none: the restored picture",
            "calls": lambda one: str(one.calls or ""),
            "bits per pixel": lambda one: f"{one.bpp:.3f}",
            "PSNR": lambda one: f"{one.psnr:.2f}",
            "Fréchet": lambda one: f"{one.frechet:.2f}",
        },
    )


def bits_back_table(found: Sequence[bits_back.Point]) -> str:
    """Files of vdm against its bound and against other codecs."""
    return table(
        sorted(found, key=lambda one: one.job),
        {
            "images": lambda one: one.what,
            "codec": lambda one: NAMES.get(one.codec, one.codec),
            "steps": lambda one: str(one.steps or ""),
            "bytes": lambda one: f"{one.bits // 8:,}",
            "bits per sub-pixel": lambda one: f"{one.bits / one.samples:.3f}",
            "file against bound": lambda one: (
                _percent(100 * (one.bits / one.bound - 1), 2) if one.bound else ""
            ),
        },
    )


def loans_table(found: Sequence[loans.Loan]) -> str:
    """Bits that vdm's chain borrows."""
    return table(
        found,
        {
            "steps": lambda one: str(one.steps),
            "Bit-Swap order": lambda one: f"{one.bit_swap:.1f}",
            "top-down order": lambda one: f"{one.top_down:.1f}",
        },
    )


def _texts(settings: Iterable[Setting]) -> Iterator[str]:
    """Few texts that `codecs.parse` reads as these settings."""
    alike: dict[tuple[str, ...], list[Setting]] = {}
    for one in settings:
        alike.setdefault((one.codec, *one.options), []).append(one)
    for (codec, *names), group in alike.items():
        values = [dict.fromkeys(str(one.options[name]) for one in group) for name in names]
        listed = [f"{name}={'/'.join(of)}" for name, of in zip(names, values, strict=True)]
        text = f"{codec}:{','.join(listed)}" if listed else codec
        if len(parse(text)) == len(group):
            yield text
        else:  # the settings are not the product of their options' values
            for one in group:
                yield from _texts([one])


def command(folder: str, settings: Sequence[Setting]) -> str:
    """A `noisepress bench` that measures these settings of a folder's images, and no others."""
    left = {one.label: one for one in settings}
    words = [f"noisepress bench {folder}"]
    for flag, texts in (("--lossy", LOSSY), ("--lossless", LOSSLESS)):
        usual = {one.label for one in parse_all(texts)}
        if usual <= left.keys():
            words.append(flag)
            left = {label: one for label, one in left.items() if label not in usual}
            break  # the command takes only one of them
    words += (f"--codec {text}" for text in _texts(left.values()))
    return " ".join([*words, "-o OUT"])


def _images(results: Results) -> int:
    return len({one.image for one in results.measurements})


def _machine(results: Results) -> str:
    return ", ".join(f"{key} {value}" for key, value in results.machine.items())


def document() -> str:
    """The text of docs/results.md."""
    lossless, clean, kodak, cifar = map(read, ("kodak_lossless", "clean", "kodak", "cifar10"))
    kinds = read("kinds")
    left_out = points.read(measured("experts"), experts.Size)
    middles, whole = (
        points.read(measured(name), chains.Point) for name in ("chains", "chains_whole")
    )
    drawn = points.read(measured("decoders"), decoders.Point)
    files = points.read(measured("bits_back"), bits_back.Point)
    borrowed = points.read(measured("loans"), loans.Loan)
    chunks = points.read(measured("arrays"), arrays.Chunks)
    wide = points.read(measured("rates"), rates.Point)
    frames = points.read(measured("stacks"), stacks.Result)
    parts = [
        "# Results\n",
        "Written by `python -m noisepress.benchmarks.document` from "
        "[benchmarks/measured](../benchmarks/measured). Sizes are those of real files. Times are "
        "ratios of processor time to WebP's on the same machine.\n",
        f"## Kodak, lossless\n\n{_images(lossless)} images, "
        f"`OMP_NUM_THREADS=1 {command('kodak24/', lossless.settings())}`.\n",
        lossless_table(lossless),
        '"noisepress" is what `encode` writes: the smallest of all lossless codecs, '
        'decoded again before it is returned. "ardm alone" is ardm without the others; with effort '
        "0, the network without online mixing.\n",
        "The RGB values of these images are an integer function of PhotoYCC planes, since they "
        "come from Photo CDs. ardm finds the planes and codes them, the other codecs code RGB. So "
        "the figures here hold for images with such a history (most photographs have one: JPEG), "
        "and the next table for images without one.\n",
        f"## Photographs without source planes, lossless\n\n{_images(clean)} photographs that "
        "were reduced to a third with a Lanczos filter, "
        f"`OMP_NUM_THREADS=1 {command('clean/', clean.settings())}`.\n",
        lossless_table(clean),
        "## Other kinds of images\n",
        "16-bit photographs, medical and microscopy images, scans, game art, a satellite image, "
        "80 screenshots and drawings, and the odd formats of the tests of Pillow "
        "and scikit-image, each picture once, "
        f"`OMP_NUM_THREADS=1 {command('images/', kinds.settings())}`. Images are measured without "
        "metadata, but JPEG files are kept whole, by noisepress and by JPEG XL; WebP and PNG hold "
        "their pixels. Times are those of the processor, as ratios to JPEG XL's.\n",
        kinds_table(kinds),
        "Bytes of each image. `palette_color.png` keeps a palette of 256 colours, of which it "
        "shows 78, and libjxl refuses `hopper_bad_exif.jpg`:\n",
        files_table(kinds),
        "## JPEG files\n",
        "Photographs as they were found, and files of other kinds that are made of the first, "
        "`python -m noisepress.benchmarks.studies.jpegfiles PHOTO.jpg... -o OUT.json`. Every file "
        "comes back with every byte. libjxl refuses some kinds, and those are kept as they are or "
        "deflated. Times are seconds of the processor.\n",
        jpegfiles.table(points.read(measured("jpegfiles"), jpegfiles.Kept)),
        "## Decoded JPEG files, as pixels\n",
        "The middle 768 x 512 pixels of photographs that Pillow decoded, coded by ardm as the "
        "planes they were converted from and as RGB, "
        "`python -m noisepress.benchmarks.studies.planes PHOTO.jpg... -o OUT.json`. "
        "Chroma of `jpeg-420` and `jpeg-422` has half the resolution; pixels at the edges of such "
        "a cut are exceptions.\n",
        planes.table(points.read(measured("planes"), planes.Size)),
        f"## Kodak, lossy\n\n`{command('kodak24/', kodak.settings())}`.\n",
        lossy_table(kodak),
        "Bjøntegaard delta rates against JPEG, by quality metric; negative is smaller:\n",
        delta_table(kodak),
        "Results that CompressAI's repository publishes for the same images (its folder "
        "`results/image/kodak`; the rates are those of its ANS coder), against JPEG by PSNR:\n",
        published_table(kodak),
        "## ardm: experts and contexts of online mixing\n",
        "What images need more when the mixing does without something: two whole images of Kodak, "
        "and two of the photographs without source planes. "
        "`python -m noisepress.benchmarks.studies.experts PHOTO... -o OUT.json` adds up the "
        "model's probabilities, which is the size of a file to 0.1 %. An expert is left out of the "
        "mixer only; what else is computed from its prediction stays. The names are those of "
        '[format.md](format.md#online-mixing), "Online mixing".\n',
        experts.table(left_out),
        "Experts stand in for each other: on average, a whole group is worth more than the sum of "
        "its members, and most contexts that select weights are worth nothing as long as the "
        "others are there. The network is worth most, counts as much on the images with source "
        "planes and little on the others.\n",
        "## diffc: coders and steps\n",
        f"The middles of {len({one.image for one in middles})} images, "
        "`python -m noisepress.benchmarks.studies.chains PHOTO... -o OUT.json`. The divergence is "
        "what the steps would cost with a perfect code. `ideal` draws exact samples of q at that "
        "price, which no code can do; `trellis12` has 2^12 states.\n",
        chains_table(middles),
        f"The same without cutting, images: {len({one.image for one in whole})}. Headers and "
        "sections are a smaller share there (`--side 768 --coder trellis12 --coder trellis16`):\n",
        chains_table(whole),
        "## hfd: score decoders\n",
        f"{drawn[0].images} Kodak images at quality {decoders.QUALITY:.0f}, decoded with the given "
        "number of network calls, `python -m noisepress.benchmarks.studies.decoders "
        "kodak24/{01,07,13,19}.png -o OUT.json`.\n",
        decoders_table(drawn),
        "## hfd: any rate, and no seams\n",
        f"{len({one.image for one in wide})} Kodak images, coded for a size or a PSNR, "
        "`python -m noisepress.benchmarks.studies.rates kodak24/*.png -o OUT.json`. Of all pairs "
        f"of successive files of an image, {rates.falls(wide)} are not nearer to it for more "
        "bytes.\n",
        rates.rates_table(wide),
        f"Steps on grids of pixels at {rates.LOOKED_AT.removeprefix('bpp=')} bits per pixel: the "
        "mean difference of neighbours across the lines of a grid, as a multiple of that "
        "elsewhere:\n",
        rates.seams_table(wide),
        "## vdm: files against the bound\n",
        f"An archive of {bits_back.CROPS} crops of 64 x 64 of all Kodak images, and whole images, "
        "`python -m noisepress.benchmarks.studies.bits_back kodak24/*.png -o OUT.json`. The bound "
        "is the size for the same pixels, model and number of steps with a chain of real numbers "
        "(arXiv 2107.00630, eq. 4), with ardm's part. Each crop by JPEG XL is a file of its own.\n",
        bits_back_table(files),
        f"Bits that the chain of the first tile of {borrowed[0].image} borrows before it gives any "
        "back, for each pixel and plane, `python -m noisepress.benchmarks.studies.loans "
        f"kodak24/{borrowed[0].image} -o OUT.json`:\n",
        loans_table(borrowed),
        f"## CIFAR-10, random order\n\n{_images(cifar)} images of 32 x 32, each a file of its own, "
        f"`{command('cifar10/', cifar.settings())}`. Every file includes its header; `calls` is "
        "how often the network runs.\n",
        lossless_table(cifar),
        "## Zarr chunks\n",
        "Magnetic resonance (mricron's ch2), fluorescence microscopy (CellProfiler's Metamorph) "
        "and a satellite tile (rasterio's RGB.byte), lossless, in chunks of one image of at most "
        f"{arrays.CHUNK} x {arrays.CHUNK} pixels, "
        "`OMP_NUM_THREADS=1 python -m noisepress.benchmarks.studies.arrays FILE... -o OUT.json`. "
        "The seconds are those of a machine with two cores that had other work, too.\n",
        arrays.table(chunks),
        "## Stacks\n",
        "Slices of magnetic resonance (mricron's ch2), frames of a decoded video (Big Buck "
        "Bunny, (c) Blender Foundation, CC-BY 3.0), and simulated series of 16 bits: computed "
        "tomography of a phantom and fluorescence microscopy, each with noise, lossless, "
        "`OMP_NUM_THREADS=1 python -m noisepress.benchmarks.studies.stacks mr_ch2.npz bunny.npz ct "
        f"microscopy -o OUT.json`. Stacks have groups of {stacks.GROUP} frames. The seconds are "
        "those of a processor that had much other work; those to encode also decode, to check.\n",
        stacks.table(frames),
        f"## Machines\n\nLossless photographs: {_machine(lossless)}.\n",
        f"Other kinds of images: {_machine(kinds)}.\n",
        f"Lossy: {_machine(kodak)}.\n",
        f"CIFAR-10: {_machine(cifar)}.\n",
    ]
    return "\n".join(parts)


def readme(text: str) -> str:
    """The README with its measured tables brought up to date."""
    tables = {
        "lossless": sizes_table(read("kodak_lossless")),
        "clean": sizes_table(read("clean")),
        "lossy": delta_table(read("kodak")),
    }
    return _BLOCK.sub(lambda m: f"{m[1]}{tables[m[2]]}{m[3]}", text)


def film_strip(pixels: NDArray[np.uint8], count: int = 4) -> Image.Image:
    """The last pictures of a file that is cut after each section, side by side."""
    data = noisepress.encode(pixels, fallback=False)
    steps = list(progressive(data))[-count:]
    width, height = pixels.shape[1] * 3 // 4, pixels.shape[0] * 3 // 4
    strip = Image.new("RGB", (count * (width + 8) - 8, height + 28), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(15)
    for index, (picture, used) in enumerate(steps):
        left = index * (width + 8)
        shown = picture.resize((width, height), Image.Resampling.NEAREST)
        strip.paste(shown, (left, 0))
        text = f"{picture.width} x {picture.height}, {used} bytes ({used / len(data):.0%})"
        draw.text((left + 4, height + 4), text, "black", font)
    return strip


def main() -> None:
    """Write the documents and the picture."""
    try:
        DOCUMENT.write_text(document())
        README.write_text(readme(README.read_text()))
    except BenchError as error:
        sys.exit(str(error))
    with Image.open(PHOTO) as photo:
        film_strip(np.asarray(photo.convert("RGB"))).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
