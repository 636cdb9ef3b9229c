"""A whole run: every image through every setting, resumable, over several processes."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import cache
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from tqdm import tqdm

import noisepress

from .codecs import CODECS, Codec, codec_of
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
_DIED = "the process died"

_LIBRARIES = ("imagecodecs", "noisepress", "numpy", "pillow", "torch")

Task = TypeVar("Task", bound=tuple[Any, ...])
Result = TypeVar("Result")


class BenchError(noisepress.NoisepressError):
    """A run cannot start."""


def run(images: Sequence[Path], settings: Sequence[Setting], out: Path, jobs: int) -> Results:
    """Measure all images with all settings, and write `results.json`.

    What a folder already holds is not measured again, so that a run that was interrupted goes
    on where it was: a result is kept in `cache/` for the name, the bytes and the setting of an
    image, until another version of the codec measures it. Errors are not kept.

    Args:
        images: files with different names, whatever their suffix.
        settings: see `codecs.parse`.
        out: folder, made if need be.
        jobs: processes, each with an equal share of the processor's cores for its networks;
            with more than one, times are those of a busy machine.

    Returns:
        A measurement for every pair, in the order of the settings; those that failed, even by the
        death of the process, have an `error`.

    Raises:
        BenchError: two images would share their pictures, there is nothing to measure, or the
            folder cannot be made.
        SettingError: a setting has an unknown codec.
    """
    if not (images and settings):
        raise BenchError("no images or no settings to measure")
    stems: dict[str, Path] = {}
    for image in images:
        if image.stem in stems:
            raise BenchError(f"{stems[image.stem]} and {image}: images need different names")
        stems[image.stem] = image
    pictures = out / PICTURES
    try:
        pictures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"{out}: {error.strerror}") from error
    digests = {image: _digest(image) for image in images}
    keys = {
        (image, setting.label): _key(digests[image], codec_of(setting), setting)
        for setting in settings
        for image in images
    }
    found: dict[tuple[Path, str], Measurement] = {}
    tasks: list[tuple[Path, Setting, Path]] = []
    for setting in settings:
        for image in images:
            entry = _recall(_place(out, image, setting), keys[image, setting.label])
            if entry is not None and _has_pictures(pictures, image, setting):
                found[image, setting.label] = Measurement.parse(entry)
            else:
                tasks.append((image, setting, pictures))
    with _Workers(jobs) as workers:
        for (image, setting, _), result in workers.do(measure, tasks, "measuring"):
            done = result or Measurement(image.name, setting, error=_DIED)
            found[image, setting.label] = done
            if not done.error:
                key = keys[image, setting.label]
                _remember(_place(out, image, setting), key, asdict(done))
        frechet = _frechet_distances(digests, settings, found, out, workers)
    measurements = tuple(found[image, s.label] for s in settings for image in images)
    results = Results(_machine(jobs), measurements, frechet)
    results.write(out / RESULTS)
    return results


def _digest(image: Path) -> str:
    try:
        return hashlib.sha256(image.read_bytes()).hexdigest()
    except OSError:
        return ""  # measuring it will say why


def _key(digest: str, codec: Codec, setting: Setting) -> dict[str, Any]:
    """What a measurement depends on."""
    return {
        "image": digest,
        "codec": codec.name,
        "options": codec.complete(setting.options),
        "version": codec.version,
    }


def _place(out: Path, image: Path, setting: Setting) -> Path:
    return out / _CACHE / "images" / image.stem / f"{setting.slug}.json"


def _frechet_place(out: Path, setting: Setting) -> Path:
    return out / _CACHE / "frechet" / f"{setting.slug}.json"


def _has_pictures(pictures: Path, image: Path, setting: Setting) -> bool:
    codec = codec_of(setting)
    needed = [original_path(pictures, image)]
    if codec.ours:
        needed.append(coded_path(pictures, image, setting))
    if not codec.lossless:
        needed.append(decoded_path(pictures, image, setting))
    return all(path.exists() for path in needed)


def _recall(place: Path, key: Mapping[str, Any]) -> Any:
    """The value that was remembered for a key; None if there is none."""
    try:
        entry = json.loads(place.read_text())
    except (OSError, ValueError):
        return None
    return entry["value"] if entry["key"] == key else None


def _remember(place: Path, key: Mapping[str, Any], value: object) -> None:
    """Keep one value under a name, in place of that of any other key."""
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_suffix(".partial")
    partial.write_text(json.dumps({"key": key, "value": value}, indent=1) + "\n")
    os.replace(partial, place)


def _start(threads: int, codecs: dict[str, Codec]) -> None:
    """Prepare a process: its threads, and the codecs that the caller's table has."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    CODECS.update(codecs)


