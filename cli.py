"""The command line: encode, decode, archives, info, models, truncate, train, demo and others.

Errors are one line on stderr. Exit status 0: all done; 1: an input failed (the others were
still done); 2: wrong usage.
"""

from __future__ import annotations

import argparse
import dataclasses
import glob
import json
import math
import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .bitstream.atomic import atomic_writer, write_atomically
from .bitstream.errors import NoisepressError, OptionError

if TYPE_CHECKING:
    from .codec.api import FileInfo
    from .codec.archive import Archive
    from .codec.inputs import UnreadJpeg
    from .codec.options import Option, Options
    from .codec.protocol import Decoding
    from .codec.sequences import FrameFile
    from .codec.stack import Coding, Stack

NZP = ".nzp"
STDIO = "-"
_PIXELS = ".png"
"""Suffix of images, unless another one is asked for."""
_FRAMES = ".tif"
"""Suffix of stacks, unless another one is asked for."""
_NO_JPEG = "holds pixels instead of a JPEG file, written as"
IMAGES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".jp2", ".jxl", ".avif", ".qoi"}
)

_STACKS = frozenset({".apng", ".npy"})
"""Further suffixes of files that hold several frames."""


class UsageError(NoisepressError):
    """The command line cannot be carried out as it stands."""


@contextmanager
def _system_errors(path: str) -> Iterator[None]:
    """Errors of the system that name a path; a reader that left is none."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def _read(path: str) -> bytes:
    if path == STDIO and not sys.stdin:
        raise UsageError("stdin is closed")
    with _system_errors(path):
        return sys.stdin.buffer.read() if path == STDIO else Path(path).read_bytes()


def _write(path: str, data: bytes, force: bool) -> None:
    """Write a file whole or not at all."""
    if path == STDIO and not sys.stdout:
        raise UsageError("stdout is closed")
    _refuse_overwrite(path, force)
    with _system_errors(path):
        if path == STDIO:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            write_atomically(Path(path), data)


@contextmanager
def _new_file(path: str, force: bool) -> Iterator[BinaryIO]:
    """A file that is written piece by piece, whole or not at all."""
    _refuse_overwrite(path, force)
    with _system_errors(path):
        if path == STDIO:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        else:
            with atomic_writer(Path(path)) as file:
                yield file


def _refuse_overwrite(path: str, force: bool) -> None:
    if path != STDIO and not force and os.path.lexists(path):
        raise UsageError(f"{path} exists; --force overwrites it")


def _expand(patterns: Sequence[str], suffixes: frozenset[str]) -> list[str]:
    """Files for paths, glob patterns and folders (searched without their subfolders)."""
    found: list[str] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            files = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes)
            if not files:
                raise UsageError(f"{pattern}: no files of {', '.join(sorted(suffixes))}")
            found += map(str, files)
        elif pattern != STDIO and not path.exists() and glob.has_magic(pattern):
            matches = sorted(glob.glob(pattern, recursive=True))
            if not matches:
                raise UsageError(f"{pattern}: no such file")
            found += matches
        else:
            found.append(pattern)
    return found


@dataclasses.dataclass(frozen=True)
class _Job:
    source: str
    target: str


def _jobs(args: argparse.Namespace, inputs: frozenset[str], suffix: str) -> list[_Job]:
    """Pair inputs with outputs: IN OUT, or inputs beside themselves or into a folder."""
    paths: list[str] = args.paths
    output: str | None = args.output
    if output is None and len(paths) == 2:
        if Path(paths[1]).is_dir() and not Path(paths[0]).is_dir():
            paths, output = paths[:1], paths[1]
        elif _is_output(paths[1], inputs, suffix):
            return [_Job(paths[0], paths[1])]
    sources = _expand(paths, inputs)
    if output is None and STDIO in sources:
        return [_Job(source, STDIO) for source in sources]
    missing = None if output is None or Path(output).is_dir() else output
    if missing and sources == paths[:1] and not missing.endswith(("/", os.sep)):
        return [_Job(sources[0], missing)]
    jobs = []
    for source in sources:
        folder = Path(output) if output else Path(source).parent
        jobs.append(_Job(source, str(folder / (Path(source).stem + suffix))))
    taken: dict[str, str] = {}
    for job in jobs:
        if job.target in taken:
            raise UsageError(f"{taken[job.target]} and {job.source} would both become {job.target}")
        taken[job.target] = job.source
    if missing:
        with _system_errors(missing):
            Path(missing).mkdir(parents=True)
    return jobs


def _is_output(path: str, inputs: frozenset[str], suffix: str) -> bool:
    """Whether the second of two paths is an output: it has an output's suffix, or is '-'."""
    if path == STDIO:
        return True
    known = Path(path).suffix.lower()
    if known == suffix:
        return True
    if known in inputs or Path(path).is_dir():
        return False
    if suffix == NZP and Path(path).is_file():
        raise UsageError(f"{path} exists and is no {NZP} file, so -o must name the output")
    return True


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, shown on terminals when the work is long."""
    from tqdm import tqdm

    with tqdm(
        desc=label, unit="sample", unit_scale=True, delay=1, leave=False, disable=None
    ) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def _each(jobs: Sequence[_Job], force: bool, work: Callable[[_Job], None]) -> int:
    """Do all jobs, reporting failures; the exit status."""
    status = 0
    for job in jobs:
        try:
            _refuse_overwrite(job.target, force)
            with _warnings_of(job.source):
                work(job)
        except BrokenPipeError:
            raise
        except (NoisepressError, MemoryError, OSError, RuntimeError) as error:
            status = 1
            _blame(job, error)
    return status


def _blame(job: _Job, error: Exception) -> None:
    """Report the failure of a job."""
    text = _reason(error)
    _complain(text if text.startswith(job.source) else f"{job.source}: {text}")


@contextmanager
def _warnings_of(path: str) -> Iterator[None]:
    """Warnings as one line on stderr that names an input."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_args, **_kwargs: _complain(f"{path}: {message}")
        yield


