"""Training on a tiny preset: it learns, resumes exactly, and exports a model that codes."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import noisepress
from noisepress.models import registry
from noisepress.models.lattice import LatticeConfig, LatticeNet
from noisepress.models.masked import STAGES, MaskedConfig, MaskedNet
from noisepress.models.storage import Network, build
from noisepress.models.unet import UNet, UNetConfig
from noisepress.training import command
from noisepress.training.command import TrainingError, export, fitting, loss_curves, train
from noisepress.training.data import (
    Crops,
    CropSpec,
    batches,
    cache,
    cut,
    is_validation,
    photographs,
    prescale,
)
from noisepress.training.distill import Pair, consistency_loss, moment_loss, progressive_loss
from noisepress.training.loop import Recipe, Run
from noisepress.training.losses import DistillationLoss, lattice_bits, masked_bits
from noisepress.training.presets import PRESETS, Preset, listing

NAMES = tuple(f"photo{index}.jpg" for index in range(10))
RECIPE = Recipe(steps=6, batch=4, validate=2)
SPEC = CropSpec(size=16, scale=(2.0, 4.0), passes=1, crops=24, grain=2.0)
LATTICE = Preset(
    lambda: LatticeNet(LatticeConfig(width=8, blocks=1, components=2, levels=2)),
    lattice_bits,
    SPEC,
    RECIPE,
    "tiny",
)
MASKED = Preset(
    lambda: MaskedNet(MaskedConfig(width=8, blocks=1, components=2)),
    masked_bits,
    SPEC,
    RECIPE,
    "tiny",
)


@pytest.fixture(scope="module")
def crops() -> Crops:
    """Smooth noise, shape (12, 16, 16, 3)."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
    smooth = coarse.repeat(4, 1).repeat(4, 2) // np.uint8(2)
    noisy: Crops = smooth + rng.integers(0, 8, (12, 16, 16, 3), np.uint8)
    return noisy


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Small JPEG photographs, at least two of them for validation, and a text file."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(1)
    names = (f"{index:02}.jpg" for index in range(1000))
    held_out = (name for name in names if is_validation(name))
    for name in [*NAMES, *itertools.islice(held_out, 2)]:
        noise = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((120, 90)).save(folder / name)
    (folder / "README.txt").write_text("not a photograph")
    return folder


def start(preset: Preset, folder: Path) -> Run:
    torch.manual_seed(0)
    return Run(preset.network(), preset.loss, preset.recipe, folder)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in network.named_parameters()}


@pytest.mark.parametrize("preset", [LATTICE, MASKED], ids=["lattice", "masked"])
def test_resumed_run_equals_an_uninterrupted_one(
    preset: Preset, crops: Crops, tmp_path: Path
) -> None:
    whole = start(preset, tmp_path / "whole")
    losses = list(whole.train(crops, crops))
    assert whole.step == 6 and len(losses) == 3
    first = start(preset, tmp_path / "parts")
    parts = list(first.train(crops, crops, until=4))
    assert first.step == 4
    second = start(preset, tmp_path / "parts")
    second.resume()
    assert second.step == 4
    parts += list(second.train(crops, crops))
    assert parts == losses
    expected, found = weights(whole.network), weights(second.network)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    expected, found = weights(whole.average), weights(second.average)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_averages_warm_up_to_their_decay(crops: Crops, tmp_path: Path) -> None:
    """By (1 + step) / (10 + step), as far as the recipe's decay."""
    torch.manual_seed(0)
    recipe = replace(RECIPE, steps=4, validate=1, average=0.2)
    run = Run(MASKED.network(), masked_bits, recipe, tmp_path)
    expected = weights(run.network)
    for step, _ in enumerate(run.train(crops, crops)):
        decay = min(0.2, (1 + step) / (10 + step))
        for name, value in weights(run.network).items():
            expected[name].mul_(decay).add_((1 - decay) * value)
    assert step == 3
    for name, value in weights(run.average.module).items():
        torch.testing.assert_close(value, expected[name])


