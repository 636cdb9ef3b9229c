"""What stands for a file's bytes."""

from __future__ import annotations

from typing import Any

from .image.read import as_raster as as_raster

Data = Any


def as_data(data: Data) -> bytes:
    return bytes(data)
