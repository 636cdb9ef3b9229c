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


def test_public_names_resolve_to_where_they_are_defined() -> None:
    for home, names in noisepress._HOMES.items():
        module = importlib.import_module(home, "noisepress")
        for name in names:
            assert getattr(noisepress, name) is getattr(module, name)


def test_all_dir_and_the_table_agree() -> None:
    table = [name for names in noisepress._HOMES.values() for name in names]
    assert noisepress.__all__ == sorted(table)
    assert set(table) == set(noisepress._HOME) and len(table) == len(set(table))
    assert set(noisepress.__all__) < set(dir(noisepress))
    assert "__version__" in dir(noisepress)


def test_type_checkers_see_the_same_names() -> None:
    """The imports under TYPE_CHECKING name what the table names, from the same modules."""
    tree = ast.parse(Path(noisepress.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        f".{node.module}": tuple(alias.name for alias in node.names)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert seen == noisepress._HOMES


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="'noisepress' has no attribute 'compress'"):
        noisepress.compress  # type: ignore[attr-defined]  # noqa: B018


def test_public_functions_have_docstrings() -> None:
    for name in noisepress.__all__:
        assert (getattr(noisepress, name).__doc__ or "").strip(), name


def loaded_by(code: str) -> set[str]:
    """Modules that are there after running some code in a new interpreter."""
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_by("import noisepress; dir(noisepress); noisepress.__version__")
    assert "noisepress" in loaded
    heavy = {"torch", "numba", "PIL", "numpy", "constriction", "imagecodecs", "safetensors"}
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
    for name in noisepress.__all__:
        getattr(noisepress, name)
    ours = Path(noisepress.__file__).resolve().parent
    files = [
        Path(file).resolve()
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None)) and Path(file).suffix == ".py"
    ]
    source = [file for file in files if file.is_relative_to(ours) and "tests" not in file.parts]
    assert source
    twice = {file for file, count in Counter(source).items() if count > 1}
    assert twice <= {ours / "__init__.py"}
