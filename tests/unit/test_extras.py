"""Modules for other libraries say what to install where their library is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("zarr", "zarr", "zarr"),
        ("numcodecs", "numcodecs", "zarr"),
        ("imageio", "imageio", "imageio"),
        ("dask", "dask", "dask"),
    ],
)
def test_a_missing_package_is_named(module: str, package: str, extra: str) -> None:
    script = f"import sys; sys.modules[{package!r}] = None; import noisepress.{module}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith(f"ModuleNotFoundError: {package}"), done.stderr
    assert done.stderr.endswith(f'is missing; pip install "noisepress[{extra}]" brings it\n')