def _reason(error: Exception) -> str:
    """What to say of an error that is not of the program itself.

    Raises:
        RuntimeError: the error itself, where it is another one than torch's lack of memory.
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return "not enough memory"
    if isinstance(error, RuntimeError):
        raise error
    return str(error)


def _show_warnings_as_lines() -> None:
    warnings.showwarning = lambda message, *_args, **_kwargs: _complain(str(message))


def _complain(text: str) -> None:
    print(f"noisepress: {' '.join(text.split())}", file=sys.stderr)


def _given(args: argparse.Namespace, *kinds: type[Options]) -> dict[str, Any]:
    """The options of these kinds that were given."""
    from .codec.options import described

    names = {option.name for kind in kinds for option in described(kind)}
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _encoding_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, as arguments of `encode` and `archive`."""
    from .codec.api import chosen
    from .codec.registry import CODECS

    options = _given(args, *(codec.OPTIONS for codec in CODECS))
    try:
        chosen(args.codec, options)
    except OptionError as error:
        raise UsageError(str(error)) from error
    return {"codec": args.codec, "pixels": args.pixels, "strip": args.strip, **options}


def _decoding_options(args: argparse.Namespace) -> Decoding:
    from .codec.options import given
    from .codec.protocol import Decoding

    try:
        return given(Decoding, None, _given(args, Decoding))
    except OptionError as error:
        raise UsageError(str(error)) from error


def _encode(args: argparse.Namespace) -> int:
    if args.stack or args.append:
        return _encode_stack(args)
    arguments = {**_encoding_arguments(args), "fallback": not args.no_fallback}
    coding = partial(_encoded, arguments, args.page, args.group)
    jobs = _jobs(args, IMAGES | _STACKS, NZP)
    if args.jobs and not (len(jobs) == 1 and _frames(jobs[0].source, args.page, args.codec)):
        return _encode_together(jobs, coding, args)

    def work(job: _Job) -> None:
        frames = _frames(job.source, args.page, args.codec)
        with _bar(job.source) as progress:
            if frames:
                _store_stack(job, frames, args, progress)
                return
            data = _encoded_image(arguments, args.page, job, progress)
        _write(job.target, data, args.force)
        if job.target != STDIO and not args.quiet:
            print(_written(job, data))

    return _each(jobs, args.force, work)


def _frames(source: str, page: int | None, codec: str | None) -> FrameFile | None:
    """The frames of a file that becomes a stack."""
    from .codec.frames.codec import FramesCodec
    from .codec.sequences import open_frames

    if page is not None or codec not in (None, FramesCodec.NAME) or not Path(source).is_file():
        return None
    return open_frames(Path(source))


def _coding(args: argparse.Namespace) -> Coding:
    """How the frames of a stack are coded."""
    from .codec.api import chosen
    from .codec.frames.codec import Frames, FramesCodec
    from .codec.registry import CODECS
    from .codec.stack import Coding

    if args.codec not in (None, FramesCodec.NAME):
        raise UsageError(f"a stack has the codec {FramesCodec.NAME}, not {args.codec}")
    given = _given(args, *(codec.OPTIONS for codec in CODECS))
    options = chosen(FramesCodec.NAME, given)[1]
    assert isinstance(options, Frames)
    return Coding(options, args.group, args.jobs or 1)


