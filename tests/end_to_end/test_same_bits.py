"""The emulated Pico and the unix simulator compute the same bits."""

import numpy as np
import pytest

from fieldtune.model import example, file, quantize
from fieldtune.stream import pump
from fieldtune.stream.session import Session

STEPS = 56  # of 16 images; from fresh ranges, so that calibration is compared too


def adapted(port: str) -> bytes:
    """The file that a board holds after training VAE and head."""
    model, data = example.digits(1), example.data(1)
    images = quantize.samples(data.source_x[: 16 * STEPS // 2], example.PIXEL_SCALE, signed=False)
    labels = data.source_y[: len(images)]
    with Session(port) as session:
        session.push(file.to_bytes(model))
        for task, y in (("finetune", None), ("head", labels)):
            rows = pump.records(images, y)
            how = pump.Settings(task, rate=0.01, labelled=y is not None)
            blocks = pump.epochs(rows, 1, seed=1)
            pump.run(session, model.graph, model.plan, how, blocks, len(rows))
        return session.pull()


@pytest.fixture(scope="module")
def files(running_pico, running_simulator) -> list[bytes]:
    return [adapted(str(board.device)) for board in (running_pico, running_simulator)]


def test_adapted_tensors_are_equal(files):
    pico, unix = (file.from_bytes(data, "adapted") for data in files)
    assert pico.graph.step == unix.graph.step == STEPS
    for name in pico.tensors:
        different = np.argwhere(pico.tensors[name] != unix.tensors[name])
        assert not len(different), f"{name} differs at {different[0]}"


def test_training_changed_every_layer(files):
    before, after = example.digits(1), file.from_bytes(files[0], "adapted")
    for node in before.graph.nodes:
        if node.op == "dense":
            name = f"{node.name}.weight"
            assert (before.tensors[name] != after.tensors[name]).any(), name


def test_adapted_files_are_equal_to_the_byte(files):
    assert files[0] == files[1]
