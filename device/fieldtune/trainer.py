"""A task at work: samples in, steps taken, sums of what they showed."""

import qnn
from micropython import const

from fieldtune.graph import Clock, Task

RATE_BITS = const(24)  # learning rates are integers with 24 fraction bits
_MOST = const(0x3FFFFFFF)  # what qnn.scale takes
_FINAL_RATE = const(13)  # a decaying rate goes from 269/256 to 13/256 of what was asked: 105 % to 5 %


class Trainer:
    """Runs the task `name` of a model, batch by batch.

    rate: learning rate * 2^24, 0 to 2^30 - 1; can be set between steps.
    total: the steps over which it decays linearly from 105 % to 5 %, 0 for a constant rate.
    labelled: every sample is followed by a byte, its class.
    """

    def __init__(self, model, name, plan, batch, rate=0, total=0, seed=0, labelled=False):
        self._model = model
        self._task = Task(model.graph, model.description["tasks"][name], plan, batch)
        self._clock = Clock(seed, model.description.get("step", 0))
        self._clock.training = bool(self._task.train)
        self._clock.labelled = labelled
        if self._clock.training and not labelled and self._task.loss.needs_labels:
            raise ValueError("this task needs labels")
        self.rate, self._total, self._taken = rate, total, 0
        self._width = model.graph.input_width
        self.record = self._width + (1 if labelled else 0)
        self._fill = 0
        self.batch = batch
        self.samples = 0
        self._shown = [(o, attribute, key) for o in self._task.operators for attribute, key in o.shown]
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
        record, size = self.record, len(data)
        if size % record:
            raise ValueError("a sample has %d bytes" % record)
        data = memoryview(data)
        at = 0
        while at < size:
            n = min(self.batch - self._fill, (size - at) // record)
            self._put(data[at : at + n * record], n)
            at += n * record
            self._fill += n
            if self._fill == self.batch:
                self.run()

    def _put(self, data, n):
        record, width, task, place = self.record, self._width, self._task, self._fill
        if record == width:
            task.put(place, data)
            return
        for i in range(n):
            at = i * record
            task.put(place + i, data[at : at + width])
            task.labels[place + i] = data[at + width]

    def run(self):
        """Runs the samples that wait, a full batch or not."""
        n, self._fill = self._fill, 0
        if n == 0:
            return
        clock, task = self._clock, self._task
        before = qnn.cycles()
        if clock.training:
            clock.rate = self._present_rate()
            task.step(n, clock)
            clock.step += 1
            self._taken += 1
            self._model.description["step"] = clock.step
        else:
            task.forward(n, clock)
        self.samples += n
        self._count(n, (qnn.cycles() - before) & 0x3FFFFFFF)

    def _present_rate(self):
        rate = self.rate
        if self._total:
            progress = min(256, self._taken * 256 // self._total)
            rate = min(rate * (256 + _FINAL_RATE - progress) >> 8, _MOST)
        return qnn.scale(rate, -RATE_BITS)

    def _count(self, n, cycles):
        sums = self.sums
        sums["samples"] += n
        sums["steps"] += 1
        sums["cycles"] += cycles
        for operator, attribute, key in self._shown:
            sums[key] += getattr(operator, attribute)

    def classes(self, n):
        """Predicted classes of the last n samples run."""
        return self._task.loss.classes(n)
