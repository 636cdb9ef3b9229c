"""The text of the source files: no traces of one machine, and a docstring in every module."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("bitstream", "models", "codec", "plugins", "training", "benchmarks", "tests", "docs")
SUFFIXES = (".py", ".md", ".toml", ".json", ".typed", ".txt", ".cfg", ".yml", ".yaml")
MACHINE = re.compile(r"(?<![\w.])/(?:" + "|".join(("work", "opt", "home", "root", "mnt")) + r")/\w")


def sources() -> list[Path]:
    """Text files of the repository, without what tools leave in hidden folders."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(
        path
        for path in found
        if path.suffix in SUFFIXES and "__pycache__" not in path.parts and path.name[0] != "."
    )


SOURCES = sources()
MODULES = [path for path in SOURCES if path.suffix == ".py"]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_sources_are_found() -> None:
    names = {name(path) for path in SOURCES}
    assert {"cli.py", "pyproject.toml", "codec/api.py", "tests/meta/test_text.py"} <= names


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_machine_paths(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [
        f"{path.name}:{at}: {line}" for at, line in enumerate(lines, 1) if MACHINE.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_what_it_is(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    if path.name == "__init__.py" and not source:
        return
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring and docstring.strip()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see " + "/opt" + "/x", True),
        ("'" + "/work" + "/y'", True),
        ("bits/work/hours", False),
        ("https://a.b/opt/x", False),
        ("2/opt", False),
    ],
)
def test_pattern(text: str, found: bool) -> None:
    assert bool(MACHINE.search(text)) is found
