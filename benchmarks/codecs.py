"""Codecs to measure: ours through the public functions, and their peers.

Peers are set to their small files and code in one thread. JPEG, WebP, AVIF, PNG and JPEG 2000
come from Pillow, JPEG XL from imagecodecs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

import noisepress

from .results import Option, Setting

Pixels = NDArray[np.uint8]
"""Of RGB, (h, w, 3)."""


class SettingError(noisepress.NoisepressError):
    """A setting names an unknown codec or option, or a value that is not supported."""


class Parameter(Protocol):
    """An option of a codec."""

    @property
    def default(self) -> Option:
        """The value where a setting gives none."""
        ...

    @property
    def supported(self) -> str:
        """The values in words."""
        ...

    def parse(self, text: str) -> Option | None:
        """The value that a text gives; None if it is not supported."""
        ...


@dataclass(frozen=True)
class Number:
    """An option of the type of its default, from `low` to `high`."""

    default: int | float
    low: float
    high: float

    @property
    def supported(self) -> str:
        kind = "whole numbers" if isinstance(self.default, int) else "numbers"
        return f"{kind} from {self.low} to {self.high}"

    def parse(self, text: str) -> Option | None:
        try:
            value = type(self.default)(text)
        except ValueError:
            return None
        return value if self.low <= value <= self.high else None


@dataclass(frozen=True)
class Choice:
    """An option with a few names for values, the default first."""

    choices: tuple[str, ...]

    @property
    def default(self) -> str:
        return self.choices[0]

    @property
    def supported(self) -> str:
        return ", ".join(self.choices)

    def parse(self, text: str) -> Option | None:
        return text if text in self.choices else None


Encode = Callable[[Pixels, Mapping[str, Option]], bytes]
Decode = Callable[[bytes], Pixels]


@dataclass(frozen=True)
class Codec:
    """A pair of functions between pixels and the bytes of a file.

    Attributes:
        name: as in a `Setting`.
        lossless: it promises the same pixels.
        encode: given uint8 (h, w, 3) and a value of every option; must be a function of a module,
            or a partial of one, so that other processes can have it.
        decode: the inverse, of uint8 (h, w, 3).
        version: of everything that the bytes depend on.
        options: by name.
        ours: it writes .nzp files.
    """

    name: str
    lossless: bool
    encode: Encode
    decode: Decode
    version: str
    options: Mapping[str, Parameter] = field(default_factory=dict)
    ours: bool = False

    def complete(self, given: Mapping[str, Option]) -> dict[str, Option]:
        """The given options and the defaults of the others."""
        return {name: parameter.default for name, parameter in self.options.items()} | dict(given)


def _encode_ours(
    pixels: Pixels, options: Mapping[str, Option], *, codec: str, fallback: bool = False
) -> bytes:
    chosen: dict[str, Any] = dict(options)
    return noisepress.encode(pixels, codec, fallback=fallback, **chosen)


def _decode_pillow(data: bytes) -> Pixels:
    with Image.open(BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB"))


def _save(pixels: Pixels, kind: str, **how: Any) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, kind, **how)
    return out.getvalue()


def _encode_jpeg(pixels: Pixels, options: Mapping[str, Option]) -> bytes:
    return _save(pixels, "JPEG", quality=options["quality"], subsampling="4:2:0", optimize=True)


def _encode_webp(pixels: Pixels, options: Mapping[str, Option]) -> bytes:
    return _save(pixels, "WEBP", quality=options["quality"], method=6)


def _encode_avif(pixels: Pixels, options: Mapping[str, Option]) -> bytes:
    quality, speed = options["quality"], options["speed"]
    return _save(pixels, "AVIF", quality=quality, speed=speed, subsampling="4:2:0", max_threads=1)


def _encode_jpeg2000(pixels: Pixels, options: Mapping[str, Option]) -> bytes:
    # Without mct the channels are coded as they are, which costs a photograph about 5 dB.
    layers = [options["ratio"]]
    return _save(pixels, "JPEG2000", quality_layers=layers, irreversible=True, mct=1)


def _encode_png(pixels: Pixels, options: Mapping[str, Option]) -> bytes:
    return _save(pixels, "PNG", optimize=True)


def _encode_webp_lossless(pixels: Pixels, options: Mapping[str, Option]) -> bytes:
    return _save(pixels, "WEBP", lossless=True, quality=100, method=6, exact=True)


def _encode_jpeg2000_lossless(pixels: Pixels, options: Mapping[str, Option]) -> bytes:
    return _save(pixels, "JPEG2000", irreversible=False, mct=1)


def _save_jpegxl(pixels: Pixels, **how: Any) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(pixels, numthreads=1, **how))


def _encode_jpegxl(pixels: Pixels, options: Mapping[str, Option]) -> bytes:
    return _save_jpegxl(pixels, distance=options["distance"], effort=options["effort"])


def _encode_jpegxl_lossless(pixels: Pixels, options: Mapping[str, Option]) -> bytes:
    return _save_jpegxl(pixels, lossless=True, effort=options["effort"])


def _decode_jpegxl(data: bytes) -> Pixels:
    pixels: Pixels = imagecodecs.jpegxl_decode(data, numthreads=1)
    return pixels


def _ardm(name: str, fallback: bool) -> Codec:
    options: dict[str, Parameter] = {
        "order": Choice(("lattice", "random")),
        "block": Number(512, 16, 4096),
        "calls": Number(64, 4, 1024),
        "schedule": Choice(("dynamic", "equal")),
    }
    encode = partial(_encode_ours, codec="ardm", fallback=fallback)
    return Codec(name, True, encode, noisepress.decode, _VERSION, options, ours=True)


def _vdm(name: str) -> Codec:
    encode = partial(_encode_ours, codec="vdm")
    steps: dict[str, Parameter] = {"steps": Number(50, 1, 384)}
    return Codec(name, True, encode, noisepress.decode, _VERSION, steps, ours=True)


def _diffc(name: str, **rendering: Any) -> Codec:
    options: dict[str, Parameter] = {
        "quality": Number(60.0, 0, 100),
        "steps": Number(12, 10, 1000),
        "effort": Number(12, 6, 16),
        "reverse": Choice(("trellis", "pfr")),
    }
    encode = partial(_encode_ours, codec="diffc")
    decode = partial(noisepress.decode, **rendering)
    return Codec(name, False, encode, decode, _VERSION, options, ours=True)


def _hfd(name: str, **rendering: Any) -> Codec:
    quality: dict[str, Parameter] = {"quality": Number(30.0, 0, 100)}
    encode = partial(_encode_ours, codec="hfd")
    decode = partial(noisepress.decode, **rendering)
    return Codec(name, False, encode, decode, _VERSION, quality, ours=True)


def _pillow(
    name: str, lossless: bool, encode: Encode, library: str, options: Mapping[str, Parameter]
) -> Codec:
    version = f"Pillow {metadata.version('pillow')}, {library} {features.version(library)}"
    return Codec(name, lossless, encode, _decode_pillow, version, options)


def _jpegxl(name: str, lossless: bool, encode: Encode, options: Mapping[str, Parameter]) -> Codec:
    version = f"imagecodecs {metadata.version('imagecodecs')}, {imagecodecs.jpegxl_version()}"
    return Codec(name, lossless, encode, _decode_jpegxl, version, options)


def _version() -> str:
    """Of noisepress, with a digest of its coding sources and bundled models.

    The number alone would not tell a changed file of a checkout.
    """
    root = Path(noisepress.__file__).parent
    digest = hashlib.sha256()
    for folder in ("bitstream", "codec", "models"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".safetensors"):
                digest.update(path.read_bytes())
    return f"noisepress {noisepress.__version__}, {digest.hexdigest()[:16]}"


_VERSION = _version()
_EFFORT = {"effort": Number(7, 1, 9)}
_DISTANCE = {"distance": Number(1.0, 0.01, 25.0)}
_QUALITY = {"quality": Number(75, 0, 100)}
_SPEED = {"speed": Number(4, 0, 10)}
_RATIO = {"ratio": Number(24.0, 1.0, 10000.0)}

CODECS: dict[str, Codec] = {
    codec.name: codec
    for codec in (
        _ardm("ardm", fallback=True),
        _ardm("ardm-alone", fallback=False),
        _vdm("vdm"),
        _pillow("png", True, _encode_png, "zlib", {}),
        _pillow("webp-lossless", True, _encode_webp_lossless, "webp", {}),
        _pillow("jpeg2000-lossless", True, _encode_jpeg2000_lossless, "jpg_2000", {}),
        _jpegxl("jpegxl-lossless", True, _encode_jpegxl_lossless, _EFFORT),
        _diffc("diffc"),
        _diffc("diffc-flow", render="flow"),
        _diffc("diffc-ancestral", render="ancestral"),
        _hfd("hfd"),
        _hfd("hfd-flow", render="flow"),
        _hfd("hfd-ancestral", render="ancestral"),
        _pillow("jpeg", False, _encode_jpeg, "libjpeg_turbo", _QUALITY),
        _pillow("webp", False, _encode_webp, "webp", _QUALITY),
        _pillow("avif", False, _encode_avif, "avif", _QUALITY | _SPEED),
        _pillow("jpeg2000", False, _encode_jpeg2000, "jpg_2000", _RATIO),
        _jpegxl("jpegxl", False, _encode_jpegxl, _DISTANCE | _EFFORT),
    )
}
"""All codecs by name. `jpeg2000:ratio` is that of 24 bits per pixel to the file's."""


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
    values: dict[str, list[Option]] = {}
    for part in tail.split(",") if tail else []:
        option, _, listed = part.partition("=")
        if option not in codec.options:
            known = ", ".join(codec.options) or "none"
            raise SettingError(
                f"{text}: unknown option {option!r} of {name}; supported are {known}"
            )
        if option in values:
            raise SettingError(f"{text}: {option} is given twice; several values need '/'")
        values[option] = [_value(text, option, codec.options[option], v) for v in listed.split("/")]
    return [
        Setting(name, dict(zip(values, chosen, strict=True)))
        for chosen in product(*values.values())
    ]


def _value(text: str, option: str, parameter: Parameter, given: str) -> Option:
    value = parameter.parse(given)
    if value is None:
        raise SettingError(f"{text}: {option}={given} is not one of {parameter.supported}")
    return value


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
    "webp-lossless",
    "jpeg2000-lossless",
    "jpegxl-lossless",
)
"""What `noisepress bench --lossless` measures."""

LOSSY = (
    "diffc:quality=25/40/55/70",
    "diffc-flow:quality=25/40",
    "hfd:quality=0/16/32/48/64/82/100",
    "hfd-flow:quality=20/48",
    "hfd-ancestral:quality=20/26/32/48/62",
    "jpeg:quality=5/12/25/45/70/88",
    "webp:quality=0/12/35/60/80/92",
    "avif:quality=8/10/12/20/35/50/65/85",
    "jpeg2000:ratio=200/100/50/28/18/12",
    "jpegxl:distance=25/20/10/5/2.5/1.5/0.9",
)
"""What `noisepress bench --lossy` measures: about 0.1 to 2 bits per pixel of photographs."""
