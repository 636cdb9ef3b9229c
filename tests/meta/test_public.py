"""The public names: complete, lazy, and each from one place."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import noisepress

STUB = Path(noisepress.__file__).with_suffix(".pyi")
"""The list of the public names: what type checkers read, and the package itself."""


def public_names() -> list[tuple[str, str]]:
    """The names of the stub, behind the modules that they are imported from.

    Type checkers take a name for public if it is imported as itself.
    """
    return [
        (f".{node.module}", alias.name)
        for node in ast.parse(STUB.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    ]


def test_public_names_resolve_to_where_they_are_defined() -> None:
    for home, name in public_names():
        value = getattr(noisepress, name)
        assert value is getattr(importlib.import_module(home, "noisepress"), name)
        assert value.__module__ == f"noisepress{home}"


def test_all_dir_and_the_stub_agree() -> None:
    names = [name for _, name in public_names()]
    assert len(names) > 30 and len(names) == len(set(names))
    assert sorted(vars(noisepress)["__all__"]) == sorted(names)
    assert set(dir(noisepress)) == {*names, "__version__"}


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="noisepress attribute compress"):
        noisepress.compress  # type: ignore[attr-defined]  # noqa: B018


def test_public_functions_have_docstrings() -> None:
    for _, name in public_names():
        assert (getattr(noisepress, name).__doc__ or "").strip(), name


def loaded_by(code: str) -> set[str]:
    """Modules that are loaded after running code in a new interpreter."""
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_by("import noisepress; dir(noisepress); noisepress.__version__")
    assert "noisepress" in loaded
    heavy = {"torch", "numba", "PIL", "numpy", "constriction", "imagecodecs", "safetensors"}
    heavy |= {"zarr", "numcodecs", "imageio", "dask", "distributed"}
    assert not heavy & loaded


def test_inspecting_a_file_loads_no_model() -> None:
    data = noisepress.encode(b"P5 1 1 255\n\0", "png", fallback=False)
    loaded = loaded_by(f"import noisepress; assert noisepress.inspect({data!r}).width == 1")
    assert not {"torch", "numba", "constriction"} & loaded


def test_one_module_object_comes_from_one_file() -> None:
    """No file is imported under two names, such as the package's and its folder's.

    Only the root's __init__ may be: pytest imports it under the folder's name, and lazy as it
    is it then brings nothing with it.
    """
    for _, name in public_names():
        getattr(noisepress, name)
    ours = Path(noisepress.__file__).resolve().parent
    files = [
        Path(file).resolve()
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None)) and Path(file).suffix == ".py"
    ]
    source = [
        file
        for file in files
        if file.is_relative_to(ours) and "tests" not in file.relative_to(ours).parts
    ]
    assert source
    twice = {file for file, count in Counter(source).items() if count > 1}
    assert twice <= {ours / "__init__.py"}
