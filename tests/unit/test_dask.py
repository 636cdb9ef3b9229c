"""Encoding and decoding on a cluster, one worker of which is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from common import picture, raster
from PIL import Image

import noisepress
from noisepress.codec.image.raster import Mode

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")

import dask.array as da  # noqa: E402
import dask.bag as db  # noqa: E402

import noisepress.dask  # noqa: E402
from noisepress.benchmarks import bench  # noqa: E402
from noisepress.benchmarks.bench import run  # noqa: E402
from noisepress.benchmarks.codecs import parse_all  # noqa: E402
from noisepress.benchmarks.errors import BenchError  # noqa: E402

PNG: dict[str, Any] = {"codec": "png", "fallback": False}


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A cluster of two processes with a thread each."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as connected,
    ):
        yield connected


def folder_of_images(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{index:03}.png" for index in range(count)]
    for index, path in enumerate(paths):
        Image.fromarray(picture(6 + index % 9, 8)).save(path)
    return paths


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_files_survive_a_killed_worker(client: Any, tmp_path: Path) -> None:
    """Of 200 images, each is there once, whole."""
    paths = folder_of_images(tmp_path / "images", 200)
    coded = tmp_path / "coded"
    coded.mkdir()
    future = client.compute(noisepress.dask.encode_files(paths, coded, **PNG))
    deadline = time.monotonic() + 120
    while len(list(coded.iterdir())) < 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    assert len(list(coded.iterdir())) < 190
    outcomes = future.result(timeout=120)
    names = [f"{path.stem}.nzp" for path in paths]
    assert [Path(outcome.target).name for outcome in outcomes] == names
    assert sorted(path.name for path in coded.iterdir() if path.suffix == ".nzp") == names
    for index, outcome in enumerate(outcomes):
        assert outcome.source == str(paths[index]) and not outcome.error
        assert outcome.size == Path(outcome.target).stat().st_size
        assert np.array_equal(noisepress.decode(outcome.target), picture(6 + index % 9, 8))


def test_files_are_kept_and_bad_ones_reported(client: Any, tmp_path: Path) -> None:
    paths = folder_of_images(tmp_path / "images", 3)
    (tmp_path / "images" / "001.png").write_bytes(b"no image")
    (tmp_path / "000.nzp").write_bytes(b"kept")
    outcomes = noisepress.dask.encode_files(paths, tmp_path, **PNG).compute()
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, False]
    assert "not a supported image file" in outcomes[1].error and outcomes[1].size == 0
    assert (tmp_path / "000.nzp").read_bytes() == b"kept"
    back = tmp_path / "back"
    back.mkdir()
    decoded = noisepress.dask.decode_files([tmp_path / "002.nzp"], back, ".ppm").compute()
    assert decoded[0].target == str(back / "002.ppm")
    with Image.open(back / "002.ppm") as image:
        assert np.array_equal(np.asarray(image), picture(8, 8))
    with pytest.raises(noisepress.OptionError, match="would both become"):
        noisepress.dask.encode_files(["a/x.png", "b/x.png"], tmp_path)


def test_bags(client: Any) -> None:
    images = [picture(9, 8), picture(5, 7, 1)[..., 0]]
    bag = noisepress.dask.encode_bag(db.from_sequence(images, partition_size=1), **PNG)
    found = noisepress.dask.decode_bag(bag).compute()
    assert all(np.array_equal(one, image) for one, image in zip(found, images, strict=True))


@pytest.mark.parametrize(
    ("samples", "chunks", "axes"),
    [
        (picture(20, 30, 5).transpose(2, 0, 1), (2, 16, 16), None),
        (picture(20, 30), (16, 16, 3), None),
        (raster(Mode.RGB16, 20, 30).samples.transpose(2, 0, 1), (3, 16, 16), "cyx"),
    ],
)
def test_arrays(client: Any, samples: Any, chunks: tuple[int, ...], axes: Any) -> None:
    array = da.from_array(samples, chunks=chunks)
    coded = noisepress.dask.encode_array(array, "png", axes=axes)
    assert coded.numblocks == coded.shape == array.numblocks
    again = noisepress.dask.decode_array(coded, array.chunks, array.dtype, "png", axes=axes)
    assert again.chunks == array.chunks
    assert np.array_equal(again.compute(), samples)


def test_a_benchmark_over_the_cluster(client: Any, tmp_path: Path) -> None:
    paths = folder_of_images(tmp_path / "images", 2)
    settings = parse_all(["png", "webp-lossless"])
    results = run(paths, settings, tmp_path / "out", dask=client.scheduler.address)
    assert results.machine["jobs"] == 2 and not results.failed()
    assert {(one.image, one.setting.codec) for one in results.measurements} == {
        (path.name, codec) for path in paths for codec in ("png", "webp-lossless")
    }


def test_no_cluster_at_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_CONNECT", 1)
    paths = folder_of_images(tmp_path / "images", 1)
    with pytest.raises(BenchError, match="no Dask scheduler answers at tcp"):
        run(paths, parse_all(["png"]), tmp_path / "out", dask="tcp://127.0.0.1:1")
