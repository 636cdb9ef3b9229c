"""The model that a file names: its header fields, and the network behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..bitstream.errors import ModelError
from ..bitstream.header import UINT32, VARINT, Field
from ..models import registry
from ..models.card import Card

if TYPE_CHECKING:
    from ..models.storage import Network

MODEL_FIELDS = (
    Field("model", VARINT, 0, 2**31, "model number"),
    Field("digest", UINT32, 0, 2**32 - 1, "first 4 bytes of the SHA-256 of the model file"),
)


def _names(field: str) -> tuple[str, str]:
    """The header fields of a model's number and digest."""
    return field, "digest" if field == "model" else f"{field} digest"


def recorded_model(values: Mapping[str, int], models: Sequence[str], field: str = "model") -> Card:
    """The model that header fields name.

    Args:
        models: paths of model files to look at before the bundled ones.
        field: name of the model's field, `model` or that of a second model.

    Raises:
        ModelError: the model is not there or has another digest.
    """
    extra = [registry.find(path) for path in models]
    number, digest = (values[name] for name in _names(field))
    return registry.resolve(number, digest, extra)


NetworkT = TypeVar("NetworkT", bound="Network")


def load_network(card: Card, kind: type[NetworkT], device: str = "cpu") -> NetworkT:
    """The network of a model, its floating-point parts on a device.

    Raises:
        ModelError: the model has another kind of network, its file is damaged, or there is no such
            device.
    """
    network = registry.load(card, device) if card.architecture == kind.ARCHITECTURE else None
    if not isinstance(network, kind):
        raise ModelError(
            f"model {card.name} has the architecture {card.architecture}, not {kind.ARCHITECTURE}"
        )
    return network


def record(card: Card, field: str = "model") -> dict[str, int]:
    """The header fields that name a model."""
    return dict(zip(_names(field), (card.number, card.digest), strict=True))


def describe_model(values: Mapping[str, int], field: str = "model") -> dict[str, int | str]:
    """The same fields in words."""
    number, digest = _names(field)
    return {
        number: registry.BUNDLED.get(values[number], f"number {values[number]}"),
        digest: f"{values[digest]:08x}",
    }
