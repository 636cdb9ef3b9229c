"""Options: described once, for checks, the command line, the benchmarks and the documentation.

A codec's options are a frozen dataclass whose fields are annotated with a `Doc`:

    steps: Annotated[int, Doc("steps of the chain", 1, 384)] = 50

Everything else follows from that: `described` lists the options, and a value of a wrong type or out
of range is an `OptionError` when the dataclass is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from numbers import Integral, Real
from os import PathLike, fspath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ..bitstream.errors import OptionError

_NUMBERS: Mapping[type, Any] = {int: Integral, float: Real}
"""What is taken for a number, numpy's included, by the type that an option has."""


@dataclass(frozen=True)
class Doc:
    """What the annotation of an option says beside its type.

    Attributes:
        help: one line; starts with what the option is.
        low, high: range of a number, inclusive.
        none: what happens without a value, in words.
    """

    help: str
    low: float = -math.inf
    high: float = math.inf
    none: str = ""


@dataclass(frozen=True)
class Option:
    """One option of a dataclass of options.

    Attributes:
        name: of the field, and of the command line's flag behind `--`.
        kind: type of a value: int, float or str.
        default: value if none is given; None where the help says what happens then.
        optional: None is a value.
        several: a list or tuple of values is taken as well as one.
        choices: all values, of an option with few.
        doc: see `Doc`.
    """

    name: str
    kind: type[int] | type[float] | type[str]
    default: int | float | str | None
    optional: bool
    several: bool
    choices: tuple[str, ...]
    doc: Doc

    @property
    def supported(self) -> str:
        """The values, in words."""
        if self.choices:
            return ", ".join(self.choices)
        if self.kind is str:
            return "text, or a list of texts" if self.several else "text"
        kind = "whole numbers" if self.kind is int else "numbers"
        if self.doc.high == math.inf:
            return f"{kind} from {self.doc.low:g}"
        return f"{kind} from {self.doc.low:.15g} to {self.doc.high:.15g}"

    @property
    def usual(self) -> str:
        """The default, in words."""
        return self.doc.none if self.default is None else f"{self.default}"

    def checked(self, value: Any) -> Any:
        """The value as an int, float or str (or a tuple of them, or None).

        Raises:
            OptionError: it has another type, or is out of range; names the option and its values.
        """
        if value is None and self.optional:
            return None
        if self.several and isinstance(value, list | tuple):
            return tuple(self._one(each) for each in value)
        return self._one(value)

    def _one(self, value: Any) -> int | float | str:
        if self.kind is str:
            if isinstance(value, PathLike):
                value = fspath(value)
            if isinstance(value, str) and (not self.choices or value in self.choices):
                return value
        elif isinstance(value, _NUMBERS[self.kind]) and not isinstance(value, bool):
            with suppress(OverflowError):  # an int beyond the range of floats
                if self.doc.low <= value <= self.doc.high:
                    return self.kind(value)
        raise OptionError(f"{self.name} is {value!r}, supported are {self.supported}")

    def parse(self, text: str) -> Any:
        """The value of a text, as a command line has it.

        Raises:
            OptionError: see `checked`.
        """
        try:
            return self.checked(self.kind(text))
        except ValueError:
            return self.checked(text)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of all options. Values are checked when they are given.

    Raises:
        OptionError: a value is not supported.
    """

    def __post_init__(self) -> None:
        for option in described(type(self)):
            value = option.checked(getattr(self, option.name))
            object.__setattr__(self, option.name, value)


OptionsT = TypeVar("OptionsT", bound=Options)


_DESCRIBED: dict[type, tuple[Option, ...]] = {}
"""What `described` has found; type hints take longer to read than a small file to decode."""


def described(kind: type[Options]) -> tuple[Option, ...]:
    """The options of a dataclass, in order."""
    if kind not in _DESCRIBED:
        hints = get_type_hints(kind, include_extras=True)
        _DESCRIBED[kind] = tuple(
            _option(field.name, hints[field.name], field.default) for field in fields(kind)
        )
    return _DESCRIBED[kind]


def _option(name: str, hint: Any, default: Any) -> Option:
    annotated, doc = get_args(hint)
    assert get_origin(hint) is Annotated and isinstance(doc, Doc)
    union = get_origin(annotated) in (Union, UnionType)
    types = get_args(annotated) if union else (annotated,)
    choices = [get_args(kind) for kind in types if get_origin(kind) is Literal]
    plain = next((kind for kind in types if kind in (int, float, str)), str)
    several = any(get_origin(kind) is Sequence for kind in types)
    return Option(
        name, plain, default, NoneType in types, several, choices[0] if choices else (), doc
    )


def given(kind: type[OptionsT], options: OptionsT | None, keywords: Mapping[str, Any]) -> OptionsT:
    """Options as a caller gives them: as an object, or as keywords.

    Raises:
        OptionError: they are given in both ways, or as something else; an option is unknown (the
            message names the known ones), or its value is not supported.
    """
    name = kind.__name__
    if options is not None:
        if not isinstance(options, kind):
            raise OptionError(f"options are a {type(options).__name__}, {name} is supported")
        if keywords:
            raise OptionError(f"{', '.join(keywords)}: options belong into {name}(...)")
        return options
    known = [option.name for option in described(kind)]
    for keyword in keywords:
        if keyword not in known:
            supported = ", ".join(known) or "none"
            raise OptionError(f"unknown option {keyword!r} of {name}; supported are {supported}")
    return kind(**keywords)
