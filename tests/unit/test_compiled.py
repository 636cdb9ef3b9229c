"""Compiled functions work, and give the same, whatever becomes of their machine code on disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numba.core import caching

from noisepress.bitstream.compiled import compiled

MODULE = """
from noisepress.bitstream.compiled import compiled

@compiled()
def added(a, b):
    return a + b

print(added(1, 2), sum(added.stats.cache_hits.values()))
"""


def added(a: int, b: int) -> int:
    return a + b


@pytest.fixture
def in_new_process(tmp_path: Path) -> Iterator[Any]:
    """Runs the module: the sum, and how often machine code was read from `tmp_path / "kept"`."""
    module = tmp_path / "module.py"
    module.write_text(MODULE)
    kept = tmp_path / "kept"

    def run() -> str:
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(kept)}
        command = [sys.executable, str(module)]
        return subprocess.check_output(command, env=environment, text=True).strip()

    yield run


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", [b"", b"cut", b"\x80\x04" + bytes(50)])
def test_damaged_files_are_made_anew(
    suffix: str, damage: bytes, in_new_process: Any, tmp_path: Path
) -> None:
    assert in_new_process() == "3 0"
    assert in_new_process() == "3 1"
    (file,) = tmp_path.rglob(f"*{suffix}")
    file.write_bytes(damage)
    assert in_new_process() == "3 0"
    assert in_new_process() == "3 1"


def test_a_folder_in_place_of_a_file(in_new_process: Any, tmp_path: Path) -> None:
    assert in_new_process() == "3 0"
    (file,) = tmp_path.rglob("*.nbi")
    file.unlink()
    file.mkdir()
    assert in_new_process() == "3 0"


def test_without_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        caching.FunctionCache(added)  # type: ignore[no-untyped-call]
    assert compiled()(added)(1, 2) == 3


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EFBIG])
def test_files_that_cannot_be_written(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refused(*_: Any) -> None:
        tried.append(1)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(caching.IndexDataCacheFile, "load", lambda *_: None)
    monkeypatch.setattr(caching.IndexDataCacheFile, "save", refused)
    assert compiled()(added)(1, 2) == 3
    assert tried
