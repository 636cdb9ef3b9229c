"""The tables of docs/options.md are what the options' descriptions say.

Run as a script, this module writes them.
"""

from __future__ import annotations

import re
from pathlib import Path

from noisepress.codec.options import Option, described
from noisepress.codec.protocol import Decoding
from noisepress.codec.registry import CODECS

DOCUMENT = Path(__file__).parents[2] / "docs" / "options.md"
KINDS = {kind.__name__: kind for kind in (*(codec.OPTIONS for codec in CODECS), Decoding)}
_BLOCK = re.compile(r"(<!-- options: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def row(option: Option) -> str:
    """One line of a table."""
    return f"| `{option.name}` | {option.supported} | {option.usual} | {option.doc.help} |\n"


def updated(text: str) -> str:
    """A document with its tables written anew."""

    def table(block: re.Match[str]) -> str:
        rows = "".join(row(option) for option in described(KINDS[block[2]]))
        head = "| option | values | default | what it is |\n| --- | --- | --- | --- |\n"
        return f"{block[1]}\n{head + rows if rows else 'None.' + chr(10)}\n{block[3]}"

    return _BLOCK.sub(table, text)


def test_tables_are_up_to_date() -> None:
    text = DOCUMENT.read_text()
    assert updated(text) == text, f"run: python {Path(__file__).name}"


def test_every_kind_has_a_table() -> None:
    assert {block[1] for block in _BLOCK.findall(DOCUMENT.read_text())} == set(KINDS)


if __name__ == "__main__":
    DOCUMENT.write_text(updated(DOCUMENT.read_text()))
