"""Model files and their cards: found by number and digest, refused in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from noisepress.bitstream.errors import ModelError
from noisepress.models import registry
from noisepress.models.card import read_card
from noisepress.models.exact import convolutions
from noisepress.models.lattice import LatticeConfig, LatticeNet
from noisepress.models.masked import MaskedConfig, MaskedNet
from noisepress.models.storage import read_network, write_network


def refused(error: pytest.ExceptionInfo[ModelError]) -> str:
    text = str(error.value)
    assert text and "\n" not in text
    return text


def test_cards_are_read_without_torch() -> None:
    code = (
        "import sys; from noisepress.models import registry; "
        "print([card.name for card in registry.bundled()]); "
        "registry.find('ardm-photo'); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(list(registry.BUNDLED.values()))


def test_bundled_cards_agree_with_the_table() -> None:
    assert {card.number: card.name for card in registry.bundled()} == registry.BUNDLED
    assert all(number < registry.FIRST_CUSTOM for number in registry.BUNDLED)
    assert registry.BUNDLED[1] == "ardm-photo"
    assert registry.BUNDLED[2] == "ardm-small"


@pytest.mark.parametrize("number", sorted(registry.BUNDLED))
def test_bundled_models_load(number: int) -> None:
    card = registry.find(registry.BUNDLED[number])
    network = registry.load(registry.resolve(number, card.digest))
    assert registry.load(card) is network, "loaded once"


@pytest.mark.parametrize("name", ["ardm-photo", "ardm-small"])
def test_bundled_models_of_lossless_codecs_are_proven_exact(name: str) -> None:
    network = registry.load(registry.find(name))
    layers = list(convolutions(network))
    assert layers
    for name, conv in layers:
        assert conv.frozen, name
        conv.freeze(name)  # raises if the sums could leave the exact range
        assert conv.weight.abs().max() <= 127
        assert torch.equal(conv.weight, conv.weight.round())


@pytest.mark.parametrize(
    "network",
    [
        LatticeNet(LatticeConfig(width=4, blocks=1, components=2, levels=1)),
        MaskedNet(MaskedConfig(width=4, blocks=1, components=2)),
    ],
    ids=["lattice", "masked"],
)
def test_what_is_written_is_read(network: LatticeNet | MaskedNet, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    facts = {"licence": "MIT"}
    write_network(network, path, name="tiny", number=2000, tables={"t": [1, 2]}, facts=facts)
    card = read_card(path)
    assert (card.name, card.number, card.architecture) == ("tiny", 2000, network.ARCHITECTURE)
    assert (dict(card.tables), dict(card.facts)) == ({"t": [1, 2]}, facts)
    restored = registry.load(card)
    pairs = zip(convolutions(network), convolutions(restored), strict=True)
    for (name, written), (other, loaded) in pairs:
        assert name == other
        assert torch.equal(written.weight, loaded.weight)
        assert torch.equal(written.bias, loaded.bias)
        assert torch.equal(written.shift, loaded.shift)


def test_writing_again_gives_the_same_digest(tmp_path: Path) -> None:
    digests = []
    for folder in ("a", "b"):
        torch.manual_seed(0)
        network = MaskedNet(MaskedConfig(width=4, blocks=1, components=2))
        path = tmp_path / folder / "model.safetensors"
        write_network(network, path, name="tiny", number=2000, tables={}, facts={})
        digests.append(read_card(path).digest)
    assert digests[0] == digests[1]


def test_other_digest_is_refused(lattice_model: str) -> None:
    card = registry.find(lattice_model)
    assert registry.resolve(card.number, card.digest, [card]) is card
    with pytest.raises(ModelError) as error:
        registry.resolve(card.number, card.digest ^ 1, [card])
    text = refused(error)
    assert f"{card.digest:08x}" in text and f"{card.digest ^ 1:08x}" in text


def test_unknown_number_names_the_known_ones() -> None:
    with pytest.raises(ModelError) as error:
        registry.resolve(77, 0)
    text = refused(error)
    assert "77" in text and all(name in text for name in registry.BUNDLED.values())


def test_unknown_name_names_the_bundled_ones() -> None:
    with pytest.raises(ModelError) as error:
        registry.find("ardm-huge")
    text = refused(error)
    assert "ardm-huge" in text and all(name in text for name in registry.BUNDLED.values())


def file_bytes(content: object) -> bytes:
    """A file with a safetensors header and no tensors."""
    header = json.dumps(content).encode()
    return len(header).to_bytes(8, "little") + header


def card_bytes(card: object) -> bytes:
    """A file with a safetensors header that holds `card`."""
    return file_bytes({"__metadata__": {"noisepress": json.dumps(card)}})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01",
        b"not a model at all, but long enough to hold a length",
        (2**63).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        (4).to_bytes(8, "little") + b"null",
        (3).to_bytes(8, "little") + b"\xff\xfe\xfd",
        file_bytes({"tensor": {"dtype": "I8", "shape": [9], "data_offsets": [0, 9]}}),
        card_bytes([]),
        card_bytes({"name": "x"}),
        card_bytes({"unknown": 1}),
    ],
    ids=[
        "empty",
        "short",
        "text",
        "huge",
        "bare",
        "null",
        "utf8",
        "tensors",
        "list",
        "partial",
        "unknown",
    ],
)
def test_files_that_are_no_models_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a noisepress model file") as error:
        registry.find(str(path))
    refused(error)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read the model") as error:
        registry.find(str(tmp_path / "none.safetensors"))
    refused(error)


def test_unknown_architecture_is_refused(lattice_model: str) -> None:
    with pytest.raises(ModelError, match="architecture 'cube'; known are") as error:
        read_network(Path(lattice_model), "cube", {})
    refused(error)


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        ("masked", {"width": 8, "blocks": 1, "components": 2}),
        ("lattice", {"width": 9, "blocks": 1, "components": 2, "levels": 2}),
        ("lattice", {"width": 8, "blocks": 2, "components": 2, "levels": 2}),
        ("lattice", {"width": 8, "depth": 2}),
    ],
    ids=["other", "wider", "deeper", "unknown"],
)
def test_tensors_that_do_not_fit_are_refused(
    lattice_model: str, architecture: str, config: dict[str, int]
) -> None:
    with pytest.raises(ModelError) as error:
        read_network(Path(lattice_model), architecture, config)
    refused(error)


@pytest.mark.parametrize("part", ["weight", "bias", "shift"])
def test_tensors_of_other_types_or_shapes_are_refused(
    lattice_model: str, tmp_path: Path, part: str
) -> None:
    config = registry.find(lattice_model).config
    tensors = load_file(lattice_model)
    name = next(name for name in tensors if name.endswith(part))
    path = tmp_path / "odd.safetensors"
    for odd in (tensors[name].float(), tensors[name][:1]):
        save_file({**tensors, name: odd.contiguous()}, path)
        with pytest.raises(ModelError) as error:
            read_network(path, "lattice", config)
        assert name in refused(error)


def test_damaged_weights_are_refused(lattice_model: str, tmp_path: Path) -> None:
    data = Path(lattice_model).read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(data[:-100])
    with pytest.raises(ModelError) as error:
        registry.find(str(path))
    refused(error)
    card = registry.find(lattice_model)
    with pytest.raises(ModelError) as error:
        read_network(path, card.architecture, card.config)
    refused(error)
