"""Models: bundled weights, their files, and loading by literal number and digest.

A model file is safetensors with its card in the metadata (models/storage.py). Reading the card
needs neither torch nor the weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bitstream.errors import ModelError

if TYPE_CHECKING:
    from .storage import Network

_WEIGHTS = Path(__file__).parent / "weights"
_CARD = "noisepress"
_LENGTH_BYTES = 8
_CARD_LIMIT = 2**20

# Append-only: numbers are stored in files. Numbers from FIRST_CUSTOM up are for others' models.
BUNDLED = {
    1: "ardm-photo",
    2: "ardm-small",
    3: "diffc-photo",
    4: "vdm-photo",
    5: "hfd-photo",
    6: "hfd-photo-decoder",
}
FIRST_CUSTOM = 1024


@dataclass(frozen=True)
class Card:
    """What a model file says of itself.

    Attributes:
        name: such as `ardm-photo`.
        number: literal id, stored in files.
        digest: first 4 bytes of the SHA-256 of the model file, as an integer.
        architecture: key of `ARCHITECTURES`.
        config: keyword arguments of the architecture's configuration.
        tables: integer tables that belong to the model, such as loss curves.
        facts: how it was trained and what it measured, for people.
        path: the model file.
    """

    name: str
    number: int
    digest: int
    architecture: str
    config: Mapping[str, int]
    tables: Mapping[str, Any]
    facts: Mapping[str, Any]
    path: Path


def read_card(path: Path) -> Card:
    """The card of a model file.

    Raises:
        ModelError: the file cannot be read or is not a noisepress model.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot read the model: {error.strerror}") from error
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    try:
        if length > _CARD_LIMIT:
            raise ValueError("oversized safetensors header")
        header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        card = json.loads(header["__metadata__"][_CARD])
        digest = int.from_bytes(hashlib.sha256(data).digest()[:4], "little")
        return Card(digest=digest, path=path, **card)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a noisepress model file") from error


@lru_cache
def bundled() -> tuple[Card, ...]:
    """The cards of all models in the package, by number."""
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
        extra: models of the caller's, looked at before the bundled ones.

    Raises:
        ModelError: it is not there, or its digest differs.
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
    """The network of a card. Networks are cached by path, digest and device.

    Args:
        device: of the parts that compute in floats; integer-exact ones stay on the processor.

    Raises:
        ModelError: the file is damaged, or there is no such device.
    """
    return _load(card.path, card.digest, card.architecture, json.dumps(dict(card.config)), device)


@lru_cache(maxsize=8)
def _load(path: Path, digest: int, architecture: str, config: str, device: str) -> Network:
    from . import storage

    network = storage.read_network(path, architecture, json.loads(config))
    return network if device == "cpu" else storage.placed(network, device)
