"""The card of a model file: what the file says of itself.

A model file is safetensors with its card in the metadata (models/storage.py). Reading the card
needs neither torch nor a network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..bitstream.errors import ModelError

CARD_KEY = "noisepress"
"""Key of the card, as JSON, in the metadata of a model file."""


@dataclass(frozen=True)
class Card:
    """The description in a model file.

    Attributes:
        name: such as `ardm-photo`.
        number: literal id, stored in files.
        digest: first 4 bytes of the SHA-256 of the model file, as an integer.
        architecture: key of `models.storage.ARCHITECTURES`.
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
        digest = hashlib.sha256(path.read_bytes()).digest()[:4]
    except OSError as error:
        raise ModelError(f"{path}: cannot read the model: {error.strerror}") from error
    try:
        with safe_open(path, framework="numpy") as file:
            card = json.loads(file.metadata()[CARD_KEY])
        return Card(digest=int.from_bytes(digest, "little"), path=path, **card)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a noisepress model file, or a damaged one") from error
