"""What a stack tells beside its samples: how an animation is shown, and a description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..bitstream.container import Section, SectionKind
from ..bitstream.errors import CorruptError
from ..bitstream.header import VARINT, Field, pack, unpack

ANIMATION = (
    Field("plays", VARINT, 0, 2**32, "times that the animation is shown, 0 for ever"),
    Field("count", VARINT, 1, 2**30, "frames, whose durations follow"),
)
DURATION = (Field("duration", VARINT, 0, 2**48, "microseconds for which a frame is shown"),)


@dataclass(frozen=True)
class Animation:
    """How frames are shown.

    Attributes:
        durations: of the frames, in milliseconds, kept to microseconds.
        plays: how many times they are shown; 0: for ever.
    """

    durations: tuple[float, ...]
    plays: int = 0

    def section(self, frames: slice) -> Section:
        """The section of some of the frames."""
        durations = self.durations[frames]
        payload = pack(ANIMATION, {"plays": self.plays, "count": len(durations)})
        for duration in durations:
            payload += pack(DURATION, {"duration": round(1000 * duration)})
        return Section(SectionKind.ANIMATION, payload)

    @classmethod
    def parse(cls, payload: bytes) -> Animation:
        """The animation of a section.

        Raises:
            CorruptError, TruncatedError: the section is damaged.
        """
        values, position = unpack(ANIMATION, payload, 0)
        durations = []
        for _ in range(values["count"]):
            row, position = unpack(DURATION, payload, position)
            durations.append(row["duration"] / 1000)
        if position != len(payload):
            raise CorruptError("the section of an animation has bytes left over")
        return cls(tuple(durations), values["plays"])


@dataclass(frozen=True)
class About:
    """What a stack tells beside its samples.

    Attributes:
        animation: how the frames are shown; None of frames that are no animation.
        description: text, such as that of a TIFF file; empty if there is none.
    """

    animation: Animation | None = None
    description: str = ""

    def sections(self, first: int, count: int) -> list[Section]:
        """The sections of a group of frames; the description is with the first one."""
        found = []
        if self.animation:
            found.append(self.animation.section(slice(first, first + count)))
        if self.description and not first:
            found.append(Section(SectionKind.DESCRIPTION, self.description.encode()))
        return found

    @classmethod
    def parse(cls, sections: Sequence[Section], frames: int) -> About:
        """What the sections of a stack's groups tell; durations only if they are of all frames.

        Raises:
            CorruptError, TruncatedError: a section is damaged.
        """
        payloads = {
            kind: [each.payload for each in sections if each.kind == kind]
            for kind in (SectionKind.ANIMATION, SectionKind.DESCRIPTION)
        }
        parts = [Animation.parse(payload) for payload in payloads[SectionKind.ANIMATION]]
        durations = tuple(duration for part in parts for duration in part.durations)
        known = parts and len(durations) == frames
        texts = [text.decode("utf-8", "replace") for text in payloads[SectionKind.DESCRIPTION]]
        return cls(Animation(durations, parts[0].plays) if known else None, "".join(texts[:1]))


NOTHING = About()
"""Of a stack that is its samples alone."""
