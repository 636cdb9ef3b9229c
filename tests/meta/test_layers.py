"""Who may import whom: the folders of the package form layers."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "noisepress"
ROOT_FILES = "the root"
FOLDERS = ("bitstream", "models", "codec", "training", "benchmarks")
PLUGINS = "plugins"
"""The folder whose modules are beside those of the root: plugins/pillow.py is noisepress.pillow."""

ALLOWED = {
    "bitstream": {"bitstream"},
    "models": {"bitstream", "models"},
    "codec": {"bitstream", "models", "codec"},
    "training": {"bitstream", "models", "training"},
    "benchmarks": {ROOT_FILES, "benchmarks"},
}
"""Folders of ours that each folder may import from; the root may import from all."""

FORBIDDEN = {
    "bitstream": {"torch", "PIL", "imagecodecs"},
    "models": {"PIL", "imagecodecs", "constriction"},
}
"""Packages of others that a folder must do without."""

STUDIES = ROOT / "benchmarks" / "studies"
"""The only benchmarks that may import from below the public names."""

OPEN = tuple(f"{PACKAGE}.{name}." for name in ("codec.options", "codec.image", "bitstream.atomic"))
"""Modules that all benchmarks may use: descriptions of options, images, and files written whole."""


def modules(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if STUDIES not in path.parents)


def imports(path: Path, source: str | None = None) -> Iterator[str]:
    """Absolute dotted names of everything that a file imports, wherever in it."""
    yield from imported(path, ast.walk(ast.parse(path.read_text() if source is None else source)))


def imported(path: Path, nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Absolute dotted names of what some nodes of a file import."""
    parts = module_name(path).split(".")
    if path.name == "__init__.py":
        parts.append("__init__")
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level] if node.level else []
            module = [*base, *(node.module.split(".") if node.module else [])]
            # `from ..models import registry` may name a module: keep the longer name.
            yield from (".".join([*module, alias.name]) for alias in node.names)


def home(name: str) -> str | None:
    """The folder of ours that an imported name is in, or None for others' packages."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return None
    return parts[1] if len(parts) > 1 and parts[1] in FOLDERS else ROOT_FILES


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_import_only_from_layers_below(folder: str) -> None:
    wrong = []
    for path in modules(folder):
        for name in imports(path):
            if folder == "benchmarks" and name.startswith(OPEN):
                continue
            target = home(name)
            top = name.split(".")[0]
            if (target and target not in ALLOWED[folder]) or top in FORBIDDEN.get(folder, ()):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_every_folder_with_modules_has_a_rule() -> None:
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found == set(FOLDERS) == set(ALLOWED)
    assert all(modules(folder) for folder in FOLDERS)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from ..models import registry", {"noisepress.models.registry"}),
        ("from .image.raster import Mode", {"noisepress.codec.image.raster.Mode"}),
        ("def f():\n    from .. import encode", {"noisepress.encode"}),
        ("if TYPE_CHECKING:\n    import noisepress.training.loop", {"noisepress.training.loop"}),
        ("import torch.nn as nn, numpy", {"torch.nn", "numpy"}),
    ],
)
def test_imports_are_found_wherever_they_are(source: str, expected: set[str]) -> None:
    assert set(imports(ROOT / "codec" / "api.py", source)) == expected


def test_imports_within_the_package_are_relative() -> None:
    """Absolute ones would tie the folders to one installed copy.

    Benchmarks may name the package: they use the public names as any user does.
    """
    wrong = []
    layers = [folder for folder in FOLDERS if folder != "benchmarks"]
    folders = [*layers, PLUGINS]
    for path in [*ROOT.glob("*.py"), *(path for folder in folders for path in modules(folder))]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level:
                absolute = [node.module or ""]
            elif isinstance(node, ast.Import):
                absolute = [alias.name for alias in node.names]
            else:
                continue
            if any(name.split(".")[0] in (PACKAGE, *FOLDERS) for name in absolute):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong, "\n".join(wrong)


def module_name(path: Path) -> str:
    """The dotted name of a module, for example noisepress.codec.api."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == PLUGINS else parts
    return ".".join([PACKAGE, *(part for part in parts if part != "__init__")])


