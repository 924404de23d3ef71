"""A model on the board: load, fit, score, save."""


from fieldtune import model_file
from fieldtune.graph import Graph
from fieldtune.trainer import RATE_BITS, Trainer


class Model:
    """A quantized network with its training state.

    Samples are given as int8 rows (bytes, bytearray, memoryview) or as a sequence of rows of real numbers, which the
    input's scale turns into int8; labels as a sequence of integers.
    """

    def __init__(self, description, tensors):
        self.description = description
        self.tensors = tensors
        self.graph = Graph(description, tensors)
        self._trainers = {}

    def partial_fit(self, x, y=None, rate=0.004, seed=None):
        """One pass over x: the unlabelled task `finetune`, or `head` where labels are given.

        Returns the mean loss per sample in nats.
        """
        trainer = self._trainer("finetune" if y is None else "head", y is not None, seed)
        trainer._rate = int(rate * (1 << RATE_BITS) + 0.5)
        sums = self._feed(trainer, x, y)
        loss = sums["reconstruction"] if y is None else sums["class"]
        return loss / 256 / sums["samples"]

    def score(self, x, y):
        """The share of samples whose class is predicted right."""
        sums = self._feed(self._trainer("evaluate", True), x, y)
        return sums["correct"] / sums["samples"]

    def predict(self, x):
        """The class of every sample, as bytes."""
        trainer = self._trainer("evaluate", False)
        found = bytearray()
        for row in self._rows(x):
            trainer.feed(row)
            trainer.run()
            found.extend(trainer.classes(1))
        return bytes(found)

    def reconstruction_error(self, x):
        """The mean reconstruction loss per sample in nats: large where x is unlike what the model was trained on."""
        sums = self._feed(self._trainer("evaluate", False), x, None)
        return sums["reconstruction"] / 256 / sums["samples"]

    def save(self, path):
        """Writes the model file, whole or not at all."""
        model_file.write(path, self.description, self.tensors)

    def trainer(self, name, plan=None, **options):
        """A Trainer for a task, with the file's plan or another of the same form."""
        plans = self.description["plan"] if plan is None else plan
        return Trainer(self, name, plans[name], plans["batch"], **options)

    def _trainer(self, name, labelled, seed=None):
        # One task is bound at a time: the operators hold the tensors of the last one.
        key = (name, labelled, seed)
        if key not in self._trainers:
            self._trainers = {}
            seed = self.description.get("seed", 0) if seed is None else seed
            self._trainers[key] = self.trainer(name, seed=seed, labelled=labelled)
        return self._trainers[key]

    def _feed(self, trainer, x, y):
        trainer.reset()
        for i, row in enumerate(self._rows(x)):
            trainer.feed(row if y is None else bytes(row) + bytes((y[i],)))
        trainer.run()
        if trainer.sums["samples"] == 0:
            raise ValueError("no samples")
        return trainer.sums

    def _rows(self, x):
        width = self.graph.input_width
        if isinstance(x, (bytes, bytearray, memoryview)):
            if len(x) % width:
                raise ValueError("a sample has %d bytes" % width)
            view = memoryview(x)
            for at in range(0, len(x), width):
                yield view[at : at + width]
        else:
            for row in x:
                yield self._quantize(row, width)

    def _quantize(self, row, width):
        if len(row) != width:
            raise ValueError("a sample has %d values" % width)
        scale = self.graph.input_scale
        step = (scale & 0xFFFF) * 2.0 ** (scale >> 16)
        quantized = bytearray(width)
        for i, value in enumerate(row):
            if not -1e30 < value < 1e30:
                raise ValueError("NaN or infinity in a sample")
            quantized[i] = max(-127, min(127, round(value / step))) & 0xFF
        return quantized


def load(path):
    """The Model in a file. Raises OSError where there is none, ValueError where it is not valid."""
    return Model(*model_file.read(path))
