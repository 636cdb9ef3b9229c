"""How the files of codec/reference/ were made: one of every codec, with the bundled models.

Run by hand: `PYTHONPATH=tests python tests/golden/make_reference.py` writes the missing ones. Those
that are there stay as they are: every later version must decode them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from typing import Any

import numpy as np
from common import picture, raster
from numpy.typing import NDArray
from PIL import Image

import noisepress
from noisepress.codec.image.raster import Mode
from noisepress.codec.selfcheck import FOLDER, MANIFEST


def jpeg() -> bytes:
    out = BytesIO()
    Image.fromarray(picture(32, 40)).save(out, "JPEG", quality=90)
    return out.getvalue()


def slices() -> NDArray[np.uint8]:
    """Three frames that get brighter."""
    frames: NDArray[np.uint8] = np.stack([picture(40, 48) // 2 + 9 * i for i in range(3)])
    return frames


def lossless(image: object, codec: str, **options: Any) -> bytes:
    return noisepress.encode(image, codec, fallback=False, **options)


FILES: dict[str, Callable[[], bytes]] = {
    "ardm": lambda: lossless(picture(40, 48), "ardm"),
    "ardm_deep": lambda: lossless(raster(Mode.LA16, 24, 31), "ardm"),
    "ardm_random": lambda: lossless(picture(9, 12), "ardm", order="random", model="ardm-small"),
    "vdm": lambda: lossless(picture(24, 32), "vdm", steps=4),
    "screen": lambda: lossless(picture(40, 48) // 64 * 64, "screen"),
    "webp": lambda: lossless(raster(Mode.PALETTE8, 20, 30), "webp"),
    "png": lambda: lossless(raster(Mode.RGBA16, 20, 30, icc=b"icc", xmp=b"<x/>"), "png"),
    "jpegxl": lambda: lossless(raster(Mode.LA8, 20, 30), "jpegxl"),
    "jpegfile": lambda: noisepress.encode(jpeg()),
    "diffc": lambda: noisepress.encode(picture(40, 48), "diffc", quality=50),
    "hfd": lambda: noisepress.encode(picture(40, 48), "hfd", quality=50),
    "frames": lambda: noisepress.encode_stack(slices()),
    "archive": lambda: noisepress.archive([("a", picture(9, 12)), ("b", picture(12, 9))], "png"),
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    known = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else {}
    for name, make in FILES.items():
        if name in known:
            continue
        data = make()
        (FOLDER / f"{name}.nzp").write_bytes(data)
        if name == "archive":
            pixels = noisepress.Archive(data).read("b")
        elif name == "frames":
            pixels = noisepress.Stack(data)[2]
        else:
            pixels = noisepress.decode(data)
        little = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
        known[name] = {"shape": list(pixels.shape), "sha256": sha256(little.tobytes()).hexdigest()}
        if name in ("diffc", "hfd"):  # floats differ between machines
            known[name] = {"shape": list(pixels.shape), "picture": f"{name}.png"}
            Image.fromarray(pixels).save(FOLDER / f"{name}.png", optimize=True)
        lines = (f' "{each}": {json.dumps(entry)}' for each, entry in known.items())
        MANIFEST.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        print(name, len(data), flush=True)


if __name__ == "__main__":
    main()