def _store_stack(
    job: _Job, frames: FrameFile, args: argparse.Namespace, progress: Callable[[int, int], None]
) -> None:
    """Write a stack's file, group by group."""
    from .codec.stack import stack_parts

    coding = _coding(args)
    about = dataclasses.replace(frames.about, description="") if args.strip else frames.about
    parts = stack_parts(frames.each(), coding, about, progress=progress)
    size = 0
    with _new_file(job.target, args.force) as file:
        for part in parts:
            size += file.write(part)
    if job.target != STDIO and not args.quiet:
        print(f"{job.target}: {frames.count} frames, {size} bytes")


def _encode_stack(args: argparse.Namespace) -> int:
    """Encode images as the frames of one stack, or append frames to one."""
    from .codec.sequences import by_number, open_files
    from .codec.stack import append_stack

    paths = args.paths if args.output else args.paths[:-1]
    target = args.output or args.paths[-1]
    if not paths:
        raise UsageError(f"{target} is the stack's file: its frames are missing")
    sources = [Path(path) for path in _expand(paths, IMAGES | _STACKS)]
    if len(paths) == 1 and Path(paths[0]).is_dir():
        sources.sort(key=by_number)
    coding = _coding(args)
    frames = _frames(str(sources[0]), None, args.codec) if len(sources) == 1 else None
    frames = frames or open_files(sources)

    def work(job: _Job) -> None:
        with _bar(job.source) as progress:
            if not args.append:
                _store_stack(job, frames, args, progress)
                return
            count = append_stack(
                job.target,
                frames.each(),
                coding.options,
                group=coding.group,
                jobs=coding.jobs,
                progress=progress,
            )
        if not args.quiet:
            print(f"{job.target}: {count} frames, {os.path.getsize(job.target)} bytes")

    return _each([_Job(paths[0], target)], args.force or args.append, work)


def _encoded(arguments: Mapping[str, Any], page: int | None, group: int, job: _Job) -> bytes:
    """The .nzp file of a job's image or frames, in a process of its own."""
    from .codec.stack import encode_stack

    with _warnings_of(job.source):
        if frames := _frames(job.source, page, arguments["codec"]):
            return encode_stack(frames.each(), group=group, about=frames.about)
        return _encoded_image(arguments, page, job)


def _encoded_image(
    arguments: Mapping[str, Any],
    page: int | None,
    job: _Job,
    progress: Callable[[int, int], None] | None = None,
) -> bytes:
    """The .nzp file of a job's image."""
    from .codec.api import encode
    from .codec.image.read import open_image

    file = _read(job.source)
    image = file if page is None else open_image(file, page)
    return encode(image, progress=progress, **arguments)


def _written(job: _Job, data: bytes) -> str:
    """What is printed of a .nzp file."""
    from .bitstream.container import outline
    from .codec.api import inspect
    from .codec.archive import Archive
    from .codec.registry import ARCHIVE

    if outline(data).header.codec == ARCHIVE:
        return f"{job.target}: {len(Archive(data).members)} frames, {len(data)} bytes"
    info = inspect(data)
    detail = f"{info.bits_per_sample:.3f} bits per sample"
    if info.parameters.get("picture") == "no":
        detail = "the JPEG file alone: its picture cannot be decoded"
    return f"{job.target}: {len(data)} bytes, {detail}"


def _encode_together(
    jobs: Sequence[_Job], coding: Callable[[_Job], bytes], args: argparse.Namespace
) -> int:
    """Encode files in several processes; those that are there already are skipped."""
    from tqdm import tqdm

    from .codec.processes import results

    if any(STDIO in (job.source, job.target) for job in jobs):
        raise UsageError(f"--jobs takes files; {STDIO} is stdin or stdout")
    missing = [job for job in jobs if args.force or not os.path.lexists(job.target)]
    status = 0
    with tqdm(total=len(missing), unit="file", leave=False, disable=None) as bar:
        for job, outcome in results(coding, missing, args.jobs):
            bar.update()
            try:
                if isinstance(outcome, Exception):
                    raise outcome
                _write(job.target, outcome, args.force)
            except BrokenPipeError:
                raise
            except (NoisepressError, MemoryError, OSError, RuntimeError) as error:
                status = 1
                with tqdm.external_write_mode(sys.stderr):
                    _blame(job, error)
                continue
            if not args.quiet:
                tqdm.write(_written(job, outcome))
    if len(missing) < len(jobs) and not args.quiet:
        print(f"skipped, there already: {len(jobs) - len(missing)} of {len(jobs)} files")
    return status


