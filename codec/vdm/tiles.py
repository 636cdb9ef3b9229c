"""The finest pixels of images, tile by tile, on one stack of bits.

Every pixel but those of the even sub-lattice (models/lattice.py), which is known. The first tiles
are coded in lattice order, as ardm would: their bits are what bits-back coding
(codec/vdm/bits_back.py) borrows for the tiles after them, so that no bit is without use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...bitstream.coders import Stack
from ...bitstream.entropy import EntropyModel, Ints
from ...bitstream.errors import CorruptError
from ...models.lattice import PHASES
from ...models.vdm import PLANES, bases, from_planes, hidden_pixels, to_planes
from ..ardm.lattice import OFFSETS, Lattice
from ..protocol import Report
from .bits_back import BitsBack

Samples = NDArray[np.uint8]

TILE = 64
"""Side of a tile in pixels."""
_TOGETHER = 4
"""Tiles that share their network calls; more would have to borrow more."""


@dataclass
class _Recorder:
    """A coder that keeps what it is given, for a stack."""

    coded: list[tuple[Ints, EntropyModel]]

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        assert symbols is not None
        self.coded.append((symbols, model))
        return symbols


@dataclass
class _Popper:
    """A coder that takes symbols from a stack, in the order in which they were recorded."""

    stack: Stack

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        return self.stack.pop(model)


class Tiles:
    """Codes images (h, w, 3) of which the even sub-lattice is known.

    Args:
        lattice: codes the first tiles.
        chain: codes the others.
    """

    def __init__(self, lattice: Lattice, chain: BitsBack) -> None:
        self._lattice, self._chain = lattice, chain

    def push(self, stack: Stack, images: Sequence[Samples], report: Report) -> int:
        """Put the tiles of images on a stack.

        Returns:
            How many tiles are coded in lattice order.
        """
        tiles = [tile for image in images for tile in tiles_of(image)]
        plain = 0
        while plain < len(tiles):
            largest = max(sum(map(_hidden, group)) for group in groups_of(tiles[plain:]))
            if stack.bits >= self._chain.needed(largest):
                break
            self._push_plain(stack, tiles[plain])
            report(_hidden(tiles[plain]))
            plain += 1
        for group in groups_of(tiles[plain:]):
            self._chain.push(stack, *values(group))
            report(sum(map(_hidden, group)))
        return plain

    def pop(self, stack: Stack, images: Sequence[Samples], plain: int, report: Report) -> None:
        """Fill images in whose even sub-lattices are there.

        Args:
            plain: see `push`.

        Raises:
            CorruptError: the stack does not hold them.
        """
        tiles = [tile for image in images for tile in tiles_of(image)]
        if plain > len(tiles):
            raise CorruptError(f"{plain} tiles in lattice order, of {len(tiles)}")
        for group in reversed(list(groups_of(tiles[plain:]))):
            even = torch.cat([_planes(tile[::2, ::2]) for tile in group])
            pixels = self._chain.pop(stack, even) + bases(even)
            for tile, found in zip(group, pixels, strict=True):
                _fill(tile, found)
            report(sum(map(_hidden, group)))
        for tile in reversed(tiles[:plain]):
            self._lattice.code_block(None, tile, 0, _Popper(stack))
            report(_hidden(tile))

    def _push_plain(self, stack: Stack, tile: Samples) -> None:
        recorder = _Recorder([])
        self._lattice.code_block(tile, tile.copy(), 0, recorder)
        for symbols, model in reversed(recorder.coded):
            stack.push(symbols, model)


def tiles_of(image: Samples) -> Iterator[Samples]:
    """Views of an image's tiles, row by row."""
    for top in range(0, image.shape[0], TILE):
        for left in range(0, image.shape[1], TILE):
            yield image[top : top + TILE, left : left + TILE]


def values(tiles: Sequence[Samples]) -> tuple[Tensor, Tensor]:
    """What `BitsBack.push` takes, of tiles (h, w, 3) of the same size."""
    batch = torch.cat([_planes(_evened(tile)) for tile in tiles])
    even = batch[..., ::2, ::2].contiguous()
    return even, hidden_pixels(batch) - bases(even)


def groups_of(tiles: Sequence[Samples], together: int = _TOGETHER) -> Iterator[Sequence[Samples]]:
    """Neighbours of the same size, at most `together` at a time."""
    start = 0
    while start < len(tiles):
        end = start + 1
        while end < min(start + together, len(tiles)) and tiles[end].shape == tiles[start].shape:
            end += 1
        yield tiles[start:end]
        start = end


def _cells(tile: Samples) -> tuple[int, int]:
    return -(-tile.shape[0] // 2), -(-tile.shape[1] // 2)


def _hidden(tile: Samples) -> int:
    """Values that a chain codes for a tile."""
    rows, columns = _cells(tile)
    return PLANES * rows * columns


def _planes(samples: Samples) -> Tensor:
    """Samples (h, w, 3) as colour planes (1, 3, h, w)."""
    tensor = torch.from_numpy(samples.transpose(2, 0, 1).astype(np.float32))
    return to_planes(tensor[None])


def _evened(tile: Samples) -> Samples:
    """The last row and column repeated where a side is odd."""
    rows, columns = tile.shape[:2]
    return np.pad(tile, ((0, rows % 2), (0, columns % 2), (0, 0)), "edge")


def _fill(tile: Samples, pixels: Tensor) -> None:
    """Write hidden pixels (PLANES, rows, columns) into a tile."""
    for phase, planes in zip(PHASES, pixels.chunk(len(PHASES)), strict=True):
        row, column = OFFSETS[phase]
        hole = tile[row::2, column::2]
        colours = from_planes(planes[None])[0].clamp(0, 255).to(torch.uint8)
        hole[:] = colours.permute(1, 2, 0).numpy()[: hole.shape[0], : hole.shape[1]]
