"""noisepress: image compression with diffusion models.

Examples:
    >>> import numpy as np
    >>> import noisepress
    >>> image = np.zeros((4, 4), np.uint8)
    >>> data = noisepress.encode(image)
    >>> bool((noisepress.decode(data) == image).all())
    True
"""

from lazy_loader import attach_stub

__version__ = "0.1.0"

# The names are those of __init__.pyi; each is imported when it is first used.
__getattr__, _names, __all__ = attach_stub(__name__, __file__)


def __dir__() -> list[str]:
    return [*_names(), "__version__"]