def _decode(args: argparse.Namespace) -> int:
    from .bitstream.container import outline
    from .codec.api import decode_raster, original_file
    from .codec.image.jpeg import SUFFIXES
    from .codec.image.write import save_image

    decoding = _decoding_options(args)

    jobs = _jobs(args, frozenset({NZP}), args.to or _PIXELS)
    is_named = args.to or (len(jobs) == 1 and jobs[0].target in (args.output, args.paths[-1]))

    def work(job: _Job) -> None:
        if stack := _opened_stack(job.source, decoding):
            named = job.target if is_named else str(Path(job.target).with_suffix(_FRAMES))
            _write_stack(job.source, stack, named, args.force)
            return
        data = _read(job.source)
        target, suffix = job.target, _PIXELS if job.target == STDIO else Path(job.target).suffix
        if suffix.lower() in SUFFIXES:
            try:
                _write(target, original_file(data), args.force)
                return
            except OptionError:  # it holds pixels
                if args.to is None:
                    raise
            target, suffix = str(Path(target).with_suffix(_PIXELS)), _PIXELS
            _complain(f"{job.source}: {_NO_JPEG} {target}")
        with _bar(job.source) as progress:
            raster = decode_raster(data, decoding, partial=args.partial, progress=progress)
        _write(target, save_image(raster, suffix), args.force)
        info = outline(data).header
        if (raster.width, raster.height) != (info.width, info.height):
            size = f"{raster.width} x {raster.height} pixels of {info.width} x {info.height}"
            _complain(f"{job.source}: this is what the file still holds, {size}")

    return _each(jobs, args.force, work)


def _opened_stack(path: str, decoding: Decoding) -> Stack | None:
    """The stack that a file holds; None for one that is an image or an archive of others."""
    from .bitstream.container import outline
    from .bitstream.header import FileBytes
    from .codec.archive import Archive
    from .codec.registry import ARCHIVE
    from .codec.stack import Stack

    if not Path(path).is_file():  # stdin, or a name that no file has
        return None
    with _system_errors(path), open(path, "rb") as file:
        is_archive = file.peek(1) and outline(FileBytes(file)).header.codec == ARCHIVE
    if not is_archive:
        return None
    names = [member.name for member in Archive(path).members]
    return Stack(path, decoding) if names == list(map(str, range(len(names)))) else None


def _write_stack(source: str, stack: Stack, target: str, force: bool) -> None:
    """Write a stack as a file of several frames."""
    from .codec.sequences import write_frames

    with _new_file(target, force) as file:
        write_frames(stack, Path(target).suffix if target != STDIO else _FRAMES, file)
    if stack.fault:
        raise stack.fault


def _archive(args: argparse.Namespace) -> int:
    from .codec.archive import archive

    _refuse_overwrite(args.output, args.force)
    paths = _expand(args.paths, IMAGES)
    images = [(Path(path).name, _read(path)) for path in paths]
    arguments = _encoding_arguments(args)
    with _bar(args.output) as progress:
        data = archive(images, group=args.group, progress=progress, **arguments)
    _write(args.output, data, args.force)
    if not args.quiet:
        print(f"{args.output}: {len(images)} images, {len(data)} bytes")
    return 0


def _open_archive(path: str) -> Archive:
    from .codec.archive import Archive

    try:
        return Archive(_read(path) if path == STDIO else path)
    except NoisepressError as error:
        raise type(error)(f"{path}: {error}") from error


def _list(args: argparse.Namespace) -> int:
    archive = _open_archive(args.archive)
    if archive.cut:
        _complain(f"{args.archive}: the file was cut: {len(archive.cut)} groups are not there")
    if archive.fault:
        _complain(f"{args.archive}: {archive.fault}")
    for member in archive.members:
        if args.json:
            print(json.dumps(dataclasses.asdict(member)))
        else:
            size = f"{member.width} x {member.height}"
            print(f"{member.name}  {size}, {member.mode}, group {member.group + 1}")
    return 0


