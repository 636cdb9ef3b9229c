"""Quality metrics against values by hand, and their order under growing damage."""

from __future__ import annotations

import math
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFilter

from noisepress.benchmarks.quality import (
    CROP,
    Pixels,
    compare,
    crop_features,
    frechet_distance,
    ms_ssim,
    psnr,
    ssimulacra2,
)


def picture(side: int = 192) -> Pixels:
    """Edges, ramps and noise."""
    y, x = np.mgrid[:side, :side]
    rng = np.random.default_rng(0)
    waves = np.stack([np.sin(x / 9 + y / 31), np.cos(y / 7), np.sign(np.sin(x * y / 900))], 2)
    pixels: Pixels = (120 + 60 * waves + rng.integers(0, 40, (side, side, 3))).astype(np.uint8)
    return pixels


def blurred(pixels: Pixels, radius: float) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def test_psnr() -> None:
    original = np.zeros((2, 2, 3), np.uint8)
    decoded = original.copy()
    decoded[0, 0, 0] = 6  # MSE 36 / 12 = 3
    assert psnr(original, decoded) == pytest.approx(10 * math.log10(255**2 / 3))
    assert psnr(decoded, original) == psnr(original, decoded)
    assert psnr(original, original) == math.inf
    assert psnr(original, original + np.uint8(255)) == 0


def test_equal_pictures_have_the_largest_scores() -> None:
    original = picture()
    assert ms_ssim(original, original) == pytest.approx(1, abs=1e-6)
    assert ssimulacra2(original, original) == 100


def test_scores_fall_with_damage() -> None:
    original = picture()
    scores = [compare(original, blurred(original, radius)) for radius in (0.6, 1, 2)]
    for name in ("psnr", "ms-ssim", "ssimulacra2"):
        good, middling, bad = (score[name] for score in scores)
        assert good > middling > bad


def test_ms_ssim_of_a_constant_is_its_luminance_term() -> None:
    """Of flat pictures only the coarsest scale's luminance counts, to the power of its weight."""
    dark, light = (np.full((192, 192, 3), v, np.uint8) for v in (100, 120))
    c = (0.01 * 255) ** 2
    luminance = (2 * 100 * 120 + c) / (100**2 + 120**2 + c)
    assert ms_ssim(dark, light) == pytest.approx(luminance**0.1333, abs=2e-4)


def test_small_pictures_skip_metrics() -> None:
    small = picture(160)
    assert set(compare(small, blurred(small, 1))) == {"psnr", "ssimulacra2"}
    with pytest.raises(ValueError, match="161"):
        ms_ssim(small, small)
    tiny = picture(7)
    assert set(compare(tiny, blurred(tiny, 1))) == {"psnr"}
    with pytest.raises(ValueError, match="8 pixels"):
        ssimulacra2(tiny, tiny)


def test_crops_are_on_a_grid() -> None:
    original = picture(2 * CROP + 30)
    features = crop_features(original)
    assert features.shape == (4, 1280)
    alone = crop_features(original[CROP : 2 * CROP, :CROP])
    assert np.allclose(features[2], alone[0], atol=1e-5)
    assert crop_features(original[: CROP - 1]).shape == (0, 1280)


def test_frechet_distance_by_hand() -> None:
    """Of independent features: the squared differences of means and standard deviations."""
    base = np.zeros((4, 1280))
    base[:, 0] = [1, -1, 1, -1]
    base[:, 1] = [1, 1, -1, -1]
    variance = 4 / 3
    moved = base * np.array([2.0, 3.0] + [0.0] * 1278)
    moved[:, 5] += 7
    expected = 49 + variance * ((2 - 1) ** 2 + (3 - 1) ** 2)
    assert frechet_distance([base], [moved]) == pytest.approx(expected)
    assert frechet_distance([moved], [base[:2], base[2:]]) == pytest.approx(expected)
    assert frechet_distance([base], [base]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance([base], [base[:1]]) is None
    assert frechet_distance([], []) is None


def test_frechet_distance_of_covariances_that_do_not_commute() -> None:
    """tr (C1 C2)^(1/2) is also the sum of the roots of the eigenvalues of C1 C2."""
    rng = np.random.default_rng(0)
    first, second = (np.zeros((count, 1280)) for count in (50, 70))
    first[:, :4] = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4))
    second[:, :4] = rng.normal(size=(70, 4)) @ rng.normal(size=(4, 4)) + 1
    a, b = np.cov(first[:, :4].T), np.cov(second[:, :4].T)
    means = first.mean(0) - second.mean(0)
    common = np.sqrt(np.linalg.eigvals(a @ b).real).sum()
    expected = means @ means + np.trace(a) + np.trace(b) - 2 * common
    assert frechet_distance([first], [second]) == pytest.approx(expected)


def test_frechet_distance_grows_with_blur() -> None:
    original = picture(5 * CROP)
    features = crop_features(original)
    distances = [
        frechet_distance([features], [crop_features(blurred(original, radius))]) or 0
        for radius in (0.5, 1, 2)
    ]
    assert 1e-3 < distances[0] < distances[1] < distances[2]


def test_scores_of_a_jpeg() -> None:
    """A usual quality gives usual scores: the scales are those of the metrics' papers."""
    out = BytesIO()
    original = blurred(picture(256), 1)
    Image.fromarray(original).save(out, "JPEG", quality=75)
    decoded = np.asarray(Image.open(out).convert("RGB"))
    scores = compare(original, decoded)
    assert 28 < scores["psnr"] < 42
    assert 0.95 < scores["ms-ssim"] < 1
    assert 40 < scores["ssimulacra2"] < 90
