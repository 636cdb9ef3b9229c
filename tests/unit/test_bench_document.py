"""The command that docs/results.md quotes."""

from __future__ import annotations

import pytest

from noisepress.benchmarks.codecs import LOSSLESS, LOSSY, parse_all
from noisepress.benchmarks.document import command


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("png", "jpegxl:effort=7"), "--codec png --codec jpegxl:effort=7"),
        (("jpeg:quality=5", "png", "jpeg:quality=7"), "--codec jpeg:quality=5/7 --codec png"),
        (
            ("avif:quality=20/30,speed=3/4", "avif:speed=9"),
            "--codec avif:quality=20/30,speed=3/4 --codec avif:speed=9",
        ),
        (
            ("avif:quality=20,speed=3", "avif:quality=30,speed=4"),
            "--codec avif:quality=20,speed=3 --codec avif:quality=30,speed=4",
        ),
        (LOSSLESS, "--lossless"),
        ((*LOSSLESS, "jpegxl-lossless:effort=9"), "--lossless --codec jpegxl-lossless:effort=9"),
        ((*LOSSLESS[1:], *LOSSY), f"--lossy {' '.join(f'--codec {one}' for one in LOSSLESS[1:])}"),
    ],
)
def test_command(texts: tuple[str, ...], said: str) -> None:
    assert command(parse_all(texts)) == f"noisepress bench kodak24/ {said} -o OUT"
