"""How much of the demo's result is luck: the same adaptation for other seeds."""

import statistics

from fieldtune.console import Console
from fieldtune.demo import BASELINES, SEED, Board, Drift
from fieldtune.emulate import registry
from fieldtune.model import file
from fieldtune.stream import train
from fieldtune.stream.session import Session

SEEDS = tuple(seed for seed in range(1, 7) if seed != SEED)
SIMULATOR = "unix-bench"
ACCURACIES = ("source", "drifted", "renormalized", "adapted")


def run(console: Console) -> dict:
    """Mean and standard deviation over the seeds of what the demo's board would score.

    The unix simulator computes the same bits as a board.
    """
    scored = []
    for seed in SEEDS:
        console.info(f"the demo's adaptation with seed {seed} (unix simulator)")
        scored.append(_scores(seed, console))
    spread = {
        name: {"mean": statistics.mean(values), "deviation": statistics.stdev(values)}
        for name in ACCURACIES
        for values in [[each[name] for each in scored]]
    }
    return {"seeds": list(SEEDS), **spread}


def _scores(seed: int, console: Console) -> dict[str, float]:
    model = train.example_digits(seed, console)
    drift = Drift.tilted(seed)
    labels = drift.data.held_out_y
    simulator = registry.start("unix", SIMULATOR, fresh=True, console=console)
    try:
        with Session(str(simulator.device)) as session:
            session.push(file.to_bytes(model))
            board = Board(session, model)
            renormalized = [drift.renormalized(kind, drift.held_out) for kind in BASELINES]
            scores = {
                "source": board.accuracy(drift.data.held_out_x, labels),
                "drifted": board.accuracy(drift.held_out, labels),
                "renormalized": max(board.accuracy(x, labels) for x in renormalized),
            }
            board.adapt(drift.adapt, seed)
            return {**scores, "adapted": board.accuracy(drift.held_out, labels)}
    finally:
        registry.stop(simulator)
