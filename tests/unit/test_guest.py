"""A good guest: nothing of the program around is changed, or obeyed by accident."""

from __future__ import annotations

import locale
import random
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from common import picture

import noisepress
from noisepress.codec import api
from noisepress.codec.ardm.codec import ArdmCodec

GOLDEN = Path(__file__).parents[1] / "golden" / "codec"
MODELS = [str(path) for path in sorted(GOLDEN.glob("*.safetensors"))]
FILES = (
    "lattice_grey",
    "lattice_grey_alpha",
    "random_equal",
    "vdm_small",
    "diffc_small",
    "hfd_grey_alpha",
    "screen_page",
    "webp_palette",
    "png_rgb16",
    "jpegxl_palette",
    "jpegfile_stored",
)
IMAGE = picture(9, 12)


def decoded(name: str) -> Any:
    return noisepress.decode((GOLDEN / f"{name}.nzp").read_bytes(), model=MODELS)


def encoded(lattice_model: str) -> bytes:
    return noisepress.encode(IMAGE, model=lattice_model, fallback=False)


@pytest.fixture(scope="module")
def usual() -> dict[str, Any]:
    """Pictures as they are without any setting."""
    return {name: decoded(name) for name in FILES}


@contextmanager
def setting(get: Callable[[], Any], put: Callable[[Any], Any], value: Any) -> Iterator[None]:
    """A setting of the process, which must still be there at the end."""
    before = get()
    put(value)
    try:
        yield
        assert get() == value
    finally:
        put(before)


def deterministic() -> AbstractContextManager[None]:
    return setting(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    )


def dtype(value: torch.dtype) -> AbstractContextManager[None]:
    return setting(torch.get_default_dtype, torch.set_default_dtype, value)


SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "default dtype of 64 bits": lambda: dtype(torch.float64),
    "default dtype of 16 bits": lambda: dtype(torch.bfloat16),
    "default device": lambda: torch.device("meta"),
    "deterministic": deterministic,
    "threads": lambda: setting(torch.get_num_threads, torch.set_num_threads, 2),
    "inference": torch.inference_mode,
    "numpy's errors": lambda: np.errstate(all="raise"),
    "warnings": nullcontext,  # which the tests make errors
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_neither_obeyed_nor_changed(
    name: str, usual: dict[str, Any], lattice_model: str
) -> None:
    file = encoded(lattice_model)
    with SETTINGS[name]():
        found = {each: decoded(each) for each in FILES}
        assert encoded(lattice_model) == file
    for each, pixels in found.items():
        if each.startswith(("diffc", "hfd")):  # floats differ between settings
            np.testing.assert_allclose(pixels.astype(int), usual[each].astype(int), atol=2)
        else:
            np.testing.assert_array_equal(pixels, usual[each])


@pytest.mark.parametrize("name", FILES)
def test_what_decode_returns_is_the_callers_own(name: str) -> None:
    """Whichever coder won: writeable, in C order, of memory of its own."""
    pixels = decoded(name)
    assert pixels.flags.c_contiguous and pixels.flags.writeable and pixels.flags.owndata
    before = pixels.copy()
    pixels[...] = 0
    np.testing.assert_array_equal(decoded(name), before)


def test_random_states_filters_and_locale_stay(lattice_model: str) -> None:
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)

    def state() -> list[Any]:
        rng = np.random.get_state(legacy=False)
        assert isinstance(rng, dict)
        return [
            random.getstate(),
            rng["state"]["key"].tolist(),
            torch.get_rng_state().tolist(),
            list(warnings.filters),
            locale.setlocale(locale.LC_ALL),
            np.geterr(),
        ]

    before = state()
    encoded(lattice_model)
    for name in FILES:
        decoded(name)
    assert state() == before


FORK = """
import multiprocessing, os, sys
import noisepress, numpy, torch

torch.set_num_threads(2)
image = numpy.random.default_rng(0).integers(0, 99, (70, 90, 3), numpy.uint8)
data = noisepress.encode(image, model=sys.argv[1], fallback=False)

def work():
    assert (noisepress.decode(data, model=sys.argv[1]) == image).all()
    assert noisepress.encode(image, model=sys.argv[1], fallback=False) == data
    assert torch.get_num_threads() == 2

child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join(240)
print(child.exitcode)
child.kill()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_forked_child_works(lattice_model: str) -> None:
    command = [sys.executable, "-c", FORK, lattice_model]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "0", done.stderr


def test_an_interrupt_does_not_wait_for_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The long searches of other formats go on in a thread that nobody waits for."""
    begun, release = threading.Event(), threading.Event()

    def search(*_: Any, **__: Any) -> bytes:
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            release.wait(60)
        return b"file"

    def interrupted(*_: Any, **__: Any) -> bytes:
        assert begun.wait(60)
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "_checked", interrupted)
    monkeypatch.setattr(api, "_file", search)
    image = noisepress.Raster(IMAGE, noisepress.Mode.RGB8)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        api._smallest(image, ArdmCodec(), noisepress.Ardm(), lambda _: None)
    assert time.monotonic() - start < 30
    release.set()
