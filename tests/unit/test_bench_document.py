"""The committed measurements, and the command that docs/results.md quotes."""

from __future__ import annotations

from pathlib import Path

import pytest

from noisepress.benchmarks import document
from noisepress.benchmarks.codecs import LOSSLESS, LOSSY, parse_all
from noisepress.benchmarks.document import command, main


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
