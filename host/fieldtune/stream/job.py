"""One `host stream`: from a source of samples to a recorded run."""

import functools
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np

from fieldtune.console import Console
from fieldtune.errors import UsageError
from fieldtune.model import file, planner, quantize, scale
from fieldtune.model.file import Model
from fieldtune.runs.store import INTERRUPTED, Run
from fieldtune.stream import pump, sources
from fieldtune.stream.interrupt import undisturbed
from fieldtune.stream.lines import Lines
from fieldtune.stream.session import Session

BEFORE, AFTER = "before.safetensors", "after.safetensors"
BLOCK = 64  # samples taken from standard input at a time, at most


@dataclass(frozen=True)
class Request:
    """What the user asked for: see `host stream --help`."""

    data: str
    task: str
    epochs: int = 1
    batch: int | None = None
    rate: float = 0.006
    seed: int = 1
    limit: int | None = None
    window: int | None = None
    stride: int | None = None
    label: str | None = None
    normalize: str = "none"

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("limit", self.limit)):
            if value is not None and value < 1:
                raise UsageError(f"--{name} {value}", "it is 1 or more")
        if self.batch is not None and self.batch not in planner.BATCHES:
            known = planner.BATCHES
            raise UsageError(f"--batch {self.batch}", f"it is {known[0]} to {known[-1]} samples")
        if not 0 <= self.rate < 64:
            raise UsageError(f"--lr {self.rate}", "a learning rate is 0 or more, and under 64")
        pump.check_seed(self.seed)


@dataclass(frozen=True)
class Done:
    """The result, for programs and for people."""

    facts: dict
    lines: list[str]


def run(request: Request, connect: Callable[[], Session], console: Console) -> Done:
    """Streams, and records what happened. Once it has begun the run is kept however it ends."""
    lines = Lines(sys.stdin.fileno()) if request.data == sources.STDIN else None
    samples = sources.open(request.data, request.window, request.stride, request.label, lines)
    _check(request, samples)
    with connect() as session:
        before = session.pull()
        model = _model(before, request, samples, session)
        about = {
            "settings": asdict(request),
            "board": session.board,
            "image": session.identity,
            "model": model.sha256,
            "seed": request.seed,
        }
        with Run.create(request.task, about) as record:
            record.keep(BEFORE, before)
            if lines:
                lines.idle = functools.partial(_keep_alive, session)
            outcome = _stream(request, samples, model, session, lines, record, console)
            if model.graph.tasks[request.task].train:
                record.keep(AFTER, session.pull())
            facts = _facts(outcome, session, record)
            code = INTERRUPTED if outcome.stopped else 0
            record.finish({"result": facts, "link": facts["link"], "exit": code})
    return Done(facts, _lines(request, outcome, facts))


def _keep_alive(session: Session) -> None:
    """The link has its turn while standard input is waited for."""
    with undisturbed():
        session.samples(b"")


def _check(request: Request, samples: sources.Samples) -> None:
    if request.task == "head" and not samples.labelled:
        raise UsageError(
            f"{samples.name} has no labels, and --task head trains with them",
            do="--label names the column, or the array of an .npz, that holds them",
        )
    if samples.count is None and (request.epochs > 1 or request.normalize != "none"):
        raise UsageError(
            "standard input can be read once only", "--epochs and --normalize need all of the data"
        )


def _model(data: bytes, request: Request, samples: sources.Samples, session: Session) -> Model:
    """The board's model, planned for the batch and known to fit."""
    model = file.from_bytes(data, "the board's model")
    if request.task not in model.graph.tasks:
        known = ", ".join(sorted(model.graph.tasks))
        raise UsageError(f"the model has no task {request.task}", f"it has {known}")
    if samples.width != model.graph.input_width:
        raise UsageError(
            f"a sample of {samples.name} has {samples.width} values",
            f"the model's input has {model.graph.input_width}",
            "--window makes samples of several rows; --label takes a column out",
        )
    model = model.planned(request.batch or model.plan["batch"])
    planner.check_fits(model.graph, model.plan, session.board)
    return model


def _settings(request: Request, samples: sources.Samples, model: Model) -> pump.Settings:
    return pump.Settings(
        task=request.task,
        batch=model.plan["batch"],
        rate=request.rate,
        seed=request.seed,
        epochs=request.epochs,
        labelled=samples.labelled and request.task != "finetune" and _classes(model) is not None,
    )


