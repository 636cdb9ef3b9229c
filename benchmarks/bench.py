"""A whole run: every image through every setting, resumable, over several processes."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cpuinfo
from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm

import noisepress
from noisepress.bitstream.atomic import write_atomically

from .codecs import CODECS, Codec, codec_of
from .errors import BenchError
from .measure import load, measure
from .results import (
    PICTURES,
    Measurement,
    Results,
    Setting,
    coded_path,
    decoded_path,
    original_path,
)

RESULTS = "results.json"
_CACHE = "cache"
_CONNECT = 10
"""Seconds that a Dask scheduler has to answer."""
_LIBRARIES = ("imagecodecs", "numpy", "pillow", "torch")

Key = TypeVar("Key")
Result = TypeVar("Result")


class Workers(Protocol):
    """What runs tasks, several at a time."""

    @property
    def count(self) -> int:
        """How many."""
        ...

    def results(
        self, work: Callable[..., Result], tasks: Mapping[Key, tuple[Any, ...]]
    ) -> Iterator[tuple[Key, Result | None]]:
        """Key and result of every task, in any order; None for tasks whose process died."""
        ...


def run(
    images: Sequence[Path],
    settings: Sequence[Setting],
    out: Path,
    jobs: int = 1,
    dask: str | None = None,
) -> Results:
    """Measure all images with all settings, and write `results.json`.

    What a folder already holds is not measured again, so an interrupted run continues where it
    stopped: results are kept in `cache/` by the name and bytes of the image, the setting and the
    version of the codec. Errors are not kept.

    Args:
        images: files with different names.
        settings: see `codecs.parse`.
        out: folder, made if missing.
        jobs: processes, each with an equal share of the processor's cores for its networks;
            with more than one, times are those of a busy machine.
        dask: address of the scheduler of a Dask cluster that works in place of processes. Its
            workers find the images and the folder at the same paths.

    Returns:
        A measurement for every pair, in the order of the settings; those that failed, even by the
        death of their process, have an `error`.

    Raises:
        BenchError: two images would share their pictures, there is nothing to measure, the folder
            cannot be made, or no cluster answers at the address.
        SettingError: a setting has an unknown codec.
    """
    if dask is not None:  # workers may be in other folders
        images, out = [image.absolute() for image in images], out.absolute()
    if not (images and settings):
        raise BenchError("no images or no settings to measure")
    names: dict[str, Path] = {}
    for image in images:
        if names.setdefault(image.name, image) is not image:
            raise BenchError(f"{names[image.name]} and {image}: images need different names")
    pictures = out / PICTURES
    try:
        pictures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"{out}: {error.strerror}") from error
    digests = {image: _digest(image) for image in images}
    with _processes(jobs) if dask is None else _cluster(dask) as workers:
        found = _measurements(digests, settings, out, workers)
        frechet = _frechet_distances(digests, settings, found, out, workers)
        machine = _machine(workers.count)
    measurements = tuple(found[image, s.label] for s in settings for image in images)
    results = Results(machine, measurements, frechet)
    results.write(out / RESULTS)
    return results


def _digest(image: Path) -> str:
    try:
        return hashlib.sha256(image.read_bytes()).hexdigest()
    except OSError:
        return ""  # measuring it reports why


def _start(threads: int, codecs: dict[str, Codec]) -> None:
    """Prepare a process: its threads, and the codecs that the caller's table has."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    CODECS.update(codecs)


@dataclass(frozen=True)
class _Processes:
    """Processes of this machine."""

    count: int
    pool: ProcessPool

    def results(
        self, work: Callable[..., Result], tasks: Mapping[Key, tuple[Any, ...]]
    ) -> Iterator[tuple[Key, Result | None]]:
        futures: dict[Future[Result], Key] = {
            self.pool.schedule(work, args=task): key for key, task in tasks.items()
        }
        for future in as_completed(futures):
            died = isinstance(future.exception(), ProcessExpired)
            yield futures[future], None if died else future.result()


@contextmanager
def _processes(jobs: int) -> Iterator[Workers]:
    """Processes for tasks; on an error or an interrupt, tasks that have not run are dropped."""
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool = ProcessPool(
        jobs, initializer=_start, initargs=(threads, dict(CODECS)), context=get_context("spawn")
    )
    try:
        yield _Processes(jobs, pool)
    finally:
        pool.stop()
        pool.join()


@dataclass(frozen=True)
class _Cluster:
    """Workers of a Dask cluster."""

    count: int
    client: Any

    def results(
        self, work: Callable[..., Result], tasks: Mapping[Key, tuple[Any, ...]]
    ) -> Iterator[tuple[Key, Result | None]]:
        from distributed import KilledWorker
        from distributed import as_completed as completed

        futures = {self.client.submit(work, *task, pure=False): key for key, task in tasks.items()}
        for future in completed(futures):
            died = isinstance(future.exception(), KilledWorker)
            yield futures[future], None if died else future.result()


