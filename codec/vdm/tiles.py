"""The finest pixels of images, tile by tile, on one stack.

These are all pixels except those of the even sub-lattice (models/lattice.py), which are known. The
first tiles are coded in lattice order, as by ardm: their bits are the initial bits that bits-back
coding (codec/vdm/bits_back.py) of the other tiles needs, so that no bit of a file is wasted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...bitstream.coders import Stack
from ...bitstream.entropy import EntropyModel, Ints
from ...bitstream.errors import CorruptError
from ...models.lattice import PHASES
from ...models.vdm import PLANES, bases, from_planes, hidden_pixels, to_planes
from ..ardm.lattice import OFFSETS, Lattice
from ..image.raster import Samples
from ..protocol import Report
from .bits_back import BitsBack

TILE = 64
"""Side of a tile in pixels."""
_GROUP = 4
"""Largest number of tiles that share network calls; larger groups need more initial bits."""


@dataclass
class _Recorder:
    """A coder that keeps symbols and models, to be pushed to a stack in reverse."""

    coded: list[tuple[Ints, EntropyModel]]

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        assert symbols is not None
        self.coded.append((symbols, model))
        return symbols


@dataclass
class _Popper:
    """A coder that pops symbols from a stack, in the order in which they were recorded."""

    stack: Stack

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        return self.stack.pop(model)


class Tiles:
    """Codes images (h, w, 3) uint8 of which the even sub-lattice is known.

    Args:
        lattice: codes the first tiles.
        chain: codes the other tiles.
    """

    def __init__(self, lattice: Lattice, chain: BitsBack) -> None:
        self._lattice, self._chain = lattice, chain

    def push(self, stack: Stack, images: Sequence[Samples], report: Report) -> int:
        """Put the tiles of images on a stack.

        Args:
            stack: receives the tiles.
            images: (h, w, 3) uint8 each, of any sizes.
            report: called after each piece of work with the number of samples coded in it.

        Returns:
            The number of tiles that are coded in lattice order.
        """
        tiles = [tile for image in images for tile in tiles_of(image)]
        plain = 0
        while plain < len(tiles):
            largest = max(sum(map(_hidden, group)) for group in groups_of(tiles[plain:]))
            if stack.bits >= self._chain.initial_bits(largest):
                break
            self._push_plain(stack, tiles[plain])
            report(_hidden(tiles[plain]))
            plain += 1
        for group in groups_of(tiles[plain:]):
            self._chain.push(stack, *chain_inputs(group))
            report(sum(map(_hidden, group)))
        return plain

    def pop(self, stack: Stack, images: Sequence[Samples], plain: int, report: Report) -> None:
        """Take the tiles of images from a stack.

        Args:
            stack: as `push` left it.
            images: (h, w, 3) uint8 each, hold the even sub-lattices; the others are filled in.
            plain: number of tiles in lattice order, from `push`.
            report: see `push`.

        Raises:
            CorruptError: the stack does not hold tiles of these images.
        """
        tiles = [tile for image in images for tile in tiles_of(image)]
        if plain > len(tiles):
            raise CorruptError(f"{plain} tiles in lattice order, supported are 0 to {len(tiles)}")
        for group in reversed(list(groups_of(tiles[plain:]))):
            even = torch.cat([_planes(tile[::2, ::2]) for tile in group])
            batch = self._chain.pop(stack, even) + bases(even)
            for tile, pixels in zip(group, batch, strict=True):
                _fill(tile, pixels)
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
    """Views of the tiles of an image (h, w, 3), row by row; those at the ends are smaller."""
    for top in range(0, image.shape[0], TILE):
        for left in range(0, image.shape[1], TILE):
            yield image[top : top + TILE, left : left + TILE]


def chain_inputs(tiles: Sequence[Samples]) -> tuple[Tensor, Tensor]:
    """The arguments `even` and `pixels` of `BitsBack.push` for tiles (h, w, 3) of the same size."""
    batch = torch.cat([_planes(_padded(tile)) for tile in tiles])
    even = batch[..., ::2, ::2].contiguous()
    return even, hidden_pixels(batch) - bases(even)


def groups_of(tiles: Sequence[Samples], most: int = _GROUP) -> Iterator[Sequence[Samples]]:
    """Runs of tiles of the same size, at most `most` in each."""
    start = 0
    while start < len(tiles):
        end = start + 1
        while end < min(start + most, len(tiles)) and tiles[end].shape == tiles[start].shape:
            end += 1
        yield tiles[start:end]
        start = end


def _hidden(tile: Samples) -> int:
    """Number of values that a chain codes for a tile."""
    height, width = tile.shape[:2]
    count: int = PLANES * -(-height // 2) * -(-width // 2)
    return count


def _planes(samples: Samples) -> Tensor:
    """Samples (h, w, 3) as the planes (1, 3, h, w) of the reversible colour transform."""
    tensor = torch.from_numpy(samples.transpose(2, 0, 1).astype(np.float32))
    return to_planes(tensor[None])


def _padded(tile: Samples) -> Samples:
    """The tile with even sides: the last row or column repeated where a side is odd."""
    rows, columns = tile.shape[:2]
    return np.pad(tile, ((0, rows % 2), (0, columns % 2), (0, 0)), "edge")


def _fill(tile: Samples, pixels: Tensor) -> None:
    """Write the pixels (PLANES, h / 2, w / 2) outside the even sub-lattice into a tile."""
    for phase, planes in zip(PHASES, pixels.chunk(len(PHASES)), strict=True):
        row, column = OFFSETS[phase]
        hole = tile[row::2, column::2]
        colours = from_planes(planes[None])[0].clamp(0, 255).to(torch.uint8)
        hole[:] = colours.permute(1, 2, 0).numpy()[: hole.shape[0], : hole.shape[1]]
