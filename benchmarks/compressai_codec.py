"""noisepress as a codec of CompressAI's own benchmark; needs the extra `compressai`.

from compressai.utils.bench.__main__ import collect
from noisepress.benchmarks.compressai_codec import Ardm

collect(Ardm(), "kodak/", qps=[0], metrics=["psnr-rgb"])
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

import noisepress

from .errors import BenchError

try:
    from compressai.utils.bench.codecs import Codec
except ModuleNotFoundError as error:
    raise BenchError(
        'compressai is missing; pip install "noisepress[compressai]" brings it'
    ) from error


class Ardm(Codec):  # type: ignore[misc]
    """The lossless codec `ardm` with its fallbacks; it ignores `quality`.

    The PSNR of every image is infinite.
    """

    _description: ClassVar[str] = f"noisepress {noisepress.__version__}, lossless"

    def __init__(self, args: Any = None) -> None:
        super().__init__(args)

    @property
    def name(self) -> str:
        """As CompressAI's reports show it."""
        return "noisepress ardm"

    @classmethod
    def setup_args(cls, _parser: ArgumentParser) -> None:
        """There are none."""

    def _run_impl(
        self, in_filepath: str | Path, quality: int, *args: Any, **kwargs: Any
    ) -> tuple[dict[str, float], Image.Image]:
        image: Image.Image = self._load_img(in_filepath)
        pixels = np.asarray(image)
        start = time.perf_counter()
        data = noisepress.encode(pixels)
        middle = time.perf_counter()
        restored = noisepress.decode(data)
        end = time.perf_counter()
        measured = {
            "bpp": 8 * len(data) / (image.width * image.height),
            "encoding_time": middle - start,
            "decoding_time": end - middle,
        }
        return measured, Image.fromarray(restored)
