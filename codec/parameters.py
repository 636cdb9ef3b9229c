"""A codec's parameters: what a decoder needs to know, as fields of the header and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from ..bitstream.header import UINT32, VARINT, Field, pack, unpack_all
from ..models import registry


def _digest(model: str) -> str:
    """The header field of the digest of a model."""
    return "digest" if model == "model" else f"{model} digest"


def model_fields(name: str, doc: str) -> tuple[Field, Field]:
    """The header fields that name a model: its number and its digest."""
    return (
        Field(name, VARINT, 0, 2**31, doc),
        Field(_digest(name), UINT32, 0, 2**32 - 1, "first 4 bytes of the SHA-256 of its file"),
    )


def choice(name: str, doc: str, words: tuple[str, ...]) -> Field:
    """A header field with one of a few values, which are words outside of the header."""
    return Field(name, VARINT, 0, len(words) - 1, doc, words)


class Parameters:
    """Base of the parameters of codecs.

    A subclass is a dataclass with an attribute for each header field: a `Card` for the two fields
    of a model, a word for a field that has words, and else an integer.

    Attributes:
        CODEC: name of the codec.
        FIELDS: of the header.
        MODELS: names of the fields with the number of a model, see `model_fields`.
    """

    CODEC: ClassVar[str]
    FIELDS: ClassVar[tuple[Field, ...]]
    MODELS: ClassVar[tuple[str, ...]] = ("model",)

    @classmethod
    def parse(cls, data: bytes, models: Sequence[str] = ()) -> Self:
        """Parameters from a header.

        Args:
            models: paths of model files to look at before the bundled ones.

        Raises:
            CorruptError, TruncatedError: see `header.unpack_all`.
            ModelError: a model is not there or has another digest.
        """
        values = cls._in_words(data)
        extra = [registry.find(path) for path in models]
        for name in cls.MODELS:
            values[name] = registry.resolve(values[name], values.pop(_digest(name)), extra)
        return cls(**values)

    def pack(self) -> bytes:
        """Header bytes."""
        values = dict(vars(self))
        for name in self.MODELS:
            values[name], values[_digest(name)] = values[name].number, values[name].digest
        for field in self.FIELDS:
            if field.words:
                values[field.name] = field.words.index(values[field.name])
        return pack(self.FIELDS, values)

    @classmethod
    def describe(cls, data: bytes) -> dict[str, int | str]:
        """The fields of a header in words.

        Raises:
            CorruptError, TruncatedError: see `header.unpack_all`.
        """
        values = cls._in_words(data)
        for name in cls.MODELS:
            values[name] = registry.BUNDLED.get(values[name], f"number {values[name]}")
            values[_digest(name)] = f"{values[_digest(name)]:08x}"
        return values

    @classmethod
    def _in_words(cls, data: bytes) -> dict[str, Any]:
        """The values of the fields, with words for numbers where there are any."""
        values: dict[str, Any] = unpack_all(cls.FIELDS, data, cls.CODEC)
        for field in cls.FIELDS:
            if field.words and field.name in values:
                values[field.name] = field.words[values[field.name]]
        return values
