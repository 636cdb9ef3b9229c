"""The report of a run: tables, files for other programs, plots, and one page to read."""

from __future__ import annotations

from pathlib import Path

from ..results import Results
from .files import write_compressai, write_csv
from .markdown import summary
from .page import write_page
from .plots import write_plots

__all__ = ["summary", "write_report"]


def write_report(results: Results, out: Path) -> Path:
    """Write everything that reports a run.

    Args:
        results: the run.
        out: folder for `results.csv`, `compressai/CODEC.json`, `plots/*.svg` and `report.html`;
            made if missing. The page shows the pictures that it finds in `out/pictures/STEM`:
            `original.png`, and `SLUG.png` or `SLUG.nzp` for the slug of a setting.

    Returns:
        The path of the page, which needs none of the other files.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_csv(results, out / "results.csv")
    write_compressai(results, out / "compressai")
    plots = write_plots(results, out / "plots")
    return write_page(results, plots, out)
