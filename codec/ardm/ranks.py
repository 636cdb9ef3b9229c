"""Ranks: in place of samples, their places among the values that occur in their channel.

Images of few bits, with stretched contrast or with an equalised histogram leave out values between
those that they have. Neither the network nor online mixing expects that; ranks have no gaps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...bitstream.coders import Decoder, Encoder
from ...bitstream.entropy import Categorical
from ...bitstream.errors import CorruptError
from ..image.raster import Samples

Used = NDArray[np.bool_]
"""(c, 256), whether a channel has a value."""

_VALUES = 256
_TAIL = 1 / 64
"""Share of the samples at either end of a histogram whose gaps are those of rare values."""
_NOTICEABLE = 1 / 64
"""Least share of gaps in the rest of it; that of photographs is 0."""
_REMEMBERED = 8
"""Values before that the coding of a map looks at."""
_STEP = 8
"""Weight of a bit of a map in the frequencies of the next in its context; they start at 1."""


def find(samples: Samples) -> Used | None:
    """The values that the channels of an image (h, w, c) have, if others between them are left out.

    A photograph's rare values, at the ends of its histogram, do not count.
    """
    channels = np.moveaxis(samples, 2, 0)
    counts = np.stack([np.bincount(plane.ravel(), minlength=_VALUES) for plane in channels])
    up_to = counts.cumsum(1)
    share = up_to / up_to[:, -1:]
    middle = (share >= _TAIL) & (share - counts / up_to[:, -1:] <= 1 - _TAIL)
    gaps = middle & (counts == 0)
    return counts > 0 if gaps.sum() > _NOTICEABLE * middle.sum() else None


def to_ranks(samples: Samples, used: Used) -> Samples:
    """Ranks (h, w, c), from 0, of samples (h, w, c) whose values are all in use."""
    places = (used.cumsum(1) - 1).astype(np.uint8)
    ranks: Samples = places[np.arange(len(used)), samples]
    return ranks


def to_values(ranks: Samples, used: Used) -> Samples:
    """The samples (h, w, c) that have these ranks.

    Raises:
        CorruptError: a channel has fewer values than a rank needs.
    """
    if (ranks >= used.sum(1)).any():
        raise CorruptError("a rank is above those of the values in use")
    values = np.argsort(~used, axis=1, kind="stable").astype(np.uint8)
    samples: Samples = values[np.arange(len(used)), ranks]
    return samples


def pack(used: Used) -> bytes:
    """The section of the values in use."""
    encoder = Encoder()
    _code(used, len(used), encoder)
    return encoder.finish()


def unpack(payload: bytes, channels: int) -> Used:
    """The values in use (channels, 256) of `pack`.

    Raises:
        CorruptError: the payload is damaged.
    """
    return _code(None, channels, Decoder(payload))


def _code(used: Used | None, channels: int, coder: Encoder | Decoder) -> Used:
    """Code whether each value is in use, by whether those before and in the channel before are."""
    coded = np.zeros((channels, _VALUES), np.int32)
    frequencies = np.ones((2, 1 << _REMEMBERED, 2), np.float32)
    for channel in range(channels):
        before = 0
        for value in range(_VALUES):
            known = None if used is None else used[channel, value : value + 1].astype(np.int32)
            beside = coded[channel - 1, value] if channel else 0
            row = frequencies[beside, before]
            bit = coder.code(known, Categorical(row[None]))[0]
            row[bit] += _STEP
            coded[channel, value] = bit
            before = (2 * before + bit) % (1 << _REMEMBERED)
    return coded.astype(np.bool_)
