"""The built wheel: what is in it, that it works outside a checkout, and the types users see."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import venv
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

import noisepress

ROOT = Path(__file__).parents[2]
FOLDERS = ("bitstream", "models", "codec", "training", "benchmarks")
LEFT_OUT = "measured"
"""The folder of benchmarks/ that is of use in a checkout only."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        name = f"noisepress-{noisepress.__version__}.dist-info/METADATA"
        return message_from_bytes(archive.read(name))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The executables of an environment with the wheel, and with this one's other packages."""
    folder: Path = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=sys.platform != "win32")
    paths = sysconfig.get_paths("venv", {"base": str(folder), "platbase": str(folder)})
    # A .pth file's folder is on the path, but its own .pth files, such as that of an editable
    # noisepress, have no effect.
    others = sysconfig.get_paths()["purelib"]
    (Path(paths["purelib"]) / "others.pth").write_text(others + "\n")
    scripts = Path(paths["scripts"])
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python")]
    arguments = ["install", "-q", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run([*pip, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return scripts


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    code = [ROOT / name for name in ("__init__.py", "__init__.pyi", "__main__.py", "cli.py")]
    code += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    data = [ROOT / "py.typed", ROOT / "codec/demo.png", ROOT / "codec/view.html"]
    data += [ROOT / "benchmarks/report/page.html", ROOT / "bitstream/bands.npz"]
    data += (ROOT / "codec/reference").iterdir()
    data += [*(ROOT / "models/weights").iterdir(), *(ROOT / "models/cards").iterdir()]
    plugins = {f"noisepress/{path.name}" for path in (ROOT / "plugins").glob("*.py")}
    expected = plugins | {
        f"noisepress/{path.relative_to(ROOT).as_posix()}"
        for path in (*code, *data)
        if LEFT_OUT not in path.relative_to(ROOT).parts
    }
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert len(expected) > 80
    assert names == expected


def test_only_compressai_keeps_numpy_below_2(metadata: Message) -> None:
    required = [line.partition(";") for line in metadata.get_all("Requires-Dist", [])]
    numpy = {extra.strip(): package for package, _, extra in required if "numpy" in package}
    assert numpy == {"": "numpy>=1.26", "extra == 'compressai'": "numpy<2"}


def test_the_core_needs_only_what_encodes_and_decodes(metadata: Message) -> None:
    required = [line for line in metadata.get_all("Requires-Dist", []) if ";" not in line]
    names = {re.split(r"[<>=]", line)[0] for line in required}
    coding = {"constriction", "imagecodecs", "numba", "numpy", "pillow", "safetensors", "torch"}
    others = {"lazy-loader", "threadpoolctl", "tifffile", "tqdm"}
    assert names <= coding | others and names >= coding
    extras = {"bench", "compressai", "dask", "docs", "fuzz", "imageio", "test", "train", "zarr"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras | {"all"}


def test_the_command_works_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = subprocess.run(
            [installed / "noisepress", *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("--version") == f"noisepress {noisepress.__version__}\n"
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    (tmp_path / "a.ppm").write_bytes(b"P6 7 9 255\n" + pixels.tobytes())
    run("encode", "a.ppm", "a.nzp", "--codec", "png")
    run("decode", "a.nzp", "b.ppm")
    assert (tmp_path / "b.ppm").read_bytes().endswith(pixels.tobytes())


def test_zarr_and_numcodecs_find_their_codecs_by_entry_points(
    installed: Path, tmp_path: Path
) -> None:
    """A process that writes, and a new one that reads, neither of which imports noisepress."""
    pytest.importorskip("zarr", reason="the extra zarr is not installed")
    (tmp_path / "write.py").write_text(
        "import numpy, zarr, json\n"
        "from importlib.metadata import entry_points\n"
        "(entry,) = entry_points(group='zarr.codecs', value='noisepress.zarr:NoisepressCodec')\n"
        "codec = {'name': entry.name, 'configuration': {'codec': 'png'}}\n"
        "image = numpy.arange(600, dtype='u2').reshape(20, 30)\n"
        "common = {'shape': image.shape, 'dtype': image.dtype, 'chunks': (16, 16)}\n"
        "zarr.create_array('3', serializer=codec, compressors=None, **common)[:] = image\n"
        "import numcodecs\n"
        "old = numcodecs.get_codec({'id': 'noisepress', 'codec': 'png'})\n"
        "zarr.create_array('2', compressors=old, zarr_format=2, **common)[:] = image\n"
    )
    (tmp_path / "read.py").write_text(
        "import sys, numpy, zarr\n"
        "for name in ('2', '3'):\n"
        "    image = zarr.open_array(name, mode='r')[:]\n"
        "    assert (image == numpy.arange(600).reshape(20, 30)).all()\n"
    )
    for script in ("write.py", "read.py"):
        done = subprocess.run(
            [installed / "python", script], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


USER = """
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import noisepress

image = np.zeros((4, 4, 3), np.uint8)
data = noisepress.encode(image)
assert_type(data, bytes)
assert_type(noisepress.decode(data), NDArray[Any])
assert_type(noisepress.inspect(data).codec, str)
for member in noisepress.Archive(noisepress.archive([("a", image)])).members:
    assert_type(member.name, str)
lossy = noisepress.encode(image, noisepress.Diffc(bpp=0.3))
try:
    noisepress.verify(data, image)
except noisepress.NoisepressError as error:
    print(error)
"""

MISTAKES = """
import noisepress

noisepress.Diffc(bqp=0.3)
noisepress.decode(data=1)
noisepress.compress(b"")
"""


def test_a_type_checker_sees_the_types_and_finds_mistakes(
    installed: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    kept = getattr(pytestconfig, "cache", None)  # absent with -p no:cacheprovider
    cache = kept.mkdir("mypy") if kept else tmp_path / "cache"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}"),
            *(f"--python-executable={installed / 'python'}", "user.py", "mistakes.py"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    found = re.findall(r"^(\S+?):(\d+): error: .*\[(\S+)\]$", done.stdout, re.MULTILINE)
    assert found == [
        ("mistakes.py", "4", "call-arg"),
        ("mistakes.py", "5", "arg-type"),
        ("mistakes.py", "6", "attr-defined"),
    ], done.stdout
