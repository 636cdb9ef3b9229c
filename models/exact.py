"""Integer-exact layers: networks whose outputs are the same bits on every machine.

Every weight, bias and activation is an integer held in a float tensor, and every sum that
a layer accumulates stays below 2^24 in magnitude. Float32 represents such sums exactly, so
they do not depend on the order of summation, the thread count, the memory layout, or the
library that computes the convolution.

Numbers are fixed point: a tensor with `frac` fractional bits holds `value * 2^frac`.
Convolutions read unsigned 8-bit activations with `ACTIVATION_FRAC` fractional bits (or signed
8-bit inputs of the same scale) and 8-bit weights with a power-of-two scale per output
channel; residual streams carry `RESIDUAL_FRAC` fractional bits.

Where oneDNN's 8-bit convolutions are exact on a machine, rectified activations travel as bytes and
they are used: they give the same integers several times faster.

Training runs the same forward pass on rounded copies of float weights, with straight-through
gradients (Bengio et al., arXiv 1308.3432), so that the trained network is the coded one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATION_FRAC = 4
"""Fractional bits of activations."""
RESIDUAL_FRAC = 8
"""Fractional bits of residual streams."""
ACTIVATION_MAX = 255
"""Largest activation, an unsigned 8-bit integer."""
WEIGHT_MAX = 127
"""Largest magnitude of a weight, a signed 8-bit integer."""
EXACT_LIMIT = 2**24
"""Below this float32 represents all integers, and so adds them exactly."""
RESIDUAL_LIMIT = 2**20
"""Largest magnitude in a residual stream."""
OUTPUT_LIMIT = EXACT_LIMIT - RESIDUAL_LIMIT
"""Limit of the outputs of a convolution, so that adding them to a residual stream is exact."""
_HALF = torch.tensor(0.5)


@cache
def training_dtype() -> torch.dtype:
    """Type of the factors of convolutions while training.

    Bfloat16 holds 8-bit factors exactly; it is 4 times faster than float32 on the matrix units of
    GPUs and of processors with AMX, 1.6 times with AVX-512 BF16, and slower without them.
    """
    # Private names of torch, which may go.
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    units = any(getattr(torch.cpu, name, lambda: False)() for name in names)
    return torch.bfloat16 if torch.cuda.is_available() or units else torch.float32


@cache
def _bytes_are_exact() -> bool:
    """True if oneDNN here sums 8-bit products in 32 bits.

    Processors without instructions for that let it add pairs in 16 bits, which saturate: the
    largest factors show it.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    x = torch.full((1, 64, 8, 8), float(ACTIVATION_MAX))
    for kernel in (1, 3):
        conv = ExactConv(64, 32, kernel, 0)
        weight = torch.full_like(conv.weight, WEIGHT_MAX)
        weight[::2].neg_()
        conv.set_integers(weight, torch.zeros(32), torch.ones(32))
        try:
            found = conv(x.to(torch.uint8))
        except (AttributeError, RuntimeError):
            return False
        if not torch.equal(found, conv(x)):
            return False
    return True


class ExactnessError(ValueError):
    """A layer cannot be proven to stay inside the exact range of float32."""


class _Round(torch.autograd.Function):
    """floor(x + 1/2) with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x + 0.5).floor_()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class _RoundReLU(torch.autograd.Function):
    """clamp(floor(x scale + 1/2), 0, ACTIVATION_MAX) with the gradient of the clamp.

    The result is of type `training_dtype`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        y = (x * scale).add_(0.5).floor_().clamp_(0, ACTIVATION_MAX).to(training_dtype())
        ctx.scale = scale
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        inside: Tensor = torch.ops.aten.hardtanh_backward(grad, y, 0, ACTIVATION_MAX)
        return inside.to(torch.float32).mul_(ctx.scale), None


class _Rescale(torch.autograd.Function):
    """total * scale + bias, per channel, as float32."""

    @staticmethod
    def forward(ctx: Any, total: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        ctx.dtype = total.dtype
        ctx.save_for_backward(scale)
        return torch.addcmul(bias[:, None, None], total.float(), scale[:, None, None])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor]:
        (scale,) = ctx.saved_tensors
        return (grad * scale[:, None, None]).to(ctx.dtype), None, grad.sum((0, 2, 3))


class Exact(nn.Module):
    """Base of the integer-exact modules.

    Attributes:
        quantise: False runs the float twin (no rounding, no 8-bit weights), to measure what
            exactness costs.
    """

    quantise: bool = True


