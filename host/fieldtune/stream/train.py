"""Training from scratch on the unix simulator, by the same code that runs on a board."""

import numpy as np

from fieldtune import tree
from fieldtune.build import image
from fieldtune.build.workspace import Lock
from fieldtune.console import Console
from fieldtune.emulate import registry
from fieldtune.model import example, file, quantize
from fieldtune.model.file import Model
from fieldtune.stream import pump
from fieldtune.stream.pump import Settings
from fieldtune.stream.session import Session

SIMULATOR = "unix-training"
RATE = 0.01
VAE = Settings("finetune", rate=RATE, epochs=60, every=50)
HEAD = Settings("head", rate=RATE, epochs=40, every=50, labelled=True)


def example_digits(seed: int, console: Console) -> Model:
    """The example, trained on 800 images: the VAE without their labels, then the head with them.

    The same image and seed give the same bytes; they are kept, and a second call finds them.
    """
    built = image.build("unix", console)
    kept = tree.cache() / "models" / f"digits-{seed}-{built.build_id}.safetensors"
    if kept.exists():
        return file.read(kept)
    kept.parent.mkdir(parents=True, exist_ok=True)
    data = example.data(seed)
    model = example.digits(seed)
    x = quantize.samples(data.source_x, model.graph.input_scale, model.graph.signed_input)
    with Lock("training", console):
        board = registry.start("unix", SIMULATOR, fresh=True, image=built.path, console=console)
        try:
            with Session(str(board.device)) as session:
                session.push(file.to_bytes(model))
                _train(session, model, VAE, seed, pump.records(x, None), console)
                _train(session, model, HEAD, seed, pump.records(x, data.source_y), console)
                trained = file.from_bytes(session.pull(), "the trained model")
        finally:
            registry.stop(board)
    file.write(trained, kept)
    return trained


def _train(
    session: Session, model: Model, how: Settings, seed: int, rows: np.ndarray, console: Console
) -> None:
    total = len(rows) * how.epochs
    with console.progress(total, f"training ({how.task}, unix simulator)", "samples") as bar:
        blocks = pump.epochs(rows, how.epochs, seed)
        pump.run_whole(session, model.graph, model.plan, how, blocks, total, on_sent=bar.update)