def running(node: ast.AST, functions: bool) -> Iterator[ast.AST]:
    """The nodes below a node that run: not under TYPE_CHECKING; in functions if asked for."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            child = ast.Module(child.orelse, [])
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not functions:
            continue
        yield child
        yield from running(child, functions)


def dependencies(sources: Mapping[Path, str], functions: bool) -> dict[str, set[str]]:
    """The modules of the package that each module names in its imports.

    A name that is no module is one that the module or package before its last dot defines. Packages
    that Python loads on the way to a module do not count.
    """
    names = {module_name(path) for path in sources}
    graph = {}
    for path, source in sources.items():
        found = set(imported(path, running(ast.parse(source), functions)))
        targets = {name if name in names else name.rpartition(".")[0] for name in found}
        graph[module_name(path)] = targets & names
    return graph


def cycle(graph: Mapping[str, set[str]]) -> str:
    """A cycle of a graph in words, empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return ""


def product() -> dict[Path, str]:
    """All modules of the package and their text."""
    paths = [
        *ROOT.glob("*.py"),
        *(path for name in (*FOLDERS, PLUGINS) for path in (ROOT / name).rglob("*.py")),
    ]
    return {path: path.read_text() for path in paths}


def test_only_the_command_line_and_studies_import_plugins() -> None:
    plugins = {module_name(path) for path in modules(PLUGINS)}
    graph = dependencies(product(), functions=True)
    users = {module for module, needed in graph.items() if needed & plugins} - plugins
    studies = module_name(STUDIES / "__init__.py")
    assert plugins
    assert all(user == f"{PACKAGE}.cli" or user.startswith(f"{studies}.") for user in users)


def test_every_plugin_is_linked_beside_the_root() -> None:
    links = {path.name for path in (ROOT / ".dev" / PACKAGE).iterdir() if path.is_symlink()}
    assert {path.name for path in modules(PLUGINS)} <= links


def test_imports_of_modules_have_no_cycle() -> None:
    graph = dependencies(product(), functions=False)
    assert sum(map(len, graph.values())) > 100
    assert not cycle(graph)


def test_imports_in_functions_have_no_cycle_either() -> None:
    """A codec's coding.py is not imported by a statement but by name, in `DeferredCodec.coding`."""
    assert not cycle(dependencies(product(), functions=True))


@pytest.mark.parametrize(
    ("source", "modules", "functions"),
    [
        ("from .api import encode", True, True),
        ("from . import api", True, True),
        ("import noisepress.codec.api", True, True),
        ("class A:\n    from .api import encode", True, True),
        ("try:\n    from .api import encode\nexcept ImportError:\n    pass", True, True),
        ("def f():\n    from .api import encode", False, True),
        ("class A:\n    def f(self):\n        from ..codec import api", False, True),
        ("if TYPE_CHECKING:\n    from .api import encode", False, False),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    from .api import encode", True, True),
        ("from ..models.registry import Card", False, False),
    ],
)
def test_cycles_are_found(source: str, modules: bool, functions: bool) -> None:
    sources = {
        ROOT / "codec" / "api.py": "from .registry import codec_named",
        ROOT / "codec" / "registry.py": source,
        ROOT / "models" / "registry.py": "",
    }
    assert bool(cycle(dependencies(sources, functions=False))) is modules
    assert bool(cycle(dependencies(sources, functions=True))) is functions


def test_architecture_names_every_module_of_the_codecs() -> None:
    """The tree in docs/architecture.md has every module of codec/, and no other."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    folder, found = Path(), set()
    for line in text.split("```\ncodec/\n", 1)[1].split("```", 1)[0].splitlines():
        name = line.split()[0]
        if name.endswith("/"):
            folder = Path(name)
        else:
            found.add((folder if line.startswith("    ") else Path()) / name)
    modules = {path.relative_to(ROOT / "codec") for path in (ROOT / "codec").rglob("*.py")}
    assert found == {path for path in modules if path.name != "__init__.py"}