def _extract(args: argparse.Namespace) -> int:
    """Every group is read once; one that is damaged does not keep the others from being read."""
    from .codec.image.jpeg import SUFFIXES
    from .codec.image.raster import Raster
    from .codec.image.write import save_image

    decoding = _decoding_options(args)
    archive = _open_archive(args.archive)
    known = [member.name for member in archive.members]
    wanted = {*args.names, *map(str, args.frame)} or set(known)
    if missing := sorted(wanted - set(known)):
        raise UsageError(f"{args.archive}: no image {missing[0]!r}")
    folder, suffix = Path(args.output), args.to or _PIXELS
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{args.output}: not a folder")
    stems = Counter(Path(name).stem for name in known)

    def target(name: str, suffix: str) -> str:
        stem = Path(name).stem
        return str(folder / ((stem if stems[stem] == 1 else name) + suffix))

    for name in wanted:
        _refuse_overwrite(target(name, suffix), args.force)
    folder.mkdir(parents=True, exist_ok=True)
    as_jpeg = suffix.lower() in SUFFIXES
    without: list[str] = []

    def store(name: str, image: Raster | UnreadJpeg) -> None:
        if image.jpeg and (as_jpeg or args.to is None):
            path = target(name, suffix) if as_jpeg else str(folder / name)
            _write(path, image.jpeg, args.force)
        elif isinstance(image, Raster):
            path = target(name, _PIXELS if as_jpeg else suffix)
            if as_jpeg:
                without.append(path)
            _write(path, save_image(image, Path(path).suffix), args.force)
        else:
            raise OptionError(image.reason)

    status = 0
    for index, members in enumerate(archive.groups):
        if not wanted & {member.name for member in members}:
            continue
        try:
            images = archive.read_group(index, decoding)
        except NoisepressError as error:
            status = 1
            _complain(f"{args.archive}: {error}")
            continue
        for member, image in zip(members, images, strict=True):
            if member.name not in wanted:
                continue
            try:
                store(member.name, image)
            except NoisepressError as error:
                status = 1
                _complain(f"{args.archive}: {member.name}: {error}")
    if without:
        _complain(f"{args.archive}: {_NO_JPEG} {', '.join(without)}")
    if archive.fault:
        status = 1
        _complain(f"{args.archive}: {archive.fault}")
    return status


def _describe(info: FileInfo) -> Iterator[str]:
    yield f"codec       {info.codec}"
    for name, value in info.parameters.items():
        yield f"{name:<11} {value}"
    yield f"image       {info.width} x {info.height}, {info.mode}"
    yield f"size        {info.size} bytes, {info.bits_per_sample:.4f} bits per sample"
    if info.metadata:
        yield f"metadata    {', '.join(info.metadata)}"
    if info.truncated:
        there = sum(present for *_, present in info.sections)
        yield f"truncated   {there} of {len(info.sections)} sections are there"
        yield f"missing     {', '.join(info.missing)}"
    for kind, length, present in info.sections:
        yield f"section     {kind}, {length} bytes" + ("" if present else ", missing")


def _print_stack(path: str, stack: Stack, as_json: bool) -> None:
    """Print what a stack's file says of itself."""
    size, animation = os.path.getsize(path), stack.about.animation
    bits = 8 * size / math.prod(stack.shape)
    facts = {
        "codec": "frames",
        "shape": list(stack.shape),
        "dtype": stack.dtype.name,
        "size": size,
        "bits_per_sample": bits,
        "groups": [[group.start, group.stop] for group in stack.groups],
        "animation": dataclasses.asdict(animation) if animation else None,
        "description": stack.about.description,
        "fault": str(stack.fault) if stack.fault else None,
    }
    if as_json:
        print(json.dumps({"file": path, **facts}))
        return
    count, height, width, *channels = stack.shape
    colour = f", {channels[0]} channels" if channels else ""
    print(f"file        {path}")
    print(f"stack       {count} frames of {width} x {height}{colour}, {stack.dtype.name}")
    print(f"size        {size} bytes, {bits:.4f} bits per sample")
    if animation:
        plays = f"{animation.plays} times" if animation.plays else "for ever"
        print(f"animation   {sum(animation.durations) / 1000:g} s, shown {plays}")
    if stack.about.description:
        print(f"description {len(stack.about.description)} characters")
    for number, group in enumerate(stack.groups, 1):
        print(f"group       {number}, frames {group.start} to {group.stop - 1}")
    if stack.fault:
        _complain(f"{path}: {stack.fault}")


