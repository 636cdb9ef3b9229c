"""PNM and PAM files of any maximum."""

from __future__ import annotations

import numpy as np
import pytest
from common import one_line, picture

import noisepress
from noisepress.bitstream.errors import UnsupportedImageError
from noisepress.codec.image.raster import Mode, Samples, from_whole_range, to_whole_range
from noisepress.codec.image.read import open_image

RNG = np.random.default_rng(0)


def values(maximum: int, channels: int) -> Samples:
    """Integers (5, 7, c) up to a maximum, which occurs."""
    drawn = RNG.integers(0, maximum + 1, (5, 7, channels)).astype(">u2" if maximum > 255 else "u1")
    drawn[2, 3] = maximum
    return drawn


def expected(samples: Samples, maximum: int) -> Samples:
    top = 255 if maximum <= 255 else 65535
    scaled: Samples = np.floor(samples.astype(float) * top / maximum + 0.5)
    return scaled


@pytest.mark.parametrize("maximum", [1, 2, 15, 100, 254, 255, 256, 1023, 4095, 40000, 65534, 65535])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_maximum(channels: int, maximum: int) -> None:
    drawn = values(maximum, channels)
    binary, plain = ("P5", "P2") if channels == 1 else ("P6", "P3")
    text = " ".join(map(str, drawn.ravel()))
    for data in (
        f"{binary}\n7 5\n{maximum}\n".encode() + drawn.tobytes(),
        f"{binary} #so\n#wide\n7\t5 {maximum} ".encode() + drawn.tobytes() + b"more",
        f"{plain}\n7 5\n{maximum}\n{text}\n".encode(),
    ):
        found = open_image(data)
        assert found.mode.dtype == (np.uint8 if maximum <= 255 else np.uint16)
        np.testing.assert_array_equal(found.samples, expected(drawn, maximum))
        assert noisepress.decode_raster(noisepress.encode(data, "png")) == found


@pytest.mark.parametrize("maximum", [*range(256, 65536, 977), 65534])
def test_scaled_samples_can_be_told(maximum: int) -> None:
    drawn = np.arange(maximum + 1, dtype=np.uint16)
    scaled = to_whole_range(drawn, maximum)
    assert len(np.unique(scaled)) == len(drawn) and scaled[-1] == 65535
    np.testing.assert_array_equal(from_whole_range(scaled, maximum), drawn)


def test_12_bits_take_no_more_than_they_are() -> None:
    deep = picture(40, 50)[..., :1].astype(np.uint16) * 16 + RNG.integers(0, 16, (40, 50, 1), "u2")
    head = f"P5 {deep.shape[1]} {deep.shape[0]} ".encode()
    known = noisepress.encode(head + b"4095\n" + deep.astype(">u2").tobytes(), "jpegxl")
    plain = noisepress.encode(deep, "jpegxl")
    assert len(known) <= len(plain) + 24


PAM = {
    "BLACKANDWHITE": (1, 1, Mode.BILEVEL),
    "GRAYSCALE": (255, 1, Mode.L8),
    "GRAYSCALE_ALPHA": (100, 2, Mode.LA8),
    "RGB": (4095, 3, Mode.RGB16),
    "RGB_ALPHA": (65535, 4, Mode.RGBA16),
}


def pam(kind: str, maximum: int, drawn: Samples) -> bytes:
    head = f"P7\n# a\nWIDTH 7\nHEIGHT 5\nDEPTH {drawn.shape[2]}\nMAXVAL {maximum}\nTUPLTYPE {kind}"
    return head.encode() + b"\nENDHDR\n" + drawn.tobytes()


@pytest.mark.parametrize("kind", PAM)
def test_pam(kind: str) -> None:
    maximum, channels, mode = PAM[kind]
    drawn = values(maximum, channels)
    found = open_image(pam(kind, maximum, drawn))
    assert found.mode is mode
    scale = 255 if mode is Mode.BILEVEL else 1
    np.testing.assert_array_equal(found.samples * np.uint8(scale), expected(drawn, maximum))


@pytest.mark.parametrize(
    "data",
    [
        b"P5 7 5 0\n" + bytes(99),
        b"P5 7 5 65536\n" + bytes(99),
        b"P5 7 5 9\n" + bytes(34),
        b"P5 7 5 9\n" + bytes(34) + b"\x0a",
        b"P5 0 5 9\n" + bytes(99),
        b"P5 99999999 99999999 9\n" + bytes(99),
        b"P2 2 1 9\n7",
        b"P2 2 1 9\n7 x",
        b"P2 2 1 9\n7 999999",
        b"P7\nWIDTH 7\n",
        b"P7\nWIDTH 7\nHEIGHT 5\nDEPTH 1\nENDHDR\n" + bytes(99),
        pam("GRAYSCALE", 255, values(255, 3)),
        pam("CMYK", 255, values(255, 4)),
        pam("", 255, values(255, 4)),
        pam("RGB", 9, values(9, 3))[:-1],
    ],
)
def test_damaged_files(data: bytes) -> None:
    with pytest.raises(UnsupportedImageError) as error:
        open_image(data)
    one_line(error)
