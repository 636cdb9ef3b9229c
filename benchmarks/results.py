"""What a benchmark run measured, and where a run keeps its files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from noisepress.bitstream.atomic import write_atomically

Value = int | float | str | bool
"""Of an option."""

COLOUR = "8-bit colour"
JPEG = "JPEG files"
KINDS = (COLOUR, "8-bit grey", "opacity", "palette", "two-level", "16 bits", JPEG)
"""What images are told apart by, in the order of tables."""

PICTURES = "pictures"
"""Folder of a run that holds the pictures of its images."""

PSNR, MS_SSIM, SSIMULACRA2 = "psnr", "ms-ssim", "ssimulacra2"
"""The names of the quality metrics in a `Measurement`."""


@dataclass(frozen=True)
class Setting:
    """A codec with its options: one point of a rate-distortion curve.

    Attributes:
        codec: name, such as `ardm` or `jpeg`; see benchmarks/codecs.py.
        options: of the codec; those left out have their defaults.
    """

    codec: str
    options: Mapping[str, Value] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Such as `jpeg quality=75`."""
        return " ".join([self.codec, *(f"{key}={value}" for key, value in self.options.items())])

    @property
    def slug(self) -> str:
        """The label as a file name: of a-z, 0-9 and =.- only."""
        return re.sub("[^a-z0-9=.-]+", "-", self.label.lower())


@dataclass(frozen=True)
class Measurement:
    """One image through one setting.

    Attributes:
        image: file name.
        kind: of the image, one of `KINDS`.
        width, height: in pixels.
        channels: samples of a pixel that the codec was given: three of RGB.
        size: bytes of the coded file; 0 after an error.
        coder: the codec in a .nzp file; empty for others.
        digest: SHA-256 of the coded file, hexadecimal.
        encode_s, decode_s: wall time in seconds.
        encode_cpu_s, decode_cpu_s: processor time of all threads in seconds.
        peak_mib: peak memory of the process while it coded, in MiB; None where the system
            does not report it.
        lossless: the decoded pixels equal the original's.
        quality: name of a metric to its value; empty when lossless.
        error: why there is no result; empty when there is one.
    """

    image: str
    setting: Setting
    kind: str = COLOUR
    width: int = 0
    height: int = 0
    channels: int = 3
    size: int = 0
    coder: str = ""
    digest: str = ""
    encode_s: float = 0.0
    decode_s: float = 0.0
    encode_cpu_s: float = 0.0
    decode_cpu_s: float = 0.0
    peak_mib: float | None = None
    lossless: bool = False
    quality: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def bits_per_pixel(self) -> float:
        """Of the whole file."""
        return 8 * self.size / (self.width * self.height)

    @property
    def bits_per_subpixel(self) -> float:
        """Of the whole file; a pixel has a sub-pixel for each channel."""
        return self.bits_per_pixel / self.channels

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> Measurement:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**entry, "setting": Setting(**entry["setting"])})


def original_path(pictures: Path, image: Path) -> Path:
    """Where the image goes that was given to the codecs."""
    return pictures / image.name / "original.png"


def decoded_path(pictures: Path, image: Path, setting: Setting) -> Path:
    """Where the decoded picture of a lossy setting goes."""
    return pictures / image.name / f"{setting.slug}.png"


def coded_path(pictures: Path, image: Path, setting: Setting) -> Path:
    """Where the file of one of our codecs goes."""
    return pictures / image.name / f"{setting.slug}.nzp"


@dataclass(frozen=True)
class Results:
    """A whole run.

    Attributes:
        machine: what it ran on.
        measurements: in the order of settings, then images.
        frechet: label of a lossy setting to the Fréchet distance between the features of its
            decoded crops and of the originals'.
    """

    machine: Mapping[str, str | int]
    measurements: tuple[Measurement, ...]
    frechet: Mapping[str, float] = field(default_factory=dict)

    def settings(self) -> list[Setting]:
        """The settings in the order of the run."""
        found: dict[str, Setting] = {}
        for one in self.measurements:
            found.setdefault(one.setting.label, one.setting)
        return list(found.values())

    def of(self, setting: Setting) -> list[Measurement]:
        """The measurements of a setting that have a result."""
        label = setting.label
        return [m for m in self.measurements if m.setting.label == label and not m.error]

    def failed(self) -> list[Measurement]:
        """The measurements without a result."""
        return [m for m in self.measurements if m.error]

    def write(self, path: Path) -> None:
        """Write as JSON."""
        write_atomically(path, (json.dumps(asdict(self), indent=1) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read what `write` wrote."""
        entry = json.loads(path.read_text())
        measurements = tuple(Measurement.parse(one) for one in entry["measurements"])
        return cls(entry["machine"], measurements, entry["frechet"])