def _info(args: argparse.Namespace) -> int:
    from .codec.api import inspect
    from .codec.protocol import Decoding

    def work(job: _Job) -> None:
        if stack := _opened_stack(job.source, Decoding()):
            _print_stack(job.source, stack, args.json)
            return
        info = inspect(_read(job.source))
        if args.json:
            print(json.dumps({"file": job.source, **dataclasses.asdict(info)}))
        else:
            print("\n".join([f"file        {job.source}", *_describe(info)]))

    paths = _expand(args.paths, frozenset({NZP}))
    return _each([_Job(path, STDIO) for path in paths], False, work)


def _view(args: argparse.Namespace) -> int:
    from .codec.view import page

    how = _decoding_options(args)
    _refuse_overwrite(args.output, args.force)
    paths = _expand(args.paths, frozenset({NZP}))
    text = page([(path, _read(path)) for path in paths], how)
    _write(args.output, text.encode(), args.force)
    return 0


def _models(args: argparse.Namespace) -> int:
    from .models.registry import bundled

    for card in bundled():
        if args.json:
            print(json.dumps({**dataclasses.asdict(card), "path": str(card.path)}))
            continue
        print(f"{card.name}  number {card.number}, digest {card.digest:08x}")
        print(f"  {card.architecture} {dict(card.config)}")
        for name, value in card.facts.items():
            print(f"  {name}: {value}")
    return 0


def _truncate(args: argparse.Namespace) -> int:
    from .bitstream.container import truncate

    def work(job: _Job) -> None:
        _write(job.target, truncate(_read(job.source), args.bytes), args.force)

    return _each([_Job(args.source, args.target)], args.force, work)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Imports of packages that only `pip install "noisepress[NAME]"` brings."""
    from .codec.extras import extra

    try:
        with extra(name):
            yield
    except ModuleNotFoundError as error:
        raise UsageError(str(error)) from error


def _train(args: argparse.Namespace) -> int:
    with _extra("train"):
        from .training.command import train

    data, out = Path(args.data), Path(args.out)
    return train(args.preset, data, out, args.until, args.start, args.steps, args.batch)


class _ListPresets(argparse.Action):
    """A flag that prints the presets, as --help prints the help."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        with _extra("train"):
            from .training.presets import listing

        print(listing())
        parser.exit()


def _demo(args: argparse.Namespace) -> int:
    from .codec.demo import run

    for line in run(Path(args.output) if args.output else None):
        print(line, flush=True)
    return 0


def _selfcheck(args: argparse.Namespace) -> int:
    from .codec.selfcheck import run

    status = 0
    for finding in run():
        print(f"{finding.name:<40} {finding.fault or 'holds'}", flush=True)
        status |= bool(finding.fault)
    return status


def _bench(args: argparse.Namespace) -> int:
    with _extra("bench"):
        from .benchmarks import quality  # noqa: F401  (a run imports it late)
        from .benchmarks.bench import run
        from .benchmarks.codecs import LOSSLESS, LOSSY, parse_all
        from .benchmarks.report import summary, write_report

    asked = (LOSSLESS if args.lossless else ()) + (LOSSY if args.lossy else ())
    out = Path(args.output)
    images = [Path(path) for path in _expand(args.paths, IMAGES)]
    if args.dask is not None:
        with _extra("dask"):
            import distributed  # noqa: F401  (a run imports it late)
    settings = parse_all([*args.codec, *asked] or LOSSLESS + LOSSY)
    results = run(images, settings, out, args.jobs, args.dask)
    print(summary(results))
    print(write_report(results, out))
    for failure in results.failed():
        _complain(f"{failure.image}, {failure.setting.label}: {failure.error}")
    return 1 if results.failed() else 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def _shared(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help=what)
    parser.add_argument("-o", "--output", help="output file, or folder, which is made")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite existing files")


def _encoding(parser: argparse.ArgumentParser) -> None:
    from .codec.registry import CODECS

    lossless, lossy = (
        ", ".join(codec.NAME for codec in CODECS if codec.LOSSLESS is kind)
        for kind in (True, False)
    )
    parser.add_argument(
        "--codec",
        help=f"codec: {lossless}, which are lossless, or {lossy} (default: jpegfile, which keeps "
        "the file, for JPEG files, and ardm for others)",
    )
    parser.add_argument(
        "--pixels",
        action="store_true",
        help="code the pixels of JPEG files where that is smaller than to keep the files",
    )
    parser.add_argument(
        "--strip",
        choices=("private", "all"),
        help="metadata to remove: private, which is all that does not say how the image looks, or "
        "all, which is also the ICC profile and the resolution; the orientation stays",
    )
    _flags(parser, {codec.NAME: codec.OPTIONS for codec in CODECS})
    parser.add_argument("-q", "--quiet", action="store_true", help="print no sizes")


