"""Pillow opens and saves .nzp files once this module is imported: `import noisepress.pillow`.

`Image.open` reads the header and the metadata, `load` decodes. `draft`, and so `thumbnail`, choose
a level of the resolution pyramid, of which nothing finer is decoded. `save` takes the options of
`noisepress.encode`, and keeps ICC profile, EXIF and XMP of the image unless others are given.

Pillow has no 16-bit colour: such files are opened with 8 bits, as Pillow opens such PNG files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile, ImagePalette

from .bitstream.container import MAGIC, SectionKind, outline, read
from .bitstream.errors import NoisepressError, UnsupportedImageError
from .bitstream.header import FileBytes
from .codec.api import encode, known_mode, preview_raster
from .codec.image.metadata import read_metadata
from .codec.image.raster import Mode, Palette, Raster
from .codec.image.write import bare_image, transparency
from .codec.jpegfile.codec import JpegFileCodec
from .codec.registry import CODECS, by_id

_SHOWN = {Mode.RGB16: Mode.RGB8, Mode.LA16: Mode.LA8, Mode.RGBA16: Mode.RGBA8}
"""Of layouts that Pillow does not have, what it shows."""
_INFO = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
"""Pillow's names of metadata, by those of `Raster`."""
_EXIF_MARK = b"Exif\0\0"
"""What Pillow's plugins have before the TIFF structure."""
_ARGUMENTS = {"codec", "fallback"}.union(
    *({field.name for field in fields(codec.OPTIONS)} for codec in CODECS)
)
"""What `save` hands on to `noisepress.encode`; the rest is ignored, as by Pillow's own plugins."""


class NzpImageFile(ImageFile.ImageFile):
    """A .nzp file that holds an image."""

    format = "NZP"
    format_description = "noisepress image"
    _level: int | None = None
    _has_levels = False
    _keeps_jpeg = False

    def _open(self) -> None:
        assert self.fp is not None
        data = FileBytes(self.fp)
        try:
            contents = outline(data)
            codec, mode = by_id(contents.header.codec), known_mode(contents)
            metadata = read_metadata(data, contents)
        except NoisepressError as error:
            raise SyntaxError(str(error)) from error
        kinds = [kind for kind, _ in contents.table]
        self._has_levels = codec.LOSSLESS and kinds.count(SectionKind.DATA) > 1
        self._keeps_jpeg = isinstance(codec, JpegFileCodec)
        self._size = contents.header.width, contents.header.height
        self._mode = str(_SHOWN.get(mode, mode).pillow)
        self.info.update(_info(metadata))
        if mode is Mode.PALETTE8:
            palette = Palette.unpack(metadata["palette"])
            self.palette = ImagePalette.raw("RGB", palette.colours.tobytes())
            self.info.update(transparency(palette))
        # `load` does not look at the tile; `noisepress.encode` sees in it what would be reduced.
        raw = f"{self._mode};16B" if mode in _SHOWN else self._mode
        self.tile = [ImageFile._Tile("noisepress", (0, 0, *self._size), 0, raw)]

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Choose the smallest level of the pyramid that has at least `size`; the mode stays.

        Returns:
            The mode, and the box of the whole image in pixels of the level; None for files that
            have no pyramid.
        """
        if not (self.tile and self._has_levels and size) or self._level is not None:
            return None
        width, height = self._size
        scale = max(1, min(width // max(1, size[0]), height // max(1, size[1])))
        self._level = scale.bit_length() - 1
        step = 1 << self._level
        self._size = -(-width // step), -(-height // step)
        return self.mode, (0, 0, width / step, height / step)

    def getexif(self) -> Image.Exif:
        """The EXIF data; that of a kept JPEG file are known when it is loaded."""
        if self._keeps_jpeg and self.tile:
            self.load()
        return super().getexif()

    def load(self) -> Any:
        """Decode the pixels, if that was not done yet.

        Raises:
            OSError: the file is damaged or cut, or holds no picture.
        """
        if self.tile and self.fp:
            self.fp.seek(0)
            data = self.fp.read()
            try:
                raster = preview_raster(data, self._level or 0)
                self._take(raster, complete=not outline(data).ends()[-1] > len(data))
            except NoisepressError as error:
                raise OSError(f"cannot decode the noisepress image: {error}") from error
            if self._exclusive_fp:
                self.fp.close()
            self.fp = None
        return super().load()

    def _take(self, raster: Raster, *, complete: bool) -> None:
        """Make a decoded image this one.

        Raises:
            OSError: the file was cut before the picture that was asked for, and
                `ImageFile.LOAD_TRUNCATED_IMAGES` is off.
        """
        size = raster.width, raster.height
        is_cut = size != self._size or not (complete or self._level)
        if is_cut and not ImageFile.LOAD_TRUNCATED_IMAGES:
            raise OSError("image file is truncated: its first sections hold a smaller picture")
        if raster.mode in _SHOWN:
            upper = (raster.samples >> 8).astype(np.uint8)
            raster = replace(raster, samples=upper, mode=_SHOWN[raster.mode], jpeg=b"")
        image = bare_image(raster)
        self.im = image.im if size == self._size else image.resize(self._size).im
        self.info.update(_info(vars(raster)))
        self.tile, self.readonly = [], 0

    def verify(self) -> None:
        """Check that the file is complete and that its checksums are right.

        Raises:
            OSError: it is not.
        """
        if self.fp:
            self.fp.seek(0)
            try:
                contents = read(self.fp.read())
            except NoisepressError as error:
                raise OSError(f"damaged noisepress image: {error}") from error
            if contents.truncated:
                raise OSError("image file is truncated")
        super().verify()


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


def _info(metadata: Mapping[str, Any]) -> dict[str, bytes]:
    """What there is of ICC, EXIF and XMP, as Pillow's plugins have it."""
    found = {pillow: metadata.get(name) for name, pillow in _INFO.items()}
    if found["exif"]:
        found["exif"] = _EXIF_MARK + found["exif"]
    return {name: data for name, data in found.items() if data}


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Write an image.

    Raises:
        OSError: the mode is not supported.
        OptionError: an option is wrong, or the codec has no such option.
        ModelError: there is no such model or device.
    """
    asked = image.encoderinfo
    picture = image.copy()  # the frame at hand, as Pillow's plugins save it
    for name in _INFO.values():
        if name in asked:
            given = asked[name] or b""
            picture.info[name] = given.tobytes() if isinstance(given, Image.Exif) else given
    arguments = {name: asked[name] for name in asked.keys() & _ARGUMENTS}
    try:
        encoded = encode(picture, **arguments)
    except UnsupportedImageError as error:
        raise OSError(
            f"cannot write mode {image.mode} as {NzpImageFile.format}: {error}"
        ) from error
    file.write(encoded)


Image.register_open(NzpImageFile.format, NzpImageFile, _accept)
Image.register_save(NzpImageFile.format, _save)
Image.register_extension(NzpImageFile.format, ".nzp")
Image.register_mime(NzpImageFile.format, "image/x-noisepress")
