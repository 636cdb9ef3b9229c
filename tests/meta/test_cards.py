"""The documents about the bundled models say what the model files say."""

from __future__ import annotations

import pytest

from noisepress.models.card import Card
from noisepress.models.registry import bundled
from noisepress.training.cards import CARDS, table, updated


@pytest.mark.parametrize("card", bundled(), ids=lambda card: card.name)
def test_cards_are_up_to_date(card: Card) -> None:
    text = (CARDS / f"{card.name}.md").read_text()
    assert updated(text, card) == text, "run: python -m noisepress.training.cards"
    assert table(card) in text


def test_every_card_belongs_to_a_model() -> None:
    assert {path.stem for path in CARDS.glob("*.md")} == {card.name for card in bundled()}


def test_a_card_without_a_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="no table"):
        updated("# a model\n", bundled()[0])