def _decoder(parser: argparse.ArgumentParser) -> None:
    from .codec.protocol import Decoding

    _flags(parser, {"the decoder": Decoding})


def _decoding(parser: argparse.ArgumentParser, default: str) -> None:
    _decoder(parser)
    parser.add_argument("--to", metavar="SUFFIX", help=f"format of the images (default {default})")


def _flags(parser: argparse.ArgumentParser, kinds: Mapping[str, type[Options]]) -> None:
    """A flag for every option, in a group for those that have it."""
    from .codec.options import described

    flags: dict[str, dict[str, Option]] = {}
    for owner, kind in kinds.items():
        for option in described(kind):
            flags.setdefault(option.name, {})[owner] = option
    groups: dict[str, Any] = {}
    for name, owners in flags.items():
        title = f"options of {', '.join(owners)}"
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        option = next(iter(owners.values()))
        groups[title].add_argument(
            f"--{name}",
            type=option.kind,
            action="append" if option.several else "store",
            metavar=f"{{{','.join(option.choices)}}}" if option.choices else None,
            help=_explained(owners),
        )


def _explained(owners: Mapping[str, Option]) -> str:
    """The help of a flag: what it is, and for whom which values are supported."""
    texts = dict.fromkeys(option.doc.help for option in owners.values())
    facts = {owner: _facts(option) for owner, option in owners.items()}
    if len(set(facts.values())) == 1:
        known = next(iter(facts.values()))
    else:
        known = "; ".join(f"{owner}: {fact}" for owner, fact in facts.items())
    return f"{'; or '.join(texts)} ({known})"


