"""The operators of a graph, each a qnn object with its tensors.

An operator is made once for a model (its weights and state) and bound once for a task (activations and errors). Scales
travel with the tensors, as integers.
"""

import qnn
from micropython import const

ITEM_BYTES = const(1)
SAVED = True
TENSOR_NAMES = ("weight", "scale", "bias", "state")


def computed(description, tensors):
    """The tensors a model computes with: those of the file themselves."""
    return tensors


def put(tensor, at, row):
    """Writes a sample, an int8 row, into an input tensor; `at` counts numbers."""
    tensor.data[at : at + len(row)] = row


class Tensor:
    """Activations or errors of one node: a view of the arena and the scale in force."""

    def __init__(self, data):
        self.data = data
        self.scale = 0


class Operator:
    """What the graph knows of a node. `sources` are the nodes that it reads and sends errors to."""

    loss = False
    needs_labels = False
    relu = False
    shown = ()  # (attribute, its name among a step's sums)

    def __init__(self, node, tensors, widths, number):
        self.name = node["name"]
        self.number = number
        self.state = memoryview(tensors[self.name + ".state"])


class Dense(Operator):
    kernel = qnn.Dense

    def __init__(self, node, tensors, widths, number):
        super().__init__(node, tensors, widths, number)
        self.sources = (node["input"],)
        self.width = node["width"]
        self.relu = bool(node.get("relu", 0))
        self._tensors = [tensors[self.name + "." + name] for name in TENSOR_NAMES]
        self._shape = {"rows": self.width, "cols": widths[node["input"]]}
        self._output_scale = node.get("output_scale", 0)

    def bind(self, place):
        self._kernel = self.kernel(
            *self._tensors,
            place.scratch,
            relu=self.relu,
            output_scale=self._output_scale,
            tensor=self.number,
            **self._shape
        )
        self._x, self._y = place.outputs[self.sources[0]], place.outputs[self.name]
        self._dy = place.errors.get(self.name)
        self._dx = place.sent(self.name, self.sources[0])
        self._kernel.bind(
            self._x.data,
            self._y.data,
            self._dx and self._dx.data,
            self._dx and place.take("e:" + self.name, self.width),
            self._dy and self._dy.data,
            self._x.data if place.is_relu(self.sources[0]) else None,
        )
        self._adapts = place.adapts(self.name)

    def forward(self, n, clock):
        self._y.scale = self._kernel.forward(n, self._x.scale, clock.training and self._adapts)

    def backward(self, n, clock):
        if self._dx:
            self._dx.scale = self._kernel.backward(n, self._dy.scale)

    def update(self, n, clock):
        self._kernel.update(n, self._dy.scale, self._x.scale, clock.rate, clock.seed, clock.step)


class Latent(Operator):
    """z = mu + exp(logvar / 2) * noise while training; z = mu otherwise.

    Kingma and Welling 2013, "Auto-Encoding Variational Bayes", section 2.4.
    """

    kernel = qnn.Latent
    shown = (("kl", "kl"),)

    def __init__(self, node, tensors, widths, number):
        super().__init__(node, tensors, widths, number)
        self.sources = (node["mu"], node["logvar"])
        self.width = widths[node["mu"]]
        self.kl = 0
        self._kernel = self.kernel(self.state, self.width, node["beta"], number)

    def bind(self, place):
        self._mu, self._logvar = place.outputs[self.sources[0]], place.outputs[self.sources[1]]
        self._z, self._dz = place.outputs[self.name], place.errors.get(self.name)
        self._dmu = place.sent(self.name, self.sources[0])
        self._dlogvar = place.sent(self.name, self.sources[1])
        self._kernel.bind(
            self._mu.data,
            self._logvar.data,
            self._z.data,
            self._dz and self._dz.data,
            self._dmu and self._dmu.data,
            self._dlogvar and self._dlogvar.data,
        )

    def forward(self, n, clock):
        self.kl = self._kernel.kl(n, self._mu.scale)
        if clock.training:
            self._z.scale = self._kernel.forward(n, self._mu.scale, clock.seed, clock.step, True)
        else:
            self._z.data[:] = self._mu.data
            self._z.scale = self._mu.scale

    def backward(self, n, clock):
        if self._dmu:
            self._dmu.scale = self._kernel.backward(n, self._dz.scale, self._mu.scale, clock.seed, clock.step)
            self._dlogvar.scale = self._kernel.dlogvar_scale()


class Loss(Operator):
    """`value`: nats * 256, summed over the batch."""

    loss = True

    def __init__(self, node, tensors, widths, number):
        super().__init__(node, tensors, widths, number)
        self.sources = (node["input"],)
        self.width = 0
        self.value = 0
        self._kernel = self.kernel(self.state, widths[node["input"]])


class Bernoulli(Loss):
    """The binary cross-entropy of sigmoid(logits) and the target."""

    kernel = qnn.Bernoulli
    shown = (("value", "reconstruction"),)

    def __init__(self, node, tensors, widths, number):
        super().__init__(node, tensors, widths, number)
        self._target_name = node["target"]

    def bind(self, place):
        self._target = place.outputs[self._target_name]
        self._d = place.errors.get(self.sources[0])
        self._kernel.bind(place.outputs[self.sources[0]].data, self._target.data, self._d and self._d.data)

    def forward(self, n, clock):
        self.value = self._kernel.loss(n, self._target.scale)

    def backward(self, n, clock):
        self._d.scale = self._kernel.backward(n, self._target.scale)


class Softmax(Loss):
    """The cross-entropy of softmax(logits) and a label per sample."""

    kernel = qnn.Softmax
    needs_labels = True
    shown = (("value", "class"), ("correct", "correct"))

    def __init__(self, node, tensors, widths, number):
        super().__init__(node, tensors, widths, number)
        self.correct = 0

    def bind(self, place):
        self._labels = place.labels
        self._classes = bytearray(place.batch)
        self._d = place.errors.get(self.sources[0])
        self._logits = place.outputs[self.sources[0]]
        self._kernel.bind(self._logits.data, self._labels, self._d and self._d.data)

    def forward(self, n, clock):
        self._kernel.predict(n, self._classes)
        if clock.labelled:
            self.value = self._kernel.loss(n, self._logits.scale)
            self.correct = 0
            for i in range(n):
                self.correct += self._classes[i] == self._labels[i]

    def backward(self, n, clock):
        self._d.scale = self._kernel.backward(n, self._logits.scale)

    def classes(self, n):
        """The predicted class of each of the last n samples."""
        return self._classes[:n]


OPERATORS = {"dense": Dense, "latent": Latent, "bernoulli": Bernoulli, "softmax": Softmax}
ErrorSum = qnn.ErrorSum
