"""Named errors of the package. Every one derives from `NoisepressError`."""


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


def one_line(error: BaseException) -> str:
    """The message of a library's error on one line, or the error's name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
