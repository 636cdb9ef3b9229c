"""Options: described once, checked when given, public."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import FrozenInstanceError, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given as cases
from hypothesis import strategies as st

import noisepress
from noisepress.bitstream.errors import OptionError
from noisepress.codec.options import Doc, Option, Options, described, given
from noisepress.codec.protocol import Decoding
from noisepress.codec.registry import CODECS, by_options

KINDS: list[type[Options]] = [*(codec.OPTIONS for codec in CODECS), Decoding]


@dataclass(frozen=True, kw_only=True)
class Sample(Options):
    """One option of every type."""

    whole: Annotated[int, Doc("whole number", 2, 9)] = 3
    real: Annotated[float, Doc("number", -1)] = 0.5
    word: Annotated[Literal["one", "two"], Doc("word")] = "one"
    text: Annotated[str, Doc("text")] = "x"
    maybe: Annotated[int | None, Doc("whole number or none", 0, 5, none="any")] = None
    paths: Annotated[str | Sequence[str] | None, Doc("paths", none="none")] = None


def options_of(kind: type[Options]) -> list[Option]:
    return list(described(kind))


def test_description() -> None:
    found = {option.name: option for option in described(Sample)}
    assert list(found) == ["whole", "real", "word", "text", "maybe", "paths"]
    kinds = {name: (option.kind, option.optional, option.several) for name, option in found.items()}
    assert kinds == {
        "whole": (int, False, False),
        "real": (float, False, False),
        "word": (str, False, False),
        "text": (str, False, False),
        "maybe": (int, True, False),
        "paths": (str, True, True),
    }
    assert found["word"].choices == ("one", "two")
    assert [option.usual for option in found.values()] == ["3", "0.5", "one", "x", "any", "none"]


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("whole", np.int64(9), 9),
        ("real", 2, 2.0),
        ("real", np.float32(0.25), 0.25),
        ("real", Fraction(1, 2), 0.5),
        ("real", float("inf"), float("inf")),
        ("maybe", None, None),
        ("paths", "a", "a"),
        ("text", Path("x"), "x"),
        ("paths", ["a", Path("b")], ("a", "b")),
        ("paths", [], ()),
    ],
)
def test_values_are_kept_as_plain_numbers_and_texts(name: str, value: Any, kept: Any) -> None:
    found = getattr(given(Sample, None, {name: value}), name)
    assert found == kept and type(found) is type(kept)


@pytest.mark.parametrize(
    ("name", "value", "supported"),
    [
        ("whole", 1, "whole numbers from 2 to 9"),
        ("whole", 10, "whole numbers from 2 to 9"),
        ("whole", 3.0, "whole numbers from 2 to 9"),
        ("whole", "3", "whole numbers from 2 to 9"),
        ("whole", True, "whole numbers from 2 to 9"),
        ("whole", None, "whole numbers from 2 to 9"),
        ("whole", [3], "whole numbers from 2 to 9"),
        ("real", -2, "numbers from -1"),
        ("real", float("nan"), "numbers from -1"),
        ("real", 10**400, "numbers from -1"),
        ("real", "0.5", "numbers from -1"),
        ("real", 1j, "numbers from -1"),
        ("word", "three", "one, two"),
        ("word", 1, "one, two"),
        ("word", ["one"], "one, two"),
        ("text", 3, "text"),
        ("text", b"x", "text"),
        ("maybe", 6, "whole numbers from 0 to 5"),
        ("paths", 3, "text, or a list of texts"),
        ("paths", [b"a"], "text, or a list of texts"),
    ],
)
def test_other_values_are_refused(name: str, value: Any, supported: str) -> None:
    with pytest.raises(OptionError) as error:
        given(Sample, None, {name: value})
    text = str(error.value)
    assert text.startswith(f"{name} is ") and text.endswith(f"supported are {supported}")
    assert "\n" not in text


def test_options_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Sample().whole = 4  # type: ignore[misc]


def test_unknown_and_doubled_options() -> None:
    with pytest.raises(OptionError, match="unknown option 'hole' of Sample; supported are whole,"):
        given(Sample, None, {"hole": 3})
    with pytest.raises(OptionError, match=r"whole: options belong into Sample\(\.\.\.\)"):
        given(Sample, Sample(), {"whole": 3})
    with pytest.raises(OptionError, match="options are a Decoding, Sample is supported"):
        given(Sample, Decoding(), {})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_option_has_help_and_a_default_in_range(kind: type[Options]) -> None:
    kind()
    for option in options_of(kind):
        assert option.doc.help[0].islower() and not option.doc.help.endswith(".")
        assert "\n" not in option.doc.help and len(option.doc.help) < 80
        assert option.usual
        assert option.checked(option.default) == option.default


ALL = [(kind, option) for kind in KINDS for option in described(kind)]
NUMBERS = [(kind, option) for kind, option in ALL if option.kind is not str]


@pytest.mark.parametrize(
    ("kind", "option"), ALL, ids=[f"{kind.__name__}.{option.name}" for kind, option in ALL]
)
@cases(value=st.one_of(st.binary(), st.complex_numbers(), st.booleans(), st.just(object())))
def test_no_option_takes_a_value_of_another_type(
    kind: type[Options], option: Option, value: Any
) -> None:
    with pytest.raises(OptionError, match=rf"^{option.name} is "):
        kind(**{option.name: value})


@pytest.mark.parametrize(
    ("kind", "option"), NUMBERS, ids=[f"{kind.__name__}.{option.name}" for kind, option in NUMBERS]
)
def test_ranges_are_inclusive(kind: type[Options], option: Option) -> None:
    ends = [end for end in (option.doc.low, option.doc.high) if np.isfinite(end)]
    for end in ends:
        assert getattr(kind(**{option.name: option.kind(end)}), option.name) == end
    for beyond in (option.doc.low - 1, option.doc.high + 1):
        if np.isfinite(beyond):
            with pytest.raises(OptionError, match=rf"^{option.name} is "):
                kind(**{option.name: option.kind(beyond)})


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.NAME)
def test_options_are_public_and_name_their_codec(codec: Any) -> None:
    assert getattr(noisepress, codec.OPTIONS.__name__) is codec.OPTIONS
    assert codec.OPTIONS.__name__.lower() == codec.NAME
    assert by_options(codec.OPTIONS()) is codec


def test_both_forms_make_the_same_file() -> None:
    image = np.indices((9, 7)).sum(0).astype(np.uint8)
    assert noisepress.encode(image, noisepress.WebP(effort=2), fallback=False) == noisepress.encode(
        image, "webp", effort=2, fallback=False
    )


def test_wrong_forms_are_refused() -> None:
    image = np.zeros((2, 2), np.uint8)
    encode: Any = noisepress.encode
    for codec, options, text in [
        (noisepress.Png(), {"effort": 1}, r"effort: options belong into Png\(\.\.\.\)"),
        (Decoding(), {}, "Decoding are not the options of a codec"),
        (3, {}, "codec is a int, a name or options are supported"),
        ("difc", {}, "unknown codec 'difc'; supported are ardm, "),
    ]:
        with pytest.raises(OptionError, match=text):
            encode(image, codec, **options)
    data = noisepress.encode(image, noisepress.Png())
    decode: Any = noisepress.decode
    with pytest.raises(OptionError, match="options are a str, Decoding is supported"):
        decode(data, "flow")


def test_only_one_goal_at_a_time() -> None:
    for kind in (noisepress.Diffc, noisepress.Hfd):
        with pytest.raises(OptionError, match="bpp, bytes and psnr exclude each other"):
            kind(bpp=1, psnr=30)
