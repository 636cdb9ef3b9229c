"""The two stages of hfd: an image to latents and back, and drawing from the result."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from ...bitstream.coders import Decoder, Encoder, Tally
from ...bitstream.errors import CorruptError
from ...bitstream.noise import normals
from ...models import samplers
from ...models.autoencoder import LATENT_PIXELS, MULTIPLE, Autoencoder, known_level
from ...models.diffusion import noisy
from ...models.tiling import SIDE, by_tiles, estimate, on_its_device
from ...models.unet import SCORE_LOGSNR_MAX, SCORE_LOGSNR_MIN, Known, UNet
from ..image.raster import Samples
from ..pixels import image_of, padded, psnr
from ..protocol import Decoding
from .hyperprior import SECTIONS, Hyperprior

CALLS = 8
"""Network evaluations of the score decoder, by default."""
DETAIL = 0.6
"""Share of the drawn image in what is shown, by default; the rest is the first picture's.

Chosen on crops of photographs: at 0.1 to 0.4 bits per pixel the Frechet distance is least between
0.5 and 0.7.
"""


class Picture:
    """An image to be coded, and its latents.

    Args:
        network: the autoencoder, frozen.
        samples: (h, w, 1 or 3), uint8.
    """

    @torch.inference_mode()
    def __init__(self, network: Autoencoder, samples: Samples) -> None:
        self._network, self._samples = network, samples
        height, width = samples.shape[:2]
        self._latents = by_tiles(
            on_its_device(network.analysis),
            image_of(samples, *padded(height, width, MULTIPLE)),
            reach=network.reach,
            unit=LATENT_PIXELS,
            side=SIDE,
            scale=1 / LATENT_PIXELS,
        )

    def code(self, rate: int) -> list[bytes]:
        """The data sections at a rate, in 1/RATE_UNITS of the trained rates."""
        encoders = [Encoder() for _ in range(SECTIONS)]
        height, width = self._latents.shape[2:]
        run = Hyperprior(self._network, rate).run(self._latents, height, width, iter(encoders))
        deque(run, maxlen=0)
        return [encoder.finish() for encoder in encoders]

    def psnr(self, rate: int) -> float:
        """PSNR in dB of the mmse picture at a rate."""
        height, width = self._latents.shape[2:]
        run = Hyperprior(self._network, rate).run(self._latents, height, width, repeat(Tally()))
        return psnr(self._samples, _synthesis(self._network, deque(run, maxlen=1)[0]))


def received(
    network: Autoencoder, rate: int, payloads: Sequence[bytes], height: int, width: int
) -> Iterator[Callable[[], Known]]:
    """For each data section, a function that synthesises its picture, (1, 3, h, w).

    Args:
        network: the autoencoder, frozen.
        rate: in 1/RATE_UNITS of the trained rates.
        payloads: of the data sections.
        height, width: of the image; the picture is as large or larger.

    Raises:
        CorruptError: there are more sections than a file has.
    """
    if len(payloads) > SECTIONS:
        raise CorruptError(f"{len(payloads)} data sections, of {SECTIONS}")
    sides = [side // LATENT_PIXELS for side in padded(height, width, MULTIPLE)]
    decoders = (Decoder(payload) for payload in payloads)
    run = Hyperprior(network, rate).run(None, sides[0], sides[1], decoders)
    level = known_level(torch.tensor([float(rate)]))
    for _ in payloads:
        latents = next(run)
        yield lambda latents=latents: Known(_synthesis(network, latents), level)  # type: ignore[misc]


@torch.inference_mode()
def _synthesis(network: Autoencoder, latents: Tensor) -> Tensor:
    return by_tiles(
        on_its_device(network.synthesis),
        latents,
        reach=-(-network.reach // LATENT_PIXELS),
        unit=1,
        side=SIDE // LATENT_PIXELS,
        scale=LATENT_PIXELS,
    )


@dataclass(frozen=True)
class Drawer:
    """Draws images that may have been coded to what the first stage gives.

    Attributes:
        network: the score decoder.
        levels: log-SNRs in nats at which a distilled decoder is evaluated, each step ending at the
            next; None: any levels.
        seed: of the noise.
    """

    network: UNet
    levels: Sequence[float] | None
    seed: int

    @torch.inference_mode()
    def draw(self, known: Known, decoding: Decoding) -> Tensor:
        """An image (1, 3, h, w) between the first stage's and one drawn by the score decoder.

        Where the first has the least squared error and the second the distribution of originals,
        points on the line between them trade the two optimally (arXiv 2107.02555).

        Args:
            known: the first stage's image.
            decoding: its `detail` is the share of the drawn image, its `steps` the network
                evaluations.
        """
        image = known.image
        detail = DETAIL if decoding.detail is None else decoding.detail
        if detail == 0:
            return image

        def denoise(z: Tensor, logsnr: Tensor) -> Tensor:
            return estimate(self.network, z, float(logsnr[0]), known)

        def noise(index: int) -> Tensor:
            return torch.from_numpy(normals(self.seed, index, n=image.numel())).view_as(image)

        calls = decoding.steps or CALLS
        levels = self.levels or np.linspace(SCORE_LOGSNR_MIN, SCORE_LOGSNR_MAX, calls).tolist()
        z = noisy(image, noise(0), torch.tensor(levels[:1]))
        path = [*levels, math.inf]
        if decoding.render == "ancestral":
            drawn = samplers.ancestral(denoise, z, path, lambda step: noise(step + 1))
        else:
            flow = samplers.dpm_solver if self.levels is None else samplers.ddim
            drawn = flow(denoise, z, path)
        return torch.lerp(image, drawn, detail)
