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


def test_readme_quotes_no_figure_beside_the_table() -> None:
    """Bits per sub-pixel and byte counts stand in the generated block only."""
    text = re.sub(r"<!-- measured: .*?<!-- end -->", "", README.read_text(), flags=re.DOTALL)
    assert not re.findall(r"\b\d\.\d{3}\b|\b\d{1,3},\d{3},\d{3}\b", text)
