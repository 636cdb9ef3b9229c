"""The codecs to measure: noisepress through its public functions, and its peers.

Peers use settings for small files and one thread. JPEG, WebP, AVIF, PNG and JPEG 2000 are
Pillow's, JPEG XL is that of imagecodecs, HEIC (the intra coding of x265, tuned for PSNR) that of
pillow-heif, and oxipng makes PNG files smaller. Of AVIF there are two: `avif` is tuned for SSIM and
stores colour at half the resolution, which is best by SSIMULACRA 2; `avif-psnr` is tuned for PSNR
and stores all colour. Their options are described like noisepress's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

import noisepress
from noisepress import Ardm, Diffc, Hfd, Mode, Options, Raster, Vdm
from noisepress.codec.image.raster import to_array
from noisepress.codec.options import Doc, Option, described

from .images import Pixels, eight_bits
from .results import Setting, Value


class SettingError(noisepress.NoisepressError):
    """A setting names an unknown codec or option, or a value that is not supported."""


_KEPT_JPEG, _BOXES = b"jbrd", 1024
"""The box of a JPEG XL file that keeps what is not in a JPEG file's picture, and where it is."""

Encode = Callable[[Any, Any], bytes]
Decode = Callable[[bytes], Any]


@dataclass(frozen=True, kw_only=True)
class Quality(Options):
    """Of JPEG, WebP and HEIC."""

    quality: Annotated[int, Doc("quality of the picture", 0, 100)] = 75


@dataclass(frozen=True, kw_only=True)
class Avif(Quality):
    """Of AVIF."""

    speed: Annotated[int, Doc("speed of the encoder; slower files are smaller", 0, 10)] = 4


@dataclass(frozen=True, kw_only=True)
class Jpeg2000(Options):
    """Of lossy JPEG 2000."""

    ratio: Annotated[float, Doc("24 bits per pixel divided by the file's", 1, 10**4)] = 24


@dataclass(frozen=True, kw_only=True)
class Oxipng(Options):
    """Of oxipng."""

    level: Annotated[int, Doc("preset; higher makes files smaller and takes longer", 0, 6)] = 4


@dataclass(frozen=True, kw_only=True)
class JpegXlLossless(Options):
    """Of lossless JPEG XL."""

    effort: Annotated[int, Doc("effort of the encoder; more makes files smaller", 1, 9)] = 7


@dataclass(frozen=True, kw_only=True)
class JpegXl(JpegXlLossless):
    """Of lossy JPEG XL."""

    distance: Annotated[float, Doc("distance from the original; 1 is hard to see", 0.01, 25)] = 1


@dataclass(frozen=True)
class Codec:
    """A pair of functions between images and the bytes of a file.

    Attributes:
        name: as in a `Setting`.
        lossless: it promises the same picture.
        encode: given a Raster if lossless, else uint8 (h, w, 3), and options. Other processes
            receive it, so it must be a function of a module, or a partial of one.
        decode: the inverse, to pixels: bool, uint8 or uint16, (h, w) or (h, w, c).
        options: their class.
        library: the peer's libraries with their versions; empty for noisepress's own codecs.
        keeps_jpeg: it is given JPEG files, as bytes, and decodes to their bytes.
    """

    name: str
    lossless: bool
    encode: Encode
    decode: Decode
    options: type[Options] = Options
    library: str = ""
    keeps_jpeg: bool = False

    @property
    def ours(self) -> bool:
        """Whether it writes .nzp files."""
        return not self.library

    @property
    def version(self) -> str:
        """Of everything that the bytes of a file depend on."""
        return self.library or _our_version()

    def complete(self, given: Mapping[str, Value]) -> Options:
        """The given options and the defaults of the others.

        Raises:
            OptionError: a value is not supported.
        """
        return self.options(**given)

    def listed(self) -> dict[str, Option]:
        """The options of a `Setting`, by name: those with numbers or a few words for values."""
        options = described(self.options)
        return {one.name: one for one in options if one.choices or one.kind is not str}


@cache
def _our_version() -> str:
    """Of noisepress, with a digest of its coding sources and bundled models.

    The version alone would be the same for a changed file of a checkout.
    """
    root = Path(noisepress.__file__).parent
    digest = hashlib.sha256()
    for folder in ("bitstream", "codec", "models"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".safetensors"):
                digest.update(path.read_bytes())
    return f"noisepress {noisepress.__version__}, {digest.hexdigest()[:16]}"


