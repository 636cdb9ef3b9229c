"""Every sentence of docs/promises.md names a test that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROWS = re.findall(
    r"^\| (.+?) \| `(.+?)::(\w+)` \|$",
    (TESTS.parent / "docs" / "promises.md").read_text(),
    re.MULTILINE,
)


def test_every_promise_has_a_test() -> None:
    text = (TESTS.parent / "docs" / "promises.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    headings = sum("promise | test" in line for line in lines)
    assert len(ROWS) == len(lines) - 2 * headings > 25
    for promise, file, name in ROWS:
        tree = ast.parse((TESTS / file).read_text())
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in found, f"{promise} {file} has no {name}"
