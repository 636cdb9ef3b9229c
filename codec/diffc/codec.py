"""The diffc codec: progressive lossy coding with a diffusion model.

An image is sent as a chain of ever less noisy versions of itself (codec/diffc/chain.py). Where the
chain ends sets rate and quality; every section in between is a picture of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ...bitstream.container import Contents, Section, SectionKind
from ...bitstream.errors import ModelError, OptionError
from ...bitstream.header import VARINT, Field, pack, unpack_all
from ...models import registry
from ..image.raster import Raster, Samples
from ..lossy import MODES, allowed_bytes, check_mode, check_wishes, pictures, split_opacity
from ..model_reference import (
    MODEL_FIELDS,
    chosen_model,
    describe_model,
    load_network,
    record,
    recorded_model,
)
from ..protocol import NO_CHECK, Decoding, Encoded, Report, assemble, check_ranges, parse_options

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from ...bitstream.reverse_channel import Product, ReverseCoder
    from .chain import Chain, Errors, Estimate

Reverse = Literal["trellis", "pfr"]

REVERSE: tuple[Reverse, ...] = ("trellis", "pfr")

FIELDS = (
    *MODEL_FIELDS,
    Field("reverse", VARINT, 0, len(REVERSE) - 1, "0 trellis, 1 pfr"),
    Field("states", VARINT, 1, 16, "trellis: bits of a state"),
    Field("seed", VARINT, 0, 2**32 - 1, "seed of the shared random numbers"),
)


@dataclass(frozen=True)
class Options:
    """Settings of an encode. At most one of `bpp`, `bytes` and `psnr`.

    Attributes:
        quality: 0 to 100: where the chain ends, on a scale linear in the logarithm of the noise.
        bpp: bits per pixel that the file may have.
        bytes: bytes that the file may have.
        psnr: dB that the mmse picture has at least.
        steps: of the whole chain, 10 to 1000; up to about 30 make smaller files, all take longer.
        effort: bits of a trellis state, 6 to 16; more make smaller files and take longer.
        reverse: see `REVERSE`; pfr is slow, and there for comparison.
        seed: 0 to 2^32 - 1.
        model: name of a bundled model, or path of a model file.
        device: of the network and of the search for codewords, such as `cuda`.
    """

    quality: float = 60
    bpp: float | None = None
    bytes: int | None = None
    psnr: float | None = None
    steps: int = 12
    effort: int = 12
    reverse: Reverse = "trellis"
    seed: int = 0
    model: str | None = None
    device: str = "cpu"


DEFAULT_MODEL = "diffc-photo"


@dataclass(frozen=True)
class Parameters:
    """Everything that a decoder needs to know, as stored in the header."""

    card: registry.Card
    values: Mapping[str, int]

    @classmethod
    def choose(cls, options: Options) -> Parameters:
        """Parameters for an encode.

        Raises:
            OptionError: an option is not supported.
            ModelError: there is no such model, or it is made for another codec.
        """
        if options.reverse not in REVERSE:
            raise OptionError(f"reverse {options.reverse!r}; supported are {', '.join(REVERSE)}")
        check_ranges(
            [
                ("quality", Real, options.quality, 0, 100),
                ("steps", Integral, options.steps, 10, 1000),
                ("effort", Integral, options.effort, 6, 16),
                ("seed", Integral, options.seed, 0, 2**32 - 1),
            ]
        )
        check_wishes(options.bpp, options.bytes, options.psnr)
        card = chosen_model(options.model or DEFAULT_MODEL)
        values = {
            "reverse": REVERSE.index(options.reverse),
            "states": options.effort,
            "seed": options.seed,
        }
        return cls(card, values)

    @classmethod
    def parse(cls, data: bytes, extra: Sequence[str] = ()) -> Parameters:
        """Parameters from a header.

        Args:
            extra: paths of model files to look at before the bundled ones.

        Raises:
            CorruptError: values out of range, or bytes left over.
            ModelError: the model is not there or has another digest.
        """
        values = unpack_fields(data)
        return cls(recorded_model(values, extra), values)

    def pack(self) -> bytes:
        """Header bytes."""
        return pack(FIELDS, {**self.values, **record(self.card)})

    def encoded(self, payloads: Sequence[bytes], beside: Sequence[Section] = ()) -> Encoded:
        """What a file is made of: data sections of these payloads, and others beside them."""
        data = [Section(SectionKind.DATA, payload) for payload in payloads]
        return Encoded(self.pack(), [*data, *beside])

    def reverse(self, device: str = "cpu") -> ReverseCoder:
        """The reverse channel coder, its matrix products on a device."""
        from ...bitstream.reverse_channel import Pfr, Trellis

        product = None if device == "cpu" else _product(device)
        if REVERSE[self.values["reverse"]] == "pfr":
            return Pfr(product)
        return Trellis(self.values["states"], product)

    def denoiser(self, device: str = "cpu") -> tuple[Estimate, Errors]:
        """The network, which takes images of any size, and how large its errors are.

        Raises:
            ModelError: the model is made for another codec, or there is no such device.
        """
        from ...models.tiling import estimate
        from ...models.unet import UNet
        from .chain import Errors

        network = load_network(self.card, device)
        if not isinstance(network, UNet):
            raise ModelError(f"model {self.card.name} is not made for diffc")
        try:
            errors = Errors.parse(self.card.tables)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"model {self.card.name} has no table of errors") from error

        def denoise(z: torch.Tensor, logsnr: float) -> torch.Tensor:
            return estimate(network, z, logsnr)

        return denoise, errors

    def chain(self, height: int, width: int, device: str = "cpu") -> Chain:
        """A chain of images of a size.

        Raises:
            ModelError: see `denoiser`.
        """
        from ...models.unet import UNet
        from ..pixels import padded
        from .chain import Chain

        sides, reverse = padded(height, width, UNet.MULTIPLE), self.reverse(device)
        return Chain(*self.denoiser(device), *sides, reverse, self.values["seed"])


def _product(device: str) -> Product:
    """Of matrices (n, v) and (s, v), on a device."""
    import torch

    def product(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        there = [torch.from_numpy(matrix).to(device) for matrix in (a, b)]
        found: NDArray[np.float32] = (there[0] @ there[1].T).cpu().numpy()
        return found

    return product


def unpack_fields(data: bytes) -> dict[str, int]:
    """The codec's header fields.

    Raises:
        CorruptError: values out of range, or bytes left over.
    """
    return unpack_all(FIELDS, data, "diffc")


class Diffc:
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 4
    NAME: ClassVar[str] = "diffc"
    LOSSLESS: ClassVar[bool] = False

    def encode(self, raster: Raster, options: Mapping[str, Any], report: Report) -> Encoded | None:
        """Sections of an image, or None for a layout that diffc does not take.

        Raises:
            OptionError, ModelError: see `Parameters.choose`; OptionError also if the file cannot
                be as small as asked for.
        """
        from .chain import lowest_level, quality_level
        from .rate_control import Wish, send

        chosen = parse_options(Options, options)
        parameters = Parameters.choose(chosen)
        if raster.mode not in MODES:
            return None
        height, width = raster.height, raster.width
        colour, beside = split_opacity(raster)

        def encoded(payloads: Sequence[bytes]) -> Encoded:
            return parameters.encoded(payloads, beside)

        def size(payloads: Sequence[bytes]) -> int:
            return len(assemble(raster, self.ID, NO_CHECK, encoded(payloads)))

        allowed = allowed_bytes(raster, chosen.bpp, chosen.bytes)
        wish = Wish(quality_level(chosen.quality), allowed, chosen.psnr, chosen.steps)
        first = lowest_level(height, width)
        return encoded(
            send(
                colour,
                lambda: parameters.chain(height, width, chosen.device),
                first,
                wish,
                size,
                report,
            )
        )

    def decode(self, contents: Contents, decoding: Decoding, report: Report) -> Iterator[Samples]:
        from .chain import lowest_level
        from .rate_control import receive

        header = contents.header
        check_mode(header, self.NAME)
        parameters = Parameters.parse(header.parameters, decoding.models)
        height, width = header.height, header.width
        chain = parameters.chain(height, width, decoding.device)
        picture = partial(chain.picture, decoding.render, decoding.detail, decoding.steps)
        payloads = contents.payloads(SectionKind.DATA)
        known = receive(chain, payloads, lowest_level(height, width))
        yield from pictures(contents, (picture for _ in known), decoding, report)

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        values = unpack_fields(parameters)
        return {**values, **describe_model(values), "reverse": REVERSE[values["reverse"]]}
