"""`host metrics` and `host model`: what they print."""

import csv
import io
import json

import pytest

from fieldtune import cli
from fieldtune.model import example, file
from fieldtune.runs import store


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FIELDTUNE_RUNS", raising=False)
    return tmp_path


@pytest.fixture
def recorded(folder):
    with store.Run.create("finetune", {"board": "pico\x1b[2J", "seed": 1}) as run:
        for step in range(1, 101):
            run.metric({"step": step, "samples": 16 * step, "elbo": -step / 3, "cycles": 9})
        run.metric({"step": 101, "accuracy": 0.5})
    return run


def host(capsys, *argv) -> tuple[int, str, str]:
    code = cli.main([str(each) for each in argv])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def document(capsys, *argv):
    code, out, _ = host(capsys, *argv, "--json")
    assert code == 0
    return json.loads(out)


def test_list_shows_every_run(capsys, recorded):
    code, out, _ = host(capsys, "metrics", "list")
    head, row = out.splitlines()
    assert code == 0 and head.split() == ["run", "task", "board", "state"]
    assert row.split() == [recorded.id, "finetune", r"pico\x1b[2J", "done"]
    (entry,) = document(capsys, "metrics", "list")
    assert (entry["run"], entry["state"], entry["seed"]) == (recorded.id, "done", 1)


def test_list_without_runs_says_so(capsys):
    assert host(capsys, "metrics", "list") == (0, "no run has been recorded here\n", "")
    assert document(capsys, "metrics", "list") == []


def test_show_thins_a_long_table_and_keeps_its_ends(capsys, recorded):
    _, out, _ = host(capsys, "metrics", "show", "last")
    table = out.split("\n\n")[1].splitlines()
    assert table[0].split() == ["step", "samples", "elbo", "cycles", "accuracy"]
    assert len(table) == 1 + 20
    assert table[1].split() == ["1", "16", "-0.33333", "9"]
    assert table[-1].split() == ["101", "0.5"]
    assert "\x1b" not in out


def test_show_gives_programs_everything(capsys, recorded):
    data = document(capsys, "metrics", "show", recorded.id)
    assert len(data["metrics"]) == 101 and data["exit"] == 0


def test_export_as_csv_is_read_back(capsys, recorded):
    _, out, _ = host(capsys, "metrics", "export", "last", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 101
    assert rows[2] == {"step": "3", "samples": "48", "elbo": "-1.0", "cycles": "9", "accuracy": ""}


def test_export_as_json_is_the_records(capsys, recorded):
    _, out, _ = host(capsys, "metrics", "export", "last", "--format", "json")
    assert json.loads(out) == recorded.metrics()


def test_plot_draws_text_or_a_png(capsys, recorded, folder):
    _, out, _ = host(capsys, "metrics", "plot", "last")
    assert out.startswith("elbo\n") and "1600 samples" in out
    assert host(capsys, "metrics", "plot", "last", "--output", "p.png")[0] == 0
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")


def test_plot_into_no_folder_is_an_error(capsys, recorded):
    code, _, err = host(capsys, "metrics", "plot", "last", "--output", "none/p.png")
    assert code == 1 and "none/p.png cannot be written" in err


def test_a_run_that_is_not_there_is_a_usage_error(capsys):
    code, _, err = host(capsys, "metrics", "show", "nope")
    assert code == 2 and "no run 'nope'" in err


def test_model_example_writes_the_untrained_digits(capsys, folder):
    data = document(capsys, "model", "example", "digits", "--untrained", "--seed", "5")
    model = file.read(folder / "digits.safetensors")
    assert model.sha256 == data["sha256"] == example.digits(5).sha256
    assert (data["trained"], data["seed"]) == (False, 5)


def test_model_example_takes_no_negative_seed(capsys):
    assert host(capsys, "model", "example", "digits", "--untrained", "--seed", "-1")[0] == 2


def test_model_info_shows_what_each_board_must_have(capsys, folder):
    file.write(example.digits(1), folder / "m.safetensors")
    data = document(capsys, "model", "info", "m.safetensors")
    assert data["parameters"] == 8224 + 222  # weights and biases
    assert data["boards"]["pico"]["fits"] is True
    assert data["boards"]["pico"]["needed_bytes"] == sum(data["ram"].values())
    assert data["nodes"][2]["scales"]["output"] == 1 / 16
    assert data["nodes"][0]["scales"]["output"] is None  # not calibrated
    assert data["tasks"]["finetune"]["arena_bytes"] == 6368
    _, out, _ = host(capsys, "model", "info", "m.safetensors")
    assert "decoder.logits" in out and "pico: " in out


def test_model_info_plans_for_another_batch(capsys, folder):
    file.write(example.digits(1), folder / "m.safetensors")
    data = document(capsys, "model", "info", "m.safetensors", "--batch", "1")
    assert (data["batch"], data["tasks"]["finetune"]["arena_bytes"]) == (1, 884)
    assert host(capsys, "model", "info", "m.safetensors", "--batch", "0")[0] == 2


def test_model_info_names_a_file_that_is_no_model(capsys, folder):
    (folder / "m.safetensors").write_text("nonsense")
    code, _, err = host(capsys, "model", "info", "m.safetensors")
    assert code == 2 and "m.safetensors: is not a safetensors file" in err
