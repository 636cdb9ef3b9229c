"""Named errors of the package. Every one derives from `NoisepressError`."""


class NoisepressError(Exception):
    """Base of all errors that bad input can cause; the message is one line."""


class NotNoisepressError(NoisepressError):
    """The data does not start with the magic bytes of a .nzp file."""


class VersionError(NoisepressError):
    """The file has a format version that this release does not know."""


class UnknownIdError(NoisepressError):
    """A codec, model or section id is not known to this release."""


class CorruptError(NoisepressError):
    """A checksum, length or field value is wrong."""


class TruncatedError(NoisepressError):
    """The data ends before the first whole section."""


class LimitError(NoisepressError):
    """The file asks for more pixels, sections or bytes than the limits allow."""


class ModelError(NoisepressError):
    """The model that a file names is not there, or has another digest."""


class UnsupportedImageError(NoisepressError):
    """The image is of a kind that the codec does not take."""


class FieldError(NoisepressError):
    """A header field is outside its range."""


class OptionError(NoisepressError):
    """An encoding option has a value that is not supported."""
