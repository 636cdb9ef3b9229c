"""The model that a file names: its header fields, and the way from them to the model.

Shared by the codecs that have networks. What models/ raises becomes the `ModelError` of the public
functions here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..bitstream.errors import ModelError
from ..bitstream.header import UINT32, VARINT, Field
from ..models import registry
from ..models.errors import ModelError as ModelFileError

if TYPE_CHECKING:
    from ..models.storage import Network

MODEL_FIELDS = (
    Field("model", VARINT, 0, 2**31, "model number"),
    Field("digest", UINT32, 0, 2**32 - 1, "first 4 bytes of the SHA-256 of the model file"),
)


@contextmanager
def _public_errors() -> Iterator[None]:
    try:
        yield
    except ModelFileError as error:
        raise ModelError(str(error)) from error


def chosen_model(name: str) -> registry.Card:
    """The bundled model of a name, or the model file at a path.

    Raises:
        ModelError: there is no such model.
    """
    with _public_errors():
        return registry.find(name)


def recorded_model(values: Mapping[str, int], extra: Sequence[str]) -> registry.Card:
    """The model that header fields name.

    Args:
        extra: paths of model files to look at before the bundled ones.

    Raises:
        ModelError: the model is not there or has another digest.
    """
    with _public_errors():
        mine = [registry.find(one) for one in extra]
        return registry.resolve(values["model"], values["digest"], mine)


def load_network(card: registry.Card, device: str = "cpu") -> Network:
    """The network of a model, its floating-point parts on a device.

    Raises:
        ModelError: the model file is damaged, or there is no such device.
    """
    with _public_errors():
        return registry.load(card, device)


def record(card: registry.Card) -> dict[str, int]:
    """The header fields that name a model."""
    return {"model": card.number, "digest": card.digest}


def describe_model(values: Mapping[str, int]) -> dict[str, int | str]:
    """The same fields in words."""
    number = values["model"]
    return {
        "model": registry.BUNDLED.get(number, f"number {number}"),
        "digest": f"{values['digest']:08x}",
    }
