"""The kernel of maps of the values in use."""

from __future__ import annotations

from ._binary import Int32s, UInt32s, UInt64s, code_learned
from .compiled import kernel

FARTHEST = 31
"""Distances between values from which on they are no longer told apart."""
FIRST_CONTEXTS, CONTEXTS = (FARTHEST + 1) ** 2, (FARTHEST + 1) ** 2 + 4
"""Contexts of flags in the first channel, and in all."""


@kernel
def code_flags(
    mode: int, flags: Int32s, chances: Int32s, seen: Int32s, state: UInt64s, words: UInt32s
) -> float:
    """Code whether values are in use, see `values.InUse`.

    Args:
        mode: ENCODE, DECODE or TALLY.
        flags: (c, n), 0 or 1; a decoder fills them in.
        chances, seen: (CONTEXTS,), see `code_learned`.
    """
    spent = 0.0
    for channel in range(flags.shape[0]):
        gap = 0
        before = 0
        for value in range(flags.shape[1]):
            if channel == 0:
                context = min(gap, FARTHEST) * (FARTHEST + 1) + min(before, FARTHEST)
            else:
                context = FIRST_CONTEXTS + 2 * flags[channel - 1, value]
                if channel > 1:
                    context += flags[channel - 2, value]
            flag, bits = code_learned(
                mode, flags[channel, value], chances, seen, context, state, words
            )
            flags[channel, value] = flag
            spent += bits
            if flag:
                before = gap
                gap = 0
            else:
                gap += 1
    return spent
