"""The command line, run as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

import noisepress
from noisepress import cli
from noisepress.models.registry import BUNDLED

Completed = subprocess.CompletedProcess[bytes]
PNG = ("--codec", "png", "--no-fallback")
"""The fastest codec: for tests of the command line and not of the coding."""


def run(*args: object, stdin: bytes = b"", cwd: Path | None = None) -> Completed:
    command = [sys.executable, "-m", "noisepress", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, timeout=300)


def passed(*args: object, stdin: bytes = b"", cwd: Path | None = None) -> bytes:
    done = run(*args, stdin=stdin, cwd=cwd)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def failed(*args: object, status: int = 1, stdin: bytes = b"", lines: int = 1) -> str:
    """The error of a command that must fail, which is one line and no traceback."""
    done = run(*args, stdin=stdin)
    text = done.stderr.decode()
    assert done.returncode == status, text
    assert "Traceback" not in text
    assert len(text.splitlines()) == lines, text
    assert all(line.startswith("noisepress: ") for line in text.splitlines()), text
    return text


def picture(height: int = 20, width: int = 24) -> NDArray[np.uint8]:
    rng = np.random.default_rng(height)
    return rng.integers(0, 30, (height, width, 3), np.uint8) + np.arange(3, dtype=np.uint8) * 60


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(picture()).save(path)
    return path


@pytest.fixture
def file(tmp_path: Path, lattice_model: str) -> Path:
    """A file of two sections that needs the tiny model."""
    path = tmp_path / "large.nzp"
    path.write_bytes(noisepress.encode(picture(40, 50), model=lattice_model, fallback=False))
    return path


def pixels(path: Path) -> NDArray[Any]:
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_encode_and_decode_with_a_model(image: Path, tmp_path: Path, lattice_model: str) -> None:
    model = ("--model", lattice_model)
    coded, back = tmp_path / "out.nzp", tmp_path / "back.png"
    text = passed("encode", image, coded, "--no-fallback", "--block", "64", *model).decode()
    assert text.startswith(f"{coded}: {coded.stat().st_size} bytes, ")
    assert noisepress.inspect(coded.read_bytes()).parameters["block"] == 64
    passed("decode", coded, back, *model)
    assert np.array_equal(pixels(back), picture())


def test_encode_with_the_bundled_models(image: Path, tmp_path: Path) -> None:
    for order, extra in (("lattice", ()), ("random", ("--calls", "4", "--seed", "3"))):
        coded = tmp_path / f"{order}.nzp"
        passed("encode", image, coded, "--no-fallback", "--quiet", "--order", order, *extra)
        assert noisepress.inspect(coded.read_bytes()).parameters["order"] == order
        assert np.array_equal(noisepress.decode(coded.read_bytes()), picture())


def test_quiet_says_nothing(image: Path, tmp_path: Path) -> None:
    assert passed("encode", image, tmp_path / "a.nzp", "-q", *PNG) == b""


def test_the_file_of_one_image_goes_beside_it(image: Path, tmp_path: Path) -> None:
    passed("encode", image, *PNG)
    image.unlink()
    passed("decode", tmp_path / "picture.nzp")
    assert names(tmp_path) == ["picture.nzp", "picture.png"]
    assert np.array_equal(pixels(image), picture())


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".bmp", ".ppm"])
def test_decode_to_other_formats(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "a.nzp").write_bytes(noisepress.encode(picture(), "png"))
    passed("decode", tmp_path / "a.nzp", "--to", suffix)
    assert np.array_equal(pixels(tmp_path / f"a{suffix}"), picture())


def test_stdin_and_stdout(image: Path) -> None:
    coded = passed("encode", "-", "-", *PNG, stdin=image.read_bytes())
    assert np.array_equal(noisepress.decode(coded), picture())
    assert passed("encode", "-", *PNG, stdin=image.read_bytes()) == coded
    decoded = passed("decode", "-", "-", stdin=coded)
    assert np.array_equal(np.asarray(Image.open(BytesIO(decoded))), picture())
    assert json.loads(passed("info", "-", "--json", stdin=coded))["codec"] == "png"


def test_folders(tmp_path: Path) -> None:
    images, coded, back = (tmp_path / name for name in ("images", "coded", "back"))
    for folder in (images, coded, back):
        folder.mkdir()
    shapes = [(8, 9), (10, 7), (5, 6)]
    for index, (shape, suffix) in enumerate(zip(shapes, ("png", "bmp", "tif"), strict=True)):
        Image.fromarray(picture(*shape)).save(images / f"{index}.{suffix}")
    (images / "notes.txt").write_text("not an image")
    passed("encode", images, "-o", coded, *PNG)
    assert names(coded) == ["0.nzp", "1.nzp", "2.nzp"]
    passed("decode", coded, "-o", back)
    assert names(back) == ["0.png", "1.png", "2.png"]
    for index, shape in enumerate(shapes):
        assert np.array_equal(pixels(back / f"{index}.png"), picture(*shape))


def folder_of_images(folder: Path, count: int) -> list[str]:
    """Images of different size; their names without suffix."""
    folder.mkdir()
    for index in range(count):
        Image.fromarray(picture(8 + index % 20)).save(folder / f"{index:03}.png")
    return [f"{index:03}" for index in range(count)]


def test_jobs_skip_what_is_there_and_report_what_fails(tmp_path: Path) -> None:
    images, coded = tmp_path / "images", tmp_path / "coded"
    stems = folder_of_images(images, 5)
    (images / "bad.png").write_bytes(b"no image")
    text = failed("encode", images, "-o", coded, "--jobs", "2", *PNG)
    assert "bad.png" in text
    assert names(coded) == [f"{stem}.nzp" for stem in stems]
    (coded / "003.nzp").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in coded.iterdir()}
    done = run("encode", images, "-o", coded, "--jobs", "2", *PNG)
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 1 and lines[0].startswith(str(coded / "003.nzp"))
    assert lines[1] == "skipped, there already: 4 of 6 files"
    for index, stem in enumerate(stems):
        assert np.array_equal(noisepress.decode(coded / f"{stem}.nzp"), picture(8 + index))
    after = {path.name: path.stat().st_mtime_ns for path in coded.iterdir()}
    assert before.items() <= after.items()
    assert passed("encode", images / "000.png", coded, "--jobs", "1", "-f", "-q", *PNG) == b""
    assert (coded / "000.nzp").stat().st_mtime_ns > before["000.nzp"]


def test_jobs_take_files_only(image: Path) -> None:
    assert "--jobs takes files" in failed("encode", image, "-", "--jobs", "2", status=2)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_jobs_survive_a_killed_process_and_continue_after_an_interruption(tmp_path: Path) -> None:
    """Of 200 images, each is there once, whole; at no time is there a file that is not."""
    images, coded = tmp_path / "images", tmp_path / "coded"
    stems = folder_of_images(images, 200)
    arguments = ["encode", str(images), "-o", str(coded), "--jobs", "2", *PNG]
    command = [sys.executable, "-m", "noisepress", *arguments]

    def wait_for(count: int) -> None:
        deadline = time.monotonic() + 120
        while not coded.is_dir() or len(list(coded.iterdir())) < count:
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.01)

    def mind_interruptions() -> None:  # shells start background jobs without
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, preexec_fn=mind_interruptions
    ) as running:
        wait_for(5)
        children = psutil.Process(running.pid).children()
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        workers[0].kill()
        wait_for(20)
        running.send_signal(signal.SIGINT)
    assert running.returncode == 130
    assert not any(worker.is_running() for worker in workers)
    finished = names(coded)
    assert 20 <= len(finished) < 200 and all(name.endswith(".nzp") for name in finished)
    text = passed(*arguments).decode()
    assert f"skipped, there already: {len(finished)} of 200 files" in text
    assert names(coded) == [f"{stem}.nzp" for stem in stems]
    for index, stem in enumerate(stems):
        assert np.array_equal(noisepress.decode(coded / f"{stem}.nzp"), picture(8 + index % 20))


def test_patterns(tmp_path: Path) -> None:
    for name in ("a1.png", "a2.png", "b1.png"):
        Image.fromarray(picture()).save(tmp_path / name)
    passed("encode", str(tmp_path / "a*.png"), *PNG)
    assert [name for name in names(tmp_path) if name.endswith("nzp")] == ["a1.nzp", "a2.nzp"]
    failed("encode", str(tmp_path / "c*.png"), status=2)


def test_two_images_are_two_inputs(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(picture()).save(tmp_path / name)
    before = (tmp_path / "b.png").read_bytes()
    passed("encode", tmp_path / "a.png", tmp_path / "b.png", *PNG)
    assert names(tmp_path) == ["a.nzp", "a.png", "b.nzp", "b.png"]
    assert (tmp_path / "b.png").read_bytes() == before


def test_inputs_that_would_collide_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp"):
        Image.fromarray(picture()).save(tmp_path / name)
    text = failed("encode", tmp_path / "a.png", tmp_path / "a.bmp", *PNG, status=2)
    assert "would both become" in text
    assert names(tmp_path) == ["a.bmp", "a.png"]


def test_nothing_is_overwritten_without_force(image: Path, tmp_path: Path, file: Path) -> None:
    target = tmp_path / "out.nzp"
    target.write_bytes(b"precious")
    assert "--force" in failed("encode", image, target, *PNG)
    assert "--force" in failed("truncate", file, target, "--bytes", "9999")
    assert target.read_bytes() == b"precious"
    passed("encode", image, target, "--force", *PNG)
    assert np.array_equal(noisepress.decode(target.read_bytes()), picture())
    before = image.read_bytes()
    assert "--force" in failed("decode", target, image)
    assert image.read_bytes() == before


def test_info_and_its_json_agree(file: Path) -> None:
    text = passed("info", file).decode()
    info = json.loads(passed("info", file, "--json"))
    assert info["file"] == str(file)
    assert (info["codec"], info["mode"]) == ("ardm", "RGB8")
    assert (info["width"], info["height"], info["truncated"]) == (50, 40, False)
    assert info["size"] == file.stat().st_size
    assert len(info["sections"]) == 2
    assert info["parameters"]["order"] == "lattice"
    for part in ("ardm", "lattice", "50 x 40, RGB8", f"{info['size']} bytes"):
        assert part in text


def test_info_of_several_files_goes_on_after_a_damaged_one(file: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.nzp"
    bad.write_bytes(b"no")
    done = run("info", bad, file, "--json")
    assert done.returncode == 1
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == [str(file)]
    assert len(done.stderr.splitlines()) == 1


def test_info_loads_neither_torch_nor_a_coder(file: Path) -> None:
    code = (
        "import sys\nfrom noisepress.cli import main\n"
        "try:\n    main(['info', sys.argv[1]])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'torch', 'numba', 'constriction', 'accelerate', 'compressai', 'tensorboard'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "RGB8" in done.stdout


def test_models_lists_the_bundled_ones() -> None:
    cards = [json.loads(line) for line in passed("models", "--json").splitlines()]
    assert {card["number"]: card["name"] for card in cards} == BUNDLED
    text = passed("models").decode()
    for card in cards:
        assert Path(card["path"]).is_file()
        assert card["name"] in text and f"{card['digest']:08x}" in text


def test_truncate_then_decode_gives_the_thumbnail(
    file: Path, tmp_path: Path, lattice_model: str
) -> None:
    small, shown = tmp_path / "small.nzp", tmp_path / "small.png"
    passed("truncate", file, small, "--bytes", file.stat().st_size - 1)
    assert small.stat().st_size < file.stat().st_size
    assert "truncated" in passed("info", small).decode()
    done = run("decode", small, shown, "--partial", "--model", lattice_model)
    assert done.returncode == 0
    assert b"25 x 20 pixels of 50 x 40" in done.stderr
    assert np.array_equal(pixels(shown), picture(40, 50)[::2, ::2])
    assert "hold no section" in failed("truncate", file, tmp_path / "no.nzp", "--bytes", "50")
    assert not (tmp_path / "no.nzp").exists()


def cmyk(path: Path) -> Path:
    Image.new("CMYK", (8, 8)).save(path, "JPEG")
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    rows = np.indices((60, 80)).sum(0).astype(np.uint8)
    Image.fromarray(rows).save(path, "JPEG", exif=b"Exif\0\0II*\0\x08" + bytes(9))
    return path


def test_jpeg_files_come_back(photo: Path, tmp_path: Path) -> None:
    kept, back, shown = tmp_path / "x.nzp", tmp_path / "back.jpg", tmp_path / "x.png"
    assert b"bits per sample" in passed("encode", photo, kept)
    text = passed("info", kept).decode()
    assert "codec       jpegfile" in text and "metadata    exif" in text
    passed("decode", kept, back)
    assert back.read_bytes() == photo.read_bytes()
    passed("decode", kept, shown)
    assert np.array_equal(pixels(shown), pixels(photo))
    passed("encode", photo, kept, *PNG, "--force")
    assert "keeps no JPEG file" in failed("decode", kept, tmp_path / "no.jpg")


def test_jpeg_files_without_a_picture_come_back(tmp_path: Path) -> None:
    source, kept, back = cmyk(tmp_path / "cmyk.jpg"), tmp_path / "x.nzp", tmp_path / "back.JPG"
    assert b"its picture cannot be decoded" in passed("encode", source, kept)
    assert "original_file" in failed("decode", kept, tmp_path / "x.png")
    passed("decode", kept, back)
    assert back.read_bytes() == source.read_bytes()


def test_pixels_of_jpeg_files(tmp_path: Path) -> None:
    source, kept = tmp_path / "flat.jpg", tmp_path / "x.nzp"
    Image.new("RGB", (40, 40)).save(source, quality=100)
    passed("encode", source, kept, "--pixels", "--effort", "0")
    assert "jpegfile" not in passed("info", kept).decode()


def test_archives_of_jpeg_files(photo: Path, image: Path, tmp_path: Path) -> None:
    stored, out = tmp_path / "x.nzp", tmp_path / "out"
    out.mkdir()
    passed("archive", photo, image, "-o", stored, "--effort", "0")
    passed("extract", stored, "-o", out)
    assert names(out) == ["photo.jpg", "picture.png"]
    assert (out / "photo.jpg").read_bytes() == photo.read_bytes()
    assert "exists" in failed("extract", stored, "photo.jpg", "-o", out)
    passed("extract", stored, "photo.jpg", "-o", out, "--to", ".png")
    assert np.array_equal(pixels(out / "photo.png"), pixels(photo))


def test_archives_with_a_jpeg_file_without_a_picture(image: Path, tmp_path: Path) -> None:
    source, stored, out = cmyk(tmp_path / "cmyk.jpg"), tmp_path / "x.nzp", tmp_path / "out"
    out.mkdir()
    passed("archive", source, image, "-o", stored, "--codec", "png")
    passed("extract", stored, "-o", out)
    assert names(out) == ["cmyk.jpg", "picture.png"]
    assert (out / "cmyk.jpg").read_bytes() == source.read_bytes()
    text = failed("extract", stored, "-o", out, "--to", ".ppm")
    assert "cmyk.jpg" in text and "not supported" in text
    assert names(out) == ["cmyk.jpg", "picture.png", "picture.ppm"]


def test_jpeg_is_given_back_where_it_is_kept(photo: Path, image: Path, tmp_path: Path) -> None:
    stored, out = tmp_path / "x.nzp", tmp_path / "out"
    out.mkdir()
    passed("archive", photo, image, "-o", stored, "--effort", "0")
    done = run("extract", stored, "-o", out, "--to", ".jpeg")
    assert done.returncode == 0
    assert done.stderr.decode() == (
        f"noisepress: {stored}: holds pixels instead of a JPEG file, written as"
        f" {out / 'picture.png'}\n"
    )
    assert names(out) == ["photo.jpeg", "picture.png"]
    assert (out / "photo.jpeg").read_bytes() == photo.read_bytes()
    files = tmp_path / "files"
    files.mkdir()
    passed("encode", photo, image, "-o", files, "--effort", "0")
    done = run("decode", files, "-o", out, "--to", ".jpg", "--force")
    assert done.returncode == 0
    assert done.stderr.decode().splitlines() == [
        f"noisepress: {files / 'picture.nzp'}: holds pixels instead of a JPEG file, written as"
        f" {out / 'picture.png'}"
    ]
    assert (out / "photo.jpg").read_bytes() == photo.read_bytes()
    assert np.array_equal(pixels(out / "picture.png"), pixels(image))


def test_pages(tmp_path: Path) -> None:
    source, kept, back = (tmp_path / name for name in ("x.tif", "x.nzp", "x.png"))
    images = [picture(20, 30), picture(9, 8)]
    first, second = map(Image.fromarray, images)
    first.save(source, save_all=True, append_images=[second])
    assert "--page" in failed("encode", source, kept)
    assert "no page 3, the file has 2" in failed("encode", source, kept, "--page", 3)
    for page, image in enumerate(images, 1):
        passed("encode", source, kept, "--page", page, "--force", *PNG)
        passed("decode", kept, back, "--force")
        assert np.array_equal(pixels(back), image)


def test_warnings_are_lines(tmp_path: Path) -> None:
    source = tmp_path / "x.tif"
    first, second = Image.fromarray(picture(20, 30)), Image.new("RGB", (3, 2))
    with AppendingTiffWriter(source, True) as file:
        first.save(file, "TIFF")
        file.newFrame()
        second.save(file, "TIFF", tiffinfo={254: 1})
    done = run("encode", source, tmp_path / "x.nzp", *PNG)
    assert done.returncode == 0
    assert done.stderr.decode() == (
        f"noisepress: {source}: TIFF with 2 pages: page 1 is read, the others are thumbnails\n"
    )


def test_bad_inputs_fail_in_one_line(tmp_path: Path, file: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    target = out / "x.nzp"
    text = failed("encode", tmp_path / "none.png", target)
    assert "none.png" in text
    text = failed("decode", tmp_path / "none.nzp", out / "x.png")
    assert "none.nzp" in text
    assert "CMYK" in failed("encode", cmyk(tmp_path / "cmyk.jpg"), target, *PNG)
    bad = tmp_path / "bad.nzp"
    data = bytearray(file.read_bytes())
    data[-10] ^= 4
    bad.write_bytes(data)
    text = failed("decode", bad, out / "x.png")
    assert str(bad) in text and "checksum" in text
    assert "model 1024" in failed("decode", file, out / "x.png")
    assert "not a .nzp file" in failed("info", tmp_path / "cmyk.jpg")
    assert "none.nzp" in failed("truncate", tmp_path / "none.nzp", target, "--bytes", "9")
    assert names(out) == [], "no partial files"


def test_the_other_inputs_are_coded_all_the_same(image: Path, tmp_path: Path) -> None:
    bad = cmyk(tmp_path / "bad.jpg")
    missing = tmp_path / "missing.png"
    text = failed("encode", bad, missing, image, *PNG, lines=2)
    assert "bad.jpg" in text and "missing.png" in text
    assert (tmp_path / "picture.nzp").exists()
    assert not (tmp_path / "bad.nzp").exists()


@pytest.mark.parametrize(
    ("arguments", "match", "status"),
    [
        (["--order", "raster"], "supported are lattice, random", 2),
        (["--codec", "jpeg"], "supported are ardm, webp, png", 2),
        (["--order", "random", "--calls", "2"], "4 to 1024", 2),
        (["--model", "ardm-huge"], "ardm-photo", 1),
        (["--model", "none.safetensors"], "cannot read the model", 1),
    ],
    ids=["order", "codec", "calls", "model", "path"],
)
def test_wrong_options_name_the_supported_ones(
    arguments: list[str], match: str, status: int, image: Path, tmp_path: Path
) -> None:
    assert match in failed("encode", image, tmp_path / "x.nzp", *arguments, status=status)
    assert not (tmp_path / "x.nzp").exists()


def test_wrong_usage_exits_with_2(tmp_path: Path, image: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no files" in failed("encode", empty, status=2)
    assert "no files" in failed("decode", empty, status=2)
    other = tmp_path / "other.png"
    other.write_bytes(image.read_bytes())
    assert "File exists" in failed("encode", image, other, "-o", image, status=2)
    for arguments in ([], ["paint"], ["encode"], ["truncate", "a", "b"], ["info", "--colour"]):
        done = run(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(b"usage: noisepress")
        assert b"Traceback" not in done.stderr


def test_wrong_decoding_options_are_wrong_usage(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.png"
    assert "detail is 2" in failed("decode", file, out, "--detail", 2, status=2)
    assert not out.exists()


@pytest.mark.parametrize("command", ["list", "extract"])
def test_what_is_no_archive_is_named(command: str, file: Path, tmp_path: Path) -> None:
    folder = [] if command == "list" else ["-o", tmp_path]
    assert f"{file}: the file is an image, not an archive" in failed(command, file, *folder)


def test_one_input_may_have_any_output(image: Path, tmp_path: Path) -> None:
    passed("encode", image, "-o", tmp_path / "file", *PNG)
    assert noisepress.inspect(tmp_path / "file").codec == "png"


def test_a_reader_that_leaves_early_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:
        command = [sys.executable, "-m", "noisepress", "models"]
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"")


def test_an_interruption_has_a_status_of_its_own(
    image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_info", interrupted)
    with pytest.raises(SystemExit) as end:
        cli.main(["info", str(image)])
    assert end.value.code == 130
    assert capsys.readouterr().err == "noisepress: interrupted\n"


def test_presets_are_listed() -> None:
    lines = passed("train", "--list").decode().splitlines()
    assert all(any(line.startswith(name) for line in lines) for name in BUNDLED.values())


def test_training_with_an_unknown_preset_fails_in_one_line(tmp_path: Path) -> None:
    text = failed("train", "huge", "--data", tmp_path, "--out", tmp_path / "run")
    assert "'huge'" in text and all(name in text for name in BUNDLED.values())
    text = failed("train", "ardm-small", "--data", tmp_path / "no", "--out", tmp_path / "run")
    assert "no" in text
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("accelerate", ["train", "ardm-photo", "--data", ".", "--out"]),
        ("tensorboard", ["train", "ardm-photo", "--data", ".", "--out"]),
        ("ssimulacra2", ["bench", "photo.png", "--output"]),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    package: str, arguments: list[str], tmp_path: Path
) -> None:
    absent = f"import sys; sys.modules[{package!r}] = None; from noisepress.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", absent, *arguments, str(tmp_path / "out")],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    extra = arguments[0]
    assert done.stderr == (
        f'noisepress: {package} is missing; pip install "noisepress[{extra}]" brings it\n'
    )
    assert names(tmp_path) == []


def test_version_and_help() -> None:
    assert passed("--version").decode().split() == ["noisepress", noisepress.__version__]
    text = passed("--help").decode()
    for command in ("encode", "decode", "info", "models", "truncate", "train"):
        assert command in text


def test_written_files_have_usual_permissions(image: Path, tmp_path: Path) -> None:
    passed("encode", image, tmp_path / "a.nzp", *PNG)
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "a.nzp").stat().st_mode & 0o777 == 0o666 & ~umask


def test_failed_write_leaves_neither_the_file_nor_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file stays whole when the disk is full."""
    target = tmp_path / "a.nzp"
    target.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(cli.UsageError, match="No space left on device"):
        cli._write(str(target), b"new", force=True)
    assert names(tmp_path) == ["a.nzp"]
    assert target.read_bytes() == b"old"
    with pytest.raises(cli.UsageError, match="No such file"):
        cli._write(str(tmp_path / "no" / "a.nzp"), b"new", force=False)


