"""Coders: the same calls of `code` encode, decode, or count bits.

Entropy coding is done by constriction: a range coder (`Encoder`, `Decoder`) for streams that are
read in the order in which they were written, and an asymmetric numeral system (`Stack`), which is
last in, first out, for bits-back coding.
"""

from __future__ import annotations

from typing import Any, Protocol

import constriction
import numpy as np
from numpy.typing import NDArray

from .entropy import EntropyModel, Frequencies, Ints
from .errors import CorruptError

_FAMILY = constriction.stream.model.Categorical(perfect=False)
_WORD_BYTES = 4
_WHOLE = 2**24
_BOTTOM_BITS = 32
"""Smallest number of valid bits of a stack: its state is then at least 2^32."""


class Coder(Protocol):
    """Encodes or decodes arrays of symbols; which of the two depends on the class."""

    def code(self, symbols: Ints | None, model: Any) -> Ints:
        """Write, read or count symbols.

        Args:
            symbols: (n,) int32 for coders that write or count, None for those that read.
            model: the distributions of the n symbols: an `EntropyModel`, for the coders here; a
                `BinaryModel`, for those of binary.py.

        Returns:
            The symbols, (n,) int32.

        Raises:
            CorruptError: data that a decoder reads is damaged.
            ValueError: symbols are given to a decoder, missing for an encoder, or outside the
                model's range.
        """
        ...


def bytes_of_words(words: NDArray[np.uint32]) -> bytes:
    """Little-endian bytes without trailing zeros, which `words_of_bytes` restores."""
    return words.astype("<u4").tobytes().rstrip(b"\0")


def words_of_bytes(data: bytes) -> NDArray[np.uint32]:
    padded = data + bytes(-len(data) % _WORD_BYTES)
    return np.frombuffer(padded, "<u4").astype(np.uint32)


class Encoder:
    """A `Coder` that writes a range-coded stream."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        if symbols is None:
            raise ValueError("an encoder needs symbols")
        return model.run(symbols, self._step)

    def _step(self, digits: Ints | None, frequencies: Frequencies) -> Ints:
        assert digits is not None
        if len(digits):
            self._coder.encode(digits, _FAMILY, frequencies)
        return digits

    def finish(self) -> bytes:
        """The stream so far, as bytes."""
        return bytes_of_words(self._coder.get_compressed())


class Decoder:
    """A `Coder` that reads the bytes that an `Encoder` wrote."""

    def __init__(self, data: bytes) -> None:
        self._coder = constriction.stream.queue.RangeDecoder(words_of_bytes(data))

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        if symbols is not None:
            raise ValueError("a decoder takes no symbols")
        return model.run(None, self._step)

    def _step(self, digits: Ints | None, frequencies: Frequencies) -> Ints:
        if not len(frequencies):
            return np.zeros(0, np.int32)
        try:
            decoded: Ints = self._coder.decode(_FAMILY, frequencies)
        except AssertionError as error:
            raise CorruptError("the entropy-coded data is damaged") from error
        return decoded


class Tally:
    """A `Coder` that adds up the information content of symbols and writes nothing.

    Attributes:
        bits: sum of -log2 of the probabilities with which the other coders code the symbols.
    """

    def __init__(self) -> None:
        self.bits = 0.0

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        if symbols is None:
            raise ValueError("a tally needs symbols")
        return model.run(symbols, self._step)

    def _step(self, digits: Ints | None, frequencies: Frequencies) -> Ints:
        assert digits is not None
        last = frequencies.shape[1] - 1
        sums = np.cumsum(frequencies, axis=1, dtype=np.float32)
        scale = np.float32(_WHOLE - last - 1) / sums[:, -1]
        end = np.take_along_axis(sums, digits[:, None], 1)[:, 0]
        start = end - np.take_along_axis(frequencies, digits[:, None], 1)[:, 0]
        # The same probabilities as in the coders, see `Frequencies`.
        left = np.trunc(start * scale) + digits
        right = np.where(digits == last, _WHOLE, np.trunc(end * scale) + digits + 1)
        self.bits -= float(np.log2((right - left) / _WHOLE).sum())
        return digits


class Stack:
    """Last-in, first-out entropy coding by an asymmetric numeral system, for bits-back coding.

    The state never falls below 2^32: it starts there, a push never lowers it, and a pop that would
    is an error. So 32 bits at the bottom, those of an empty stack or of the bytes that it started
    from, cannot be popped. Above them, pushing the popped symbols with the same model undoes a pop.

    Args:
        data: bytes from `seal`, or any others that serve as initial bits.

    Raises:
        CorruptError: `data` is no stack: it has fewer than 32 valid bits (those below its highest
            set bit) or ends in a zero byte.
    """

    def __init__(self, data: bytes = b"\0\0\0\0\1") -> None:
        if data[-1:] in (b"", b"\0"):
            raise CorruptError("the stack is empty or ends in a zero byte")
        self._coder = constriction.stream.stack.AnsCoder(words_of_bytes(data))
        if self.bits < _BOTTOM_BITS:
            raise CorruptError(
                f"the stack has {self.bits} bits; supported are {_BOTTOM_BITS} or more"
            )

    def push(self, symbols: Ints, model: EntropyModel) -> None:
        """Put symbols, (n,) int32, on top.

        Raises:
            ValueError: a symbol is outside the model's range.
        """
        decisions: list[tuple[Ints, Frequencies]] = []

        def collect(digits: Ints | None, frequencies: Frequencies) -> Ints:
            assert digits is not None
            decisions.append((digits, frequencies))
            return digits

        model.run(symbols, collect)
        for digits, frequencies in reversed(decisions):
            if len(digits):
                self._coder.encode_reverse(digits, _FAMILY, frequencies)

    def pop(self, model: EntropyModel) -> Ints:
        """Remove the symbols, (n,) int32, that a `push` with the same model put on top.

        Raises:
            CorruptError: the stack holds fewer bits than the symbols need; it cannot be used
                any more.
        """

        def take(digits: Ints | None, frequencies: Frequencies) -> Ints:
            if not len(frequencies):
                return np.zeros(0, np.int32)
            popped: Ints = self._coder.decode(_FAMILY, frequencies)
            # With no words left to refill it, a state below 2^32 never rises again, so one check
            # after the last symbol finds an underflow at any of them.
            if self.bits < _BOTTOM_BITS:
                raise CorruptError("the stack holds fewer bits than the symbols need")
            return popped

        return model.run(None, take)

    @property
    def bits(self) -> int:
        """Number of valid bits on the stack, including the 32 that cannot be popped."""
        return int(self._coder.num_valid_bits())

    def seal(self) -> bytes:
        """The contents of the stack, as bytes."""
        return bytes_of_words(self._coder.get_compressed())
