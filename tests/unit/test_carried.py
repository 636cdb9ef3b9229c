"""What pictures carry beside their samples: it comes back, or its loss is said."""

from __future__ import annotations

import hashlib
import struct
import warnings
import zlib
from dataclasses import replace
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from common import crop, pillow, saved
from PIL import Image
from PIL.ExifTags import Base as Tag

import noisepress
from noisepress import CorruptError, LossWarning, Mode, OptionError, Raster
from noisepress.bitstream.container import Section, SectionKind, read, write
from noisepress.codec.image import jpeg
from noisepress.codec.image.png import chunk
from noisepress.codec.image.read import open_image
from noisepress.codec.image.write import save_image

# Chunks of PNG -------------------------------------------------------------------------------

KEPT = {
    "cICP": bytes([9, 16, 0, 1]),
    "gAMA": struct.pack(">I", 100000),
    "cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    "sRGB": b"\0",
    "sBIT": b"\5\6\5",
    "pHYs": struct.pack(">IIB", 11811, 11811, 1),
    "mDCV": bytes(24),
    "cLLI": bytes(8),
    "tEXt": b"parameters\0a fox",
    "zTXt": b"Comment\0\0" + zlib.compress(b"a fox"),
    "iTXt": b"Title\0\0\0de\0Titel\0ein Fuchs",
    "tIME": bytes([7, 234, 11, 26, 5, 6, 7]),
    "abCd": b"unknown, but right whatever the samples are",
}
LOST = {"bKGD": bytes(6), "abCD": b"unknown, and perhaps of the samples", "sBIT": b"\5"}


def with_chunks(*chunks: tuple[str, bytes], behind: bytes = b"") -> bytes:
    """A PNG of three channels with chunks before the samples, and bytes behind it."""
    file = saved(pillow(3), "PNG")
    packed = b"".join(chunk(kind.encode(), body) for kind, body in chunks)
    return file[:33] + packed + file[33:] + behind


@pytest.mark.parametrize("kind", KEPT)
def test_chunks_come_back(kind: str) -> None:
    file = with_chunks((kind, KEPT[kind]))
    data = noisepress.encode(file)
    assert noisepress.inspect(data).metadata == ("chunks",)
    again = save_image(noisepress.decode_raster(data), ".png")
    assert chunk(kind.encode(), KEPT[kind]) in again
    assert open_image(again) == open_image(file)
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(again))), crop(3))


@pytest.mark.parametrize("kind", LOST)
def test_the_loss_of_other_chunks_is_said(kind: str) -> None:
    with pytest.warns(LossWarning, match=f"are not kept: chunk {kind}$") as caught:
        noisepress.encode(with_chunks((kind, LOST[kind])), "png")
    assert caught[0].filename == __file__


def test_what_is_behind_a_png_is_lost() -> None:
    with pytest.warns(LossWarning, match="17 bytes behind the image"):
        open_image(with_chunks(behind=b"a film, or such.."))


def test_a_damaged_profile_is_named() -> None:
    with pytest.warns(LossWarning, match="ICC profile, which is damaged"):
        found = open_image(with_chunks(("iCCP", b"name\0\0" + zlib.compress(b"icc" * 99)[:-9])))
    assert found.icc == b""


def test_a_chunk_with_a_wrong_checksum_is_refused() -> None:
    file = with_chunks(("gAMA", KEPT["gAMA"]))
    with pytest.raises(noisepress.UnsupportedImageError, match="wrong checksum in its chunk gAMA"):
        open_image(file.replace(KEPT["gAMA"], bytes(4)))


def test_a_forged_section_of_chunks_is_refused() -> None:
    contents = read(noisepress.encode(with_chunks(("gAMA", KEPT["gAMA"])), "png", fallback=False))
    good = chunk(b"gAMA", KEPT["gAMA"])
    for bad in (good[:-1], good + b"?", b"\0" + good, chunk(b"IDAT", b""), chunk(b"\0\0\0\0", b"")):
        forged = [
            Section(part.kind, b"\0" + bad) if part.kind == SectionKind.CHUNKS else part
            for part in contents.sections
        ]
        with pytest.raises(CorruptError, match="PNG chunks"):
            noisepress.decode(write(contents.header, forged))


