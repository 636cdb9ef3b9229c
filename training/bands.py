"""What the coder of hfd's bands knows before it sees an image: lessons from photographs.

    python -m noisepress.training.bands PHOTOS

codes crops of photographs one after the other, at steps that are random, each with what was learned
from those before, and writes what the last one leaves to the package (bitstream/bands.npz). It
prints the CRC-32 that bitstream/bands.py and docs/format.md give. The lesson is part of the format:
files that were made with another one cannot be read.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bitstream import bands, wavelet
from ..bitstream._bands import Learned
from ..bitstream.atomic import atomic_writer
from ..bitstream.binary import BinaryTally
from ..bitstream.tables import checksum
from .data import CropSpec, cut, is_validation, photographs, prescale

CROPS = CropSpec(size=512, scale=(2.0, 6.0), passes=2, crops=1)
STEPS = 5.0, 250.0
"""Least and largest step of quantisation, in levels of samples."""


def teach(folder: Path, spec: CropSpec, seed: int = 0) -> Learned:
    """What the training photographs of a folder teach, in random order."""
    rng = np.random.default_rng(seed)
    learned = bands.untaught()
    already = prescale(folder)
    paths = [path for path in photographs(folder) if not is_validation(path.name)]
    for index in rng.permutation(len(paths)):
        path = paths[index]
        for crop in cut(path, already.get(path.name, 1), spec, seed):
            code(crop, float(np.exp(rng.uniform(*np.log(STEPS)))), learned)
    return learned


def code(samples: NDArray[np.uint8], step: float, learned: Learned) -> float:
    """Code an image (h, w, 3) at a step in levels of samples; the bits that it takes."""
    colours = wavelet.colours_of(3, wavelet.angles_for(samples))
    planes = wavelet.analysed(samples, colours)
    height, width = samples.shape[:2]
    coded = bands.Bands(height, width, learned)
    tally = BinaryTally()
    unit = np.float32(step * wavelet.ONE_LEVEL)
    for place in wavelet.places(3):
        coded.choose(tally, place, place.of(planes[place.colour]).astype(np.float32) / unit)
    return tally.bits


def main() -> None:
    """Learn from photographs, and write the lesson."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder of photographs")
    parser.add_argument("-o", "--output", type=Path, default=bands.LESSON, help="file to write")
    args = parser.parse_args()
    # As `Any`: for numpy 2's types any name might be the option of `savez_compressed`.
    lesson: dict[str, Any] = bands.lesson(teach(args.photos, CROPS))
    with atomic_writer(args.output) as file:
        np.savez_compressed(file, **lesson)
    print(f"0x{checksum(*(part.astype(np.int64) for part in lesson.values())):08X}")


if __name__ == "__main__":
    main()
