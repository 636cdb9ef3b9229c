"""How many bits vdm's chain borrows before it gives any back, by its number of steps.

    python -m noisepress.benchmarks.studies.loans PHOTO... -o OUT.json

codes the first tile of every photograph. An interrupted run continues where it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...bitstream.coders import Stack
from ...bitstream.entropy import EntropyModel, Ints
from ...bitstream.noise import words
from ...codec.image.raster import Samples
from ...codec.vdm.bits_back import BitsBack
from ...codec.vdm.codec import Vdm
from ...codec.vdm.tiles import chain_inputs, tiles_of
from ...models.registry import find, load_network
from ...models.vdm import VdmNet
from ..measure import load
from .bits_back import STEPS
from .points import arguments, measure_missing


@dataclass(frozen=True)
class Loan:
    """Bits that one tile borrows, for each of its values.

    Attributes:
        image: file name.
        steps: of the chain.
        bit_swap: in the order of Bit-Swap, which vdm uses.
        top_down: if all latent values were drawn first, as in arXiv 1901.04866.
    """

    image: str
    steps: int
    bit_swap: float
    top_down: float

    @property
    def job(self) -> tuple[str, int]:
        return self.image, self.steps


class _Ledger(Stack):
    """A stack that remembers its lowest level and how many bits were taken."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.lowest, self.taken = self.bits, 0

    def pop(self, model: EntropyModel) -> Ints:
        before = self.bits
        symbols = super().pop(model)
        self.lowest, self.taken = min(self.lowest, self.bits), self.taken + before - self.bits
        return symbols


def measure(image: Samples, name: str, steps: int) -> Loan:
    """Code the first tile of an image (h, w, 3) on a stack that holds enough bits."""
    chain = BitsBack(load_network(find(Vdm.model), VdmNet), steps)
    even, pixels = chain_inputs([next(tiles_of(image))])
    count = pixels.numel()
    ledger = _Ledger(words(0, n=chain.initial_bits(count) // 32 + 1).tobytes() + b"\1")
    before = ledger.bits
    chain.push(ledger, even, pixels)
    return Loan(name, steps, (before - ledger.lowest) / count, ledger.taken / count)


def main() -> None:
    """Measure photographs."""
    args = arguments(__doc__).parse_args()
    images = {path.name: load(path) for path in args.photos}
    jobs = [(name, steps) for name in images for steps in STEPS]
    measure_missing(args.output, Loan, lambda name, steps: measure(images[name], name, steps), jobs)


if __name__ == "__main__":
    main()
