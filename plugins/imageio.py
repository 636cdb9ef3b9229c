"""imageio.v3 reads and writes .nzp files once this module is imported: `import noisepress.imageio`.

A file with an image holds one ndimage. An archive holds those of its members, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bitstream.container import MAGIC, outline, read
from .bitstream.header import FileBytes
from .codec.api import decode_preview, encode, known_mode
from .codec.archive import Archive, archive
from .codec.extras import extra
from .codec.image.metadata import read_metadata
from .codec.image.raster import Mode, Palette
from .codec.jpegfile.codec import JpegFileCodec, kept_metadata
from .codec.registry import ARCHIVE, by_id

with extra("imageio"):
    from imageio.config import FileExtension, PluginConfig, known_extensions, known_plugins
    from imageio.core.request import InitializationError, IOMode, Request
    from imageio.core.v3_plugin_api import ImageProperties, PluginV3

NAME, SUFFIX = "noisepress", ".nzp"

Index = int | EllipsisType | None


class NoisepressPlugin(PluginV3):  # type: ignore[misc]
    """The plugin behind `imageio.v3.imopen`."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        if request.mode.io_mode == IOMode.write:
            if (request.extension or request.format_hint) != SUFFIX:
                raise InitializationError(f"noisepress writes {SUFFIX} files only")
            return
        self._data = FileBytes(request.get_file())
        if self._data[: len(MAGIC)] != MAGIC:
            raise InitializationError("not a .nzp file")
        self._contents = outline(self._data)
        self._archive: Archive | None = None
        if self._contents.header.codec == ARCHIVE:
            self._archive = Archive(self._data[:])
        self._count = len(self._archive.members) if self._archive else 1

    def read(self, *, index: Index = None, level: int = 0, **options: Any) -> NDArray[Any]:
        """The samples of an image.

        Args:
            index: of a member of an archive; `...`: all, stacked. None: the image of a file, all
                members of an archive.
            level: see `noisepress.decode_preview`.
            options: see `noisepress.decode`.

        Returns:
            (h, w) or (h, w, c) as `noisepress.decode` returns it, with an axis before if stacked.

        Raises:
            ValueError: there is no such image, or the images to stack differ in size.
            NoisepressError: see `noisepress.decode`.
        """
        if self._is_batch(index):
            return np.stack(list(self.iter(level=level, **options)))
        if self._archive is None:
            self._check(index)
            return decode_preview(self._data[:], level, **options)
        name = self._archive.members[self._check(index)].name
        return self._archive.read(name, level=level, **options)

    def iter(self, **options: Any) -> Iterator[NDArray[Any]]:
        """All images of the file, one after the other, see `read`."""
        for index in range(self._count):
            yield self.read(index=index, **options)

    def write(self, ndimage: Any, *, is_batch: bool = False, **options: Any) -> bytes | None:
        """Write an image, or an archive of several.

        Args:
            ndimage: what `noisepress.encode` takes; or a list of images, whose names in the archive
                are 0, 1 and so on.
            is_batch: the first axis of an array is that of several images.
            options: see `noisepress.encode` and `noisepress.archive`.

        Returns:
            The bytes of the file if it is to be written to "<bytes>".

        Raises:
            NoisepressError: see `noisepress.encode`.
        """
        if is_batch or isinstance(ndimage, list):
            data = archive(((str(index), one) for index, one in enumerate(ndimage)), **options)
        else:
            data = encode(ndimage, **options)
        self.request.get_file().write(data)
        return data if self.request.raw_uri == "<bytes>" else None

    def properties(self, index: Index = None) -> ImageProperties:
        """Shape and dtype of what `read` returns; nothing is decoded.

        Raises:
            ValueError: there is no such image, or the images to stack differ in size.
        """
        if not self._is_batch(index):
            shape, dtype = self._layout(self._check(index))
            return ImageProperties(shape=shape, dtype=dtype)
        layouts = {self._layout(one) for one in range(self._count)}
        if len(layouts) > 1:
            raise ValueError("the images of the archive differ in size or in layout")
        [(shape, dtype)] = layouts
        stacked = self._count, *shape
        return ImageProperties(shape=stacked, dtype=dtype, n_images=self._count, is_batch=True)

    def metadata(self, index: Index = None, exclude_applied: bool = True) -> dict[str, Any]:
        """What the file says beside the samples: layout and codec, ICC profile, EXIF and XMP.

        Args:
            index: of a member of an archive, of which its name and layout are known; None or `...`
                of an archive: the names of all members.
            exclude_applied: nothing of it is applied by `read` but the palette, which is left out.

        Raises:
            ValueError: there is no such image.
        """
        if self._archive is not None:
            if self._is_batch(index):
                return {"members": [member.name for member in self._archive.members]}
            member = self._archive.members[self._check(index)]
            return {"name": member.name, "mode": member.mode}
        self._check(0 if index is ... else index)
        found: dict[str, Any] = {
            "mode": known_mode(self._contents).name,
            "codec": by_id(self._contents.header.codec).NAME,
        }
        if found["codec"] == JpegFileCodec.NAME:
            kept = kept_metadata(read(self._data[:]))
        else:
            kept = read_metadata(self._data, self._contents)
        left_out = {"jpeg", "palette"} if exclude_applied else {"jpeg"}
        return found | {name: data for name, data in kept.items() if data and name not in left_out}

    def _is_batch(self, index: Index) -> bool:
        return index is ... or (index is None and self._archive is not None)

    def _check(self, index: Index) -> int:
        number = 0 if not isinstance(index, int) else index
        if not 0 <= number < self._count:
            raise ValueError(f"no image {number}, the file has {self._count}")
        return number

    def _layout(self, index: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and dtype of an image."""
        if self._archive is not None:
            member = self._archive.members[index]
            mode, size = Mode[member.mode], (member.height, member.width)
            return _shape(mode, size, 3)
        header, mode = self._contents.header, known_mode(self._contents)
        colours = 3
        if mode is Mode.PALETTE8:
            palette = read_metadata(self._data, self._contents)["palette"]
            colours = Palette.unpack(palette).table().shape[1]
        return _shape(mode, (header.height, header.width), colours)


def _shape(
    mode: Mode, size: tuple[int, int], colours: int
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of the pixels of a layout; a palette shows so many channels."""
    channels = colours if mode is Mode.PALETTE8 else mode.channels
    dtype = np.dtype(np.bool_) if mode is Mode.BILEVEL else mode.dtype
    return ((*size, channels) if channels > 1 else size), dtype


known_plugins[NAME] = PluginConfig(
    name=NAME, class_name=NoisepressPlugin.__name__, module_name=__name__, install_name=NAME
)
known_extensions[SUFFIX] = [
    FileExtension(
        name="noisepress image", extension=SUFFIX, priority=[NAME], description="noisepress"
    )
]
