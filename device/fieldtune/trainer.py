"""A task at work: samples in, steps taken, sums of what they showed."""

import qnn
from micropython import const

from fieldtune.graph import Clock, Task

RATE_BITS = const(24)  # learning rates are integers with 24 fraction bits
_FINAL_RATE = const(13)  # a decaying rate ends at 13/256 of its start


class Trainer:
    """Runs the task `name` of a model, batch by batch.

    rate: learning rate * 2^24, 0 to 2^30 - 1; can be set between steps.
    total: the steps over which it decays linearly to a twentieth, 0 for a constant rate.
    labelled: every sample is followed by a byte, its class.
    """

    def __init__(self, model, name, plan, batch, rate=0, total=0, seed=0, labelled=False):
        self._model = model
        self._task = Task(model.graph, model.description["tasks"][name], plan, batch)
        self._clock = Clock(seed, model.description.get("step", 0))
        self._clock.training = bool(self._task.train)
        self._clock.labelled = labelled
        if self._clock.training and not labelled and hasattr(self._task.loss, "correct"):
            raise ValueError("this task needs labels")
        self.rate, self._total, self._taken = rate, total, 0
        self._width = model.graph.input_width
        self.record = self._width + (1 if labelled else 0)
        self._fill = 0
        self.batch = batch
        self.samples = 0
        self.reset()

    def restart(self):
        """Drops the samples that wait for a full batch and starts the sums anew."""
        self._fill = 0
        self.reset()

    def reset(self):
        """Starts the sums anew: nats * 256, samples, steps, correct answers, cycles in kernels."""
        self.sums = {"samples": 0, "steps": 0, "reconstruction": 0, "kl": 0, "class": 0, "correct": 0, "cycles": 0}

    @property
    def step(self):
        return self._clock.step

    @property
    def training(self):
        return self._clock.training

    def feed(self, data):
        """Takes whole samples (int8 rows, each with its label where labelled) and runs every batch that is full.

        Raises ValueError where data ends within a sample.
        """
        record, width, task = self.record, self._width, self._task
        if len(data) % record:
            raise ValueError("a sample has %d bytes" % record)
        data = memoryview(data)
        for at in range(0, len(data), record):
            task.put(self._fill, data[at : at + width])
            if record > width:
                task.labels[self._fill] = data[at + width]
            self._fill += 1
            if self._fill == task.batch:
                self.run()

    def run(self):
        """Runs the samples that wait, a full batch or not."""
        n, self._fill = self._fill, 0
        if n == 0:
            return
        before = qnn.cycles()
        if self._clock.training:
            self._clock.rate = self._present_rate()
            self._task.step(n, self._clock)
            self._clock.step += 1
            self._taken += 1
            self._model.description["step"] = self._clock.step
        else:
            self._task.forward(n, self._clock)
        self.samples += n
        self._count(n, (qnn.cycles() - before) & 0x3FFFFFFF)

    def _present_rate(self):
        rate = self.rate
        if self._total:
            progress = min(256, self._taken * 256 // self._total)
            rate = rate * (256 + _FINAL_RATE - progress) >> 8
        return qnn.scale(rate, -RATE_BITS)

    def _count(self, n, cycles):
        sums = self.sums
        sums["samples"] += n
        sums["steps"] += 1
        sums["cycles"] += cycles
        for operator in self._task.graph.operators:
            if hasattr(operator, "kl"):
                sums["kl"] += operator.kl
            elif hasattr(operator, "correct"):
                sums["class"] += operator.value
                sums["correct"] += operator.correct
            elif operator.loss:
                sums["reconstruction"] += operator.value

    def classes(self, n):
        """Predicted classes of the last n samples run."""
        return self._task.loss.classes(n)
