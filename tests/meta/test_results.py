"""Every published figure comes from the committed measurements."""

from __future__ import annotations

import re

from noisepress.benchmarks.document import DOCUMENT, README, document, read, readme, sizes_table

AGAIN = "run: python -m noisepress.benchmarks.document"


def test_results_are_what_the_measurements_say() -> None:
    assert DOCUMENT.read_text() == document(), AGAIN


def test_readme_tables_are_what_the_measurements_say() -> None:
    text = README.read_text()
    assert all(f"<!-- measured: {block} -->" in text for block in ("lossless", "clean", "lossy"))
    assert readme(text) == text, AGAIN
    assert sizes_table(read("kodak_lossless")) in text


ALLOWANCE = 40
"""Bytes that a file may have above the smallest of its peers: a header and a checksum."""
KEEPS_MORE = {"palette_color.png", "hopper_bad_exif.jpg"}
"""Images of which the file keeps what the smallest peer drops: a whole palette, a JPEG file."""


def test_no_image_of_any_kind_is_larger_than_the_best_of_the_peers() -> None:
    sizes: dict[str, dict[str, int]] = {}
    for one in read("kinds").measurements:
        if not one.error:
            sizes.setdefault(one.image, {})[one.setting.codec] = one.size
    larger = {
        image
        for image, of in sizes.items()
        if of.pop("ardm") > min(of.values(), default=10**9) + ALLOWANCE
    }
    assert larger == KEEPS_MORE


def test_images_of_16_bits_are_smaller_than_jpeg_xl() -> None:
    deep = [one for one in read("kinds").measurements if one.kind == "16 bits" and not one.error]
    ours, peer = (
        sum(one.size for one in deep if one.setting.codec == codec)
        for codec in ("ardm", "jpegxl-lossless")
    )
    assert ours < 0.98 * peer


def test_readme_quotes_no_figure_beside_the_table() -> None:
    """Bits per sub-pixel and byte counts stand in the generated block only."""
    text = re.sub(r"<!-- measured: .*?<!-- end -->", "", README.read_text(), flags=re.DOTALL)
    assert not re.findall(r"\b\d\.\d{3}\b|\b\d{1,3},\d{3},\d{3}\b", text)
