"""The bundled models, and loading a model by literal number and digest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..bitstream.errors import ModelError
from .card import Card, read_card

if TYPE_CHECKING:
    from .storage import Network

_WEIGHTS = Path(__file__).parent / "weights"
BUNDLED = {
    1: "ardm-photo",
    2: "ardm-small",
    3: "diffc-photo",
    4: "vdm-photo",
    7: "hfd-photo",
}
"""Names of the bundled models by number. Numbers are stored in files and never used again;
5 and 6 were those of an earlier hfd."""
FIRST_CUSTOM = 1024
"""Numbers from here up are for models of users."""


@lru_cache
def bundled() -> tuple[Card, ...]:
    """The cards of all models in the package, by number.

    Raises:
        ModelError: one of the package's model files is missing or damaged.
    """
    cards = [read_card(_WEIGHTS / f"{name}.safetensors") for name in BUNDLED.values()]
    return tuple(sorted(cards, key=lambda card: card.number))


def find(name: str) -> Card:
    """The bundled model of a name, or the model file at a path ending in .safetensors.

    Raises:
        ModelError: there is no such model.
    """
    if name.endswith(".safetensors"):
        return read_card(Path(name))
    for card in bundled():
        if card.name == name:
            return card
    known = ", ".join(BUNDLED.values())
    raise ModelError(f"unknown model {name!r}; bundled are {known}, others by .safetensors path")


def resolve(number: int, digest: int, extra: Sequence[Card] = ()) -> Card:
    """The model that a file names.

    Args:
        number, digest: see `Card`.
        extra: models of the user, looked at before the bundled ones.

    Raises:
        ModelError: no model has the number, or the one that has it has another digest.
    """
    candidates = [*extra, *bundled()]
    for card in candidates:
        if card.number == number:
            if card.digest != digest:
                raise ModelError(
                    f"the file was made with {card.name} {digest:08x},"
                    f" this release has {card.name} {card.digest:08x}"
                )
            return card
    known = ", ".join(f"{card.number} ({card.name})" for card in candidates)
    raise ModelError(f"the file needs model {number}; this release has {known}")


def load(card: Card, device: str = "cpu") -> Network:
    """The network of a card. The eight last used networks are kept in memory.

    Args:
        device: torch device of the parts that compute in floats; integer-exact ones stay on the
            processor.

    Raises:
        ModelError: the file is damaged, or there is no such device.
    """
    return _load(card.path, card.digest, card.architecture, json.dumps(dict(card.config)), device)


NetworkT = TypeVar("NetworkT", bound="Network")


def load_network(card: Card, kind: type[NetworkT], device: str = "cpu") -> NetworkT:
    """Like `load`, of a card that is to have a certain kind of network.

    Raises:
        ModelError: see `load`; or the model has another kind of network.
    """
    network = load(card, device) if card.architecture == kind.ARCHITECTURE else None
    if not isinstance(network, kind):
        raise ModelError(
            f"model {card.name} has the architecture {card.architecture}, not {kind.ARCHITECTURE}"
        )
    return network


@lru_cache(maxsize=8)
def _load(path: Path, digest: int, architecture: str, config: str, device: str) -> Network:
    from . import storage

    network = storage.read_network(path, architecture, json.loads(config))
    return network if device == "cpu" else storage.placed(network, device)
