"""The demo on the unix simulator, which computes a board's bits, scored again with numpy alone."""

import json

import numpy as np
import pytest

from fieldtune import demo
from fieldtune.console import Console
from fieldtune.model import file, quantize, reference

KEYS = (
    "accuracy_source",
    "accuracy_drifted",
    "accuracy_renormalized",
    "accuracy_adapted",
    "elbo_first",
    "elbo_last",
    "samples_sent",
    "samples_trained",
    "samples_lost",
    "image_bytes",
    "ram_free_bytes",
    "cycles_per_sample",
    "seed",
)


@pytest.fixture(scope="module")
def folder(running_simulator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "demo"
    image = {"size": 123456, "build_id": "0123456789abcdef"}
    demo.run(str(running_simulator.device), image, demo.SEED, folder, Console())
    return folder


@pytest.fixture(scope="module")
def report(folder) -> dict:
    return json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize("key", KEYS)
def test_report_has(key, report):
    assert key in report


def test_accuracies_are_what_the_demo_promises(report):
    source, drifted = report["accuracy_source"], report["accuracy_drifted"]
    adapted = report["accuracy_adapted"]
    assert source >= 0.95
    assert adapted >= 0.85
    assert adapted > report["accuracy_renormalized"] > drifted
    assert adapted - drifted >= (source - drifted) / 2


def test_nothing_is_lost(report):
    assert report["samples_sent"] == report["samples_trained"] == 600 * demo.ADAPT.epochs
    assert report["samples_lost"] == 0


def test_elbo_rises(report):
    assert report["elbo_last"] > report["elbo_first"]


def test_metrics_cover_every_sample(folder, report):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert sum(each["count"] for each in records) == report["samples_trained"]
    assert records[-1]["elbo"] == report["elbo_last"]


def test_plot_is_a_png(folder):
    assert (folder / "adaptation.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize(
    ("model", "images", "key"),
    [
        ("source", "x", "accuracy_source"),
        ("source", "x_drifted", "accuracy_drifted"),
        ("adapted", "x_drifted", "accuracy_adapted"),
    ],
)
def test_numpy_alone_comes_to_the_same_accuracy(model, images, key, folder, report):
    network = file.read(folder / f"{model}.safetensors")
    held_out = np.load(folder / "held_out.npz")
    graph = network.graph
    x = quantize.samples(held_out[images], graph.input_scale, graph.signed_input)
    right = int((reference.classes(network, x) == held_out["y"]).sum())
    assert right / len(x) == pytest.approx(report[key], abs=1e-12)


def test_adapted_model_went_on_from_the_source(folder):
    source, adapted = (file.read(folder / f"{n}.safetensors") for n in ("source", "adapted"))
    steps = 600 * demo.ADAPT.epochs // demo.ADAPT.batch
    assert adapted.graph.step - source.graph.step == steps
    head = [name for name in source.tensors if name.startswith("head.")]
    assert head and all((source.tensors[n] == adapted.tensors[n]).all() for n in head)


def test_table_shows_what_the_report_says(report):
    text = "\n".join(demo.table(report))
    for name, key in demo.ROWS:
        assert f"{100 * report[key]:5.1f} %" in text, name
    assert "12000 sent, 12000 trained, 0 lost" in text
