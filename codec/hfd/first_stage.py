"""The first stage of hfd: samples to sections of quantised wavelet coefficients, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch

from ...bitstream import wavelet
from ...bitstream._binary import Int32s
from ...bitstream.bands import Bands
from ...bitstream.binary import BinaryDecoder, BinaryEncoder
from ...bitstream.errors import CorruptError
from ...bitstream.wavelet import ONE_LEVEL, STEP_UNITS, Place
from ...models.diffusion import to_unit
from ...models.unet import Known, UNet
from ...models.wavelet import known_level
from ..image.raster import Samples
from ..pixels import filled, padded

SECTIONS = 4
"""The last three hold the details of one level each, the first all that is coarser."""

Coefficients = Mapping[Place, Int32s]


def section_of(place: Place) -> int:
    """The section that holds a band."""
    return max(SECTIONS - 1 - place.level, 0)


class Source:
    """An image to be coded.

    Args:
        samples: (h, w, 1 or 3), uint8.

    Attributes:
        angles: of its colour planes, for the header.
    """

    def __init__(self, samples: Samples) -> None:
        self.angles = wavelet.angles_for(samples)
        self._shape = samples.shape
        self._colours = wavelet.colours_of(samples.shape[2], self.angles)
        self._planes = wavelet.analysed(samples, self._colours)

    def coded(self, step: int) -> tuple[list[bytes], Coefficients]:
        """The data sections at a step of quantisation in 1/STEP_UNITS, and their coefficients.

        Sections that hold nothing are left out at the end.
        """
        height, width, colours = self._shape
        bands = Bands(height, width)
        encoders = [BinaryEncoder() for _ in range(SECTIONS)]
        unit = np.float32(step * ONE_LEVEL / STEP_UNITS)
        for place in wavelet.places(colours):
            wanted = place.of(self._planes[place.colour]).astype(np.float32) / unit
            bands.choose(encoders[section_of(place)], place, wanted)
        known = bands.known()
        last = max((section_of(place) for place, band in known.items() if band.any()), default=0)
        return [encoder.finish() for encoder in encoders[: last + 1]], known

    def picture(self, known: Coefficients, step: int) -> Known:
        """What a receiver makes of coefficients, see `picture`."""
        height, width = self._shape[:2]
        return picture(known, height, width, step, self._colours)

    def likely_step(self, bits: float) -> int:
        """About the step at which the file has so many bits."""
        sample = np.abs(self._planes.ravel()[:: 1 + self._planes.size // 2**20])
        count = bits / _BITS_OF_NONZERO * sample.size / self._planes.size
        rank = min(max(sample.size - 1 - int(count), 0), sample.size - 1)
        level = np.partition(sample, rank)[rank] / _LEAST_NONZERO
        return int(level * STEP_UNITS / ONE_LEVEL)


_BITS_OF_NONZERO, _LEAST_NONZERO = 5.5, 0.65
"""Bits of a file for each coefficient that is not zero; least magnitude of these in steps."""


def received(
    payloads: Sequence[bytes], height: int, width: int, count: int, step: int, angles: int
) -> Iterator[Callable[[], Known]]:
    """For each data section, a function that makes the picture of all so far.

    Args:
        payloads: of the data sections.
        count: colours of the image, 1 or 3.
        step: of quantisation in 1/STEP_UNITS.
        angles: of the colour planes.

    Raises:
        CorruptError: there are more sections than a file has, or one is damaged.
    """
    if len(payloads) > SECTIONS:
        raise CorruptError(f"{len(payloads)} data sections, of {SECTIONS}")
    colours = wavelet.colours_of(count, angles)
    bands = Bands(height, width)
    for section, payload in enumerate(payloads):
        decoder = BinaryDecoder(payload)
        for place in wavelet.places(count):
            if section_of(place) == section:
                bands.code(decoder, place, None)
        decoder.check_end(len(payload))
        known = bands.known()
        yield partial(picture, known, height, width, step, colours)


def picture(
    known: Coefficients, height: int, width: int, step: int, colours: wavelet.Colours
) -> Known:
    """The picture of coefficients: three colours, repeated at the edges to suit the network."""
    samples = torch.from_numpy(wavelet.synthesised(known, height, width, step, colours))
    image = filled(to_unit(samples.expand(3, -1, -1)[None]), *padded(height, width, UNet.MULTIPLE))
    return Known(image, known_level(torch.tensor([step / STEP_UNITS])))
