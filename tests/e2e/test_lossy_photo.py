"""Lossy codecs on a photograph with the bundled models: every machine decodes every file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import noisepress
from noisepress.benchmarks.document import PHOTO
from noisepress.benchmarks.quality import psnr
from noisepress.codec.protocol import Render
from noisepress.models import registry

MODELS = {"diffc": ["diffc-photo"], "hfd": ["hfd-photo"]}
SLACK = 0.05
"""Largest difference in dB between the encoder's picture and that of another machine."""


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    with Image.open(PHOTO) as opened:
        return np.ascontiguousarray(np.asarray(opened.convert("RGB"))[:256, :256])


@pytest.fixture(scope="module", params=MODELS)
def codec(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def data(photo: NDArray[np.uint8], codec: str) -> bytes:
    return noisepress.encode(photo, codec, bpp=0.4)


@contextmanager
def other_threads() -> Iterator[None]:
    count = torch.get_num_threads()
    torch.set_num_threads(1 if count > 1 else 2)
    try:
        yield
    finally:
        torch.set_num_threads(count)


@contextmanager
def contiguous() -> Iterator[None]:
    networks = [registry.load(registry.find(name)) for names in MODELS.values() for name in names]
    for network in networks:
        network.to(memory_format=torch.contiguous_format)
    try:
        yield
    finally:
        for network in networks:
            network.to(memory_format=torch.channels_last)


MACHINES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "same": nullcontext,
    "threads": other_threads,
    "without oneDNN": lambda: torch.backends.mkldnn.flags(enabled=False),
    "contiguous": contiguous,
}


def test_a_photograph_at_a_low_rate(data: bytes, photo: NDArray[np.uint8], codec: str) -> None:
    assert 0.85 * 0.4 < 8 * len(data) / (256 * 256) <= 0.4
    pictures = {
        render: noisepress.decode(data, render=render) for render in ("mmse", "flow", "ancestral")
    }
    quality = {render: psnr(picture, photo) for render, picture in pictures.items()}
    assert quality["mmse"] > 26
    assert quality["mmse"] > quality["flow"] > quality["mmse"] - 2
    assert quality["mmse"] > quality["ancestral"] > quality["mmse"] - 4
    assert codec == "hfd" or quality["flow"] > quality["ancestral"]
    between = psnr(noisepress.decode(data, render="flow", detail=0.5), photo)
    assert quality["mmse"] > between > quality["flow"]
    # A sample of the distribution has twice the squared error of its mean: 3 dB.
    whole = psnr(noisepress.decode(data, render="flow", detail=1), photo)
    # hfd has a network for both, with errors of its own.
    assert quality["flow"] >= whole > quality["mmse"] - {"diffc": 3, "hfd": 3.5}[codec]


def test_hfd_has_all_rates(photo: NDArray[np.uint8]) -> None:
    """From some hundredths of a bit per pixel to what nobody sees."""
    image = np.ascontiguousarray(photo[:192, :192])
    files = [noisepress.encode(image, "hfd", quality=quality) for quality in range(0, 76, 5)]
    found = [psnr(noisepress.decode(data), image) for data in files]
    assert 8 * len(files[0]) / image[..., 0].size < 0.06
    assert found[-1] > 45
    assert files == sorted(files, key=len) and found == sorted(found)


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
def test_other_machines_decode_the_same_picture(
    machine: str, data: bytes, photo: NDArray[np.uint8]
) -> None:
    for render in get_args(Render):
        expected = psnr(noisepress.decode(data, render=render), photo)
        with MACHINES[machine]():
            found = psnr(noisepress.decode(data, render=render), photo)
        assert abs(found - expected) < SLACK, render


@pytest.mark.slow
def test_coarse_arithmetic_decodes_too(data: bytes, photo: NDArray[np.uint8]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert psnr(noisepress.decode(data), photo) > 22


@pytest.mark.slow
def test_twenty_bytes_beyond_the_header_are_a_preview(photo: NDArray[np.uint8]) -> None:
    data = noisepress.encode(photo, "diffc", quality=30)
    start = noisepress.inspect(data)
    first = next(length for kind, length, _ in start.sections if kind == "data")
    assert first <= 20
    previews = list(noisepress.decode_progressive(data))
    quality = [psnr(picture, photo) for picture in previews]
    assert len(previews) > 6
    assert quality == sorted(quality)
    assert quality[0] > psnr(np.full_like(photo, 128), photo)
