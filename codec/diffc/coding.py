"""The diffc codec at work: an image to data sections and back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...bitstream.container import Contents, SectionKind
from ...bitstream.errors import ModelError
from ...bitstream.reverse_channel import Pfr, Product, ReverseCoder, Trellis
from ...models import tiling
from ...models.card import Card
from ...models.registry import load_network
from ...models.surroundings import in_settled
from ...models.unet import UNet
from ..alpha import split_alpha
from ..image.raster import Raster, Samples
from ..lossy import MODES, rendered
from ..pixels import padded
from ..protocol import Decoding, Encoded, Report, Size, check_mode
from .chain import Chain, Errors, Estimate, lowest_level, quality_level
from .codec import Diffc, DiffcParameters
from .rate_control import Goal, receive, send


@in_settled
def encode(raster: Raster, options: Diffc, report: Report, size: Size) -> Encoded | None:
    """See `protocol.Codec.encode`."""
    if raster.mode not in MODES:
        return None
    parameters = DiffcParameters.choose(options)
    height, width = raster.height, raster.width
    colour, alpha = split_alpha(raster)

    goal = Goal(
        level=quality_level(options.quality),
        size=options.allowed_bytes(raster),
        psnr=options.psnr,
        steps=options.steps,
    )
    payloads = send(
        colour,
        chain(parameters, height, width, options.device),
        lowest_level(height, width),
        goal,
        lambda payloads: size(Encoded.of(parameters.pack(), payloads, alpha)),
        report,
    )
    return Encoded.of(parameters.pack(), payloads, alpha)


@in_settled
def decode(
    contents: Contents, decoding: Decoding, report: Report, *, previews: bool
) -> Iterator[Samples]:
    """See `protocol.Codec.decode`."""
    check_mode(contents.header, MODES, "diffc")
    parameters = DiffcParameters.parse(contents.header.parameters, decoding.models)
    height, width = contents.header.height, contents.header.width
    received = chain(parameters, height, width, decoding.device)
    payloads = contents.payloads(SectionKind.DATA)
    steps = receive(received, payloads, lowest_level(height, width))
    images = (partial(received.picture, decoding) for _ in steps)
    yield from rendered(contents, images, report, previews=previews)


def chain(parameters: DiffcParameters, height: int, width: int, device: str) -> Chain:
    """A chain of images of a size, at its start.

    Raises:
        ModelError: the model is made for another codec, or there is no such device.
    """
    sides = padded(height, width, UNet.MULTIPLE)
    denoise, errors = denoiser(parameters.model, device)
    return Chain(denoise, errors, *sides, _reverse(parameters, device), parameters.seed)


def denoiser(card: Card, device: str) -> tuple[Estimate, Errors]:
    """The denoiser of a model, for images of any size, and how large its errors are.

    Raises:
        ModelError: see `chain`.
    """
    network = load_network(card, UNet, device)
    try:
        errors = Errors.parse(card.tables)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"model {card.name} has no table of errors") from error

    def denoise(z: Tensor, logsnr: float) -> Tensor:
        return tiling.estimate(network, z, logsnr)

    return denoise, errors


def _reverse(parameters: DiffcParameters, device: str) -> ReverseCoder:
    """The reverse channel coder, its matrix products on a device."""
    product = None if device == "cpu" else _product(device)
    return Pfr(product) if parameters.reverse == "pfr" else Trellis(parameters.states, product)


def _product(device: str) -> Product:
    """The product of matrices (n, v) and (s, v), on a device."""

    def product(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        left, right = (torch.from_numpy(matrix).to(device) for matrix in (a, b))
        found: NDArray[np.float32] = (left @ right.T).cpu().numpy()
        return found

    return product
