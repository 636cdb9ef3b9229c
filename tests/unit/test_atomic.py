"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from threading import Thread

import pytest

from noisepress.bitstream.atomic import atomic_writer, write_atomically


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"first", b""):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(error), atomic_writer(path) as file:
        file.write(b"half")
        assert path.read_bytes() == b"before"
        assert len(list(tmp_path.iterdir())) == 2
        raise error
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "file", b"data")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OSError):
        write_atomically(tmp_path / "folder", b"data")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_names_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250)
    write_atomically(path, b"data")
    assert path.read_bytes() == b"data"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "file"
    before = os.umask(umask)
    try:
        write_atomically(path, b"data")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions, links and pipes")
class TestWhatIsReplaced:
    """A file keeps its permissions, a link leads on, and what is no file stays what it is."""

    @pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
    def test_permissions(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"before")
        path.chmod(mode)
        write_atomically(path, b"data")
        assert stat.S_IMODE(path.stat().st_mode) == mode and path.read_bytes() == b"data"

    @pytest.mark.parametrize("exists", [True, False])
    def test_links(self, tmp_path: Path, exists: bool) -> None:
        (tmp_path / "folder").mkdir()
        file, link = tmp_path / "folder" / "file", tmp_path / "link"
        if exists:
            file.write_bytes(b"before")
        link.symlink_to(Path("folder") / "file")
        write_atomically(link, b"data")
        assert link.is_symlink() and file.read_bytes() == b"data"
        assert sorted(tmp_path.rglob("*")) == sorted([tmp_path / "folder", file, link])

    def test_pipes_and_devices(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        found: list[bytes] = []
        reader = Thread(target=lambda: found.append(pipe.read_bytes()))
        reader.start()
        write_atomically(pipe, b"data")
        reader.join()
        assert found == [b"data"] and stat.S_ISFIFO(pipe.stat().st_mode)
        link = tmp_path / "null"
        link.symlink_to(os.devnull)
        write_atomically(link, b"data")
        assert stat.S_ISCHR(link.stat().st_mode)