def encode_pillow(pixels: NDArray[np.uint8], options: Options, *, kind: str, **fixed: Any) -> bytes:
    """The file of a picture in a format of Pillow, with Pillow's options."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, kind, **fixed, **vars(options))
    return out.getvalue()


def _decode_pillow(data: bytes) -> Pixels:
    with Image.open(BytesIO(data)) as opened:
        return np.asarray(opened)


def _encode_jpeg2000(pixels: Pixels, options: Jpeg2000) -> bytes:
    # mct: without its colour transform, a photograph loses about 5 dB.
    lossy = {"quality_layers": [options.ratio], "irreversible": True, "mct": 1}
    return encode_pillow(pixels, Options(), kind="JPEG2000", **lossy)


def _encode_jpeg2000_lossless(raster: Raster, options: Options) -> bytes:
    pixels = eight_bits(raster)
    mct = int(pixels.ndim == 3 and pixels.shape[2] > 2)
    return encode_pillow(pixels, options, kind="JPEG2000", irreversible=False, mct=mct)


def _encode_webp_lossless(raster: Raster, options: Options) -> bytes:
    pixels = np.atleast_3d(eight_bits(raster))
    grey = {1: [0, 0, 0], 2: [0, 0, 0, 1]}.get(pixels.shape[2])
    pixels = pixels[:, :, grey] if grey else pixels
    return _WEBP(pixels, options, lossless=True, quality=100, exact=True)


def _encode_png(raster: Raster, options: Options) -> bytes:
    file = noisepress.save_image(raster, ".png")
    if raster.mode.pillow is None:  # Pillow would drop the lower bits
        return file
    out = BytesIO()
    with Image.open(BytesIO(file)) as opened:
        opened.save(out, "PNG", optimize=True)
    return out.getvalue()


def _encode_oxipng(raster: Raster, options: Oxipng) -> bytes:
    import oxipng  # the other codecs can be measured without it

    file = noisepress.save_image(raster, ".png")
    return bytes(oxipng.optimize_from_memory(file, level=options.level))


def _decode_png(data: bytes) -> NDArray[Any]:
    return to_array(noisepress.open_image(data))


def _encode_heic(pixels: Pixels, options: Quality) -> bytes:
    import pillow_heif  # the other codecs can be measured without it

    out = BytesIO()
    height, width, _ = pixels.shape
    settings = {"preset": "veryslow", "tune": "psnr", "x265:psy-rd": "0", "x265:aq-mode": "0"}
    pillow_heif.encode(
        "RGB",
        (width, height),
        pixels.tobytes(),
        out,
        quality=options.quality,
        chroma=444,
        enc_params=settings,
    )
    return out.getvalue()


def _decode_heic(data: bytes) -> Pixels:
    import pillow_heif

    return np.asarray(pillow_heif.open_heif(data))


def _encode_jpegxl(pixels: Pixels, options: Options, **fixed: Any) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(pixels, numthreads=1, **fixed, **vars(options)))


def _encode_jpegxl_lossless(image: Raster | bytes, options: JpegXlLossless) -> bytes:
    if isinstance(image, bytes):
        return bytes(imagecodecs.jpegxl_encode_jpeg(image, numthreads=1))
    pixels = eight_bits(image) if image.mode is Mode.BILEVEL else to_array(image)
    return _encode_jpegxl(pixels, options, lossless=True)


def _decode_jpegxl(data: bytes) -> NDArray[Any] | bytes:
    if _KEPT_JPEG in data[:_BOXES]:
        return bytes(imagecodecs.jpegxl_decode_jpeg(data, numthreads=1))
    pixels: NDArray[Any] = imagecodecs.jpegxl_decode(data, numthreads=1)
    return pixels


def _encode_ours(image: Raster | bytes, options: Options) -> bytes:
    return noisepress.encode(image, **vars(options))


def _decode_ours(data: bytes) -> NDArray[Any] | bytes:
    try:
        return noisepress.original_file(data)
    except noisepress.OptionError:  # the file holds pixels
        return noisepress.decode(data)


def _ours(name: str, lossless: bool, options: type[Options], **rendering: Any) -> Codec:
    encode = partial(noisepress.encode, fallback=False)
    return Codec(name, lossless, encode, partial(noisepress.decode, **rendering), options)


def _pillow(
    name: str, lossless: bool, encode: Encode, library: str, options: type[Options] = Options
) -> Codec:
    return Codec(name, lossless, encode, _decode_pillow, options, _pillow_version(library))


def _pillow_version(library: str) -> str:
    return f"Pillow {metadata.version('pillow')}, {library} {features.version(library)}"


def _version_of(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} is not installed"


_LIBJXL = f"imagecodecs {metadata.version('imagecodecs')}, {imagecodecs.jpegxl_version()}"
_JPEG = partial(encode_pillow, kind="JPEG", subsampling="4:2:0", optimize=True)
_WEBP = partial(encode_pillow, kind="WEBP", method=6)
_AVIF = partial(encode_pillow, kind="AVIF", subsampling="4:2:0", max_threads=1)
_AVIF_PSNR = partial(
    encode_pillow, kind="AVIF", subsampling="4:4:4", advanced={"tune": "psnr"}, max_threads=1
)
_HEIC = _encode_heic, _decode_heic, Quality, _version_of("pillow-heif")
_LOSSLESS_JPEGXL = _encode_jpegxl_lossless, _decode_jpegxl, JpegXlLossless, _LIBJXL

CODECS = {
    codec.name: codec
    for codec in (
        Codec("ardm", True, _encode_ours, _decode_ours, Ardm, keeps_jpeg=True),
        _ours("ardm-alone", True, Ardm),
        _ours("vdm", True, Vdm),
        Codec("png", True, _encode_png, _decode_png, library=_pillow_version("zlib")),
        Codec("oxipng", True, _encode_oxipng, _decode_png, Oxipng, _version_of("oxipng-pybind")),
        _pillow("webp-lossless", True, _encode_webp_lossless, "webp"),
        _pillow("jpeg2000-lossless", True, _encode_jpeg2000_lossless, "jpg_2000"),
        Codec("jpegxl-lossless", True, *_LOSSLESS_JPEGXL, keeps_jpeg=True),
        _ours("diffc", False, Diffc),
        _ours("diffc-flow", False, Diffc, render="flow"),
        _ours("diffc-ancestral", False, Diffc, render="ancestral"),
        _ours("hfd", False, Hfd),
        _ours("hfd-flow", False, Hfd, render="flow"),
        _ours("hfd-ancestral", False, Hfd, render="ancestral"),
        _pillow("jpeg", False, _JPEG, "libjpeg_turbo", Quality),
        _pillow("webp", False, _WEBP, "webp", Quality),
        _pillow("avif", False, _AVIF, "avif", Avif),
        _pillow("avif-psnr", False, _AVIF_PSNR, "avif", Avif),
        Codec("heic", False, *_HEIC),
        _pillow("jpeg2000", False, _encode_jpeg2000, "jpg_2000", Jpeg2000),
        Codec("jpegxl", False, _encode_jpegxl, _decode_jpegxl, JpegXl, _LIBJXL),
    )
}
"""All codecs by name."""


def codec_of(setting: Setting) -> Codec:
    """The codec of a setting.

    Raises:
        SettingError: there is no codec of that name.
    """
    if setting.codec not in CODECS:
        raise SettingError(f"unknown codec {setting.codec!r}; supported are {', '.join(CODECS)}")
    return CODECS[setting.codec]


def parse(text: str) -> list[Setting]:
    """The settings of a text such as `jpeg:quality=10/50` or `avif:quality=20/40,speed=6`.

    Several values of an option, separated by slashes, give a setting each, several options the
    product of their values.

    Raises:
        SettingError: names what is wrong and what is supported.
    """
    name, _, tail = text.partition(":")
    codec = codec_of(Setting(name))
    known = codec.listed()
    values: dict[str, list[Value]] = {}
    for part in tail.split(",") if tail else []:
        option, _, listed = part.partition("=")
        if option not in known:
            supported = ", ".join(known) or "none"
            raise SettingError(
                f"{text}: unknown option {option!r} of {name}; supported are {supported}"
            )
        if option in values:
            raise SettingError(f"{text}: {option} is given twice; several values need '/'")
        try:
            values[option] = [known[option].parse(value) for value in listed.split("/")]
        except noisepress.OptionError as error:
            raise SettingError(f"{text}: {error}") from error
    found = [
        Setting(name, dict(zip(values, chosen, strict=True)))
        for chosen in product(*values.values())
    ]
    try:
        for setting in found:
            codec.complete(setting.options)
    except noisepress.OptionError as error:
        raise SettingError(f"{text}: {error}") from error
    return found


def parse_all(texts: Sequence[str]) -> list[Setting]:
    """The settings of several texts in their order, each once.

    Raises:
        SettingError: see `parse`.
    """
    found = {setting.label: setting for text in texts for setting in parse(text)}
    return list(found.values())


LOSSLESS = (
    "ardm",
    "ardm-alone",
    "png",
    "oxipng",
    "webp-lossless",
    "jpeg2000-lossless",
    "jpegxl-lossless",
)
"""What `noisepress bench --lossless` measures."""

LOSSY = (
    "diffc:quality=25/40/55/70",
    "diffc-flow:quality=25/40",
    "hfd:quality=14/24/34/44/56/70",
    "hfd-flow:quality=24/34",
    "hfd-ancestral:quality=14/24/34/44",
    "jpeg:quality=5/12/25/45/70/88",
    "webp:quality=0/12/35/60/80/92",
    "avif:quality=8/10/12/20/35/50/65/85",
    "avif-psnr:quality=8/12/20/35/50/65/85",
    "heic:quality=5/15/25/38/50/65/80",
    "jpeg2000:ratio=200/100/50/28/18/12",
    "jpegxl:distance=25/20/10/5/2.5/1.5/0.9",
)
"""What `noisepress bench --lossy` measures: about 0.1 to 2 bits per pixel of photographs."""
