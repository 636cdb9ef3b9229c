"""Files that were cut or damaged: what they lack, in words, and whether that is an error."""

from __future__ import annotations

from collections.abc import Mapping

from ..bitstream.container import FIRST_SKIPPABLE, Contents, SectionKind
from ..bitstream.errors import TruncatedError, TruncatedWarning, warn

WORDS: Mapping[int, str] = {
    SectionKind.DATA: "pixels",
    SectionKind.ALPHA: "opacity",
    SectionKind.PALETTE: "palette",
    SectionKind.ICC: "ICC profile",
    SectionKind.EXIF: "EXIF",
    SectionKind.XMP: "XMP",
    SectionKind.CHUNKS: "PNG chunks",
}
"""What the sections hold that may be missing where there is a picture."""


def lacks(contents: Contents) -> tuple[str, ...]:
    """What of a file is not there, in words; nothing of a complete one."""
    kinds = contents.missing
    return tuple(dict.fromkeys(WORDS.get(kind, f"section kind {kind}") for kind in kinds))


def has_all_samples(contents: Contents) -> bool:
    """Whether the sections that the samples are made of are there."""
    return all(kind >= FIRST_SKIPPABLE for kind in contents.missing)


def require_whole(contents: Contents, *, lossless: bool, partial: bool) -> None:
    """Make sure that nobody takes a part of a file for all of it.

    Args:
        lossless: whether the codec is; a prefix of a lossy file is a picture by design.
        partial: what there is has been asked for.

    Raises:
        TruncatedError: the file is not whole, lossless, and a part was not asked for.
        TruncatedWarning: as a warning, for other files that are not whole.
    """
    if not contents.truncated:
        return
    how = "is damaged" if contents.damaged else "was cut"
    there = f"{len(contents.sections)} of {len(contents.table)} sections are there"
    text = f"the file {how}: {there}; missing: {', '.join(lacks(contents))}"
    if lossless and not partial:
        raise TruncatedError(f"{text}; partial=True (--partial) decodes what there is")
    warn(TruncatedWarning, text)