def test_runs_of_earlier_versions_resume(crops: Crops, tmp_path: Path) -> None:
    """Their averages were of parameters alone, their learning rates those of the step before."""
    whole = start(LATTICE, tmp_path / "whole")
    losses = list(whole.train(crops, crops))
    first = start(LATTICE, tmp_path / "parts")
    parts = list(first.train(crops, crops, until=4))
    state = torch.load(first.checkpoint)
    state["average"] = weights(first.average.module)
    for optimiser, schedule in zip(state["optimisers"], first.schedules, strict=True):
        for group, peak in zip(optimiser["param_groups"], schedule.base_lrs, strict=True):
            del group["initial_lr"]
            group.update(peak=peak, lr=peak * first.recipe.rate_at(3))
    torch.save(state, first.checkpoint)
    second = start(LATTICE, tmp_path / "parts")
    second.resume()
    assert parts + list(second.train(crops, crops)) == losses
    expected, found = weights(whole.average), weights(second.average)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_training_moves_the_weights_and_lowers_the_loss(crops: Crops, tmp_path: Path) -> None:
    run = start(LATTICE, tmp_path)
    before, held_out = weights(run.network), run.validation(crops)
    assert all(torch.equal(before[k], v) for k, v in weights(run.network).items())
    *_, after = run.train(crops, crops)
    moved = [
        name for name, value in weights(run.network).items() if not torch.equal(before[name], value)
    ]
    assert set(moved) == set(before)
    assert after < held_out


def test_runs_write_events_and_use_accelerate(crops: Crops, tmp_path: Path) -> None:
    run = start(MASKED, tmp_path)
    assert isinstance(run.accelerator, accelerate.Accelerator)
    losses = list(run.train(crops, crops, until=2))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    scalars = events.Scalars("train/bits")
    assert [scalar.step for scalar in scalars] == [1, 2]
    (validation,) = events.Scalars("validation/bits")
    assert validation.value == pytest.approx(losses[-1])


def test_learning_rate_rises_then_falls_to_almost_nothing() -> None:
    recipe = Recipe(steps=1000, batch=1)
    rates = [recipe.rate_at(step) for step in range(1000)]
    peak = rates.index(1.0)
    assert 0 < rates[0] < rates[peak] == max(rates) == 1
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[-1] < 0.01


@pytest.mark.parametrize(
    ("preset", "order"), [(LATTICE, "lattice"), (MASKED, "random")], ids=["lattice", "masked"]
)
def test_exported_model_codes_an_image(
    preset: Preset, order: str, crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "BUNDLED", {1024: "lattice", 1025: "random"})
    run = start(preset, tmp_path)
    bits = list(run.train(crops, crops, until=2))[-1]
    before, average = weights(run.network), weights(run.average.module)
    assert not any(torch.equal(average[name], value) for name, value in before.items())
    assert run.validation(crops) == bits, "validation is of the average and changes nothing"
    assert all(torch.equal(before[name], value) for name, value in weights(run.network).items())
    export(order, preset, run, crops)
    path = tmp_path / f"{order}.safetensors"
    card = registry.find(str(path))
    assert card.name == order and card.number >= registry.FIRST_CUSTOM
    assert card.facts["validation bits per dimension"] == round(bits, 4)
    for fact in ("trained", "hours", "hardware", "licence", "command", "data"):
        assert str(card.facts[fact])
    image = crops[0]
    data = noisepress.encode(image, order=order, model=str(path), fallback=False)
    assert noisepress.inspect(data).codec == "ardm"
    assert np.array_equal(noisepress.decode(data, model=str(path)), image)


def test_exported_curves_never_rise(crops: Crops) -> None:
    torch.manual_seed(0)
    network = MaskedNet(MaskedConfig(width=8, blocks=1, components=2))
    curves = loss_curves(network, crops)
    assert [len(curve) for curve in curves] == [256] * STAGES
    for curve in curves:
        assert all(isinstance(cost, int) and cost > 0 for cost in curve)
        assert curve == sorted(curve, reverse=True)


def test_validation_photographs_are_apart_from_the_others(photos: Path, tmp_path: Path) -> None:
    names = [path.name for path in photographs(photos)]
    assert names == sorted(path.name for path in photos.glob("*.jpg"))
    held_out = [name for name in names if is_validation(name)]
    assert 2 <= len(held_out) < len(names) / 2
    training = cache(photos, tmp_path / "t.npy", SPEC, validation=False)
    validation = cache(photos, tmp_path / "v.npy", SPEC, validation=True)
    for part in (training, validation):
        assert part.dtype == np.uint8 and part.shape[1:] == (16, 16, 3)
    assert len(training) >= len(names) - len(held_out)
    assert len(validation) >= len(held_out)
    trained, validated = ({crop.tobytes() for crop in part} for part in (training, validation))
    assert not trained & validated


