"""host stream on the unix simulator: what it prints, records and refuses."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fieldtune.model import example, file
from fieldtune.runs import store
from fieldtune.stream.job import BLOCK

IMAGES = 100


@pytest.fixture(scope="module")
def data():
    return example.data(1)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Where the runs of a test go."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("FIELDTUNE_RUNS", str(folder))
    return folder


@pytest.fixture
def stream(simulator, runs, host, tmp_path):
    """stream(DATA, ...) on a simulator that holds the example, not trained."""
    path = tmp_path / "example.safetensors"
    file.write(example.digits(1), path)
    assert host("push", path, "--device", simulator.device).returncode == 0

    def call(*arguments, text: str | None = None) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "fieldtune", "stream", *map(str, arguments)]
        command += ["--device", str(simulator.device)]
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)

    return call


@pytest.fixture
def npz(tmp_path, data):
    path = tmp_path / "digits.npz"
    np.savez(path, x=data.source_x[:IMAGES], y=data.source_y[:IMAGES])
    return path


@pytest.fixture
def npy(tmp_path, data):
    path = tmp_path / "digits.npy"
    np.save(path, data.source_x[:IMAGES])
    return path


def csv_lines(images: np.ndarray) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in images.tolist())


def facts(done: subprocess.CompletedProcess) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_finetune_counts_what_it_sent_and_says_how_the_elbo_went(stream, npy):
    done = stream(npy, "--task", "finetune", "--epochs", 2)
    assert done.returncode == 0, done.stderr
    assert "200 sent, 200 run, 0 lost, 0 frames sent again" in done.stdout
    assert "ELBO" in done.stdout and "nats a sample" in done.stdout


def test_run_is_recorded_with_both_models_and_every_batch(stream, npy, runs):
    result = facts(stream(npy, "--task", "finetune", "--epochs", 2, "--seed", 7, "--json"))
    run = store.load("last", runs)
    assert result["run"] == run.id
    assert (run.state, run.info["exit"], run.info["seed"]) == ("done", 0, 7)
    assert run.info["board"] == "unix"
    assert run.info["result"]["samples_run"] == 200
    assert run.info["link"]["retransmitted"] == 0
    before, after = (file.read(run.path / f"{name}.safetensors") for name in ("before", "after"))
    # 13 steps: 200 samples in batches of 16; the last one is not full.
    assert (before.graph.step, after.graph.step) == (0, 13)
    assert run.info["model"] == before.sha256
    records = run.metrics()
    assert sum(each["count"] for each in records) == records[-1]["samples"] == 200


def test_json_is_alone_on_stdout_and_progress_is_not(stream, npy):
    done = stream(npy, "--task", "finetune", "--json")
    result = facts(done)
    assert (result["samples_sent"], result["samples_run"], result["samples_lost"]) == (100, 100, 0)
    assert result["elbo_last"] < 0
    assert "finetune: 100 % of 100 samples" in done.stderr


def test_head_trains_with_the_labels_of_an_npz(stream, npz):
    result = facts(stream(npz, "--task", "head", "--epochs", 5, "--lr", 0.02, "--json"))
    assert result["samples_run"] == 500
    assert result["loss"] > 0 and 0.1 < result["accuracy"] <= 1


def test_evaluate_with_labels_reports_accuracy_and_keeps_the_model(stream, npz, runs):
    result = facts(stream(npz, "--task", "evaluate", "--json"))
    assert 0 <= result["accuracy"] <= 1
    assert not (runs / result["run"] / "after.safetensors").exists()


def test_evaluate_without_labels_reports_the_elbo(stream, npy):
    result = facts(stream(npy, "--task", "evaluate", "--json"))
    assert result["elbo"] < 0
    assert "accuracy" not in result


def test_evaluation_does_not_depend_on_the_batch(stream, npz):
    for task in ("finetune", "head"):  # sets every range: one that is unset follows the batch
        stream(npz, "--task", task)
    one, many = (
        facts(stream(npz, "--task", "evaluate", "--batch", batch, "--json")) for batch in (1, 16)
    )
    assert one["accuracy"] == many["accuracy"]
    # A batch's sum is cut to 1/256 nat.
    assert one["loss"] == pytest.approx(many["loss"], abs=1 / 256)


def test_csv_lines_come_from_standard_input_until_it_ends(stream, data):
    text = csv_lines(data.source_x[:33])
    result = facts(stream("-", "--task", "finetune", "--json", text=text))
    assert (result["samples_sent"], result["samples_lost"]) == (33, 0)


def test_ctrl_c_ends_the_wait_for_standard_input_and_keeps_the_run(stream, simulator, data, runs):
    command = [sys.executable, "-m", "fieldtune", "stream", "-", "--task", "finetune", "--json"]
    command += ["--device", str(simulator.device)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(command, text=True, **pipes)
    process.stdin.write(csv_lines(data.source_x[: 2 * BLOCK]))
    process.stdin.flush()
    deadline = time.monotonic() + 30
    # 8 steps of 16 make a record: the board has run them all and the host waits for more.
    while not any(path.stat().st_size for path in runs.glob("*/metrics.jsonl")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.wait(30)  # its standard input is still open
    result = json.loads(process.stdout.read())
    assert process.returncode == 130, process.stderr.read()
    assert (result["samples_sent"], result["samples_run"]) == (2 * BLOCK, 2 * BLOCK)
    assert result["stopped"]
    assert file.read(runs / result["run"] / "after.safetensors").graph.step == 8
    process.communicate()


def test_limit_ends_standard_input_early(stream, data):
    text = csv_lines(data.source_x[:33])
    result = facts(stream("-", "--task", "finetune", "--limit", 20, "--json", text=text))
    assert result["samples_sent"] == 20


def test_limit_takes_the_first_samples_of_a_file(stream, npy):
    result = facts(stream(npy, "--task", "finetune", "--limit", 17, "--epochs", 2, "--json"))
    assert result["samples_sent"] == 34


def test_rows_of_a_csv_make_windows(stream, tmp_path, data):
    path = tmp_path / "series.csv"
    np.savetxt(path, data.source_x[:10].reshape(80, 8), delimiter=",")
    overlapping = stream(path, "--task", "finetune", "--window", 8, "--stride", 4, "--json")
    assert facts(overlapping)["samples_sent"] == 19  # starts at 0, 4, ..., 72


def test_same_seed_gives_the_same_model(stream, npy, host, runs, simulator, tmp_path):
    models = []
    for _ in range(2):
        host("push", tmp_path / "example.safetensors", "--device", simulator.device)
        run = facts(stream(npy, "--task", "finetune", "--json"))["run"]
        models.append((runs / run / "after.safetensors").read_bytes())
    assert models[0] == models[1]


@pytest.mark.parametrize("kind", ["global", "per-feature"])
def test_normalize_fits_any_range_to_the_input(kind, stream, tmp_path, data):
    path = tmp_path / "volts.npy"
    np.save(path, data.source_x[:IMAGES] * 3.3 + 12)
    result = facts(stream(path, "--task", "finetune", "--normalize", kind, "--json"))
    assert result["samples_run"] == IMAGES


# Refused


def refused(done: subprocess.CompletedProcess, code: int = 2) -> str:
    """The lines of the error."""
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_number_that_is_not_finite_names_its_place(value, stream, tmp_path, data):
    images = data.source_x[:20].copy()
    images[7, 3] = value
    np.save(tmp_path / "x.npy", images)
    said = refused(stream(tmp_path / "x.npy", "--task", "finetune"))
    assert f"x.npy: row 7, column 3 (from 0) is {value}" in said


def test_text_in_a_csv_names_file_line_and_column(stream, tmp_path, data):
    lines = csv_lines(data.source_x[:5]).splitlines()
    lines[2] = "seven," + lines[2].split(",", 1)[1]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    said = refused(stream(tmp_path / "x.csv", "--task", "finetune"))
    assert "x.csv, line 3, column '1': 'seven'" in said


def test_nan_on_standard_input_ends_the_run_and_the_board_answers(stream, npy, data, runs):
    lines = csv_lines(data.source_x[:70]).splitlines()
    lines[68] = "nan," + lines[68].split(",", 1)[1]
    said = refused(stream("-", "--task", "finetune", text="\n".join(lines)))
    assert "standard input, line 69, column '1': 'nan'" in said
    run = store.load("last", runs)
    assert (run.state, run.info["exit"]) == ("failed", 2)
    assert facts(stream(npy, "--task", "finetune", "--json"))["samples_lost"] == 0


def test_bad_line_on_standard_input_keeps_what_was_learned(
    stream, data, runs, host, simulator, tmp_path
):
    text = csv_lines(data.source_x[:64]) + "bad,line\n"
    assert stream("-", "--task", "finetune", text=text).returncode == 2
    assert host("pull", tmp_path / "kept", "--device", simulator.device).returncode == 0
    assert file.read(tmp_path / "kept").graph.step == 4  # 64 images in batches of 16


def test_values_outside_of_the_input_are_said_to_be_clipped(stream, tmp_path, data):
    np.save(tmp_path / "raw.npy", 16 * data.source_x[:IMAGES])
    done = stream(tmp_path / "raw.npy", "--task", "finetune")
    share = 100 * np.mean(16 * data.source_x[:IMAGES] > 1)
    assert f"warning: {share:.1f} % of the values lie outside of 0 .. 1" in done.stdout


def test_sample_of_another_width_is_refused_with_both_widths(stream, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 63)))
    said = refused(stream(tmp_path / "x.npy", "--task", "finetune"))
    assert "has 63 values" in said and "the model's input has 64" in said


def test_head_without_labels_is_refused(stream, npy):
    assert "has no labels" in refused(stream(npy, "--task", "head"))


def test_label_that_is_no_class_of_the_model_is_refused(stream, tmp_path, data):
    np.savez(tmp_path / "x.npz", x=data.source_x[:20], y=np.full(20, 10))
    said = refused(stream(tmp_path / "x.npz", "--task", "head"))
    assert "x.npz has the label 10" in said and "10 classes, 0 to 9" in said


@pytest.mark.parametrize("option", [("--epochs", 2), ("--normalize", "global")])
def test_standard_input_is_read_once_only(option, stream):
    said = refused(stream("-", "--task", "finetune", *option, text="0,1\n"))
    assert "standard input can be read once only" in said


@pytest.mark.parametrize(
    "option",
    [
        ("--epochs", 0),
        ("--limit", 0),
        ("--batch", 0),
        ("--batch", 257),
        ("--lr", -1),
        ("--lr", 64),
        ("--lr", "nan"),
        ("--seed", -1),
        ("--seed", 1 << 30),
    ],
)
def test_option_out_of_range_is_refused(option, stream, npy):
    assert str(option[1]) in refused(stream(npy, "--task", "finetune", *option))


def test_batch_too_large_for_the_board_is_said_with_both_numbers(
    stream, simulator, tmp_path, host
):
    """Before a byte of it is sent: the simulator's heap is 8 MiB, the model needs 17 MB."""
    wide = example.graph(1).to_json()
    wide["nodes"][0]["width"] = 4096
    wide["nodes"].insert(
        1, {"op": "dense", "name": "more", "input": "encoder.hidden", "width": 4096}
    )
    wide["nodes"][2]["input"] = wide["nodes"][3]["input"] = "more"
    path = tmp_path / "wide.safetensors"
    file.write(zeros(wide), path)
    said = refused(host("push", path, "--device", simulator.device))
    needed = 4096 * 4096  # of one matrix, and there is more
    numbers = [int(word) for word in said.replace(",", " ").split() if word.isdigit()]
    assert numbers[0] > needed and numbers[1] == 8 << 20
    assert "the model needs" in said and "bytes of RAM, the board unix has" in said


def zeros(graph: dict) -> file.Model:
    """A model of that graph whose weights are 0."""
    from fieldtune.model import graph as graphs
    from fieldtune.model import planner

    shape = graphs.from_json(graph)
    tensors = {
        name: np.full(size, example.PIXEL_SCALE if holds == "scale" else 0, file.DTYPES[dtype])
        for name, (dtype, size, holds) in shape.tensors().items()
    }
    return file.Model(shape, tensors, planner.plan(shape, 16))


def test_file_that_is_not_there_is_refused(stream, tmp_path):
    assert "cannot be read" in refused(stream(tmp_path / "x.npy", "--task", "finetune"))


def test_error_in_json_is_a_document_too(stream, npy):
    done = stream(npy, "--task", "head", "--json")
    assert json.loads(done.stdout)["error"]["exit_code"] == done.returncode == 2