def _stream(
    request: Request,
    samples: sources.Samples,
    model: Model,
    session: Session,
    lines: Lines | None,
    record: Run,
    console: Console,
) -> pump.Outcome:
    settings = _settings(request, samples, model)
    trains = bool(model.graph.tasks[request.task].train)
    if lines:
        blocks = _endless(request, samples, lines, model, settings.labelled)
        total = request.limit
    else:
        rows = _all(request, samples, model, settings.labelled, console)
        total = len(rows) * request.epochs
        blocks = pump.epochs(rows, request.epochs, request.seed) if trains else iter([rows])
    run = functools.partial(
        pump.run, session, model.graph, model.plan, settings, blocks, total, record.metric
    )
    if total is None:  # there is no end to tell the way to
        return run()
    with console.progress(total, request.task, "samples") as bar:
        return run(bar.update)


def _all(
    request: Request, samples: sources.Samples, model: Model, labelled: bool, console: Console
) -> np.ndarray:
    graph = model.graph
    x, y = samples.arrays()
    x, y = x[: request.limit], y[: request.limit] if labelled else None
    full = 127 * scale.decode(graph.input_scale)
    lowest = -full if graph.signed_input else 0.0
    outside = 1 - np.mean((x >= lowest * 1.001) & (x <= full * 1.001))
    if request.normalize == "none" and outside:
        share = f"{100 * outside:.1f} % of the values lie outside of {lowest:g} .. {full:g}"
        console.info(
            f"warning: {share}, the model's input, and are clipped; --normalize fits them"
        )
    fitted = quantize.normalization(
        request.normalize, x, full_scale=full, signed=graph.signed_input
    )
    return _records(samples, model, fitted.apply(x), y)


def _endless(
    request: Request, samples: sources.Samples, lines: Lines, model: Model, labelled: bool
) -> Iterator[np.ndarray]:
    """Blocks of a source that has no known end: what is there, and nothing waits for more."""
    rows = itertools.islice(iter(samples), request.limit)
    for first in rows:
        block = [first]
        while len(block) < BLOCK and lines.ready and (row := next(rows, None)):
            block.append(row)
        x = np.stack([each for each, _ in block])
        y = np.array([label for _, label in block]) if labelled else None
        yield _records(samples, model, x, y)


def _records(
    samples: sources.Samples, model: Model, x: np.ndarray, y: np.ndarray | None
) -> np.ndarray:
    """Samples as they go over the wire. Raises UsageError on a label that is no class."""
    classes = _classes(model)
    if y is not None and y.max() >= classes:
        raise UsageError(
            f"{samples.name} has the label {y.max()}",
            f"the model knows {classes} classes, 0 to {classes - 1}",
        )
    graph = model.graph
    return pump.records(quantize.samples(x, graph.input_scale, graph.signed_input), y)


def _classes(model: Model) -> int | None:
    """How many classes the model tells apart; None where it has no classifier."""
    widths = model.graph.widths
    found = [widths[node.sources[0]] for node in model.graph.nodes if node.op == "softmax"]
    return min(found, default=None)


def _facts(outcome: pump.Outcome, session: Session, record: Run) -> dict:
    link = session.link.statistics.as_dict()
    return {
        "run": record.id,
        "samples_sent": outcome.sent,
        "samples_run": outcome.run,
        "samples_lost": 0 if outcome.stopped else outcome.sent - outcome.run,
        "stopped": outcome.stopped,
        "frames_retransmitted": link["retransmitted"],
        "ram_free_bytes": outcome.ram_free_bytes,
        **outcome.summary(),
        "link": link,
    }


def _lines(request: Request, outcome: pump.Outcome, facts: dict) -> list[str]:
    lines = [
        f"samples   {facts['samples_sent']} sent, {facts['samples_run']} run, "
        f"{facts['samples_lost']} lost, {facts['frames_retransmitted']} frames sent again",
    ]
    if request.task == "finetune" and len(outcome.records) > 1:
        first, last = facts["elbo_first"], facts["elbo_last"]
        lines.append(f"ELBO      {first:.2f} -> {last:.2f} nats a sample")
    elif "elbo" in facts:
        lines.append(f"ELBO      {facts['elbo']:.2f} nats a sample")
    if "accuracy" in facts:
        lines.append(f"loss      {facts['loss']:.3f} nats a sample")
        lines.append(f"accuracy  {100 * facts['accuracy']:.1f} %")
    if outcome.stopped:
        lines.append("stopped before the end")
    return [*lines, f"run       {facts['run']}"]
