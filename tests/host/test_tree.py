"""Where things are: the trees, the user's folders."""

from pathlib import Path

import pytest

from fieldtune import tree

ROOT = Path(__file__).resolve().parents[2]


def test_trees_are_found_in_the_checkout():
    assert tree.source("boards", "pico") == ROOT / "boards" / "pico"


def test_trees_are_found_in_an_installed_wheel(tmp_path, monkeypatch):
    (tmp_path / "_tree").mkdir()
    monkeypatch.setattr(tree, "_PACKAGE", tmp_path)
    assert tree.source("device") == tmp_path / "_tree" / "device"


@pytest.mark.parametrize(
    "folder, own, xdg",
    [
        (tree.cache, "FIELDTUNE_CACHE", "XDG_CACHE_HOME"),
        (tree.state, "FIELDTUNE_STATE", "XDG_STATE_HOME"),
    ],
)
def test_own_variable_wins_over_the_desktops(folder, own, xdg, monkeypatch):
    monkeypatch.setenv(own, "/mine")
    monkeypatch.setenv(xdg, "/theirs")
    assert folder() == Path("/mine")
    monkeypatch.setenv(own, "")
    assert folder() == Path("/theirs/fieldtune")


def test_without_variables_folders_are_below_home(monkeypatch):
    for name in ("FIELDTUNE_CACHE", "FIELDTUNE_STATE", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    assert tree.cache() == Path("/home/ada/.cache/fieldtune")
    assert tree.state() == Path("/home/ada/.local/state/fieldtune")


def test_runs_are_recorded_where_one_works(monkeypatch):
    monkeypatch.delenv("FIELDTUNE_RUNS", raising=False)
    assert tree.runs() == Path("runs")
    monkeypatch.setenv("FIELDTUNE_RUNS", "/data/runs")
    assert tree.runs() == Path("/data/runs")
