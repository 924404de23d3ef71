"""Streams samples to a board's task and gathers what it answers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from fieldtune.errors import DataLost, UsageError
from fieldtune.model import scale
from fieldtune.model.graph import Graph
from fieldtune.stream.interrupt import Interrupt
from fieldtune.stream.session import Session

RATE_BITS = 24
SEEDS = range(1 << 30)  # small integers on every board
NATS = 256  # losses come as integers, nats * 256


@dataclass(frozen=True)
class Settings:
    """How a task runs. `rate`: the learning rate; `decay`: linearly, from 105 % of it to 5 %."""

    task: str
    batch: int = 16
    rate: float = 0.006
    seed: int = 1
    epochs: int = 1
    decay: bool = True
    labelled: bool = False
    every: int = 8  # steps a metrics record covers


@dataclass(frozen=True)
class Outcome:
    """What a task came to: samples sent and run, and whether it was stopped in between."""

    sent: int
    run: int
    stopped: bool
    ram_free_bytes: int
    records: tuple[dict, ...]

    def mean(self, key: str) -> float:
        """The mean of a record's value over the samples."""
        return sum(r[key] * r["count"] for r in self.records) / self.run

    def total(self, key: str) -> int:
        """The sum of a record's value."""
        return sum(r[key] for r in self.records)

    def summary(self) -> dict:
        """What the records say of the whole: losses in nats a sample, accuracy 0..1."""
        if not self.records:
            return {}
        first, last = self.records[0], self.records[-1]
        found = {key: self.mean(key) for key in ("elbo", "loss", "accuracy") if key in first}
        if "elbo" in first:
            found |= {"elbo_first": first["elbo"], "elbo_last": last["elbo"]}
        return found


def check_seed(seed: int) -> None:
    """Raises UsageError for a seed that a board does not take."""
    if seed not in SEEDS:
        raise UsageError(f"--seed {seed}", f"a seed is {SEEDS[0]} to {SEEDS[-1]}")


def records(x: np.ndarray, y: np.ndarray | None) -> np.ndarray:
    """Samples as they go over the wire: int8 [n, width], with labels [n] int8 [n, width + 1]."""
    return x if y is None else np.hstack([x, np.asarray(y, np.uint8).view(np.int8)[:, None]])


def epochs(rows: np.ndarray, count: int, seed: int) -> Iterator[np.ndarray]:
    """The rows `count` times, each time in another order that `seed` decides."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield rows[random.permutation(len(rows))]


def run_whole(*args, **kwargs) -> Outcome:
    """run(), but Ctrl-C is a KeyboardInterrupt: for what half a task is of no use to."""
    outcome = run(*args, **kwargs)
    if outcome.stopped:
        raise KeyboardInterrupt
    return outcome


def run(
    session: Session,
    graph: Graph,
    plan: dict,
    settings: Settings,
    blocks: Iterable[np.ndarray],
    total: int | None,
    on_record: Callable[[dict], None] = lambda record: None,
    on_sent: Callable[[int], None] = lambda samples: None,
) -> Outcome:
    """Runs a task over `blocks` of records (see records()). `total` samples set the decay.

    Ctrl-C stops the board, a second one waits for nothing. Where `blocks` raises UsageError the
    board still keeps what it has learned. Raises DataLost when the board ran fewer samples than it
    was sent.
    """
    gathered = []

    def gather(raw: dict) -> None:
        before = gathered[-1]["samples"] if gathered else 0
        gathered.append({"samples": before + raw["samples"], **_readable(raw, graph, settings)})
        on_record(gathered[-1])

    session.on_metrics = gather
    started = session.start(**_request(settings, plan, total))
    sent = 0
    with Interrupt() as interrupt:
        try:
            for piece in interrupt.until_asked(_pieces(blocks, session.link.payload_max)):
                session.samples(piece.tobytes())
                sent += len(piece)
                on_sent(len(piece))
        except UsageError:
            session.finish()
            raise
        if interrupt.asked:
            # Overtakes what is queued; the counts and the model so far are still fetched.
            session.link.stop()
    finished = session.finish()
    stopped, done = bool(finished.get("stopped")), int(finished["samples"])
    if done != sent and not stopped:
        raise DataLost(f"{sent} samples were sent, the board ran {done}")
    return Outcome(sent, done, stopped, started["ram_free_bytes"], tuple(gathered))


def _request(settings: Settings, plan: dict, total: int | None) -> dict:
    return {
        "task": settings.task,
        "plan": plan,
        "rate": round(settings.rate * (1 << RATE_BITS)),
        "total": -(-total // settings.batch) if total and settings.decay else 0,
        "seed": settings.seed,
        "labelled": int(settings.labelled),
        "every": settings.every,
    }


def _pieces(blocks: Iterable[np.ndarray], limit: int) -> Iterator[np.ndarray]:
    for block in blocks:
        rows = max(1, limit // block.shape[1])
        for at in range(0, len(block), rows):
            yield block[at : at + rows]


def _readable(raw: dict, graph: Graph, settings: Settings) -> dict:
    """A record of sums as means per sample, losses in nats; cycles and times stay sums.

    elbo = -(reconstruction + beta kl), the objective of a beta-VAE (Higgins et al. 2017,
    "beta-VAE", equation 4).
    """
    n = max(1, raw["samples"])
    record = {"step": raw["step"], "count": raw["samples"]}
    if settings.task != "head":
        reconstruction, kl = raw["reconstruction"] / NATS / n, raw["kl"] / NATS / n
        record |= {"elbo": -(reconstruction + beta(graph) * kl)}
        record |= {"reconstruction": reconstruction, "kl": kl}
    if settings.labelled:
        record |= {"loss": raw["class"] / NATS / n, "accuracy": raw["correct"] / n}
    return record | {key: raw[key] for key in ("cycles", "us", "wait_us")}


def beta(graph: Graph) -> float:
    """The weight of the Kullback-Leibler divergence; 1 where the graph has no latent."""
    found = [node.fields["beta"] for node in graph.nodes if node.op == "latent"]
    return scale.decode(found[0]) if found else 1.0