class _Workers:
    """Processes that do tasks, and that are replaced when one of them dies."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def _new(self, count: int) -> ProcessPoolExecutor:
        threads = max(1, (os.cpu_count() or 1) // self._jobs)
        return ProcessPoolExecutor(
            count, get_context("spawn"), initializer=_start, initargs=(threads, dict(CODECS))
        )

    def do(
        self, work: Callable[..., Result], tasks: Sequence[Task], label: str
    ) -> Iterator[tuple[Task, Result | None]]:
        """Every task with its result, in any order; None for those that ended their process.

        When a process dies, all tasks that were running are done again, each in a process of
        its own, to find whose fault it was.
        """
        waiting = deque(tasks)
        running: dict[Future[Result], Task] = {}
        with tqdm(desc=label, total=len(tasks), leave=False, disable=None) as bar:
            while waiting or running:
                self._pool = self._pool or self._new(self._jobs)
                try:
                    while waiting and len(running) < self._jobs:
                        future = self._pool.submit(work, *waiting[0])
                        running[future] = waiting.popleft()
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        yield running.pop(future), result
                        bar.update()
                except BrokenProcessPool:
                    self._pool.shutdown()
                    self._pool = None
                    for task in running.values():
                        yield task, self._alone(work, task)
                        bar.update()
                    running.clear()

    def _alone(self, work: Callable[..., Result], task: Task) -> Result | None:
        with self._new(1) as pool:
            try:
                return pool.submit(work, *task).result()
            except BrokenProcessPool:
                return None


def _frechet_distances(
    digests: Mapping[Path, str],
    settings: Sequence[Setting],
    found: Mapping[tuple[Path, str], Measurement],
    out: Path,
    workers: _Workers,
) -> dict[str, float]:
    """By label, for the lossy settings; over the images that each has a result for.

    Args:
        digests: of the images.
        found: the measurements by image and label.
    """
    distances: dict[str, float] = {}
    tasks: list[tuple[Setting, list[Path], Path]] = []
    keys: dict[str, dict[str, Any]] = {}
    for setting in settings:
        if codec_of(setting).lossless:
            continue
        coded = [image for image in digests if not found[image, setting.label].error]
        # Equal files of the same originals decode to equal pictures.
        files = {image.stem: found[image, setting.label].digest for image in coded}
        keys[setting.label] = {
            "originals": {image.stem: digests[image] for image in coded},
            "files": files,
            "version": codec_of(setting).version,
        }
        entry = _recall(_frechet_place(out, setting), keys[setting.label])
        if entry is None:
            tasks.append((setting, coded, out / PICTURES))
        else:
            distances[setting.label] = entry
    for (setting, *_), distance in workers.do(_frechet, tasks, "Fréchet distances"):
        if distance is not None:
            distances[setting.label] = distance
            _remember(_frechet_place(out, setting), keys[setting.label], distance)
    order = [setting.label for setting in settings]
    return {label: distances[label] for label in order if label in distances}


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
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "jobs": jobs,
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: _library(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    """The model's name where Linux tells it, else the architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _library(name: str) -> str:
    return noisepress.__version__ if name == "noisepress" else metadata.version(name)


def summary(results: Results) -> str:
    """Means over the images of every setting: Markdown tables of the lossless and of the lossy.

    Times are also given as ratios to those of a peer of the same table: WebP or JPEG if they
    were measured.
    """
    tables = []
    for lossless, row in ((True, _lossless_row), (False, _lossy_row)):
        settings = [s for s in results.settings() if codec_of(s).lossless == lossless]
        base = _reference(results, settings)
        rows = [row(results, s) | _times(results, s, base) for s in settings]
        if rows:
            tables.append(_markdown(rows))
    return "\n\n".join(tables)


def _reference(results: Results, settings: Sequence[Setting]) -> Setting | None:
    """The setting whose times are 1."""
    peers = [s for s in settings if not codec_of(s).ours and results.of(s)]
    usual = [s for s in peers if s.codec in ("webp-lossless", "jpeg")]
    return next(iter([*usual, *peers]), None)


def _lossless_row(results: Results, setting: Setting) -> dict[str, str]:
    done = results.of(setting)
    return {
        "lossless": setting.label,
        "images": str(len(done)),
        "bytes": str(sum(m.size for m in done)),
        "bits per sub-pixel": _mean([m.bits_per_subpixel for m in done], 4),
    }


def _lossy_row(results: Results, setting: Setting) -> dict[str, str]:
    done = results.of(setting)
    distance = results.frechet.get(setting.label)
    row = {
        "lossy": setting.label,
        "images": str(len(done)),
        "bytes": str(sum(m.size for m in done)),
        "bits per pixel": _mean([m.bits_per_pixel for m in done], 3),
    }
    for title, metric, digits in (
        ("PSNR dB", "psnr", 2),
        ("MS-SSIM", "ms-ssim", 4),
        ("SSIMULACRA 2", "ssimulacra2", 2),
    ):
        row[title] = _mean([m.quality[metric] for m in done if metric in m.quality], digits)
    return row | {"Fréchet": "" if distance is None else f"{distance:.2f}"}


def _times(results: Results, setting: Setting, base: Setting | None) -> dict[str, str]:
    row = {}
    for title, field in (("encode", "encode_s"), ("decode", "decode_s")):
        mine = [getattr(m, field) for m in results.of(setting)]
        row[f"{title} s"] = _mean(mine, 4)
        if base is not None:
            theirs = fmean(getattr(m, field) for m in results.of(base))
            row[f"{title} / {base.label}'s"] = _mean([value / theirs for value in mine], 2)
    return row


def _mean(values: Sequence[float], digits: int) -> str:
    return f"{fmean(values):.{digits}f}" if values else ""


def _markdown(rows: Sequence[Mapping[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
