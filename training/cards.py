"""Writes the tables of models/cards from the facts in the bundled model files.

python -m noisepress.training.cards
"""

from __future__ import annotations

import re
from pathlib import Path

from ..models.card import Card
from ..models.registry import bundled

CARDS = Path(__file__).resolve().parents[1] / "models" / "cards"
_TABLE = re.compile(r"^\| \| \|\n(?:\|.*\|\n)+", re.MULTILINE)


def table(card: Card) -> str:
    """Two Markdown columns: what the model is and how it was made."""
    config = ", ".join(f"{key} {value}" for key, value in card.config.items())
    rows = {
        "number": card.number,
        "digest": f"{card.digest:08x}",
        "architecture": f"{card.architecture}, {config}",
        **card.facts,
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines]) + "\n"


def updated(text: str, card: Card) -> str:
    """A card's text with its table brought up to date.

    Raises:
        ValueError: the text has no table to replace.
    """
    text, found = _TABLE.subn(lambda _: table(card), text, count=1)
    if not found:
        raise ValueError(f"the card of {card.name} has no table")
    return text


def main() -> None:
    """Update every card."""
    for card in bundled():
        path = CARDS / f"{card.name}.md"
        path.write_text(updated(path.read_text(), card))


if __name__ == "__main__":
    main()
