"""Samples reach a trainer in pieces of any size; what it learns depends on their order alone."""

import numpy as np
import pytest

from fieldtune.model import example, file

FEED = """
import fieldtune
m = fieldtune.load("m")
data = open("samples", "rb").read()
t = m.trainer("{task}", rate=1 << 17, seed=1, labelled={labelled})
for at in range(0, len(data), {piece}):
    t.feed(data[at : at + {piece}])
t.run()
m.save("after")
sums = t.sums
print(t.samples, t.step, sums["reconstruction"], sums["kl"], sums["class"], sums["correct"])
"""
SAMPLES = 16 * 3 + 5  # the last batch is not full


@pytest.mark.parametrize(("task", "labelled"), [("finetune", False), ("head", True)])
def test_it_does_not_matter_in_which_pieces_samples_come(board, tmp_path, task, labelled):
    (tmp_path / "m").write_bytes(file.to_bytes(example.digits(1)))
    rows = np.random.default_rng(1).integers(0, 128, (SAMPLES, 64 + labelled), np.uint8)
    rows[:, 64:] %= 10
    (tmp_path / "samples").write_bytes(rows.tobytes())

    def result(samples_a_piece: int) -> tuple[str, bytes]:
        piece = samples_a_piece * rows.shape[1]
        said = board(FEED.format(task=task, labelled=labelled, piece=piece))
        return said, (tmp_path / "after").read_bytes()

    one_by_one = result(1)
    assert one_by_one[0].split()[:2] == [str(SAMPLES), "4"]
    for samples_a_piece in (3, 16, 17, SAMPLES):
        assert result(samples_a_piece) == one_by_one


def test_a_task_sums_what_it_runs_and_nothing_else(board, tmp_path):
    (tmp_path / "m").write_bytes(file.to_bytes(example.digits(1)))
    (tmp_path / "x").write_bytes(bytes(range(64)) * 16)
    said = board("""
import fieldtune
m = fieldtune.load("m")
x = open("x", "rb").read()
m.score(x, bytes(16))
t = m.trainer("finetune", rate=1 << 17, seed=1)
t.feed(x)
print(t.sums["class"], t.sums["correct"], t.sums["reconstruction"] > 0)
""")
    assert said.split() == ["0", "0", "True"]
