"""Documentation that runs: doctests and the Python blocks of README.md and docs/.

The blocks of one document run in order, in one namespace and in a folder of its own that holds
photo.png (48 x 32, RGB), so an example may say "photo.png" and use names of the blocks above.
"""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import noisepress

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTIONAL = {"dask", "distributed", "imageio", "numcodecs", "zarr"}
"""Packages that examples need and that only extras bring."""
_BLOCK = re.compile(r"^```(?:python|py|pycon)[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[tuple[int, str]]:
    """Line number and source of each Python block."""
    return [(text.count("\n", 0, m.start(1)) + 1, m[1]) for m in _BLOCK.finditer(text)]


def execute(source: str, namespace: dict[str, object], name: str, line: int) -> None:
    """Run a block: as a doctest if it has prompts, else as a script."""
    if ">>> " in source:
        parsed = doctest.DocTestParser().get_doctest(source, namespace, name, name, line)
        parsed.globs = namespace
        result = doctest.DocTestRunner().run(parsed, clear_globs=False)
        assert result.failed == 0, f"{name}, line {line}"
    else:
        padded = "\n" * (line - 1) + source  # so that tracebacks name the document's lines
        exec(compile(padded, name, "exec"), namespace)


def test_readme_has_an_example() -> None:
    assert blocks((ROOT / "README.md").read_text())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_blocks_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    photo = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    Image.fromarray(photo).resize((48, 32)).save("photo.png")
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line, source in blocks(document.read_text()):
        try:
            execute(source, namespace, document.name, line)
        except ModuleNotFoundError as error:
            if error.name not in OPTIONAL:
                raise
            pytest.skip(f"{error.name} is not installed")


def test_doctests_of_the_package() -> None:
    result = doctest.testmod(noisepress)
    assert result.attempted > 0
    assert result.failed == 0


def test_blocks_are_found_and_failures_noticed() -> None:
    text = "# Title\n\n```python\nx = 1\n```\n```sh\nls\n```\n```pycon\n>>> x + 1\n3\n```\n"
    found = blocks(text)
    assert [line for line, _ in found] == [4, 10]
    namespace: dict[str, object] = {}
    execute(found[0][1], namespace, "tests/text", 4)
    assert namespace["x"] == 1
    with pytest.raises(AssertionError, match="line 10"):
        execute(found[1][1], namespace, "tests/text", 10)