@contextmanager
def _cluster(address: str) -> Iterator[Workers]:
    """A Dask cluster for tasks; it goes on without them when this process ends.

    Raises:
        BenchError: none answers.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BenchError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        yield _Cluster(len(client.scheduler_info(n_workers=-1)["workers"]), client)


def _results(
    workers: Workers,
    work: Callable[..., Result],
    tasks: Mapping[Key, tuple[Any, ...]],
    label: str,
) -> Iterator[tuple[Key, Result | None]]:
    """See `Workers.results`; with a progress bar."""
    done = workers.results(work, tasks)
    yield from tqdm(done, desc=label, total=len(tasks), leave=False, disable=None)


def _recall(place: Path, key: Mapping[str, Any]) -> Any:
    """The value that was remembered for a key; None if there is none."""
    try:
        entry = json.loads(place.read_text())
    except (OSError, ValueError):
        return None
    return entry["value"] if entry["key"] == key else None


def _remember(place: Path, key: Mapping[str, Any], value: object) -> None:
    """Keep a value in a file, with the key that it holds for."""
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, (json.dumps({"key": key, "value": value}, indent=1) + "\n").encode())


def _measurements(
    digests: Mapping[Path, str], settings: Sequence[Setting], out: Path, workers: Workers
) -> dict[tuple[Path, str], Measurement]:
    """By image and label, from the cache where it has them.

    Args:
        digests: of the images.
    """
    found: dict[tuple[Path, str], Measurement] = {}
    tasks: dict[tuple[Path, str], tuple[Path, Setting, Path]] = {}
    kept: dict[tuple[Path, str], tuple[Path, dict[str, Any]]] = {}
    for setting in settings:
        codec = codec_of(setting)
        for image, digest in digests.items():
            pair = image, setting.label
            key = {
                "image": digest,
                "codec": codec.name,
                "options": vars(codec.complete(setting.options)),
                "version": codec.version,
            }
            kept[pair] = out / _CACHE / "images" / image.name / f"{setting.slug}.json", key
            entry = _recall(*kept[pair])
            if entry is not None and _has_pictures(out / PICTURES, image, setting):
                found[pair] = Measurement.parse(entry)
            else:
                tasks[pair] = image, setting, out / PICTURES
    for pair, result in _results(workers, measure, tasks, "measuring"):
        image, setting, _ = tasks[pair]
        found[pair] = result or Measurement(image.name, setting, error="the process died")
        if not found[pair].error:
            _remember(*kept[pair], asdict(found[pair]))
    return found


def _has_pictures(pictures: Path, image: Path, setting: Setting) -> bool:
    codec = codec_of(setting)
    needed = [original_path(pictures, image)]
    if codec.ours:
        needed.append(coded_path(pictures, image, setting))
    if not codec.lossless:
        needed.append(decoded_path(pictures, image, setting))
    return all(path.exists() for path in needed)


def _frechet_distances(
    digests: Mapping[Path, str],
    settings: Sequence[Setting],
    found: Mapping[tuple[Path, str], Measurement],
    out: Path,
    workers: Workers,
) -> dict[str, float]:
    """By label, for the lossy settings; each over the images that it has a result for.

    Args:
        digests: of the images.
        found: the measurements by image and label.
    """
    distances: dict[str, float] = {}
    tasks: dict[str, tuple[Setting, list[Path], Path]] = {}
    kept: dict[str, tuple[Path, dict[str, Any]]] = {}
    lossy = [setting for setting in settings if not codec_of(setting).lossless]
    for setting in lossy:
        coded = [image for image in digests if not found[image, setting.label].error]
        key = {
            "originals": {image.name: digests[image] for image in coded},
            # Equal files of the same originals decode to equal pictures.
            "files": {image.name: found[image, setting.label].digest for image in coded},
            "version": codec_of(setting).version,
        }
        kept[setting.label] = out / _CACHE / "frechet" / f"{setting.slug}.json", key
        entry = _recall(*kept[setting.label])
        if entry is None:
            tasks[setting.label] = setting, coded, out / PICTURES
        else:
            distances[setting.label] = entry
    for label, distance in _results(workers, _frechet, tasks, "Fréchet distances"):
        if distance is not None:
            distances[label] = distance
            _remember(*kept[label], distance)
    return {one.label: distances[one.label] for one in lossy if one.label in distances}


def _frechet(setting: Setting, images: Sequence[Path], pictures: Path) -> float | None:
    from .quality import crop_features, frechet_distance

    return frechet_distance(
        [_original_features(original_path(pictures, image)) for image in images],
        [crop_features(load(decoded_path(pictures, image, setting))) for image in images],
    )


@cache
def _original_features(path: Path) -> Any:
    from .quality import crop_features

    return crop_features(load(path))


def _machine(jobs: int) -> dict[str, str | int]:
    return {
        "processor": cpuinfo.get_cpu_info().get("brand_raw", platform.machine()),
        "cores": os.cpu_count() or 0,
        "jobs": jobs,
        "system": platform.system(),
        "python": platform.python_version(),
        "noisepress": noisepress.__version__,
        **{name: metadata.version(name) for name in _LIBRARIES},
    }
