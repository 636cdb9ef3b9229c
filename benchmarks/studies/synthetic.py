"""Images that are no photographs, made from photographs: bytes of ardm and other codecs.

    python -m noisepress.benchmarks.studies.synthetic PHOTO... -o OUT.json

changes the middle 384 x 384 pixels of every photograph, compares what each codec decodes with what
it encoded, and prints a table of bytes. An interrupted run continues where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...bitstream.errors import CorruptError
from ...codec.image.raster import Mode, Raster, Samples
from ..codecs import codec_of, parse
from ..measure import load
from ..report.markdown import table as markdown
from .points import arguments, measure_missing, middle, read

SIDE = 384
CODECS = ("ardm", "ardm-alone", "jpegxl-lossless:effort=9", "webp-lossless", "png")
_WORDS = ("seven", "wizards", "make", "toxic", "brew", "while", "a", "lazy", "fox", "jumps")
_LINE = 15
"""Rows from a line of text to the next."""


def _same(image: Samples) -> Samples:
    return image


def _text(image: Samples) -> Samples:
    """Black words on white over the right half."""
    picture = Image.fromarray(image)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    width, height = picture.size
    draw.rectangle((width // 2, 0, width, height), fill="white")
    rng = np.random.default_rng(0)
    for top in range(4, height - _LINE, _LINE):
        line = ""
        while draw.textlength(line, font=font) < 0.4 * width:
            line += _WORDS[rng.integers(len(_WORDS))] + " "
        draw.text((width // 2 + 4, top), line, fill="black", font=font)
    return np.asarray(picture)


def _enlarged(image: Samples) -> Samples:
    """The first quarter, each pixel as two by two."""
    height, width, _ = image.shape
    out: Samples = image[: height // 2, : width // 2].repeat(2, 0).repeat(2, 1)
    return out


def _six_bits(image: Samples) -> Samples:
    return image & np.uint8(0xFC)


def _contrast(image: Samples) -> Samples:
    """Values 1.6 times as far from 128, which leaves out three of eight."""
    stretched = 1.6 * (image.astype(float) - 128) + 128
    return stretched.clip(0, 255).round().astype(np.uint8)


def _equalised(image: Samples) -> Samples:
    """Each channel with about as many samples of all brightnesses."""
    out = np.empty_like(image)
    for channel in range(3):
        up_to = np.bincount(image[..., channel].ravel(), minlength=256).cumsum()
        out[..., channel] = (255 * up_to / up_to[-1]).round()[image[..., channel]]
    return out


def _flat(image: Samples) -> Samples:
    return np.full_like(image, image[0, 0])


def _ramp(image: Samples) -> Samples:
    """Red rises to the right, green downwards, and blue to the left."""
    height, width, _ = image.shape
    down, right = np.meshgrid(*(np.linspace(0, 255, n) for n in (height, width)), indexing="ij")
    out: Samples = np.stack([right, down, 255 - right], 2).round().astype(np.uint8)
    return out


CASES: dict[str, Callable[[Samples], Samples]] = {
    "photograph": _same,
    "half text": _text,
    "enlarged": _enlarged,
    "6 bits": _six_bits,
    "contrast": _contrast,
    "equalised": _equalised,
    "flat": _flat,
    "ramp": _ramp,
}
"""What is made of a photograph (h, w, 3)."""


@dataclass(frozen=True)
class Size:
    """The size of one file.

    Attributes:
        image: file name of the photograph.
        case: one of `CASES`.
        codec: a setting of noisepress bench.
        bytes: of the file.
    """

    image: str
    case: str
    codec: str
    bytes: int

    @property
    def job(self) -> tuple[str, str, str]:
        return self.image, self.case, self.codec


def measure(image: Samples, name: str, case: str, setting: str) -> Size:
    """Code what is made of the middle of an image (h, w, 3).

    Raises:
        CorruptError: the codec gives back other pixels.
    """
    made = CASES[case](middle(image, SIDE, SIDE))
    [chosen] = parse(setting)
    codec = codec_of(chosen)
    data = codec.encode(Raster(made, Mode.RGB8), codec.complete(chosen.options))
    if not np.array_equal(codec.decode(data), made):
        raise CorruptError(f"{setting} changes the pixels of {name}, {case}")
    return Size(name, case, setting, len(data))


def table(sizes: list[Size]) -> str:
    """Bytes in Markdown, a row for each image, with a column for each codec."""
    found = {size.job: size.bytes for size in sizes}

    def column(codec: str) -> Callable[[tuple[str, str]], str]:
        return lambda made: f"{found[*made, codec]:,}"

    return markdown(
        dict.fromkeys((size.image, size.case) for size in sizes),
        {
            "image": lambda made: made[0],
            "case": lambda made: made[1],
            **{codec: column(codec) for codec in CODECS},
        },
    )


def main() -> None:
    """Measure photographs."""
    args = arguments(__doc__).parse_args()
    images = {path.name: path for path in args.photos}
    jobs = [(name, case, codec) for name in images for case in CASES for codec in CODECS]
    measure_missing(
        args.output,
        Size,
        lambda name, case, codec: measure(load(images[name]), name, case, codec),
        jobs,
    )
    print(table(read(args.output, Size)))


if __name__ == "__main__":
    main()
