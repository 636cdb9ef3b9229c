"""The study of online mixing's experts and contexts: a copy of the kernel with a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noisepress import Ardm
from noisepress.benchmarks.studies import experts
from noisepress.benchmarks.studies.experts import EDITS, LEFT_OUT, NOTHING, Size
from noisepress.bitstream import _mixing
from noisepress.codec.ardm.coding import estimate
from noisepress.codec.image.raster import Mode, Raster


@pytest.mark.slow
def test_each_thing_that_is_left_out_changes_the_size(tmp_path: Path) -> None:
    row, column = np.mgrid[:24, :32][..., None]
    image = 120 + 50 * np.sin(row / 5 + np.arange(3) / 2) + 20 * np.cos(column / 3)
    image = (image + np.random.default_rng(0).normal(0, 4, image.shape)).astype(np.uint8)
    real, kernel = _mixing.code_rows, experts.masked_kernel(tmp_path)
    bits = {left_out: experts.bits(image, left_out, kernel) for left_out in LEFT_OUT}
    assert len(set(bits.values())) == len(LEFT_OUT)
    assert _mixing.code_rows is real
    assert bits[NOTHING] == estimate(Raster(image, Mode.RGB8), Ardm())
    assert bits["D_0 to D_2, the network"] > bits["D_0, the network as it is"]


@pytest.mark.parametrize("line", EDITS)
def test_a_kernel_without_the_edited_lines_is_refused(line: str) -> None:
    source = Path(_mixing.__file__).read_text()
    for wrong in (source.replace(line, ""), source.replace(line, 2 * line)):
        with pytest.raises(ValueError, match="does not have this line once"):
            experts.edited(wrong)


def test_the_table_starts_with_what_matters_most() -> None:
    sizes = [
        Size("a.png", NOTHING, 2000),
        Size("b.png", NOTHING, 1000),
        Size("a.png", "x", 2010),
        Size("b.png", "x", 1000),
        Size("a.png", "y", 1998),
        Size("b.png", "y", 1020),
    ]
    assert experts.table(sizes).splitlines()[2:] == [
        "| nothing | 2,000 | 1,000 |  |",
        "| y | -0.10 % | +2.00 % | +0.95 % |",
        "| x | +0.50 % | +0.00 % | +0.25 % |",
    ]