def _facts(option: Option) -> str:
    """The values and the default of an option, in words."""
    values = "" if option.choices or option.kind is str else f"{option.supported}, "
    return f"{values}default {option.usual}"


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of a command line.

    Args:
        words: of the command line. Flags that come from the codecs' options are only added to the
            commands that occur in it, so that the others start without loading the codecs.
    """
    from . import __version__

    parser = argparse.ArgumentParser(
        prog="noisepress", description="Image compression with diffusion models."
    )
    parser.add_argument("--version", action="version", version=f"noisepress {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> Any:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    encode = add("encode", _encode, "Encode images to .nzp files, losslessly unless asked.")
    _shared(encode, "IN OUT.nzp, or images, folders and patterns; '-' is stdin or stdout")
    if "encode" in words:
        _encoding(encode)
    encode.add_argument(
        "--page",
        type=_positive,
        help="page or frame of files that have several, from 1 (default: all of them, as a stack)",
    )
    stacks = encode.add_mutually_exclusive_group()
    stacks.add_argument(
        "--stack",
        action="store_true",
        help="one stack: the images are its frames, those of a folder in the order of the numbers "
        "in their names",
    )
    stacks.add_argument(
        "--append",
        action="store_true",
        help="further frames of the stack OUT.nzp, which is not written again",
    )
    encode.add_argument(
        "--group",
        type=_positive,
        default=32,
        help="frames of a stack that are coded, and read, together (default 32)",
    )
    encode.add_argument(
        "--jobs",
        type=_positive,
        help="processes, for files or for the groups of a stack; with them, files whose .nzp file "
        "is there are skipped, so that an interrupted run is continued by the same command",
    )
    encode.add_argument(
        "--no-fallback",
        action="store_true",
        help="do not try WebP, PNG, JPEG XL and screen",
    )

    decode = add("decode", _decode, "Decode .nzp files to images.")
    _shared(decode, "IN.nzp OUT, or files, folders and patterns; '-' is stdin or stdout")
    if "decode" in words:
        _decoding(decode, ".png, of stacks .tif; .jpg gives back JPEG files that were kept")
    decode.add_argument(
        "--partial",
        action="store_true",
        help="part of a lossless file that was cut or damaged: decode what there is of it",
    )

    pack = add("archive", _archive, "Encode many images to one .nzp file.")
    pack.add_argument("paths", nargs="+", metavar="PATH", help="images, folders and patterns")
    pack.add_argument("-o", "--output", required=True, metavar="OUT.nzp", help="the archive")
    pack.add_argument("-f", "--force", action="store_true", help="overwrite OUT.nzp")
    pack.add_argument(
        "--group", type=int, default=32, help="images of a group, read together (default 32)"
    )
    if "archive" in words:
        _encoding(pack)

    listing = add("list", _list, "List the images of an archive.")
    listing.add_argument("archive", metavar="ARCHIVE.nzp", help="file that `archive` made")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")

    unpack = add("extract", _extract, "Decode images of an archive.")
    unpack.add_argument("archive", metavar="ARCHIVE.nzp", help="file that `archive` made")
    unpack.add_argument("names", nargs="*", metavar="NAME", help="names of images (default: all)")
    unpack.add_argument(
        "--frame",
        type=int,
        action="append",
        default=[],
        help="number of a stack's frame, from 0; repeatable",
    )
    unpack.add_argument(
        "-o",
        "--output",
        default=".",
        help="folder for the images, which is made (default: the current one)",
    )
    unpack.add_argument("-f", "--force", action="store_true", help="overwrite existing files")
    if "extract" in words:
        _decoding(unpack, ".png; JPEG files that were kept come back as they are")

    info = add("info", _info, "Say what .nzp files hold, without decoding them.")
    info.add_argument("paths", nargs="+", metavar="FILE", help="files, folders and patterns")
    info.add_argument("--json", action="store_true", help="one JSON object a line")

    view = add("view", _view, "Show .nzp files on a page for the browser.")
    view.add_argument("paths", nargs="+", metavar="FILE", help="files, folders and patterns")
    view.add_argument("-o", "--output", required=True, metavar="OUT.html", help="the page")
    view.add_argument("-f", "--force", action="store_true", help="overwrite OUT.html")
    if "view" in words:
        _decoder(view)

    models = add("models", _models, "List the bundled models.")
    models.add_argument("--json", action="store_true", help="one JSON object a line")

    cut = add("truncate", _truncate, "Shorten a file to its first whole sections.")
    cut.add_argument("source", metavar="IN", help="file to shorten; '-' is stdin")
    cut.add_argument("target", metavar="OUT", help="shortened file; '-' is stdout")
    cut.add_argument("--bytes", type=int, required=True, help="largest size of OUT")
    cut.add_argument("-f", "--force", action="store_true", help="overwrite OUT")

    train = add("train", _train, "Train a model, continuing from its checkpoint.")
    train.add_argument("preset", help="name of a preset, such as ardm-photo or diffc-photo")
    train.add_argument("--list", nargs=0, action=_ListPresets, help="list of the presets")
    train.add_argument("--data", required=True, help="folder of photographs")
    train.add_argument("--out", required=True, help="folder of checkpoints and the model")
    train.add_argument("--until", type=int, help="step to stop at; a later call continues")
    train.add_argument("--start", help="model whose weights a new run begins with")
    train.add_argument("--steps", type=int, help="optimiser steps in all (default: the preset's)")
    train.add_argument("--batch", type=int, help="crops in a step (default: the preset's)")

    demo = add("demo", _demo, "Encode and decode a bundled photograph.")
    demo.add_argument("-o", "--output", help="folder that receives the files")

    add("selfcheck", _selfcheck, "Check that this machine decodes as all others do.")

    bench = add("bench", _bench, "Compare codecs on images: tables, plots and a report.")
    bench.add_argument("paths", nargs="+", metavar="PATH", help="images, folders and patterns")
    bench.add_argument("-o", "--output", required=True, metavar="OUT", help="folder of the results")
    bench.add_argument(
        "--codec",
        action="append",
        default=[],
        metavar="SPEC",
        help="codec and options, such as jpeg:quality=10/50/90 or avif:speed=6; repeatable",
    )
    kind = bench.add_mutually_exclusive_group()
    kind.add_argument("--lossless", action="store_true", help="all lossless codecs")
    kind.add_argument("--lossy", action="store_true", help="all lossy codecs over many qualities")
    where = bench.add_mutually_exclusive_group()
    where.add_argument(
        "--jobs", type=_positive, default=1, help="processes (default 1); more disturb the times"
    )
    where.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="scheduler of a Dask cluster that works in place of processes, such as "
        "tcp://host:8786; its workers find images and OUT at the same paths",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    words = sys.argv[1:] if argv is None else argv
    args = _parser(words).parse_args(words)
    _show_warnings_as_lines()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status: int = args.run(args)
        if sys.stdout:
            sys.stdout.flush()
    except UsageError as error:
        _complain(str(error))
        status = 2
    except KeyboardInterrupt:
        _complain("interrupted")
        status = 130
        if any(not thread.daemon for thread in threading.enumerate()[1:]):
            os._exit(status)  # without waiting for threads that still search
    except (NoisepressError, MemoryError, OSError, RuntimeError) as error:
        status = 1
        if not isinstance(error, BrokenPipeError):
            _complain(_reason(error))
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:  # said above; Python would try again at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)