# Formats that cannot keep it -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "lost"),
    [
        (".png", ""),
        (".webp", "PNG chunks"),
        (".tif", "EXIF, PNG chunks"),
        (".bmp", "the ICC profile, EXIF, XMP, PNG chunks"),
        (".ppm", "the ICC profile, EXIF, XMP, PNG chunks"),
    ],
)
def test_what_a_format_does_not_keep_is_said(suffix: str, lost: str) -> None:
    exif = Image.Exif()
    exif[Tag.Artist] = "a fox"
    kept: dict[str, Any] = {"icc": b"profile", "exif": exif.tobytes()[6:], "xmp": b"<x/>"}
    image = Raster(crop(3), Mode.RGB8, **kept, chunks=chunk(b"gAMA", KEPT["gAMA"]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        save_image(image, suffix)
    said = [str(each.message) for each in caught]
    assert said == ([f"{suffix} does not keep {lost}"] if lost else [])


# JPEG ----------------------------------------------------------------------------------------


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body


def extended(extension: bytes, packet: bytes, digest: bytes, part: int = 60000) -> bytes:
    """A JPEG with a packet of XMP and an extension."""
    parts = b"".join(
        segment(
            0xE1,
            b"http://ns.adobe.com/xmp/extension/\0"
            + digest
            + struct.pack(">II", len(extension), at)
            + extension[at : at + part],
        )
        for at in range(0, len(extension), part)
    )
    file = saved(pillow(3), "JPEG")
    head = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)
    return file[:2] + head + parts + file[2:]


RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'


def test_extended_xmp_is_one_packet() -> None:
    from xml.etree import ElementTree

    depth = b"q" * 90_000
    extension = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>'.encode()
    extension += b'<rdf:Description rdf:about="" xmlns:GDepth="http://g/d">'
    extension += (
        b"<GDepth:Data>" + depth + b"</GDepth:Data></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    digest = hashlib.md5(extension).hexdigest().upper().encode()
    packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>'.encode()
    packet += b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
    packet += b' xmpNote:HasExtendedXMP="' + digest + b'"/></rdf:RDF></x:xmpmeta>'
    file = extended(extension, packet, digest)
    for data in (noisepress.encode(file), noisepress.encode(file, "png")):
        xmp = noisepress.decode_raster(data).xmp
        assert b"HasExtendedXMP" not in xmp
        found = ElementTree.fromstring(xmp)[0]
        assert [child.tag.rpartition("}")[2] for child in found] == ["Description"] * 2
        assert found[1][0].text == depth.decode()
    # Without all of its parts the packet is left as it is.
    cut = file.replace(struct.pack(">II", len(extension), 60000), struct.pack(">II", 1, 60000))
    assert open_image(cut).xmp == packet


def ultra() -> bytes:
    """A JPEG with a gain map, a comment, fields of Photoshop and a film behind it."""
    file = saved(pillow(3), "JPEG", icc_profile=b"profile", exif=b"Exif\0\0" + turned(6))
    parts = [
        segment(
            0xE1, b"http://ns.adobe.com/xap/1.0/\0<x xmlns='http://ns.adobe.com/hdr-gain-map/'/>"
        ),
        segment(0xE2, b"MPF\0" + bytes(20)),
        segment(0xED, b"Photoshop 3.0\0" + bytes(20)),
        segment(0xFE, b"a fox"),
    ]
    return file[:2] + b"".join(parts) + file[2:] + b"film" * 99


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[Tag.Orientation] = orientation
    exif[Tag.Artist] = "a fox"
    return exif.tobytes().removeprefix(b"Exif\0\0")


BESIDE = "a gain map, further pictures, IPTC and Photoshop's fields, a comment, 396 bytes behind"


def test_what_is_beside_the_picture_of_a_jpeg_is_kept_in_the_file_or_said() -> None:
    file = ultra()
    kept = noisepress.encode(file)
    assert noisepress.original_file(kept) == file
    with pytest.warns(LossWarning, match=BESIDE):
        noisepress.encode(file, "png")
    raster = noisepress.decode_raster(kept)
    with pytest.warns(LossWarning, match=r"^\.png does not keep a gain map"):
        save_image(raster, ".png")
    with pytest.warns(LossWarning, match="a gain map"):
        noisepress.archive([("a", file)], "vdm", steps=1)


def test_the_end_of_a_jpeg_with_several_scans_is_found() -> None:
    file = saved(pillow(3), "JPEG", progressive=True)
    assert jpeg.beside(file) == []
    assert jpeg.beside(file + b"\xff\xd9") == ["2 bytes behind the picture"]


# JPEG 2000 -----------------------------------------------------------------------------------


def box(kind: bytes, body: bytes) -> bytes:
    return (len(body) + 8).to_bytes(4) + kind + body


def test_boxes_of_jpeg_2000() -> None:
    plain = bytes(imagecodecs.jpeg2k_encode(crop(3), level=0, codecformat="jp2"))
    at = plain.index(b"jp2h") - 4
    end = at + int.from_bytes(plain[at : at + 4])
    header = plain[at + 8 : end]
    start = header.index(b"colr") - 4
    colour = box(b"colr", b"\2\0\0" + b"profile")
    stop = start + int.from_bytes(header[start : start + 4])
    changed = box(b"jp2h", header[:start] + colour + header[stop:])
    uuids = box(b"uuid", b"JpgTiffExif->JP2" + turned(1))
    uuids += box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + b"<x/>")
    file = plain[:at] + changed + uuids + plain[end:]
    found = open_image(file)
    assert (found.icc, found.exif, found.xmp) == (b"profile", turned(1), b"<x/>")
    np.testing.assert_array_equal(found.samples, crop(3))
    with pytest.warns(LossWarning, match="box uuid of 20 bytes"):
        open_image(plain[:end] + box(b"uuid", bytes(20)) + plain[end:])


# Without it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("strip", ["private", "all"])
def test_metadata_is_removed(strip: Any) -> None:
    whole = Raster(
        crop(3),
        Mode.RGB8,
        icc=b"profile",
        exif=turned(6),
        xmp=b"<x/>",
        chunks=b"".join(chunk(kind.encode(), body) for kind, body in KEPT.items()),
    )
    found = noisepress.decode_raster(noisepress.encode(whole, "png", strip=strip))
    np.testing.assert_array_equal(found.samples, whole.samples)
    private = strip == "private"
    assert found.icc == (b"profile" if private else b"")
    assert found.xmp == b"" and b"fox" not in found.exif + found.chunks
    assert (b"gAMA" in found.chunks, b"tIME" in found.chunks) == (private, False)
    shown = Image.open(BytesIO(save_image(found, ".png")))
    assert shown.getexif()[Tag.Orientation] == 6


@pytest.mark.parametrize("strip", ["private", "all"])
def test_a_jpeg_file_keeps_its_picture_without_metadata(strip: Any) -> None:
    file = ultra()
    data = noisepress.encode(file, strip=strip)
    assert noisepress.inspect(data).codec == "jpegfile"
    clean = noisepress.original_file(data)
    assert b"fox" not in clean and b"film" not in clean and jpeg.beside(clean) == []
    assert (b"profile" in clean) == (strip == "private")
    with Image.open(BytesIO(clean)) as found:
        assert found.getexif()[Tag.Orientation] == 6
        np.testing.assert_array_equal(np.asarray(found), open_image(file).samples)


def test_nothing_is_stripped_where_nothing_is() -> None:
    image = Raster(crop(1), Mode.L8)
    assert noisepress.encode(image, "png", strip="all") == noisepress.encode(image, "png")
    with pytest.raises(OptionError, match="private, all"):
        noisepress.encode(image, strip="gps")  # type: ignore[arg-type]
    archive = noisepress.Archive(
        noisepress.archive([("a", replace(image, icc=b"p"))], "png", strip="all")
    )
    assert not archive.read_group(0)[0].jpeg
