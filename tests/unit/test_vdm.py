"""vdm: files, their parameters and what is refused; the network's colour transform; its loss."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
import torch
from common import picture
from torch import Tensor

import noisepress
from noisepress.bitstream.container import read, write
from noisepress.bitstream.errors import (
    CorruptError,
    ModelError,
    OptionError,
    UnsupportedImageError,
)
from noisepress.codec.vdm.codec import STEPS
from noisepress.models import registry
from noisepress.models.card import Card
from noisepress.models.vdm import (
    LOG_SIGMA_MAX,
    LOG_SIGMA_MIN,
    VdmNet,
    bases,
    from_planes,
    hidden_pixels,
    to_planes,
)
from noisepress.training.losses import vdm_bits, vdm_terms


@pytest.fixture
def models(vdm_model: str, lattice_model: str) -> dict[str, Any]:
    return {"model": vdm_model, "coarse": lattice_model}


def encoded(image: object, models: dict[str, Any], **options: Any) -> bytes:
    return noisepress.encode(image, "vdm", fallback=False, **{"steps": 3, **models, **options})


@pytest.mark.parametrize("channels", [3, 4])
def test_files_of_several_tiles_hold_the_image(channels: int, models: dict[str, Any]) -> None:
    image = picture(129, 200, channels)
    data = encoded(image, models)
    np.testing.assert_array_equal(noisepress.decode(data, model=list(models.values())), image)
    noisepress.verify(data, image, model=list(models.values()))


def test_most_tiles_of_a_large_image_are_in_the_chain(models: dict[str, Any]) -> None:
    data = encoded(picture(320, 384), models)
    details = read(data).payloads(0)[-1]
    assert 0 < details[0] <= 15  # of 30, in lattice order


def test_parameters_are_described(models: dict[str, Any]) -> None:
    info = noisepress.inspect(encoded(picture(20, 30), models, steps=7))
    assert (info.codec, info.mode) == ("vdm", "RGB8")
    assert info.parameters["steps"] == 7
    assert info.parameters["model"] == "number 1027"
    assert info.parameters["coarse model"] == "number 1024"


def test_a_model_of_the_callers_is_needed(models: dict[str, Any]) -> None:
    data = encoded(picture(8, 8), models)
    for given in (None, models["model"], [models["coarse"]]):
        with pytest.raises(ModelError, match="the file needs model"):
            noisepress.decode(data, model=given)


def test_models_of_other_codecs_are_refused(models: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="tiny-lattice has the architecture lattice, not vdm"):
        encoded(picture(8, 8), {"model": models["coarse"]})
    with pytest.raises(ModelError, match="tiny-vdm has the architecture vdm, not lattice"):
        encoded(picture(8, 8), {**models, "coarse": models["model"]})


@pytest.mark.parametrize(
    ("threads", "onednn", "layout", "dtype"),
    [
        (1, True, torch.channels_last, torch.float32),
        (2, False, torch.contiguous_format, torch.float32),
        (1, False, torch.channels_last, torch.float64),
        (2, True, torch.contiguous_format, torch.float64),
    ],
)
def test_a_file_decodes_alike_everywhere(
    threads: int,
    onednn: bool,
    layout: Any,
    dtype: torch.dtype,
    models: dict[str, Any],
    machine: Callable[[int, bool], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = picture(128, 256)
    data = encoded(image, models)
    assert read(data).payloads(0)[-1][0] < 8  # some tiles are in the chain
    network = registry.load(registry.find(models["model"]))
    assert isinstance(network, VdmNet)
    changed = copy.deepcopy(network).to(dtype).to(memory_format=layout)
    forward = changed.forward

    def in_other_numbers(even: Tensor, latent: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        known, noisy = (part.to(dtype).contiguous(memory_format=layout) for part in (even, latent))
        return forward(known, noisy, level)

    monkeypatch.setattr(changed, "forward", in_other_numbers)
    loaded = registry.load_network

    def load(card: Card, kind: Any) -> Any:
        return changed if kind is VdmNet else loaded(card, kind)

    monkeypatch.setattr("noisepress.codec.vdm.coding.load_network", load)
    with machine(threads, onednn):
        found = noisepress.decode(data, model=list(models.values()))
    np.testing.assert_array_equal(found, image)


def test_the_limit_is_the_chains() -> None:
    assert STEPS == (1, LOG_SIGMA_MAX - LOG_SIGMA_MIN)


def test_damaged_details_are_found(models: dict[str, Any]) -> None:
    """With checksums that are right, as a hostile writer would make them."""
    data = encoded(picture(150, 150), models)
    contents = read(data)
    for change in (b"\x7f", b"\x00", b"\xff\xff\x03"):
        *others, last = contents.sections
        changed = type(last)(last.kind, change + last.payload[1:])
        with pytest.raises(CorruptError):
            noisepress.decode(
                write(contents.header, [*others, changed]), model=list(models.values())
            )


def test_the_colour_transform_is_reversible() -> None:
    values = torch.tensor([0.0, 1, 2, 100, 127, 128, 254, 255])
    rgb = torch.cartesian_prod(values, values, values).T.reshape(1, 3, 8, 64)
    planes = to_planes(rgb)
    assert torch.equal(from_planes(planes), rgb)
    assert torch.equal(planes, planes.round())
    grey = planes[:, :, (rgb[0, 0] == rgb[0, 1]) & (rgb[0, 1] == rgb[0, 2])]
    assert torch.equal(grey[0, 1:], torch.zeros_like(grey[0, 1:]))


def test_flat_images_are_their_interpolation() -> None:
    planes = to_planes(torch.tensor([10.0, 200, 30])[None, :, None, None].expand(1, 3, 8, 6))
    assert torch.equal(bases(planes[..., ::2, ::2]), hidden_pixels(planes))


def test_the_loss_is_the_coded_size(vdm_model: str, models: dict[str, Any]) -> None:
    """The bound at many steps, and what bits-back adds to a stack at a few dozen."""
    from noisepress.bitstream.coders import Stack
    from noisepress.bitstream.noise import words
    from noisepress.codec.vdm.bits_back import BitsBack

    network = registry.load(registry.find(vdm_model))
    assert isinstance(network, VdmNet)
    image = torch.from_numpy(picture(64, 64).transpose(2, 0, 1).astype(np.float32))[None]
    planes = to_planes(image)
    even = planes[..., ::2, ::2].contiguous()
    pixels = hidden_pixels(planes) - bases(even)
    chain = BitsBack(network, 24)
    stack = Stack(words(3, n=chain.initial_bits(pixels.numel()) // 32 + 2).tobytes() + b"\1")
    before = stack.bits
    chain.push(stack, even, pixels)
    coded = (stack.bits - before) / pixels.numel()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        batch = image.expand(64, -1, -1, -1)
        terms = vdm_terms(network, batch, generator)
        total = vdm_bits(network, batch, torch.Generator().manual_seed(0))
    assert torch.equal(total, terms.prior + terms.diffusion + terms.reconstruction)
    assert min(float(terms.prior), float(terms.diffusion), float(terms.reconstruction)) > 0
    assert coded == pytest.approx(float(total), rel=0.05)


def test_grey_is_left_to_the_fallbacks(models: dict[str, Any]) -> None:
    grey = picture(9, 9, 1)
    with pytest.raises(UnsupportedImageError, match="vdm does not code L8"):
        encoded(grey, models)
    data = noisepress.encode(grey, "vdm", **models)
    assert noisepress.inspect(data).codec in ("webp", "png", "jpegxl")


@pytest.mark.parametrize("steps", [0, STEPS[1] + 1, 2.5, "3"])
def test_steps_out_of_range_are_refused(steps: object, models: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"whole numbers from 1 to {STEPS[1]}$"):
        encoded(picture(8, 8), models, steps=steps)
