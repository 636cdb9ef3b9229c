"""Random sections of simpler images: an error of one line or an image of its layout."""

from __future__ import annotations

import zlib

import numpy as np
from common import one_line
from hypothesis import given
from hypothesis import strategies as st

from noisepress.bitstream.container import Header, Section, SectionKind, read, write
from noisepress.bitstream.errors import CorruptError, NoisepressError
from noisepress.bitstream.header import pack, write_varint
from noisepress.codec.image.raster import Mode, Palette
from noisepress.codec.image.reduction import FIELDS, reduction_of

PALETTE = Palette(np.arange(0, 240, 8, dtype=np.uint8)[:, np.newaxis].repeat(3, 1), b"\x80").pack()
NUMBERS = st.sampled_from([0, 1, 2, 3, 85, 255, 256, 257, 4095, 65535]) | st.integers(0, 65535)
STEPS = st.lists(st.sampled_from([0, 1, 7, 255, 256, 40_000]), max_size=300)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """Fields that are each in range, and perhaps a list of values; or any bytes."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=20))
    numbers = {field.name: draw(NUMBERS) for field in FIELDS[1:]}
    packed = pack(FIELDS, {"mode": draw(st.integers(0, 11)), **numbers})
    if draw(st.booleans()):
        packed += zlib.compress(b"".join(map(write_varint, draw(STEPS))))
    return packed


@given(payload=payloads(), mode=st.sampled_from(Mode), seed=st.integers(0, 2**32 - 1))
def test_sections(payload: bytes, mode: Mode, seed: int) -> None:
    header = Header(codec=3, mode=mode, width=7, height=5, check=0, parameters=b"")
    file = write(header, [Section(SectionKind.REDUCTION, payload), Section(SectionKind.DATA, b"")])
    try:
        reduction = reduction_of(read(file))
    except NoisepressError as error:
        one_line(error)
        return
    assert reduction is not None
    simpler = reduction.mode
    rng = np.random.default_rng(seed)
    samples = rng.integers(0, np.iinfo(simpler.dtype).max + 1, (5, 7, simpler.channels))
    try:
        found = reduction.expand(samples.astype(simpler.dtype), mode, PALETTE)
    except CorruptError as error:
        one_line(error)
        return
    assert (found.shape, found.dtype) == ((5, 7, mode.channels), mode.dtype)
