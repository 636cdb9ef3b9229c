"""Images of .nzp files and archives as a data set of PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from .bitstream.container import outline
from .bitstream.errors import NoisepressError, OptionError
from .bitstream.header import FileBytes
from .codec.api import decode_preview
from .codec.archive import Archive
from .codec.protocol import Decoding
from .codec.registry import ARCHIVE

SUFFIX = ".nzp"


@dataclass(frozen=True)
class Item:
    """Where an image is.

    Attributes:
        path: of the file.
        member: name in the archive; None for a file that is an image.
    """

    path: str
    member: str | None = None


class NzpDataset(Dataset[Any]):
    """The images of files, archives and folders, each decoded when it is asked for.

    It can be pickled, and used in the workers of a `DataLoader`, forked or spawned. Of archives,
    only the group of an image is read.

    Args:
        paths: .nzp files that hold an image or an archive, and folders of them, which are searched
            without their subfolders.
        level: of the picture, see `noisepress.decode_preview`.
        transform: called with the tensor of an image; what it returns is the item.
        decoding: how to decode.

    Attributes:
        items: an `Item` for each image: files in the order of `paths`, those of a folder by name,
            members in that of their archive.

    Raises:
        OptionError: there is no image.
        NoisepressError: a file is no .nzp file, or its header is damaged; it is named.
        OSError: a path cannot be read.
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        level: int = 0,
        transform: Callable[[torch.Tensor], Any] | None = None,
        decoding: Decoding | None = None,
    ) -> None:
        self.level, self.transform, self.decoding = level, transform, decoding
        self.items = [item for path in paths for item in _items(Path(path))]
        if not self.items:
            raise OptionError("the data set has no image: no .nzp files in its paths")
        self._archives: dict[str, Archive] = {}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        """The image (c, h, w) of uint8, uint16 or bool, or what `transform` makes of it.

        Raises:
            IndexError: there is no such image.
            NoisepressError: see `noisepress.decode`; the message names the file.
        """
        item = self.items[index]
        try:
            pixels = self._pixels(item)
        except NoisepressError as error:
            raise type(error)(f"{item.path}: {error}") from error
        planes = pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
        image = torch.from_numpy(np.ascontiguousarray(planes))
        return self.transform(image) if self.transform else image

    def _pixels(self, item: Item) -> NDArray[Any]:
        if item.member is None:
            return decode_preview(item.path, self.level, self.decoding)
        if item.path not in self._archives:
            self._archives[item.path] = _archive(Path(item.path))
        archive = self._archives[item.path]
        return archive.read(item.member, self.decoding, level=self.level)

    def __getstate__(self) -> dict[str, Any]:
        """Without the open archives."""
        return {**vars(self), "_archives": {}}


def _archive(path: Path) -> Archive:
    """An archive that is read as far as it is needed."""
    with path.open("rb") as file:
        return Archive(mmap(file.fileno(), 0, access=ACCESS_READ))


def _items(path: Path) -> Iterator[Item]:
    """The images of a file or a folder."""
    if path.is_dir():
        for inside in sorted(path.iterdir()):
            if inside.suffix.lower() == SUFFIX:
                yield from _items(inside)
        return
    try:
        with path.open("rb") as file:
            is_archive = outline(FileBytes(file)).header.codec == ARCHIVE
        if is_archive:
            yield from (Item(str(path), member.name) for member in _archive(path).members)
        else:
            yield Item(str(path))
    except NoisepressError as error:
        raise type(error)(f"{path}: {error}") from error
