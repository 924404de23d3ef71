"""The whole story on one board: a model, a sensor knocked askew, and recovery without labels.

Everything that is scored or adapted runs on the board. One baseline, adapting to re-normalized
images, runs on the unix simulator, which computes the same bits in a fraction of the time.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fieldtune import boards
from fieldtune.console import Console
from fieldtune.emulate import registry
from fieldtune.model import example, file, quantize
from fieldtune.model.file import Model
from fieldtune.stream import pump, train
from fieldtune.stream.session import Session

SEED = 3
DEGREES = 15
SCORE = pump.Settings("evaluate", labelled=True)
ADAPT = pump.Settings("finetune", rate=0.006, epochs=20)
BASELINES = ("global", "per-feature")
SIMULATOR = "unix-demo"
REPORT, SOURCE, ADAPTED = "report.json", "source.safetensors", "adapted.safetensors"
HELD_OUT, METRICS, PICTURE = "held_out.npz", "metrics.jsonl", "adaptation.png"
TILTED = "tilted.npz"  # what the board adapted to


@dataclass(frozen=True)
class Drift:
    """The example's data before and after the tilt, float32 images in 0..1."""

    data: example.Digits
    adapt: np.ndarray
    held_out: np.ndarray

    @classmethod
    def tilted(cls, seed: int) -> "Drift":
        data = example.data(seed)
        tilted = [example.tilt(x, DEGREES) for x in (data.adapt_x, data.held_out_x)]
        return cls(data, *tilted)

    def renormalized(self, kind: str, images: np.ndarray) -> np.ndarray:
        """`images` mapped to the source's mean and deviation, found without labels."""
        return example.renormalize(kind, self.data.source_x, self.adapt, images)


@dataclass(frozen=True)
class Board:
    """A session and the model it was given."""

    session: Session
    model: Model

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """The share of right answers, counted by the board."""
        rows = pump.records(self._quantized(images), labels)
        return self._run(SCORE, [rows], len(rows)).summary()["accuracy"]

    def adapt(self, images: np.ndarray, seed: int, on_sent=lambda n: None) -> pump.Outcome:
        """Fine-tunes the VAE on images without labels."""
        rows = pump.records(self._quantized(images), None)
        total = len(rows) * ADAPT.epochs
        return self._run(ADAPT, pump.epochs(rows, ADAPT.epochs, seed), total, on_sent)

    def _quantized(self, images: np.ndarray) -> np.ndarray:
        graph = self.model.graph
        return quantize.samples(images, graph.input_scale, graph.signed_input)

    def _run(self, how, blocks, total, on_sent=lambda n: None) -> pump.Outcome:
        graph, plan = self.model.graph, self.model.plan
        return pump.run_whole(self.session, graph, plan, how, blocks, total, on_sent=on_sent)


def run(port: str, image: dict, seed: int, folder: Path, console: Console) -> dict:
    """Runs the demo on the board at `port` and writes the folder. Returns the report."""
    console.info(f"training the example model from scratch in int8 (unix simulator, seed {seed})")
    model = train.example_digits(seed, console)
    drift = Drift.tilted(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SOURCE).write_bytes(file.to_bytes(model))
    with Session(port) as session:
        session.push(file.to_bytes(model))
        outcome, scores = _on_board(Board(session, model), drift, seed, console)
        (folder / ADAPTED).write_bytes(session.pull())
        name, statistics = session.board, session.link.statistics
    scores["accuracy_both"] = _both(model, drift, seed, console)
    report = {
        **scores,
        **_measured(outcome, name),
        "frames_retransmitted": statistics.retransmitted,
        "image_bytes": image["size"],
        "build_id": image["build_id"],
        "board": name,
        "degrees": DEGREES,
        "epochs": ADAPT.epochs,
        "seed": seed,
    }
    _write(folder, report, outcome, drift)
    return report


def _on_board(board: Board, drift: Drift, seed: int, console: Console):
    """Scores, adapts, scores again. Returns the adaptation's outcome and the accuracies."""
    labels = drift.data.held_out_y
    console.info("scoring on the board: as trained, tilted, tilted and re-normalized")
    scores = {
        "accuracy_source": board.accuracy(drift.data.held_out_x, labels),
        "accuracy_drifted": board.accuracy(drift.held_out, labels),
    }
    for kind in BASELINES:
        images = drift.renormalized(kind, drift.held_out)
        scores[f"accuracy_renormalized_{kind.replace('-', '_')}"] = board.accuracy(images, labels)
    scores["accuracy_renormalized"] = max(list(scores.values())[2:])
    total = len(drift.adapt) * ADAPT.epochs
    with console.progress(total, "adapting on the board, without labels", "images") as bar:
        outcome = board.adapt(drift.adapt, seed, bar.update)
    scores["accuracy_adapted"] = board.accuracy(drift.held_out, labels)
    return outcome, scores


