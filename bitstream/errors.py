"""Named errors and warnings of the package.

Errors derive from `NoisepressError`, warnings from `NoisepressWarning`.
"""

import sys
import warnings


class NoisepressError(Exception):
    """Base of all errors that bad input can cause; the message is one line."""


class NotNoisepressError(NoisepressError):
    """Not a .nzp file: other magic bytes, or an object that neither holds nor names a file."""


class VersionError(NoisepressError):
    """The file has a format version that this release does not know."""


class UnknownIdError(NoisepressError):
    """A codec, model or section id is not known to this release."""


class CorruptError(NoisepressError):
    """A checksum, length or field value is wrong."""


class TruncatedError(NoisepressError):
    """The data ends inside the header, or inside a section or archive member that is needed."""


class LimitError(NoisepressError):
    """The file asks for more pixels, sections or bytes than the limits allow."""


class ModelError(NoisepressError):
    """A model is missing, has another digest than the file names, or is for another codec."""


class UnsupportedImageError(NoisepressError):
    """The image has a sample layout or file format that is not supported."""


class FieldError(NoisepressError):
    """A header field is outside its range."""


class OptionError(NoisepressError):
    """An encoding option has a value that is not supported."""


class NoisepressWarning(UserWarning):
    """Base of all warnings: the work is done, and something about it must be known."""


class TruncatedWarning(NoisepressWarning):
    """What was decoded is not all that the complete file holds."""


class LossWarning(NoisepressWarning):
    """Something that a picture carried is not kept."""


_PACKAGE = __name__.partition(".bitstream")[0]


def warn(category: type[NoisepressWarning], text: str) -> None:
    """A warning that names the line of the user's program which called the package.

    Python shows a warning of equal text and line once a process. These concern one file each, so
    all of them are shown, unless the user filters them.

    Raises:
        category: warnings of it are errors in the user's program.
    """
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    place = frame.f_code.co_filename, frame.f_lineno
    warnings.warn_explicit(text, category, *place, registry={})


def one_line(error: BaseException) -> str:
    """The message of a library's error on one line, or the error's name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
