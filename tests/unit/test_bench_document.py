"""The committed measurements, and the command that docs/results.md quotes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from noisepress.benchmarks import document
from noisepress.benchmarks.codecs import LOSSLESS, LOSSY, parse_all
from noisepress.benchmarks.document import command, files_table, kinds_table, main
from noisepress.benchmarks.results import Measurement, Results


def coded(image: str, setting: str, size: int, **fields: Any) -> Measurement:
    (chosen,) = parse_all([setting])
    coder = "screen" if setting == "ardm" else ""
    defaults = {"width": 9, "height": 9, "encode_cpu_s": 2.0, "decode_cpu_s": 1.0, "lossless": True}
    return Measurement(image, chosen, size=size, coder=coder, **(defaults | fields))


PEER = "jpegxl-lossless:effort=9"
MIXED = Results(
    {},
    (
        coded("a.png", "ardm", 50, encode_cpu_s=6.0),
        coded("b.png", "ardm", 70),
        coded("deep.png", "ardm", 900, kind="16 bits"),
        coded("a.png", PEER, 100),
        coded("deep.png", PEER, 1000, kind="16 bits", encode_cpu_s=1.0),
        replace(coded("b.png", PEER, 0), error="no"),
        coded("a.png", "webp-lossless", 60),
    ),
)


def test_a_table_of_kinds_has_images_that_all_codecs_code() -> None:
    lines = kinds_table(MIXED).splitlines()[2:]
    assert lines == [
        "| 8-bit colour | noisepress | 1 | 50 | -50.0 % | 3.00 | 1.00 |",
        "| 8-bit colour | WebP | 1 | 60 | -40.0 % | 1.00 | 1.00 |",
        "| 8-bit colour | JPEG XL, effort 9 | 1 | 100 | +0.0 % | 1.00 | 1.00 |",
        "| 16 bits | noisepress | 1 | 900 | -10.0 % | 2.00 | 1.00 |",
        "| 16 bits | JPEG XL, effort 9 | 1 | 1,000 | +0.0 % | 1.00 | 1.00 |",
    ]


def test_a_table_of_files_has_all_that_are_coded() -> None:
    lines = files_table(MIXED).splitlines()
    assert lines[0].endswith("| codec that won | bytes | JPEG XL | WebP | against the smallest |")
    assert lines[2:] == [
        "| a.png | 8-bit colour | screen | 50 | 100 | 60 | -10 |",
        "| b.png | 8-bit colour | screen | 70 |  |  |  |",
        "| deep.png | 16 bits | screen | 900 | 1,000 |  | -100 |",
    ]


@pytest.mark.parametrize(
    ("texts", "options"),
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
        ((*LOSSLESS[1:], *LOSSY), " --codec ".join(["--lossy", *LOSSLESS[1:]])),
    ],
)
def test_command(texts: tuple[str, ...], options: str) -> None:
    assert command("kodak24/", parse_all(texts)) == f"noisepress bench kodak24/ {options} -o OUT"


def test_an_installed_package_has_no_measurements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "MEASURED", tmp_path)
    monkeypatch.setattr(document, "DOCUMENT", tmp_path / "results.md")
    with pytest.raises(
        SystemExit, match=r"kodak_lossless\.json is missing; only a checkout"
    ) as info:
        main()
    assert "\n" not in str(info.value)
    assert not (tmp_path / "results.md").exists()