@pytest.fixture
def archived(tmp_path: Path) -> Path:
    """An archive of four pictures in two groups."""
    for index in range(3):
        Image.fromarray(picture(20 + index)).save(tmp_path / f"{index}.png")
    Image.fromarray(picture(30)).save(tmp_path / "2.bmp")
    out = tmp_path / "all.nzp"
    output = passed("archive", tmp_path, "-o", out, "--group", 2, "--codec", "png")
    assert output.decode() == f"{out}: 4 images, {out.stat().st_size} bytes\n"
    return out


def test_an_archive_is_listed_and_extracted(archived: Path, tmp_path: Path) -> None:
    lines = passed("list", archived).decode().splitlines()
    assert [line.split()[0] for line in lines] == ["0.png", "1.png", "2.bmp", "2.png"]
    assert lines[0] == "0.png  24 x 20, RGB8, group 1"
    rows = [json.loads(line) for line in passed("list", "--json", archived).splitlines()]
    assert [row["group"] for row in rows] == [0, 0, 1, 1]
    out = tmp_path / "out"
    out.mkdir()
    passed("extract", archived, "1.png", "-o", out)
    assert names(out) == ["1.png"]
    assert "exists; --force" in failed("extract", archived, "-o", out, status=2)
    assert "the file is an archive: use `list` and `extract`" in failed(
        "decode", archived, tmp_path / "a.png"
    )
    passed("extract", archived, "-o", out, "-f")
    assert names(out) == ["0.png", "1.png", "2.bmp.png", "2.png.png"]
    for name, seed in (("0.png", 20), ("1.png", 21), ("2.png.png", 22), ("2.bmp.png", 30)):
        np.testing.assert_array_equal(np.asarray(Image.open(out / name)), picture(seed))


