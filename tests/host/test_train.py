"""The example, trained on the simulator: deterministic, kept, found again."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from fieldtune.console import Console
from fieldtune.emulate import registry
from fieldtune.model import example, file
from fieldtune.stream import train


@pytest.fixture
def brief(micropython, monkeypatch):
    """brief(folder): training cut to an epoch each, with its cache and state in `folder`."""
    built = SimpleNamespace(path=micropython, build_id="0123456789abcdef")
    monkeypatch.setattr(train.image, "build", lambda board, console: built)
    for name in ("VAE", "HEAD"):
        monkeypatch.setattr(train, name, replace(getattr(train, name), epochs=1))

    def run(folder, seed: int = 1):
        monkeypatch.setenv("FIELDTUNE_CACHE", str(folder / "cache"))
        monkeypatch.setenv("FIELDTUNE_STATE", str(folder / "state"))
        return train.example_digits(seed, Console())

    return run


def test_training_is_the_same_from_scratch(brief, tmp_path):
    one, two = (file.to_bytes(brief(tmp_path / name)) for name in ("one", "two"))
    assert one == two


def test_vae_and_head_are_trained(brief, tmp_path):
    trained, fresh = brief(tmp_path), example.digits(1)
    assert trained.graph.step == 2 * 50  # 800 images in batches of 16, twice
    for node in fresh.graph.nodes:
        if node.op == "dense":
            name = f"{node.name}.weight"
            assert (trained.tensors[name] != fresh.tensors[name]).any(), name


def test_what_was_trained_is_found_again(brief, tmp_path, monkeypatch):
    first = brief(tmp_path)
    monkeypatch.setattr(registry, "start", lambda *_args, **_settings: pytest.fail("trained anew"))
    assert file.to_bytes(brief(tmp_path)) == file.to_bytes(first)


def test_seeds_have_models_of_their_own(brief, tmp_path):
    assert file.to_bytes(brief(tmp_path, 1)) != file.to_bytes(brief(tmp_path, 2))


def test_simulator_is_stopped_however_training_ends(brief, tmp_path, monkeypatch):
    def fail(*_arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(train, "_train", fail)
    with pytest.raises(ZeroDivisionError):
        brief(tmp_path)
    assert registry.running() == []
    assert not list((tmp_path / "cache" / "models").glob("*.safetensors"))
