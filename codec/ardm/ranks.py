"""Ranks: in place of samples, their places among the values that occur in their channel.

Images of few bits, with stretched contrast or with an equalised histogram leave out values between
those that they have. Neither the network nor online mixing expects that; ranks have no gaps.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...bitstream.binary import BinaryDecoder, BinaryEncoder
from ...bitstream.coders import Decoder, Encoder
from ...bitstream.entropy import Categorical
from ...bitstream.errors import CorruptError
from ...bitstream.mixing import Depth
from ...bitstream.values import InUse
from ..image.raster import Samples

Used = NDArray[np.bool_]
"""(c, 2^8 or 2^16), whether a channel has a value."""
Counts = NDArray[np.int64]
"""(c, 2^8 or 2^16), how often a channel has a value."""

_VALUES, _DEEP_VALUES = 1 << 8, 1 << 16
_TAIL = 1 / 64
"""Share of the samples at either end of a histogram whose gaps are those of rare values."""
_NOTICEABLE = 1 / 64
"""Least share of gaps in the rest of it; that of photographs is 0."""
MAX_SHIFT = 8
"""Most bits of a rank below its level."""
_EVERY = 4
"""Rows of which one is looked at to find the noise."""
_FINENESS = 0.6
"""Bits of a rank below its level, for each bit that the noise is above its last place."""
_REMEMBERED = 8
"""Values before that the coding of a map looks at."""
_STEP = 8
"""Weight of a bit of a map in the frequencies of the next in its context; they start at 1."""


def find(counts: Counts) -> Used | None:
    """The values that channels have, if others between them are left out.

    A photograph's rare values, at the ends of its histogram, do not count.
    """
    up_to = counts.cumsum(1)
    share = up_to / up_to[:, -1:]
    middle = (share >= _TAIL) & (share - counts / up_to[:, -1:] <= 1 - _TAIL)
    gaps = middle & (counts == 0)
    return counts > 0 if gaps.sum() > _NOTICEABLE * middle.sum() else None


def span(counts: Counts) -> Used:
    """The values of each channel, and all between them at the same steps."""
    used = counts > 0
    for flags in used:
        values = np.flatnonzero(flags)
        step = max(int(np.gcd.reduce(values - values[0])), 1)
        flags[values[0] : values[-1] : step] = True
    return used


def count(samples: Samples) -> Counts:
    """How often each value occurs in an image (h, w, c)."""
    values = np.iinfo(samples.dtype).max + 1
    channels = np.moveaxis(samples, 2, 0)
    return np.stack([np.bincount(plane.ravel(), minlength=values) for plane in channels])


def depth(ranks: Samples, used: Used) -> Depth:
    """What ranks (h, w, c) may be, and levels in which their noise is like that of 8-bit images."""
    errors = abs(np.diff(ranks[::_EVERY].astype(np.int32), 2, axis=1)) / 2
    noise = float(errors.mean()) if errors.size else 0.0
    shift = round(_FINENESS * math.log2(1 + noise))
    return Depth(int(used.sum(1).max()), min(shift, MAX_SHIFT))


def to_ranks(samples: Samples, used: Used) -> Samples:
    """Ranks (h, w, c), from 0, of samples (h, w, c) whose values are all in use."""
    places = used.cumsum(1) - 1
    smallest = np.uint8 if places.max() < _VALUES else np.uint16
    ranks: Samples = places.astype(smallest)[np.arange(len(used)), samples]
    return ranks


def to_values(ranks: Samples, used: Used) -> Samples:
    """The samples (h, w, c) that have these ranks.

    Raises:
        CorruptError: a channel has fewer values than a rank needs.
    """
    if (ranks >= used.sum(1)).any():
        raise CorruptError("a rank is above those of the values in use")
    dtype = np.uint8 if used.shape[1] == _VALUES else np.uint16
    values = np.argsort(~used, axis=1, kind="stable").astype(dtype)
    samples: Samples = values[np.arange(len(used)), ranks]
    return samples


def pack_deep(used: Used, shift: int) -> bytes:
    """The section of the values (c, 2^16) in use, and of the shift of the samples' depth."""
    encoder = BinaryEncoder()
    encoder.code(used.reshape(-1).astype(np.int32), InUse(*used.shape))
    return bytes([shift]) + encoder.finish()


def unpack_deep(payload: bytes, channels: int) -> tuple[Used, Depth]:
    """The values in use (channels, 2^16) of `pack_deep`, and the depth of their ranks.

    Raises:
        CorruptError: the payload is damaged.
    """
    if not payload or payload[0] > MAX_SHIFT:
        raise CorruptError(f"the values in use have no shift from 0 to {MAX_SHIFT}")
    flags = BinaryDecoder(payload[1:]).code(None, InUse(channels, _DEEP_VALUES))
    used = flags.reshape(channels, _DEEP_VALUES).astype(np.bool_)
    if not used.any(1).all():
        raise CorruptError("a channel has no values in use")
    return used, Depth(int(used.sum(1).max()), payload[0])


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