class ExactConv(Exact):
    """Square, zero-padded convolution with integer weights.

    Args:
        inputs, outputs: channels.
        kernel: side of the kernel, odd.
        frac: fractional bits of the result.
        input_frac: fractional bits of the input.
        dilation: distance between the kernel's taps.

    The input holds integers of magnitude at most ACTIVATION_MAX; the output holds integers
    with `frac` fractional bits. While training, the rounding of outputs finer than
    activations is left out: a coarser rounding follows.
    """

    shift: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        frac: int,
        input_frac: int = ACTIVATION_FRAC,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.frac, self.input_frac = frac, input_frac
        self.dilation, self.padding = dilation, dilation * (kernel // 2)
        bound = 1 / math.sqrt(inputs * kernel * kernel)
        weight = torch.empty(outputs, inputs, kernel, kernel).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("shift", torch.zeros(0, dtype=torch.int8))
        self._packed: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": None}  # what oneDNN packed cannot be copied

    @property
    def frozen(self) -> bool:
        """True once the weights are integers."""
        return self.shift.numel() > 0

    def scale_bits(self) -> Tensor:
        """Fractional bits of the weights, one per output channel.

        The most that 8 bits hold, or, of wide layers, that keep sums below the limit.
        """
        sizes = self.weight.detach().abs()
        largest = sizes.amax((1, 2, 3)).clamp_min(2.0**-10)
        sums = sizes.sum((1, 2, 3)).clamp_min(2.0**-10) * ACTIVATION_MAX
        room = EXACT_LIMIT * 15 / 16  # the rest is for biases and rounding
        return torch.floor(torch.log2(torch.minimum(WEIGHT_MAX / largest, room / sums)))

    def integers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (outputs, inputs, kernel, kernel), biases (outputs,), factors (outputs,).

        Weights and biases are integers; the factors, powers of two, bring sums to the output.
        """
        if self.frozen:
            return self.weight, self.bias, torch.exp2(-self.shift.to(self.weight.dtype))
        bits = self.scale_bits()
        scale = torch.exp2(bits)
        weight = self.weight * scale[:, None, None, None]
        bias = self.bias * scale * 2.0**self.input_frac
        if self.quantise:
            weight, bias = _Round.apply(weight), _Round.apply(bias)
        return weight, bias, torch.exp2(self.frac - self.input_frac - bits)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w), see the class, to (n, outputs, h, w)."""
        if self.frozen and x.dtype == torch.uint8:
            return self._of_bytes(x)
        weight, bias, scale = self.integers()
        if self.frozen:
            with torch.autocast(x.device.type, enabled=False):
                total = self._sum(x, weight, bias)
            return total.mul_(scale[:, None, None]).add_(0.5).floor_()
        if not self.quantise:
            return self._sum(x, weight, bias) * scale[:, None, None]
        dtype = training_dtype()
        total = self._sum(x.to(dtype), weight.to(dtype), None)
        y: Tensor = _Rescale.apply(total, scale, bias * scale)
        return y

    def _sum(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return functional.conv2d(x, weight, bias, padding=self.padding, dilation=self.dilation)

    def _of_bytes(self, x: Tensor) -> Tensor:
        """The output of a frozen layer for unsigned 8-bit activations, by oneDNN."""
        units, unit = torch.ops.onednn, (1.0, 0)
        once = [1, 1], [self.padding] * 2, [self.dilation] * 2, 1
        if self._packed is None:
            weight, bias, scale = self.integers()
            signed = weight.to(torch.int8)
            packed = units.qconv_prepack(signed, scale, *unit, *once)
            # Every term is a multiple of the scale below 2^24 of them, so their sum is exact.
            rounding = torch.where(scale < 1, 0.5, 0.0)
            zeros = torch.zeros(len(scale), dtype=torch.int8)
            self._packed = packed, scale, zeros, bias * scale + rounding
        y: Tensor = units.qconv2d_pointwise(
            x, *unit, *self._packed, *once, *unit, torch.float32, "none", [], ""
        )
        return y.floor_()

    @torch.no_grad()
    def freeze(self, name: str = "layer") -> None:
        """Replace the float weights by the integers that training rounds them to.

        Raises:
            ExactnessError: see `prove`.
        """
        weight, bias, scale = self.integers()
        self.set_integers(weight, bias, (-torch.log2(scale)).round())
        self.prove(name)

    def prove(self, name: str = "layer") -> None:
        """Check that a frozen layer computes exactly in float32, whatever its input.

        Raises:
            ExactnessError: a sum could reach 2^24, or could when the output is added to a residual
                stream.
        """
        weight, bias, scale = self.integers()
        half = torch.floor(0.5 / scale)  # what rounding adds to the sum
        sums = weight.abs().sum((1, 2, 3)) * ACTIVATION_MAX + bias.abs() + half
        bounds = (
            ("sums", sums, EXACT_LIMIT, "2^24"),
            ("outputs", sums * scale, OUTPUT_LIMIT, "2^24 - 2^20"),
        )
        for what, reached, limit, shown in bounds:
            if (worst := float(reached.max())) >= limit:
                raise ExactnessError(f"{name}: {what} may reach {worst:.0f}, the limit is {shown}")

    def set_integers(self, weight: Tensor, bias: Tensor, shift: Tensor) -> None:
        """Freeze the layer with given integers.

        Args:
            weight: (outputs, inputs, kernel, kernel), of magnitude at most WEIGHT_MAX.
            bias: (outputs,), added to the sums.
            shift: (outputs,), bits by which the sums are shifted right.
        """
        self.weight = nn.Parameter(weight.float(), requires_grad=False)
        self.bias = nn.Parameter(bias.float(), requires_grad=False)
        self.shift = shift.to(torch.int8)
        self._packed = None

    def thaw(self) -> None:
        """Turn the integers of a frozen layer into float weights again, to continue training."""
        bits = self.shift.float() + self.frac - self.input_frac
        scale = torch.exp2(-bits)
        self.weight = nn.Parameter(self.weight * scale[:, None, None, None])
        self.bias = nn.Parameter(self.bias * scale * 2.0**-self.input_frac)
        self.shift = torch.zeros(0, dtype=torch.int8)


class ExactReLU(Exact):
    """Rectify and requantise to unsigned 8 bits with ACTIVATION_FRAC fractional bits.

    The result is of type uint8 where convolutions of bytes are exact.
    """

    def __init__(self, frac: int) -> None:
        super().__init__()
        self.scale = 2.0 ** (ACTIVATION_FRAC - frac)

    def forward(self, x: Tensor) -> Tensor:
        if not self.quantise:
            return (x * self.scale).clamp(0, ACTIVATION_MAX)
        if x.requires_grad:
            y: Tensor = _RoundReLU.apply(x, self.scale)
            return y
        y = torch.add(_HALF.to(x), x, alpha=self.scale).clamp_(0, ACTIVATION_MAX)
        here = x.device.type == "cpu" and x.dtype == torch.float32
        if here and torch.backends.mkldnn.enabled and _bytes_are_exact():
            return y.to(torch.uint8)
        return y.floor_()


class ExactBlock(Exact):
    """Residual block: ReLU, 3x3 convolution, ReLU, 1x1 convolution, exact addition."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.enter = ExactReLU(RESIDUAL_FRAC)
        self.spatial = ExactConv(channels, channels, 3, ACTIVATION_FRAC, dilation=dilation)
        self.between = ExactReLU(ACTIVATION_FRAC)
        self.pointwise = ExactConv(channels, channels, 1, RESIDUAL_FRAC)

    def forward(self, h: Tensor) -> Tensor:
        change: Tensor = self.pointwise(self.between(self.spatial(self.enter(h))))
        return bounded(h + change)


def bounded(stream: Tensor) -> Tensor:
    """A residual stream clamped to +-RESIDUAL_LIMIT, in place, so that adding to it stays exact."""
    if stream.requires_grad:
        return stream  # streams stay far below the limit in training
    return stream.clamp_(-RESIDUAL_LIMIT, RESIDUAL_LIMIT)


def convolutions(network: nn.Module) -> Iterator[tuple[str, ExactConv]]:
    """The integer-exact convolutions of a network with their names."""
    for name, module in network.named_modules():
        if isinstance(module, ExactConv):
            yield name, module


def set_quantise(network: nn.Module, quantise: bool) -> None:
    """Switch a network between its integer-exact form and its float twin."""
    for module in network.modules():
        if isinstance(module, Exact):
            module.quantise = quantise


def freeze(network: nn.Module) -> None:
    """Turn every convolution of a trained network into integers, proving the 2^24 bound.

    Raises:
        ExactnessError: names the first layer that cannot be proven exact.
    """
    for name, conv in convolutions(network):
        conv.freeze(name)