def _both(model: Model, drift: Drift, seed: int, console: Console) -> float:
    """Re-normalized per pixel, then adapted to that."""
    kind = BASELINES[-1]
    simulator = registry.start("unix", SIMULATOR, fresh=True, console=console)
    try:
        with Session(str(simulator.device)) as session:
            session.push(file.to_bytes(model))
            board = Board(session, model)
            board.adapt(drift.renormalized(kind, drift.adapt), seed)
            images = drift.renormalized(kind, drift.held_out)
            return board.accuracy(images, drift.data.held_out_y)
    finally:
        registry.stop(simulator)


def _measured(outcome: pump.Outcome, board: str) -> dict:
    """Counts, and cycles at the board's clock without the time spent waiting for data."""
    microseconds = outcome.total("us") - outcome.total("wait_us")
    clock = boards.load(board).clock_hz
    kernels = outcome.total("cycles") / outcome.run
    return {
        "elbo_first": outcome.records[0]["elbo"],
        "elbo_last": outcome.records[-1]["elbo"],
        "samples_sent": outcome.sent,
        "samples_trained": outcome.run,
        "samples_lost": outcome.sent - outcome.run,
        "ram_free_bytes": outcome.ram_free_bytes,
        "cycles_per_sample": round(microseconds * clock / 1e6 / outcome.run),
        "kernel_cycles_per_sample": round(kernels),
        "waiting": outcome.total("wait_us") / outcome.total("us"),
    }


def _write(folder: Path, report: dict, outcome: pump.Outcome, drift: Drift) -> None:
    lines = "".join(json.dumps(record) + "\n" for record in outcome.records)
    (folder / METRICS).write_text(lines, encoding="utf-8")
    held_out = io.BytesIO()
    np.savez_compressed(
        held_out, x=drift.data.held_out_x, x_drifted=drift.held_out, y=drift.data.held_out_y
    )
    (folder / HELD_OUT).write_bytes(held_out.getvalue())
    np.savez_compressed(folder / TILTED, x=drift.adapt)
    (folder / PICTURE).write_bytes(_picture(report, outcome))
    (folder / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


ROWS = (  # of the table and of the picture
    ("as trained", "accuracy_source"),
    ("tilted by 15 degrees", "accuracy_drifted"),
    ("  re-normalized (two numbers)", "accuracy_renormalized_global"),
    ("  re-normalized (per pixel)", "accuracy_renormalized_per_feature"),
    ("  adapted on the board", "accuracy_adapted"),
    ("  both (per pixel, then adapted)", "accuracy_both"),
)


def table(report: dict) -> list[str]:
    """The report for people."""
    lines = [f"{name:<34} {100 * report[key]:5.1f} %" for name, key in ROWS]
    lost = report["accuracy_source"] - report["accuracy_drifted"]
    regained = (report["accuracy_adapted"] - report["accuracy_drifted"]) / lost
    return [
        f"{'held-out digits, int8':<34} accuracy",
        *lines,
        "",
        f"regained without labels   {100 * regained:.0f} % of what the tilt took",
        f"ELBO                      {report['elbo_first']:.2f} -> {report['elbo_last']:.2f} nats",
        f"images                    {report['samples_sent']} sent, "
        f"{report['samples_trained']} trained, {report['samples_lost']} lost",
        f"cycles per image trained  {report['cycles_per_sample']} (modelled), "
        f"{report['kernel_cycles_per_sample']} of them in kernels",
        f"image {report['image_bytes']} bytes, free RAM {report['ram_free_bytes']} bytes",
    ]


def _picture(report: dict, outcome: pump.Outcome) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    curve, bars = figure.subplots(1, 2, width_ratios=(1, 1.2))
    curve.plot([r["samples"] for r in outcome.records], [r["elbo"] for r in outcome.records])
    curve.set_title(f"ELBO while the {report['board']} adapts")
    curve.set_xlabel("unlabelled images seen")
    curve.set_ylabel("nats per image")
    curve.grid(alpha=0.3)
    values = [100 * report[key] for _, key in ROWS]
    colors = ["#888888", "#c44e52", "#dd8452", "#dd8452", "#4c72b0", "#4c72b0"]
    drawn = bars.barh([name.strip() for name, _ in ROWS], values, color=colors)
    bars.bar_label(drawn, fmt="%.1f %%", padding=3)
    bars.invert_yaxis()
    bars.set_xlim(0, 115)
    bars.set_title("accuracy on held-out digits")
    bars.spines[["top", "right"]].set_visible(False)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    return out.getvalue()
