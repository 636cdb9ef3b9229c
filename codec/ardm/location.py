"""How many bits the parts of an image take, in lattice order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bitstream.binary import BinaryTally
from ...bitstream.coders import Coder, Tally
from ...bitstream.mixing import Block, Depth, Mixer
from ...models.lattice import LatticeNet
from ..image.raster import Samples
from .conversions import Halving
from .lattice import Lanes, Lattice, sections


class _Located(Lattice):
    """A lattice that notes the bits of each block.

    Attributes:
        tally: adds up the bits.
        found: for each level, (rows, columns) the bits of its blocks.
    """

    def __init__(
        self, network: LatticeNet, block: int, depth: Depth, chroma: Halving, *, mixing: bool
    ) -> None:
        super().__init__(network, block, mixing=mixing, depth=depth, chroma=chroma)
        self.tally = BinaryTally() if mixing else Tally()
        self.found: dict[int, NDArray[np.float64]] = {}
        self._places: Iterator[tuple[int, int]] = iter(())

    def _level(
        self,
        target: Samples | None,
        shape: tuple[int, int, int],
        even: Samples,
        level: int,
        coder: Coder | Lanes,
        mixer: Mixer | None,
    ) -> Samples:
        rows, columns = (-(-side // (2 * self.block)) for side in shape[:2])
        self.found[level] = np.zeros((rows, columns))
        self._places = product(range(rows), range(columns))
        return super()._level(target, shape, even, level, coder, mixer)

    def code_block(
        self,
        target: Samples | None,
        out: Samples,
        level: int,
        coder: Coder | Lanes,
        mixed: Block | None = None,
    ) -> None:
        before = self.tally.bits
        super().code_block(target, out, level, coder, mixed)
        self.found[level][next(self._places)] = self.tally.bits - before


def located_bits(
    network: LatticeNet,
    samples: Samples,
    depth: Depth,
    chroma: Halving,
    sizes: Sequence[int],
    cell: int,
    *,
    mixing: bool,
) -> NDArray[np.float64]:
    """The bits of square cells of an image.

    Args:
        samples: (h, w, c), what is coded of the image.
        depth: of the samples.
        chroma: where the finest level has no chroma of its own.
        sizes: bits of each data section.
        cell: side of a cell, a power of two from 4.
        mixing: whether the network's distributions are mixed online.

    Returns:
        (ceil(h / cell), ceil(w / cell)).
    """
    height, width, channels = samples.shape
    lattice = _Located(network, cell // 2, depth, chroma, mixing=mixing)
    coders: Iterator[Any] = iter([lattice.tally] * len(sizes))
    deque(lattice.run(samples, (height, width, channels), coders), maxlen=0)
    bits = np.zeros((-(-height // cell), -(-width // cell)))
    for size, levels in zip(sizes, sections(height, width), strict=True):
        total = sum(lattice.found[level].sum() for level in levels)
        for level in levels if total else []:
            block = [np.arange(side) >> level for side in bits.shape]  # that covers a cell
            rows, columns = (np.bincount(index)[index] for index in block)
            part = lattice.found[level][np.ix_(*block)]
            bits += part / np.outer(rows, columns) * (size / total)
    return bits
