"""The public names, and the modules that they come from."""

from .bitstream.container import Limits as Limits
from .bitstream.errors import CorruptError as CorruptError
from .bitstream.errors import FieldError as FieldError
from .bitstream.errors import LimitError as LimitError
from .bitstream.errors import ModelError as ModelError
from .bitstream.errors import NoisepressError as NoisepressError
from .bitstream.errors import NotNoisepressError as NotNoisepressError
from .bitstream.errors import OptionError as OptionError
from .bitstream.errors import TruncatedError as TruncatedError
from .bitstream.errors import UnknownIdError as UnknownIdError
from .bitstream.errors import UnsupportedImageError as UnsupportedImageError
from .bitstream.errors import VersionError as VersionError
from .codec.api import FileInfo as FileInfo
from .codec.api import decode as decode
from .codec.api import decode_preview as decode_preview
from .codec.api import decode_progressive as decode_progressive
from .codec.api import decode_raster as decode_raster
from .codec.api import encode as encode
from .codec.api import estimate as estimate
from .codec.api import inspect as inspect
from .codec.api import original_file as original_file
from .codec.api import truncate as truncate
from .codec.api import verify as verify
from .codec.archive import Archive as Archive
from .codec.archive import Member as Member
from .codec.archive import archive as archive
from .codec.ardm.codec import Ardm as Ardm
from .codec.diffc.codec import Diffc as Diffc
from .codec.fallback.codecs import JpegXL as JpegXL
from .codec.fallback.codecs import Png as Png
from .codec.fallback.codecs import WebP as WebP
from .codec.hfd.codec import Hfd as Hfd
from .codec.image.raster import Mode as Mode
from .codec.image.raster import Raster as Raster
from .codec.image.read import open_image as open_image
from .codec.image.write import save_image as save_image
from .codec.inputs import UnreadJpeg as UnreadJpeg
from .codec.jpegfile.codec import JpegFile as JpegFile
from .codec.options import Options as Options
from .codec.protocol import Decoding as Decoding
from .codec.screen.codec import Screen as Screen
from .codec.vdm.codec import Vdm as Vdm

__version__: str
