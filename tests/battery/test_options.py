"""Every option of every codec, and of decoding: what is out of range or no value is an error."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from common import one_line, picture

import noisepress
from noisepress.bitstream.errors import ModelError, OptionError
from noisepress.codec.options import Option, Options, described
from noisepress.codec.protocol import Decoding
from noisepress.codec.registry import CODECS

OPTIONS = {codec.NAME: codec.OPTIONS for codec in CODECS}
KINDS = [*OPTIONS.values(), Decoding]
FILE = noisepress.encode(picture(4, 4), "png")


def wrong(option: Option) -> Iterator[Any]:
    """Values of other types, out of range, or unknown."""
    yield from (b"1", 1j, object(), {}, np.zeros(3), np.float32, lambda: 1)
    if not option.several:
        yield from ([], ["cpu"], (1,))
    if not option.optional:
        yield None
    if option.kind is str:
        yield from (3, 1.5, True)
        if option.several:
            yield from ([3], ["a", None], [["a"]])
        if option.choices:
            yield from ("", "other", option.choices[0].upper(), option.choices[0] + " ")
        return
    yield from ("3", "", "high", True, math.nan, -math.inf, np.str_("3"))
    if option.kind is int:
        yield from (1.5, 24.0, math.inf, np.float64(20))
    for beyond in (option.doc.low - 1, option.doc.high + 1):
        if math.isfinite(beyond):
            yield from (option.kind(beyond), np.float64(beyond))
    if option.doc.high < math.inf:
        yield from (10**400, math.inf)
    if option.kind is float:
        below = np.nextafter(option.doc.low, -math.inf)
        # Subnormal numbers count as 0 once training has switched them off.
        yield below if option.doc.low else -sys.float_info.min
        if option.doc.high < math.inf:
            yield np.nextafter(option.doc.high, math.inf)


def right(option: Option) -> Iterator[Any]:
    """Values at the ends of the range, of numpy's types, and None where it is allowed."""
    if option.optional:
        yield None
    yield from option.choices
    if option.kind is not str:
        high = min(option.doc.high, 2**62)
        for value in (option.doc.low, high):
            yield option.kind(value)
        yield np.int64(high) if option.kind is int else np.float64(high)


def calls(kind: type[Options], given: dict[str, Any]) -> list[Callable[[], object]]:
    """All ways to give an option."""
    image = picture(4, 4)
    if kind is Decoding:
        return [
            lambda: Decoding(**given),
            lambda: noisepress.decode(FILE, **given),
            lambda: noisepress.decode_raster(FILE, **given),
            lambda: next(noisepress.decode_progressive(FILE, **given)),
        ]
    name = next(name for name, options in OPTIONS.items() if options is kind)
    ways: list[Callable[[], object]] = [
        lambda: kind(**given),
        lambda: noisepress.encode(image, name, **given),
        lambda: noisepress.encode(image, name, fallback=False, **given),
        lambda: noisepress.archive([("a", image)], name, **given),
    ]
    return [*ways, lambda: noisepress.estimate(image, **given)] if name == "ardm" else ways


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_wrong_values_of_every_option_are_errors(kind: type[Options]) -> None:
    for option in described(kind):
        for value in wrong(option):
            for call in calls(kind, {option.name: value}):
                with pytest.raises(OptionError) as error:
                    call()
                text = one_line(error)
                assert option.name in text and "supported are" in text
                assert all(choice in text for choice in option.choices)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_values_at_the_ends_are_taken(kind: type[Options]) -> None:
    for option in described(kind):
        for value in right(option):
            found = getattr(kind(**{option.name: value}), option.name)
            assert found == value
            assert found is None or type(found) is option.kind
        assert getattr(kind(), option.name) == option.default


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_unknown_options_name_the_known_ones(kind: type[Options]) -> None:
    known = ", ".join(option.name for option in described(kind)) or "none"
    for call in calls(kind, {"colour": 3})[1:]:
        with pytest.raises(OptionError) as error:
            call()
        assert "'colour'" in one_line(error)
        assert one_line(error).endswith(f"supported are {known}")


@pytest.mark.parametrize("kind", OPTIONS.values(), ids=OPTIONS)
def test_models_and_devices_that_do_not_exist_are_errors(kind: type[Options]) -> None:
    image = picture(4, 4)
    for option in described(kind):
        if option.kind is str and not option.choices:
            with pytest.raises(ModelError) as error:
                noisepress.encode(image, kind(**{option.name: "nowhere"}), fallback=False)
            assert "nowhere" in one_line(error)


@pytest.mark.parametrize("kind", OPTIONS.values(), ids=OPTIONS)
def test_options_are_given_once_and_to_their_codec(kind: type[Options]) -> None:
    image = picture(4, 4)
    for call in (
        lambda: noisepress.encode(image, kind(), seed=1),
        lambda: noisepress.encode(image, kind),  # type: ignore[arg-type]
        lambda: noisepress.decode(FILE, kind()),  # type: ignore[arg-type]
    ):
        with pytest.raises(OptionError) as error:
            call()
        one_line(error)


@pytest.mark.parametrize("codec", ["jpeg", "", "ARDM", 3, b"ardm", ["ardm"], Decoding()])
def test_an_unknown_codec_is_an_error_that_names_the_codecs(codec: Any) -> None:
    image = picture(4, 4)
    calls: list[Callable[[], object]] = [
        lambda: noisepress.encode(image, codec),
        lambda: noisepress.archive([("a", image)], codec),
    ]
    for call in calls:
        with pytest.raises(OptionError) as error:
            call()
        text = one_line(error)
        assert not isinstance(codec, str) or all(name in text for name in OPTIONS)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name in ("diffc", "hfd")])
def test_sizes_and_qualities_exclude_each_other(name: str) -> None:
    goals = {"bpp": 1.0, "bytes": 100, "psnr": 30.0}
    for left_out in goals:
        two = {key: value for key, value in goals.items() if key != left_out}
        for call in calls(OPTIONS[name], two):
            with pytest.raises(OptionError, match="exclude each other") as error:
                call()
            one_line(error)
