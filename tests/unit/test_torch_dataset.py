"""The data set for PyTorch: files, archives, levels, and the workers of a DataLoader."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from common import one_line, picture, raster
from torch.utils.data import DataLoader

import noisepress
from noisepress.codec.image.raster import Mode
from noisepress.torch import Item, NzpDataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, and an archive of two in groups of one."""
    for name, image in (("b", picture(9, 12)), ("a", picture(7, 8, 1)[..., 0])):
        (tmp_path / f"{name}.nzp").write_bytes(noisepress.encode(image, "png", fallback=False))
    members = [("x", picture(5, 6)), ("y", picture(6, 5))]
    (tmp_path / "c.nzp").write_bytes(noisepress.archive(members, "png", group=1))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


EXPECTED = [picture(7, 8, 1), picture(9, 12), picture(5, 6), picture(6, 5)]


def shown(image: torch.Tensor) -> Any:
    return image.permute(1, 2, 0).numpy()


def mean(image: torch.Tensor) -> float:
    return image.float().mean().item()


def test_files_folders_and_archives(folder: Path) -> None:
    found = NzpDataset([folder])
    path = str(folder)
    assert found.items == [
        Item(f"{path}/a.nzp"),
        Item(f"{path}/b.nzp"),
        Item(f"{path}/c.nzp", "x"),
        Item(f"{path}/c.nzp", "y"),
    ]
    assert len(found) == 4
    for index, expected in enumerate(EXPECTED):
        assert np.array_equal(shown(found[index]), expected)
    assert NzpDataset([folder / "b.nzp", folder / "a.nzp"])[0].shape == (3, 9, 12)
    assert np.array_equal(shown(found[-1]), EXPECTED[-1])
    with pytest.raises(IndexError):
        found[4]


@pytest.mark.parametrize("mode", [Mode.L16, Mode.RGBA16, Mode.BILEVEL])
def test_dtypes(mode: Mode, tmp_path: Path) -> None:
    image = raster(mode, 6, 5)
    (tmp_path / "a.nzp").write_bytes(noisepress.encode(image, "png", fallback=False))
    found = NzpDataset([tmp_path])[0]
    assert found.dtype == (torch.bool if mode is Mode.BILEVEL else torch.uint16)
    assert np.array_equal(shown(found), image.samples)


def test_levels_of_files_and_of_both_kinds_of_archives(
    lattice_model: str, vdm_model: str, tmp_path: Path
) -> None:
    image = picture(70, 90)
    (tmp_path / "a.nzp").write_bytes(
        noisepress.encode(image, model=lattice_model, fallback=False, effort=0)
    )
    for name, codec, model in (("b", "ardm", lattice_model), ("c", "vdm", vdm_model)):
        data = noisepress.archive([("x", image)], codec, model=model)
        (tmp_path / f"{name}.nzp").write_bytes(data)
    how = noisepress.Decoding(model=[lattice_model, vdm_model])
    found = NzpDataset([tmp_path], level=2, decoding=how)
    for index in range(3):
        assert np.array_equal(shown(found[index]), image[::4, ::4])
    with pytest.raises(noisepress.OptionError, match="level"):
        NzpDataset([tmp_path], level=-1)[1]


def test_transforms(folder: Path) -> None:
    found = NzpDataset([folder], transform=mean)
    assert found[1] == pytest.approx(EXPECTED[1].mean())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_loader(folder: Path, method: str, lattice_model: str) -> None:
    if method not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    data = noisepress.encode(picture(40, 50), model=lattice_model, fallback=False)
    (folder / "d.nzp").write_bytes(data)
    how = noisepress.Decoding(model=lattice_model)
    found = NzpDataset([folder], transform=mean, decoding=how)
    found[0], found[2]  # open archives do not go to the workers
    loader = DataLoader(found, batch_size=2, num_workers=2, multiprocessing_context=method)
    means = torch.cat(list(loader))
    expected = [image.mean() for image in (*EXPECTED, picture(40, 50))]
    assert means.tolist() == pytest.approx(expected)


def test_pickles(folder: Path) -> None:
    found = NzpDataset([folder], level=1)
    found[2]
    again = pickle.loads(pickle.dumps(found))
    assert torch.equal(again[2], found[2]) and again.items == found.items


def test_damage_is_named(folder: Path) -> None:
    data = bytearray((folder / "b.nzp").read_bytes())
    data[-9] ^= 1
    (folder / "b.nzp").write_bytes(data)
    with pytest.raises(noisepress.CorruptError, match=r"b\.nzp: the checksum") as error:
        NzpDataset([folder])[1]
    assert one_line(error)
    (folder / "b.nzp").write_bytes(b"no image")
    with pytest.raises(noisepress.NotNoisepressError, match=r"b\.nzp: not a \.nzp file"):
        NzpDataset([folder])
    with pytest.raises(OSError):
        NzpDataset([folder / "no.nzp"])
    (folder / "empty").mkdir()
    with pytest.raises(noisepress.OptionError, match="no image"):
        NzpDataset([folder / "empty"])