def test_cached_crops_are_read_and_not_made_again(photos: Path, tmp_path: Path) -> None:
    first = cache(photos, tmp_path / "c.npy", SPEC, validation=False).copy()
    again = cache(photos, tmp_path / "d.npy", SPEC, validation=False)
    assert np.array_equal(first, again), "the same seed cuts the same crops"
    for path in photos.iterdir():
        path.unlink()
    assert np.array_equal(cache(photos, tmp_path / "c.npy", SPEC, validation=False), first)
    assert not list(tmp_path.glob(".*"))


def test_manifest_says_what_was_halved(photos: Path) -> None:
    assert prescale(photos) == {}
    (photos / "MANIFEST.csv").write_text("file,prescaled\na.jpg,2\nb.jpg,1\n")
    assert prescale(photos) == {"a.jpg": 2, "b.jpg": 1}


def test_batches_flip_and_turn_but_keep_the_samples(crops: Crops) -> None:
    feed = batches(crops, 4, np.random.default_rng(0))
    known = {np.sort(crop, axis=None).tobytes() for crop in crops}
    seen = set()
    for _ in range(20):
        batch = next(feed)
        assert batch.shape == (4, 3, 16, 16) and batch.flags.c_contiguous
        keys = [np.sort(crop, axis=None).tobytes() for crop in batch]
        assert len(set(keys)) == 4 and set(keys) <= known
        seen.add(batch[0].tobytes())
    assert len(seen) > 12


def test_every_pass_cuts_as_many_crops(photos: Path) -> None:
    path = next(photos.glob("*.jpg"))
    spec = CropSpec(size=16, scale=(1.25, 5.0), passes=3, crops=7)
    crops = list(cut(path, 1, spec, seed=0))
    assert len(crops) == 21
    assert {crop.shape for crop in crops} == {(16, 16, 3)}


def test_grain_comes_on_some_photographs_within_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("RGB", (256, 256), (128, 128, 128)).save(path)
    spec = CropSpec(size=64, scale=(2.0, 2.0), passes=60, crops=1, grain=4.0)
    deviations = np.array([crop.std() for crop in cut(path, 1, spec, seed=0)])
    assert 0.15 < (deviations > 0).mean() < 0.55
    assert 1 < deviations.max() < 4 * 2**0.5


def test_subsampling_halves_the_colour_and_keeps_the_brightness(tmp_path: Path) -> None:
    path = tmp_path / "colours.png"
    noise = np.random.default_rng(0).integers(0, 256, (256, 250, 3), np.uint8)
    Image.fromarray(noise).save(path)
    spec = CropSpec(size=64, scale=(1.25, 1.25), passes=40, crops=1, subsampling=True)
    plain = list(cut(path, 1, replace(spec, subsampling=False), seed=0))

    def detail(crop: NDArray[np.uint8], plane: int) -> float:
        """Of neighbouring pixels, the mean difference in brightness (0) or in blue (1)."""
        converted = np.asarray(Image.fromarray(crop).convert("YCbCr")).astype(float)
        return float(np.abs(np.diff(converted[:, :, plane], axis=1)).mean())

    blue = np.array([detail(crop, 1) for crop in cut(path, 1, spec, seed=0)])
    usual = np.mean([detail(crop, 1) for crop in plain])
    halved = blue < 0.7 * usual
    assert 0.15 < halved.mean() < 0.55
    brightness = [detail(crop, 0) for crop, less in zip(plain, halved, strict=True) if less]
    kept = [c for c, less in zip(cut(path, 1, spec, seed=0), halved, strict=True) if less]
    assert np.mean([detail(crop, 0) for crop in kept]) > 0.9 * np.mean(brightness)
    assert {crop.shape for crop in cut(path, 1, spec, seed=0)} == {(64, 64, 3)}


