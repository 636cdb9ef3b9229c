"""How the files of this folder were made: six tiny models, and images coded with them.

Run by hand when a file was added: `python tests/golden/codec/make_golden.py NAME...` writes the
named files and prints their lines for `manifest.json`. Tests never call it, and files that exist
are never written again: what was once a valid file has to decode for ever.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import noisepress
from noisepress.bitstream.container import Section, SectionKind, read, write
from noisepress.bitstream.noise import words
from noisepress.codec.ardm import conversions, planes
from noisepress.codec.image.raster import Mode, Palette, Raster
from noisepress.codec.jpegfile.codec import JpegFileParameters
from noisepress.models.lattice import LatticeConfig, LatticeNet
from noisepress.models.masked import MaskedConfig, MaskedNet
from noisepress.models.storage import write_network
from noisepress.models.unet import UNet, UNetConfig
from noisepress.models.vdm import VdmConfig, VdmNet
from noisepress.training.calibration import error_tables

FOLDER = Path(__file__).parent
LATTICE, MASKED = str(FOLDER / "lattice.safetensors"), str(FOLDER / "masked.safetensors")
UNET, VDM = str(FOLDER / "unet.safetensors"), str(FOLDER / "vdm.safetensors")
SCORE = str(FOLDER / "score.safetensors")


def make_lattice() -> None:
    torch.manual_seed(3)
    network = LatticeNet(LatticeConfig(width=8, blocks=1, components=2, levels=2))
    write_network(network, Path(LATTICE), name="golden-lattice", number=2001, tables={}, facts={})


def make_masked() -> None:
    torch.manual_seed(4)
    network = MaskedNet(MaskedConfig(width=8, blocks=3, components=2))
    tables = {"curves": [[2**17 // (1 + stage + i // 8) for i in range(256)] for stage in range(4)]}
    write_network(network, Path(MASKED), name="golden-masked", number=2002, tables=tables, facts={})


def make_unet() -> None:
    torch.manual_seed(5)
    network = UNet(UNetConfig(width0=8, width1=8, width2=8, width3=8, down=1, up=1)).eval()
    crops = np.stack([raster(Mode.RGB8, 32, 32, seed).samples for seed in range(4)])
    tables = error_tables(network, crops)
    write_network(network, Path(UNET), name="golden-unet", number=2003, tables=tables, facts={})


def make_vdm() -> None:
    torch.manual_seed(6)
    network = VdmNet(VdmConfig(width=8, blocks=1))
    write_network(network, Path(VDM), name="golden-vdm", number=2004, tables={}, facts={})


def make_score() -> None:
    torch.manual_seed(8)
    network = UNet(UNetConfig(width0=2, width1=2, width2=2, width3=2, down=1, up=1, condition=3))
    write_network(network, Path(SCORE), name="golden-score", number=2006, tables={}, facts={})


def raster(mode: Mode, height: int, width: int, seed: int) -> Raster:
    """A slope with a little noise; both from integers alone."""
    count = height * width * mode.channels
    rows, columns = np.indices((height, width))
    slope = (5 * rows + 3 * columns)[..., None] + 40 * np.arange(mode.channels)
    noise = (words(seed, n=count) % 7).reshape(height, width, mode.channels)
    top = 65536 if mode.dtype == np.uint16 else 256
    samples = ((slope + noise) * (top // 256) % top).astype(mode.dtype)
    if mode is Mode.PALETTE8:
        colours = words(seed + 1, n=12).astype(np.uint8).reshape(4, 3)
        return Raster(samples % 4, mode, palette=Palette(colours, b"\0").pack())
    return Raster(samples % 2 if mode is Mode.BILEVEL else samples, mode)


def lattice(mode: Mode, height: int, width: int, **options: Any) -> bytes:
    picture = raster(mode, height, width, 1)
    return noisepress.encode(picture, model=LATTICE, fallback=False, **options)


def random_order(**options: Any) -> bytes:
    picture = raster(Mode.RGB8, 9, 7, 2)
    return noisepress.encode(picture, model=MASKED, order="random", fallback=False, **options)


def diffc(mode: Mode, height: int, width: int, **options: Any) -> bytes:
    return noisepress.encode(raster(mode, height, width, 7), "diffc", model=UNET, **options)


def hfd(mode: Mode, height: int, width: int, **options: Any) -> bytes:
    return noisepress.encode(raster(mode, height, width, 9), "hfd", model=SCORE, **options)


def vdm(mode: Mode, height: int, width: int, **options: Any) -> bytes:
    models: dict[str, Any] = {"model": VDM, "coarse": LATTICE}
    return noisepress.encode(
        raster(mode, height, width, 8), "vdm", fallback=False, **models, **options
    )


def with_metadata() -> bytes:
    plain = raster(Mode.RGBA8, 12, 17, 5)
    kept = Raster(plain.samples, plain.mode, icc=b"icc" * 20, exif=b"II*\0", xmp=b"<x/>")
    return noisepress.encode(kept, model=LATTICE, fallback=False)


def with_planes() -> bytes:
    """Pixels that planes of PhotoYCC give, some of them clipped, and two that none give."""
    rng = np.random.default_rng(12)
    slow = np.cumsum(rng.integers(-2, 3, (48, 40, 3)), 0) + np.array([150, 156, 137])
    luma, first, second = (plane.astype(np.uint8) for plane in np.clip(slow, 0, 255).T)
    ordered = np.stack([first, luma, second], -1)
    image = planes.join(ordered, conversions.named("photoycc"))
    image[3, 5] = image[20, 31] = (120, 130, 125)
    return noisepress.encode(image, model=LATTICE, fallback=False)


def halved(name: str) -> bytes:
    """Pixels of an odd size whose chroma was enlarged, some of them clipped, and one foreign."""
    rng = np.random.default_rng(14)
    slow = np.cumsum(rng.integers(-2, 3, (47, 53, 3)), 0) + np.array([200, 128, 128])
    luma, first, second = (plane.T.astype(np.uint8) for plane in np.clip(slow, 0, 255).T)
    image = planes.join(np.stack([first, luma, second], -1), conversions.named(name))
    image[3, 5] = (120, 130, 125)
    return noisepress.encode(image, model=LATTICE, fallback=False)


def with_ranks() -> bytes:
    """Multiples of 5 in all channels, except red, which has those of 8."""
    samples = raster(Mode.RGBA8, 37, 50, 13).samples
    colour = samples[..., :3] // 2 + 60
    samples[..., :3] = colour // (8, 5, 5) * (8, 5, 5)
    return noisepress.encode(Raster(samples, Mode.RGBA8), model=LATTICE, fallback=False)


def deep(mode: Mode, sixteenths: int) -> bytes:
    """A slope of 13 bits with noise, stretched."""
    rows, columns = np.indices((45, 71))
    slope = (60 * rows + 35 * columns)[..., None] + 40 * np.arange(mode.channels)
    noise = (words(14, n=slope.size) % 200).reshape(slope.shape)
    samples = (900 + slope + noise) * sixteenths // 16
    picture = Raster(samples.astype(np.uint16), mode)
    return noisepress.encode(picture, model=LATTICE, fallback=False)


def carried(codec: str, mode: Mode) -> bytes:
    return noisepress.encode(raster(mode, 6, 11, 6), codec, fallback=False)


def reduced(levels: int) -> bytes:
    """Opaque RGBA of 16 bits, which has so many levels of grey: two, or some in a list."""
    grey = raster(Mode.L8, 32, 33, 15).samples % levels
    values = np.arange(levels, dtype=np.uint16) ** 2 * (65535 // (levels - 1) ** 2)
    samples = np.concatenate([*[values[grey]] * 3, np.full_like(grey, 65535, np.uint16)], 2)
    return noisepress.encode(Raster(samples, Mode.RGBA16), "png", fallback=False)


def reduced_palette() -> bytes:
    """Greys in another order, with colours between them."""
    colours = words(16, n=768).astype(np.uint8).reshape(256, 3)
    colours[::2] = np.arange(255, -1, -2)[:, np.newaxis]
    indices = raster(Mode.L8, 32, 33, 17).samples // 2 * 2
    image = Raster(indices, Mode.PALETTE8, palette=Palette(colours, b"").pack())
    return noisepress.encode(image, model=LATTICE, fallback=False)


def kept_jpeg(mode: Mode, side: int, behind: bytes) -> bytes:
    """A JPEG file with EXIF, and bytes after its end."""
    samples = raster(mode, side, side, 14).samples
    out = BytesIO()
    Image.fromarray(samples[..., 0] if mode is Mode.L8 else samples).save(
        out, "JPEG", quality=90, exif=b"Exif\0\0II*\0", progressive=True
    )
    return noisepress.encode(out.getvalue() + behind)


def stored_jpeg() -> bytes:
    """As writers leave it that do not deflate."""
    deflated = kept_jpeg(Mode.L8, 9, b"")
    header = read(deflated).header
    parameters = replace(JpegFileParameters.parse(header.parameters), jpeg="kept as it is")
    file = Section(SectionKind.DATA, noisepress.original_file(deflated))
    return write(replace(header, parameters=parameters.pack()), [file])


def screen(mode: Mode) -> bytes:
    """Patches that come again, beside a slope with noise."""
    samples = raster(mode, 45, 71, 14).samples
    samples[:, :40] = np.tile(samples[:9, :8].repeat(2, 1), (5, 3, 1))[:, :40]
    palette = raster(mode, 1, 1, 14).palette
    return noisepress.encode(Raster(samples, mode, palette), "screen", fallback=False)


def mixed_archive() -> bytes:
    images = [("a.png", raster(Mode.RGB8, 9, 7, 9)), ("b.png", raster(Mode.BILEVEL, 5, 6, 10))]
    images += [("c.png", raster(Mode.RGBA8, 5, 70, 11))]
    models: dict[str, Any] = {"model": VDM, "coarse": LATTICE}
    return noisepress.archive(images, "vdm", group=2, steps=4, **models)


def frames_archive() -> bytes:
    """Colours with opacity that change a little, then a cut, then deep greys."""
    samples = raster(Mode.RGBA8, 45, 50, 18).samples // 5 * 4
    noise = words(19, n=4 * samples.size).reshape(4, *samples.shape) % 3
    images = [Raster((samples + each).astype(np.uint8), Mode.RGBA8) for each in noise]
    images.append(raster(Mode.RGBA8, 45, 50, 20))
    deep = raster(Mode.L16, 9, 30, 21).samples // 2
    images += [Raster(deep + np.uint16(each), Mode.L16) for each in (0, 9)]
    named = [(str(number), image) for number, image in enumerate(images)]
    return noisepress.archive(named, "frames", group=6, model=LATTICE, block=16)


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "lattice_rgb.nzp": ("odd sides, several levels", lambda: lattice(Mode.RGB8, 45, 71)),
    "lattice_blocks.nzp": ("several blocks", lambda: lattice(Mode.RGB8, 70, 40, block=16)),
    "lattice_alone.nzp": ("the network alone", lambda: lattice(Mode.RGB8, 45, 71, effort=0)),
    "lattice_planes.nzp": ("planes, clipped and exceptional pixels", with_planes),
    "lattice_420.nzp": ("chroma of half the rows and columns", lambda: halved("jpeg-420")),
    "lattice_422.nzp": ("chroma of half the columns", lambda: halved("jpeg-422")),
    "lattice_ranks.nzp": ("ranks and opacity", with_ranks),
    "lattice_grey.nzp": ("one channel, one row", lambda: lattice(Mode.L8, 1, 50)),
    "lattice_pixel.nzp": ("a single pixel", lambda: lattice(Mode.RGB8, 1, 1)),
    "lattice_grey_alpha.nzp": ("opacity", lambda: lattice(Mode.LA8, 20, 9)),
    "lattice_deep.nzp": ("13 bits", lambda: deep(Mode.L16, 16)),
    "lattice_deep_ranks.nzp": ("13 bits of 16, and opacity", lambda: deep(Mode.RGBA16, 100)),
    "lattice_metadata.nzp": ("opacity, ICC, EXIF and XMP", with_metadata),
    "random_dynamic.nzp": ("dynamic program", lambda: random_order(calls=11, seed=2**32 - 1)),
    "random_equal.nzp": ("equal groups", lambda: random_order(calls=8, schedule="equal")),
    "diffc_rgb.nzp": ("trellis", lambda: diffc(Mode.RGB8, 45, 71, effort=8)),
    "diffc_small.nzp": ("a file of 100 bytes", lambda: diffc(Mode.RGB8, 64, 64, bytes=100)),
    "diffc_grey_alpha.nzp": ("grey and opacity", lambda: diffc(Mode.LA8, 20, 9, seed=2**32 - 1)),
    "diffc_pfr.nzp": ("pfr", lambda: diffc(Mode.RGB8, 16, 16, reverse="pfr", steps=10)),
    "hfd_rgb.nzp": ("colour", lambda: hfd(Mode.RGB8, 45, 71, quality=50)),
    "hfd_large.nzp": ("large coefficients", lambda: hfd(Mode.RGB8, 40, 33, quality=100)),
    "hfd_grey_alpha.nzp": ("grey and opacity", lambda: hfd(Mode.LA8, 20, 9, seed=2**32 - 1)),
    "hfd_bytes.nzp": ("a file of 600 bytes", lambda: hfd(Mode.RGB8, 128, 64, bytes=600)),
    "hfd_pixel.nzp": ("a single pixel", lambda: hfd(Mode.RGB8, 1, 1)),
    "vdm_rgb.nzp": ("tiles in the chain", lambda: vdm(Mode.RGB8, 1001, 8, steps=4)),
    "vdm_small.nzp": ("lattice order and opacity", lambda: vdm(Mode.RGBA8, 9, 5, steps=384)),
    "vdm_archive.nzp": ("two groups, one image in PNG", mixed_archive),
    "frames_archive.nzp": ("two groups, a cut, 16 bits", frames_archive),
    "screen_page.nzp": ("two levels", lambda: screen(Mode.BILEVEL)),
    "screen_palette.nzp": ("palette", lambda: screen(Mode.PALETTE8)),
    "screen_rgb.nzp": ("colours", lambda: screen(Mode.RGB8)),
    "screen_rgba.nzp": ("colours and opacity", lambda: screen(Mode.RGBA8)),
    "webp_palette.nzp": ("palette", lambda: carried("webp", Mode.PALETTE8)),
    "webp_grey_alpha.nzp": ("grey and opacity", lambda: carried("webp", Mode.LA8)),
    "png_bilevel.nzp": ("one bit", lambda: carried("png", Mode.BILEVEL)),
    "png_rgb16.nzp": ("16 bits", lambda: carried("png", Mode.RGB16)),
    "png_two_levels.nzp": ("two levels as opaque RGBA of 16 bits", lambda: reduced(2)),
    "png_levels.nzp": ("some levels as opaque RGBA of 16 bits", lambda: reduced(60)),
    "lattice_palette.nzp": ("palette of greys", reduced_palette),
    "jpegxl_palette.nzp": ("palette", lambda: carried("jpegxl", Mode.PALETTE8)),
    "jpegxl_bilevel.nzp": ("two levels", lambda: carried("jpegxl", Mode.BILEVEL)),
    "jpegxl_rgba16.nzp": ("16 bits", lambda: carried("jpegxl", Mode.RGBA16)),
    "jpegfile_transcoded.nzp": ("as JPEG XL", lambda: kept_jpeg(Mode.RGB8, 90, b"after the end")),
    "jpegfile_deflated.nzp": ("deflated, grey", lambda: kept_jpeg(Mode.L8, 9, b"")),
    "jpegfile_stored.nzp": ("as it is, grey", stored_jpeg),
}
MODELS = {
    LATTICE: make_lattice,
    MASKED: make_masked,
    UNET: make_unet,
    VDM: make_vdm,
    SCORE: make_score,
}
OF = {"l": [LATTICE], "f": [LATTICE], "r": [MASKED], "d": [UNET], "v": [VDM, LATTICE], "h": [SCORE]}
"""The models of a file, by its first letter."""


def digest(samples: NDArray[Any]) -> str:
    little = np.ascontiguousarray(samples, f"<u{samples.itemsize}")
    return sha256(little.tobytes()).hexdigest()


def main() -> None:
    for path, make in MODELS.items():
        if not Path(path).exists():
            make()
    for name in sys.argv[1:] or FILES:
        if (FOLDER / name).exists():
            continue
        about, make_file = FILES[name]
        data = make_file()
        models = OF.get(name[0], [])
        (FOLDER / name).write_bytes(data)
        entry: dict[str, Any] = {
            "about": about,
            "models": [Path(model).name for model in models],
        }
        if name.endswith("_archive.nzp"):
            stored = noisepress.Archive(data)
            names = [member.name for member in stored.members]
            entry["members"] = {name: digest(stored.read(name, model=models)) for name in names}
            print(f' "{name}": {json.dumps(entry)},')
            continue
        restored = noisepress.decode_raster(data, model=models)
        entry |= {
            "mode": restored.mode.name,
            "shape": restored.samples.shape,
            "metadata": [part.hex() for part in (restored.icc, restored.exif, restored.xmp)],
        }
        if name.startswith("jpegfile"):
            entry["file"] = sha256(noisepress.original_file(data)).hexdigest()
        if UNET in models:  # pictures are not the same to the last bit everywhere
            entry["picture"] = str(Path(name).with_suffix(".png"))
            Image.fromarray(restored.samples).save(FOLDER / entry["picture"], optimize=True)
        else:
            entry["sha256"] = digest(restored.samples)
        print(f' "{name}": {json.dumps(entry)},')


if __name__ == "__main__":
    main()
