"""Tables of a run in Markdown: for the terminal and for documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from ..results import Results
from .tables import Row, lossless_by_kind, lossy_rows, metric, metric_names

Item = TypeVar("Item")


def table(items: Iterable[Item], columns: Mapping[str, Callable[[Item], str]]) -> str:
    """A row for each item, with a line break at the end.

    Args:
        columns: title of a column to the text of its cells.
    """
    rule = ["---", *["---:"] * (len(columns) - 1)]
    rows = ([cell(item) for cell in columns.values()] for item in items)
    return "".join(f"| {' | '.join(row)} |\n" for row in (list(columns), rule, *rows))


def decimal(value: float | None, digits: int) -> str:
    """Empty for None."""
    return "" if value is None else f"{value:.{digits}f}"


def size(row: Row) -> str:
    """Bytes of all files."""
    return f"{row.mean.size:,}"


def bits_per_pixel(row: Row) -> str:
    """Mean over the images."""
    return decimal(row.mean.bpp, 3)


def bits_per_subpixel(row: Row) -> str:
    """Mean over the images."""
    return decimal(row.mean.bits, 3)


def encode_ratio(row: Row) -> str:
    """Time divided by the peer's."""
    return decimal(row.encode_ratio, 2)


def decode_ratio(row: Row) -> str:
    """Time divided by the peer's."""
    return decimal(row.decode_ratio, 2)


Columns = dict[str, Callable[[Row], str]]
"""Title to the text of a row's cell."""


def quality_columns(results: Results) -> Columns:
    """Of each metric that was measured, and of the Fréchet distance."""

    def column(name: str) -> Callable[[Row], str]:
        return lambda row: decimal(row.mean.quality.get(name), metric(name).digits)

    columns = {metric(name).label: column(name) for name in metric_names(results)}
    return {**columns, "Fréchet": lambda row: decimal(row.mean.frechet, 2)}


def summary(results: Results) -> str:
    """Means over the images of every setting.

    There is a table of the lossless settings for each kind of image, and one of the lossy. Times
    are in seconds and, where a setting of the peer was measured, ratios of processor times.
    """
    exact: Columns = {"bits per sub-pixel": bits_per_subpixel}
    lossy: Columns = {"bits per pixel": bits_per_pixel, **quality_columns(results)}
    tables = []
    kinds = lossless_by_kind(results)
    for kind, rows, rates in (
        *(
            (f"lossless, {kind}" if len(kinds) > 1 else "lossless", of, exact)
            for kind, of in kinds.items()
        ),
        ("lossy", lossy_rows(results), lossy),
    ):
        columns: Columns = {
            kind: lambda row: row.mean.setting.label,
            "images": lambda row: str(row.mean.images),
            "bytes": size,
            **rates,
            "encode s": lambda row: decimal(row.mean.encode_s, 4),
            "decode s": lambda row: decimal(row.mean.decode_s, 4),
        }
        if rows and rows[0].peer:
            columns[f"encode / {rows[0].peer}"] = encode_ratio
            columns[f"decode / {rows[0].peer}"] = decode_ratio
        tables += [table(rows, columns)] if rows else []
    return "\n".join(tables)
