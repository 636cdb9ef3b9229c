"""A model of CompressAI as hfd's first stage, with weights of the user's.

    from compressai.zoo import mbt2018_mean

    stage = CompressaiStage(mbt2018_mean(quality=3, metric="mse", pretrained=True))
    data = stage.encode(image)
    picture = stage.decode(data, render="flow")

CompressAI's entropy models depend on what networks compute in floats. What it codes is to be
decoded where it was coded, and so does not come as a .nzp file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..bitstream.errors import CorruptError, UnsupportedImageError
from ..bitstream.header import VARINT, Field, pack, unpack
from ..models.autoencoder import LEAST_KNOWN, MULTIPLE
from ..models.diffusion import to_samples, to_unit
from ..models.unet import Known
from .autoencoding import Drawer
from .hfd import DEFAULT_DECODER, score_decoder
from .image import Mode, as_raster
from .model_fields import chosen_model
from .pictures import image_of, padded, shown
from .protocol import Decoding, Render

_FIELDS = (
    Field("height", VARINT, 1, 2**31, "of the image"),
    Field("width", VARINT, 1, 2**31, "of the image"),
    Field("rows", VARINT, 1, 2**31, "of the hyper-latents"),
    Field("columns", VARINT, 1, 2**31, "of the hyper-latents"),
    Field("latents", VARINT, 0, 2**40, "bytes of the latents' string, which comes first"),
)


class CompressaiStage:
    """Codes 8-bit RGB images with a hyperprior of CompressAI's, and draws from what it gives.

    Args:
        model: `bmshj2018_hyperprior`, `mbt2018_mean` or another one whose `compress` gives the
            strings of latents and hyper-latents, trained on images of 0 to 1.
        decoder: score decoder: name of a bundled model, or path of a model file.
        seed: of its noise.

    Raises:
        ModelError: there is no such decoder.
    """

    def __init__(self, model: Any, decoder: str = DEFAULT_DECODER, seed: int = 0) -> None:
        self._model = model.eval()
        self._model.update()
        card = chosen_model(decoder)
        self._drawer = Drawer(*score_decoder(card, "cpu"), seed)

    @torch.inference_mode()
    def encode(self, image: object) -> bytes:
        """The strings of an image, see `noisepress.encode`.

        Raises:
            UnsupportedImageError: it is not 8-bit RGB.
        """
        raster = as_raster(image)
        if raster.mode is not Mode.RGB8:
            raise UnsupportedImageError(f"a CompressAI model takes RGB8, not {raster.mode.name}")
        x = image_of(raster.samples, *padded(raster.height, raster.width, MULTIPLE))
        coded = self._model.compress(to_samples(x).float() / 255)
        latents, hyper = (bytes(strings[0]) for strings in coded["strings"])
        rows, columns = coded["shape"]
        header = {
            "height": raster.height,
            "width": raster.width,
            "rows": rows,
            "columns": columns,
            "latents": len(latents),
        }
        return pack(_FIELDS, header) + latents + hyper

    @torch.inference_mode()
    def decode(
        self,
        data: bytes,
        *,
        render: Render = "mmse",
        detail: float | None = None,
        steps: int | None = None,
    ) -> NDArray[np.uint8]:
        """The picture (h, w, 3) of the strings, see `noisepress.decode`.

        Raises:
            CorruptError: the strings are cut.
        """
        header, start = unpack(_FIELDS, data, 0)
        middle = start + header["latents"]
        if middle >= len(data):
            raise CorruptError("the strings are cut")
        strings = [[data[start:middle]], [data[middle:]]]
        found = self._model.decompress(strings, (header["rows"], header["columns"]))["x_hat"]
        x = to_unit(found * 255)
        if render != "mmse":
            known = Known(x, torch.tensor([float(LEAST_KNOWN)]))
            x = self._drawer.draw(known, Decoding(render=render, detail=detail, steps=steps))
        return shown(x, header["height"], header["width"], 3)