def test_small_photographs_are_enlarged_enough_to_be_subsampled(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    Image.new("RGB", (21, 19), (10, 200, 90)).save(path)
    spec = CropSpec(size=16, scale=(2.0, 2.0), passes=20, crops=1, subsampling=True)
    for crop in cut(path, 1, spec, seed=0):
        assert crop.shape == (16, 16, 3)
        assert np.abs(crop.astype(int) - (10, 200, 90)).max() <= 2


WORKER = """
import sys
from pathlib import Path
import numpy as np, torch
from noisepress.models.lattice import LatticeConfig, LatticeNet
from noisepress.training.losses import lattice_bits
from noisepress.training.distill import Pair, consistency_loss, moment_loss, progressive_loss
from noisepress.training.loop import Recipe, Run, optimisers

torch.manual_seed(0)
folder = Path(sys.argv[1])
network = LatticeNet(LatticeConfig(width=8, blocks=1, components=2, levels=2))
run = Run(network, lattice_bits, Recipe(steps=4, batch=4, validate=2), folder)
run.resume()
crops = np.load(folder / "crops.npy")
losses = list(run.train(crops, crops, until=run.step + 2))
rank = run.accelerator.process_index
torch.save({"losses": losses, "share": run.share, **network.state_dict()}, folder / f"{rank}.pt")
"""


def test_two_processes_share_a_batch_and_keep_the_same_weights(
    crops: Crops, tmp_path: Path
) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    np.save(tmp_path / "crops.npy", crops)
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    subprocess.run(
        [*launch, str(tmp_path / "worker.py"), str(tmp_path)],
        check=True,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    )
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first["share"] == second["share"] == 2
    assert first["losses"] == second["losses"]
    assert all(torch.equal(first[name], second[name]) for name in first if "." in name)


def test_bundled_presets_make_the_bundled_models() -> None:
    assert set(registry.BUNDLED.values()) <= set(PRESETS)
    assert all(preset.crops.size % 8 == 0 for preset in PRESETS.values())


def test_listing_has_a_line_for_each_preset() -> None:
    lines = listing().splitlines()
    assert [line.split()[0] for line in lines] == list(PRESETS)
    columns = set()
    for line, preset in zip(lines, PRESETS.values(), strict=True):
        assert line.endswith(f"  {preset.summary}") and len(line) <= 100
        columns.add(line.index(preset.summary))
    assert len(columns) == 1


@pytest.mark.parametrize("name", PRESETS)
def test_presets_build(name: str) -> None:
    preset = PRESETS[name]
    torch.manual_seed(0)
    network = preset.network()
    assert preset.summary and network.training
    for part in network.children() if isinstance(network, Pair) else [network]:
        assert isinstance(part, Network)
        assert build(part.ARCHITECTURE, vars(part.config)).config == part.config
    if preset.start:
        assert preset.start in registry.BUNDLED.values()


def test_denoisers_are_widened_for_a_condition() -> None:
    torch.manual_seed(0)
    config = UNetConfig(width0=4, width1=4, width2=4, width3=4, down=1, up=1)
    plain, seeing = UNet(config), UNet(replace(config, condition=3))
    found = fitting(plain, seeing)
    assert isinstance(found, UNet) and found.config == seeing.config
    assert torch.equal(found.leave.weight, plain.leave.weight) and found.training
    assert fitting(seeing, seeing) is seeing and fitting(plain, plain) is plain
    pair = fitting(plain, Pair(seeing, seeing))
    assert isinstance(pair, Pair) and pair.student.config == pair.auxiliary.config == seeing.config
    for student, auxiliary in zip(
        pair.student.parameters(), pair.auxiliary.parameters(), strict=True
    ):
        assert torch.equal(student, auxiliary) and student is not auxiliary


def test_models_of_other_architectures_start_no_preset() -> None:
    lattice = LATTICE.network()
    assert isinstance(lattice, LatticeNet)
    assert fitting(lattice, LATTICE.network()) is lattice
    expect_error(lambda: fitting(lattice, MASKED.network()), "lattice.*masked")


def test_command_trains_and_writes_the_model(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "tiny", LATTICE)
    out = tmp_path / "run"
    assert train("tiny", photos, out, until=2, start=None) == 0
    assert not list(out.glob("*.safetensors")), "the run is not over"
    assert train("tiny", photos, out, until=None, start=None) == 0
    card = registry.find(str(out / "tiny.safetensors"))
    assert card.name == "tiny" and card.facts["trained"].startswith("6 steps")


def test_a_run_from_trained_weights_begins_with_them(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "tiny", LATTICE)
    assert train("tiny", photos, tmp_path / "first") == 0
    first = registry.find(str(tmp_path / "first" / "tiny.safetensors"))
    assert first.facts["began with"] == "random weights"
    assert first.facts["command"] == "noisepress train tiny --data PHOTOS --out RUN"
    assert train("tiny", photos, tmp_path / "second", start=str(first.path), steps=2, batch=2) == 0
    second = registry.find(str(tmp_path / "second" / "tiny.safetensors"))
    assert second.facts["trained"].startswith("2 steps of 2 crops")
    assert second.facts["command"].endswith("--out RUN --start tiny --steps 2 --batch 2")
    assert second.facts["began with"] == f"tiny {first.digest:08x}"
    bits = "validation bits per dimension"
    assert second.facts[bits] <= first.facts[bits] + 0.02


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("hfd-photo-fast")])
def test_distilled_decoders_are_trained_and_exported(
    name: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    score_model: str,
) -> None:
    preset = PRESETS[name]
    assert isinstance(preset.loss, DistillationLoss)
    tiny = replace(
        preset,
        loss=replace(preset.loss, teacher=score_model),
        crops=replace(SPEC, size=64, crops=4),
        recipe=replace(preset.recipe, steps=2, batch=4),
        start=score_model,
    )
    monkeypatch.setitem(PRESETS, name, tiny)
    assert train(name, photos, tmp_path / "run") == 0
    card = registry.find(str(tmp_path / "run" / f"{name}.safetensors"))
    teacher, student = registry.load(registry.find(score_model)), registry.load(card)
    assert isinstance(teacher, UNet) and isinstance(student, UNet)
    assert student.config == teacher.config and card.name == name
    before = weights(teacher)
    assert all(value.isfinite().all() for value in weights(student).values())
    assert any(not torch.equal(before[part], value) for part, value in weights(student).items())
    levels = card.tables["levels"]
    assert len(levels) == 4 and levels == sorted(levels)


