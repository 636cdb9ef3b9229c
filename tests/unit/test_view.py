"""The page that shows files: its data, and the map of bits."""

from __future__ import annotations

import base64
import json
import re
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from common import noise, one_line, picture, raster
from numpy.typing import NDArray
from PIL import Image

import noisepress
from noisepress.bitstream.container import SectionKind, read
from noisepress.codec import view
from noisepress.codec.ardm.coding import bits_by_place
from noisepress.codec.image.raster import Mode, to_array
from noisepress.codec.protocol import Decoding


def shown(*files: tuple[str, bytes], model: str | None = None) -> list[dict[str, Any]]:
    """The data that a page holds."""
    text = view.page(files, Decoding(model=model))
    (found,) = re.findall(r'<script id="files" type="application/json">(.*)</script>', text)
    parsed: list[dict[str, Any]] = json.loads(found)
    return parsed


def pixels(source: str) -> NDArray[Any]:
    with Image.open(
        BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,")))
    ) as image:
        return np.asarray(image)


@pytest.mark.parametrize("effort", [0, 1])
@pytest.mark.parametrize("shape", [(70, 90), (33, 16), (1, 40), (5, 5)])
def test_bits_are_all_somewhere(effort: int, shape: tuple[int, int], lattice_model: str) -> None:
    image = picture(*shape)
    data = noisepress.encode(image, model=lattice_model, fallback=False, effort=effort)
    contents = read(data)
    bits = bits_by_place(contents, Decoding(model=lattice_model), 16)
    assert bits.shape == (-(-shape[0] // 16), -(-shape[1] // 16))
    whole = sum(8 * len(payload) for payload in contents.payloads(SectionKind.DATA))
    assert bits.sum() == pytest.approx(whole) and (bits >= 0).all()


def test_bits_are_where_the_image_is_busy(lattice_model: str) -> None:
    image = np.full((64, 64, 3), 90, np.uint8)
    image[16:32, 32:48] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    data = noisepress.encode(image, model=lattice_model, fallback=False)
    bits = bits_by_place(read(data), Decoding(model=lattice_model), 16)
    assert bits.argmax() == 1 * 4 + 2
    assert bits[1, 2] > 4 * np.delete(bits.reshape(-1), 6).max()


def test_bits_of_deep_samples_and_simpler_images(lattice_model: str) -> None:
    grey = np.repeat(raster(Mode.L16, 40, 50).samples, 3, 2)
    data = noisepress.encode(grey, model=lattice_model, fallback=False)
    (file,) = shown(("a", data), model=lattice_model)
    assert pixels(file["map"]["source"]).shape == (40, 50, 3)


def test_a_pyramid(lattice_model: str) -> None:
    image = picture(70, 90)
    data = noisepress.encode(image, model=lattice_model, fallback=False)
    (file,) = shown(("a.nzp", data), model=lattice_model)
    info = noisepress.inspect(data)
    assert file["name"] == "a.nzp" and ["codec", "ardm"] in file["facts"]
    assert file["sections"] == [[kind, length] for kind, length, _ in info.sections]
    steps = [pixels(step["source"]) for step in file["steps"]]
    for found, expected in zip(
        steps, noisepress.decode_progressive(data, model=lattice_model), strict=True
    ):
        assert np.array_equal(found, expected)
    assert file["steps"][-1]["label"] == "100.0 % of the file"
    assert file["steps"][0]["detail"].startswith("23 x 18 from ")
    low, high = file["scale"]
    assert 0 <= low < 8 * len(data) / image[..., 0].size < high
    painted = pixels(file["map"]["source"]).astype(int)
    assert painted.shape == image.shape and painted.sum(2).max() > 600
    assert file["renderings"] == []


def test_a_lossy_file() -> None:
    data = noisepress.encode(picture(40, 50), "hfd", quality=30)
    (file,) = shown(("a", data))
    assert [one["label"] for one in file["renderings"]] == ["mmse", "flow"]
    for one, render in zip(file["renderings"], ("mmse", "flow"), strict=True):
        assert np.array_equal(pixels(one["source"]), noisepress.decode(data, render=render))
    assert file["map"] is None and len(file["steps"]) > 1


@pytest.mark.parametrize("mode", [Mode.BILEVEL, Mode.PALETTE8, Mode.LA8, Mode.RGBA16])
def test_other_layouts(mode: Mode) -> None:
    image = noise(mode, 9, 12)
    (file,) = shown(("a", noisepress.encode(to_array(image), "png", fallback=False)))
    (step,) = file["steps"]
    assert pixels(step["source"]).shape[:2] == (9, 12) and file["map"] is None


def test_cut_files_and_large_ones(lattice_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "LONGEST", 30)
    monkeypatch.setattr(view, "CELLS", 4)
    data = noisepress.encode(picture(70, 90), model=lattice_model, fallback=False)
    with pytest.warns(noisepress.TruncatedWarning, match="2 of 3 sections"):
        whole, cut = shown(("a", data), ("b", data[:-9]), model=lattice_model)
    assert pixels(whole["map"]["source"]).shape == (23, 30, 3)
    assert cut["map"] is None and len(cut["steps"]) == len(whole["steps"]) - 1


def test_names_cannot_end_the_script() -> None:
    name = "</script><script>alert(1)</script>.nzp"
    data = noisepress.encode(picture(4, 4), "png")
    assert view.page([(name, data)]).count("</script>") == 2
    assert shown((name, data))[0]["name"] == name


def test_bad_files_are_named() -> None:
    archive = noisepress.archive([("a", picture(4, 4))], "png")
    with pytest.raises(noisepress.UnknownIdError, match=r"^x: the file is an archive") as error:
        view.page([("x", archive)])
    assert one_line(error)
