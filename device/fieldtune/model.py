"""A model on the board: load, fit, score, save."""

from micropython import const

from fieldtune import model_file
from fieldtune.description import check_plan, is_int
from fieldtune.graph import Graph
from fieldtune.trainer import RATE_BITS, Trainer

# The module of each precision's operators, imported when it is asked for.
_PRECISIONS = {"int8": "fieldtune.operators", "float32": "fieldtune.operators_float32"}
_RATE_LIMIT = const(64)
_FINITE = 1e38


class Model:
    """A network with its training state, quantized or, as the yardstick, in float32 (`precision`: see load).

    Samples are given as int8 rows (bytes, bytearray, memoryview) or as a sequence of rows of real numbers, which the
    input's scale turns into int8; labels as a sequence of integers.
    """

    def __init__(self, description, tensors, precision="int8"):
        if precision not in _PRECISIONS:
            raise ValueError("unknown precision: %s" % precision)
        self.description = description
        operators = __import__(_PRECISIONS[precision], None, None, ("OPERATORS",))
        self.tensors = operators.computed(description, tensors)
        self.graph = Graph(description, self.tensors, operators)
        self._trainers = {}

    def partial_fit(self, x, y=None, rate=0.004, seed=None):
        """One pass over x: the unlabelled task `finetune`, or `head` where labels are given.

        Returns the mean loss per sample in nats. Raises ValueError, before anything is trained, where x or y is wrong.
        """
        if not 0 <= rate < _RATE_LIMIT:
            raise ValueError("a rate is 0 or more, and under %d" % _RATE_LIMIT)
        x = self._samples(x)
        y = self._labels(x, y)
        trainer = self._trainer("finetune" if y is None else "head", y is not None, seed)
        trainer.rate = min(int(rate * (1 << RATE_BITS) + 0.5), (_RATE_LIMIT << RATE_BITS) - 1)
        sums = self._feed(trainer, x, y)
        loss = sums["reconstruction"] if y is None else sums["class"]
        return loss / 256 / sums["samples"]

    def score(self, x, y):
        """The share of samples whose class is predicted right."""
        x = self._samples(x)
        y = self._labels(x, y)
        sums = self._feed(self._trainer("evaluate", True), x, y)
        return sums["correct"] / sums["samples"]

    def predict(self, x):
        """The class of every sample, as bytes."""
        x = self._samples(x)
        self._classes()
        trainer = self._trainer("evaluate", False)
        trainer.restart()
        found, size = bytearray(), trainer.batch * self.graph.input_width
        for at in range(0, len(x), size):
            part = x[at : at + size]
            trainer.feed(part)
            trainer.run()
            found.extend(trainer.classes(len(part) // self.graph.input_width))
        return bytes(found)

    def reconstruction_error(self, x):
        """The mean reconstruction loss per sample in nats: large where x is unlike what the model was trained on."""
        if not self._has("bernoulli"):
            raise ValueError("the model has no reconstruction")
        sums = self._feed(self._trainer("evaluate", False), self._samples(x), None)
        return sums["reconstruction"] / 256 / sums["samples"]

    def save(self, path):
        """Writes the model file, whole or not at all. Raises ValueError for a model that is not int8."""
        if not self.graph.precision.SAVED:
            raise ValueError("only int8 models are saved")
        model_file.write(path, self.description, self.tensors)

    def trainer(self, name, plan=None, **options):
        """A Trainer for a task, with the file's plan or another of the same form."""
        tasks = self.description["tasks"]
        if name not in tasks:
            raise ValueError("the model has no task " + str(name))
        if plan is None:
            plan = self.description["plan"]
        else:
            check_plan(plan, tasks)
        # Operators hold the memory of the task that they are bound to: new ones let go of it.
        self.graph = Graph(self.description, self.tensors, self.graph.precision)
        return Trainer(self, name, plan[name], plan["batch"], **options)

    def check(self):
        """Raises ValueError where a task's plan lacks something, MemoryError where its arena does not fit."""
        for task in self.description["tasks"]:
            self.trainer(task, labelled=True)

    def _trainer(self, name, labelled, seed=None):
        # One task is bound at a time: the operators hold the tensors of the last one.
        key = (name, labelled, seed)
        if key not in self._trainers:
            self._trainers = {}
            seed = self.description.get("seed", 0) if seed is None else seed
            self._trainers[key] = self.trainer(name, seed=seed, labelled=labelled)
        return self._trainers[key]

    def _feed(self, trainer, x, y):
        trainer.restart()
        if y is None:
            trainer.feed(x)
        else:
            width = self.graph.input_width
            record = bytearray(width + 1)
            for i, label in enumerate(y):
                record[:width] = x[i * width : (i + 1) * width]
                record[width] = label
                trainer.feed(record)
        trainer.run()
        return trainer.sums

    def _samples(self, x):
        """x as int8 rows behind one another. Raises ValueError where it is not whole rows of finite numbers."""
        width = self.graph.input_width
        if not isinstance(x, (bytes, bytearray, memoryview)):
            try:
                x = self._quantized(x, width)
            except TypeError:
                raise ValueError("samples are bytes, or rows of numbers")
        if len(x) == 0:
            raise ValueError("no samples")
        if len(x) % width:
            raise ValueError("a sample has %d bytes" % width)
        return memoryview(x)

    def _quantized(self, rows, width):
        scale = self.graph.input_scale
        step = (scale & 0xFFFF) * 2.0 ** (scale >> 16)
        lowest = 0 if self._has("bernoulli") else -127  # probabilities are not negative
        found, quantized = bytearray(), bytearray(width)
        for row in rows:
            if len(row) != width:
                raise ValueError("a sample has %d values" % width)
            for i, value in enumerate(row):
                if not -_FINITE < value < _FINITE:
                    raise ValueError("NaN or infinity in a sample")
                quantized[i] = round(max(lowest, min(127, value / step))) & 0xFF
            found.extend(quantized)
        return found

    def _labels(self, x, y):
        """y, or ValueError where it is not one class for each sample of x, int8 rows."""
        if y is None:
            return None
        classes = self._classes()
        n = len(x) // self.graph.input_width
        if len(y) != n or not all(is_int(label, 0, classes - 1) for label in y):
            raise ValueError("labels are %d integers of 0 to %d" % (n, classes - 1))
        return y

    def _classes(self):
        for node in self.description["nodes"]:
            if node["op"] == "softmax":
                return self.graph.widths[node["input"]]
        raise ValueError("the model has no classes")

    def _has(self, op):
        return any(node["op"] == op for node in self.description["nodes"])


def load(path, precision="int8"):
    """The Model in a file, computed in "int8" or "float32".

    Raises OSError where there is none, ValueError where it is not valid.
    """
    description, tensors = model_file.read(path)
    return Model(description, tensors, precision)
