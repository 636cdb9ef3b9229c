"""JPEG files of many kinds, kept as files: bytes, how they are packed, and times.

    python -m noisepress.benchmarks.studies.jpegfiles PHOTO.jpg... -o OUT.json

keeps the photographs as they are, and files of other kinds that are made of the middle 768 x 512
pixels of the first one. Every file must come back with every byte. An interrupted run continues
where it stopped.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

import noisepress

from ...bitstream.errors import CorruptError
from ..measure import load
from ..report.markdown import table as markdown
from .points import arguments, measure_missing, middle, read

HEIGHT, WIDTH = 512, 768
PHOTOGRAPH = "photograph"


@dataclass(frozen=True)
class Kept:
    """One JPEG file.

    Attributes:
        file: file name, or what it is.
        encoder: that wrote it; `PHOTOGRAPH` for one as it was found.
        bytes: of the JPEG file.
        kept: bytes of the .nzp file.
        packing: how that keeps it.
        encode_s, decode_s: processor time of keeping it, and of getting the file back.
    """

    file: str
    encoder: str
    bytes: int
    kept: int
    packing: str
    encode_s: float
    decode_s: float

    @property
    def job(self) -> tuple[str]:
        return (self.file,)


def _pillow(picture: Image.Image, **options: Any) -> bytes:
    out = BytesIO()
    picture.save(out, "JPEG", **{"quality": 88, **options})
    return out.getvalue()


def _exif(thumbnail: bytes) -> bytes:
    """EXIF data whose second directory points to a thumbnail (EXIF 2.32, 4.6.4 and table 25)."""
    first = struct.pack("<HI", 0, 14)
    tags = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 44, 0x0202, 4, 1, len(thumbnail), 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + first + tags + thumbnail


def _thumbnail(picture: Image.Image) -> bytes:
    return _pillow(picture.resize((160, 107)), quality=75)


def _one_scan_a_channel(picture: Image.Image) -> bytes:
    """A baseline file of a scan for each of Y, Cb and Cr, all with the tables of grey files."""
    greys = [_pillow(plane) for plane in picture.convert("YCbCr").split()]
    at = greys[0].index(b"\xff\xc0")
    frame = greys[0][at : at + 10].replace(b"\x00\x0b", b"\x00\x11")[:9]
    frame += bytes([3]) + b"".join(bytes([n, 0x11, 0]) for n in (1, 2, 3))
    scans = []
    for number, grey in enumerate(greys, 1):
        start = grey.index(b"\xff\xda")
        scans.append(b"\xff\xda\0\x08\1" + bytes([number, 0]) + grey[start + 7 : -2])
    between = greys[0][at + 13 : greys[0].index(b"\xff\xda")]
    return greys[0][:at] + frame + between + b"".join(scans) + b"\xff\xd9"


def _jpeg8(picture: Image.Image, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(np.asarray(picture), level=88, **options))


def _twelve_bits(picture: Image.Image) -> bytes:
    samples = np.asarray(picture.convert("L")).astype(np.uint16) << 4
    return bytes(imagecodecs.jpeg_encode(samples, level=88, bitspersample=12))


def _appended(picture: Image.Image) -> bytes:
    """With incompressible data behind the picture, such as the video of a motion photo."""
    return _pillow(picture) + np.random.default_rng(0).bytes(200_000)


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


MADE: Mapping[str, tuple[str, Callable[[Image.Image], bytes]]] = {
    "baseline, 4:2:0": ("Pillow", _pillow),
    "4:4:4": ("Pillow", lambda picture: _pillow(picture, subsampling=0)),
    "4:2:2": ("Pillow", lambda picture: _pillow(picture, subsampling=1)),
    "quality 50": ("Pillow", lambda picture: _pillow(picture, quality=50)),
    "progressive": ("Pillow", lambda picture: _pillow(picture, progressive=True)),
    "optimised Huffman tables": ("Pillow", lambda picture: _pillow(picture, optimize=True)),
    "restart markers": ("Pillow", lambda picture: _pillow(picture, restart_marker_rows=1)),
    "grey": ("Pillow", lambda picture: _pillow(picture.convert("L"))),
    "CMYK": ("Pillow", lambda picture: _pillow(picture.convert("CMYK"))),
    "RGB components": ("Pillow", lambda picture: _pillow(picture, keep_rgb=True)),
    "other encoder": ("imagecodecs", _jpeg8),
    "4:1:1": ("imagecodecs", lambda picture: _jpeg8(picture, subsampling="411")),
    "12 bits": ("imagecodecs", _twelve_bits),
    "one scan a channel": ("by hand", _one_scan_a_channel),
    "marked as arithmetic": (
        "by hand",
        lambda picture: _pillow(picture).replace(b"\xff\xc0", b"\xff\xc9", 1),
    ),
    "EXIF thumbnail": ("Pillow", lambda picture: _pillow(picture, exif=_exif(_thumbnail(picture)))),
    "broken thumbnail": (
        "Pillow",
        lambda picture: _pillow(picture, exif=_exif(_half(_thumbnail(picture)))),
    ),
    "appended data": ("Pillow", _appended),
    "cut in half": ("Pillow", lambda picture: _half(_pillow(picture))),
}
"""Encoder and file of a picture, by what the file is."""


def measure(file: str, encoder: str, data: bytes) -> Kept:
    """Keep a JPEG file.

    Raises:
        CorruptError: another file comes back.
    """
    noisepress.encode(data)  # the libraries are loaded then
    watch = [time.process_time()]
    kept = noisepress.encode(data)
    watch.append(time.process_time())
    same = noisepress.original_file(kept) == data
    watch.append(time.process_time())
    if not same:
        raise CorruptError(f"{file} does not come back")
    packing = str(noisepress.inspect(kept).parameters["jpeg"])
    encode_s, decode_s = (round(end - start, 3) for start, end in pairwise(watch))
    return Kept(file, encoder, len(data), len(kept), packing, encode_s, decode_s)


def table(found: Sequence[Kept]) -> str:
    """A row for each file, and one for all photographs."""
    photographs = [one for one in found if one.encoder == PHOTOGRAPH]
    return markdown(
        [*found, *_together(photographs)],
        {
            "file": lambda one: one.file,
            "encoder": lambda one: one.encoder,
            "bytes": lambda one: f"{one.bytes:,}",
            ".nzp": lambda one: f"{one.kept:,}",
            "difference": lambda one: f"{100 * (one.kept / one.bytes - 1):+.1f} %",
            "how": lambda one: one.packing,
            "encode s": lambda one: f"{one.encode_s:.2f}",
            "decode s": lambda one: f"{one.decode_s:.2f}",
        },
    )


def _together(photographs: Sequence[Kept]) -> Iterator[Kept]:
    if photographs:
        sums: dict[str, Any] = {
            name: sum(getattr(one, name) for one in photographs)
            for name in ("bytes", "kept", "encode_s", "decode_s")
        }
        yield Kept("all photographs", PHOTOGRAPH, packing="", **sums)


def main() -> None:
    """Measure photographs and what is made of the first."""
    args = arguments(__doc__).parse_args()
    picture = Image.fromarray(middle(load(args.photos[0]), HEIGHT, WIDTH))
    files = {path.name: (PHOTOGRAPH, path.read_bytes()) for path in args.photos}
    files |= {name: (encoder, make(picture)) for name, (encoder, make) in MADE.items()}
    measure_missing(
        args.output,
        Kept,
        lambda name: measure(name, *files[name]),
        [(name,) for name in files],
    )
    print(table(read(args.output, Kept)))


if __name__ == "__main__":
    main()