def test_a_damaged_group_does_not_keep_the_others(archived: Path, tmp_path: Path) -> None:
    data = bytearray(archived.read_bytes())
    data[-10] ^= 1
    archived.write_bytes(data)
    out = tmp_path / "out"
    out.mkdir()
    error = failed("extract", archived, "-o", out)
    assert "group 2 (2.bmp to 2.png): the checksum of section 3 does not match" in error
    assert names(out) == ["0.png", "1.png"]
    assert "no image '7.png'" in failed("extract", archived, "7.png", "-o", out, status=2)
    assert "not a folder" in failed("extract", archived, "-o", archived, status=2)
    passed("extract", archived, "0.png", "-o", tmp_path / "new" / "one")
    assert names(tmp_path / "new" / "one") == ["0.png"]


def test_a_folder_may_be_the_output(image: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    passed("encode", image, folder, *PNG)
    assert names(folder) == ["picture.nzp"]
    passed("decode", folder / "picture.nzp", "-o", f"{tmp_path}/new/one/")
    assert names(tmp_path / "new" / "one") == ["picture.png"]
    other = tmp_path / "other.png"
    other.write_bytes(image.read_bytes())
    passed("encode", image, other, "-o", tmp_path / "two", *PNG)
    assert names(tmp_path / "two") == ["other.nzp", "picture.nzp"]
    passed("encode", folder.parent / "o*.png", "-o", tmp_path / "three", *PNG)
    assert names(tmp_path / "three") == ["other.nzp"]
    text = failed("encode", image, other, "-o", image, *PNG, status=2)
    assert str(image) in text


def test_folders_are_made_for_jobs_that_can_begin(image: Path, tmp_path: Path) -> None:
    same = tmp_path / "picture.bmp"
    Image.fromarray(picture()).save(same)
    assert "would both become" in failed("encode", image, same, "-o", tmp_path / "new", status=2)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("suffix", [".jfif", ".heic", ".psd", ""])
def test_a_second_file_of_another_kind_is_no_output(
    suffix: str, image: Path, tmp_path: Path
) -> None:
    second = tmp_path / f"second{suffix}"
    second.write_bytes(b"precious")
    assert "-o must name the output" in failed("encode", "-f", image, second, *PNG, status=2)
    assert second.read_bytes() == b"precious"
    passed("encode", "-f", image, "-o", second, *PNG)
    assert noisepress.inspect(second).codec == "png"


posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")


@posix
def test_links_are_not_overwritten_without_force(image: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.nzp"
    link.symlink_to("nowhere.nzp")
    assert "--force" in failed("encode", image, link, *PNG)
    assert not (tmp_path / "nowhere.nzp").exists()
    passed("encode", "-f", image, link, *PNG)
    assert link.is_symlink() and noisepress.inspect(tmp_path / "nowhere.nzp").codec == "png"


@posix
@pytest.mark.parametrize("command", ["encode {image} -", "info {file}", "models"])
def test_output_that_has_no_room(command: str, image: Path, file: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("the system has no full device")
    words = command.format(image=image, file=file).split()
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "noisepress", *words], stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode in (1, 2)
    assert done.stderr.decode().count("\n") == 1 and b"No space left" in done.stderr


@posix
@pytest.mark.parametrize(
    ("words", "descriptor", "name"),
    [("encode {image} -", ">&-", "stdout"), ("encode - {out}", "<&-", "stdin")],
)
def test_closed_streams(
    words: str, descriptor: str, name: str, image: Path, tmp_path: Path
) -> None:
    words = words.format(image=image, out=tmp_path / "out.nzp")
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m noisepress {words} {descriptor}"], capture_output=True
    )
    assert done.returncode == 1 and f"{name} is closed" in done.stderr.decode()


@posix
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8:strict"])
def test_names_that_a_terminal_cannot_show(
    encoding: str, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    folder = tmp_path / "folder"
    folder.mkdir()
    listed = [b"1\xff.png", "\u5199\u771f.png".encode(), b"3.png"]
    for name in listed:
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(image.read_bytes())
    passed("encode", folder, *PNG)
    assert len(list(folder.glob("*.nzp"))) == 3
    passed("info", *sorted(folder.glob("*.nzp")))


def test_memory_that_lacks_is_one_line(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(image.read_bytes())
    errors = iter([MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9")])

    def no_room(*_: object, **__: object) -> bytes:
        raise next(errors)

    monkeypatch.setattr(noisepress, "encode", no_room)
    monkeypatch.setattr("noisepress.codec.api.encode", no_room)
    with pytest.raises(SystemExit) as ended:
        cli.main(["encode", str(image), str(other), "-q"])
    assert ended.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["not enough memory"] * 2