def test_each_distillation_is_a_preset() -> None:
    losses = [preset.loss for preset in PRESETS.values()]
    methods = {loss.method for loss in losses if isinstance(loss, DistillationLoss)}
    assert methods == {consistency_loss, progressive_loss, moment_loss}


def test_a_continued_recipe_starts_lower_and_only_falls() -> None:
    recipe = Recipe(steps=100, batch=1)
    continued = recipe.continued()
    assert continued.rate == recipe.rate / 2 and continued.matrix_rate == recipe.matrix_rate / 2
    rates = [continued.rate_at(step) for step in range(2, 100)]
    assert rates == sorted(rates, reverse=True) and rates[0] > 0.9 and rates[-1] < 0.02


def expect_error(call: Callable[[], Any], match: str) -> None:
    with pytest.raises(TrainingError, match=match) as error:
        call()
    assert "\n" not in str(error.value)


def test_wrong_presets_and_folders_are_refused(tmp_path: Path) -> None:
    known = ", ".join(PRESETS)
    expect_error(lambda: train("huge", tmp_path, tmp_path / "o", None, None), f"'huge'.*{known}")
    expect_error(
        lambda: train("ardm-small", tmp_path, tmp_path / "o", None, None), "no image files"
    )
    expect_error(lambda: train("ardm-small", tmp_path / "no", tmp_path / "o", None, None), "no")
    expect_error(lambda: train("ardm-small", tmp_path, tmp_path / "o", steps=0), "--steps is 0")
    expect_error(lambda: train("ardm-small", tmp_path, tmp_path / "o", batch=0), "--batch is 0")
    missing = str(tmp_path / "missing.safetensors")
    expect_error(
        lambda: train("ardm-small", tmp_path, tmp_path / "o", start=missing), "cannot read"
    )
    Image.new("RGB", (300, 300)).save(tmp_path / "only.png")
    expect_error(lambda: train("ardm-small", tmp_path, tmp_path / "o"), "too few photographs")
