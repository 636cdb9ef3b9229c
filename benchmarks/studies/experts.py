"""What each expert and each context of online mixing is worth: bytes of ardm without it.

    python -m noisepress.benchmarks.studies.experts PHOTO... -o OUT.json

sizes every photograph by the model's probabilities, with the whole mixing and with one thing left
out at a time, and prints a table. An interrupted run continues where it stopped.

The kernel of online mixing has no switch for this. The study compiles a copy of its source with
lines that leave out what a mask says. The mask is in place of the coder's state, which a tally does
not need.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import noisepress

from ...bitstream import _mixing
from ...codec.ardm.coding import estimate
from ...codec.image.raster import Mode, Raster, Samples
from ..measure import load
from ..report.markdown import table as markdown
from .points import arguments, measure_missing, read

Kernel = Callable[..., float]
"""See `_mixing.code_rows`."""

_SELECT, _MAPS = _mixing.INPUTS - 1, _mixing.INPUTS - 1 + _mixing.SETS
"""Places in the mask: inputs of the mixer come first, then what selects weights, then the maps."""

EDITS = {
    "        work.inputs[INPUTS - 1] = 0.3\n": f"""\
        for e in range(INPUTS - 1):
            if state[e]:
                work.inputs[e] = 0.0
        for s in range(SETS):
            if state[{_SELECT} + s]:
                work.kinds[s] = 0
""",
    "        one = 0.5 * mixed + 0.25 * refined\n": f"""\
        if state[{_MAPS}]:
            one = mixed
""",
}
"""Lines of the kernel, and the lines that the copy has behind them."""

EXPERTS = (
    "D_0, the network as it is",
    "D_1, the network moved and scaled",
    "D_2, the network moved to the mean prediction",
    "D_3, least squares of samples nearby",
    "D_4, least squares of the image so far",
    "D_5, last samples by channels before",
    "D_6, last samples by two neighbours and channel before",
    "X_0, counts by channels before",
    "X_1, counts by two neighbours and channel before",
    "X_2, counts by D_4, the network's mean and expected error",
    "X_3, counts by four neighbours and error of channel before",
    "X_4, counts by D_3, place between levels and error of channel before",
)
"""Inputs of the mixer, with their names in docs/format.md ("Online mixing")."""

CONTEXTS = (
    "kind_0, weights by expected error",
    "kind_1, weights by how often X_0 and X_1 occurred",
    "kind_2, weights by how many samples D_5 and D_6 know",
    "kind_3, weights by error of channel before",
)
"""What selects the weights of each set. The first also selects the row of a map."""

NOTHING = "nothing"
LEFT_OUT: dict[str, Sequence[int]] = {
    NOTHING: (),
    "D_0 to D_2, the network": range(_mixing.SHAPED),
    "D_3 and D_4, least squares": range(_mixing.SHAPED, _mixing.SHAPED + _mixing.FITTED),
    "D_5 and D_6, last samples": range(_mixing.SHAPED + _mixing.FITTED, _mixing.DISTRIBUTIONS),
    "X_0 to X_4, counts": range(_mixing.DISTRIBUTIONS, _SELECT),
    "kind_0 to kind_3, contexts of weights": range(_SELECT, _MAPS),
    "both adaptive maps": (_MAPS,),
    **{name: (place,) for place, name in enumerate((*EXPERTS, *CONTEXTS))},
}
"""Places in the mask that are set to leave something out."""


@dataclass(frozen=True)
class Size:
    """The size of one image.

    Attributes:
        image: file name of the photograph.
        left_out: one of `LEFT_OUT`.
        bytes: by the model's probabilities, without headers.
    """

    image: str
    left_out: str
    bytes: int

    @property
    def job(self) -> tuple[str, str]:
        return self.image, self.left_out


def edited(source: str) -> str:
    """The kernel's source with `EDITS`.

    Raises:
        ValueError: the source does not have one of the lines once.
    """
    for line, more in EDITS.items():
        if source.count(line) != 1:
            raise ValueError(f"the kernel does not have this line once: {line.strip()}")
        source = source.replace(line, line + more)
    return source


def masked_kernel(folder: Path) -> Kernel:
    """A kernel that leaves out what the mask says; its first call compiles it, for half a minute.

    Args:
        folder: for the source and the compiled code, as long as the kernel is in use.
    """
    path = folder / "_mixing_masked.py"
    path.write_text(edited(Path(_mixing.__file__).read_text()))
    # As a module beside the real one, which is where its relative imports lead.
    spec = spec_from_file_location(f"{_mixing.__package__}.{path.stem}", path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    kernel: Kernel = module.code_rows
    return kernel


def bits(image: Samples, left_out: str, kernel: Kernel) -> float:
    """Bits of an image (h, w, 3) of 8 bits without something, by a `masked_kernel`."""
    mask = np.zeros(_MAPS + 1, np.uint64)
    mask[list(LEFT_OUT[left_out])] = 1

    def code_rows(*args: Any) -> float:
        *rows, _state, words, place, plane, before, contexts, memory, tables, work = args
        return kernel(*rows, mask, words, place, plane, before, contexts, memory, tables, work)

    with patch.object(_mixing, "code_rows", code_rows):
        return estimate(Raster(image, Mode.RGB8), noisepress.Ardm())


def table(sizes: Sequence[Size]) -> str:
    """Markdown: bytes of the images, and per cent more without each thing, the most on top."""
    found = {size.job: size.bytes for size in sizes}
    images = list(dict.fromkeys(size.image for size in sizes))

    def more(left_out: str, image: str) -> float:
        return 100 * (found[image, left_out] / found[image, NOTHING] - 1)

    def mean(left_out: str) -> float:
        return sum(more(left_out, image) for image in images) / len(images)

    def column(image: str) -> Callable[[str], str]:
        return lambda left_out: (
            f"{found[image, left_out]:,}"
            if left_out == NOTHING
            else f"{more(left_out, image):+z.2f} %"
        )

    left_out = dict.fromkeys(size.left_out for size in sizes if size.left_out != NOTHING)
    return markdown(
        [NOTHING, *sorted(left_out, key=mean, reverse=True)],
        {
            "left out": str,
            **{image: column(image) for image in images},
            "mean": lambda one: "" if one == NOTHING else f"{mean(one):+z.2f} %",
        },
    )


def main() -> None:
    """Measure photographs."""
    args = arguments(__doc__).parse_args()
    images = {path.name: load(path) for path in args.photos}
    jobs = [(name, left_out) for left_out in LEFT_OUT for name in images]
    with tempfile.TemporaryDirectory() as folder:
        kernel = masked_kernel(Path(folder))
        measure_missing(
            args.output,
            Size,
            lambda name, left_out: Size(
                name, left_out, round(bits(images[name], left_out, kernel) / 8)
            ),
            jobs,
        )
    print(table(read(args.output, Size)))


if __name__ == "__main__":
    main()
