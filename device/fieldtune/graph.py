"""A model's graph, and a task of it bound to memory."""

from fieldtune.arena import Arena
from fieldtune.operators import Tensor

_INPUT = "input"
_OUTPUT_ERROR = 3  # place of a dense node's output error range in its state


class Graph:
    """The operators of a model, in the order they run. `precision` is the module that has them."""

    def __init__(self, graph, tensors, precision):
        self.precision = precision
        self.input_width = graph["input"]["width"]
        self.input_scale = graph["input"]["scale"]
        self.operators = []
        self._by_name = {}
        widths = {_INPUT: self.input_width}
        for number, node in enumerate(graph["nodes"]):
            operator = precision.OPERATORS[node["op"]](node, tensors, widths, number)
            widths[operator.name] = operator.width
            self.operators.append(operator)
            self._by_name[operator.name] = operator
        self.widths = widths

    def operator(self, name):
        return self._by_name[name]

    def upstream(self, name):
        """The names of a node and of all that it depends on."""
        found, queue = set(), [name]
        while queue:
            name = queue.pop()
            if name != _INPUT and name not in found:
                found.add(name)
                queue.extend(self._by_name[name].sources)
        return found


class Clock:
    """What changes from step to step: random numbers and weights are functions of it."""

    def __init__(self, seed, step):
        self.seed = seed
        self.step = step
        self.rate = 0
        self.training = False
        self.labelled = False


class Task:
    """One task of a graph with its tensors in an arena: forward, backward and update of a batch.

    task: {"loss": name, "train": [names]}; plan: the planner's layout for `batch` samples.
    """

    def __init__(self, graph, task, plan, batch):
        self.graph = graph
        self.batch = batch
        self.train = set(task["train"])
        self.loss = graph.operator(task["loss"])
        self.labels = bytearray(batch)
        if self.train:
            needed = graph.upstream(task["loss"])
            self._forward = [o for o in graph.operators if o.name in needed]
        else:
            self._forward = graph.operators
        self._arena = Arena(plan, graph.precision.ITEM_BYTES)
        widest = max(graph.widths[o.name] for o in graph.operators)
        self.scratch = self._arena.take("scratch", 8 * widest)
        self._senders = self._find_senders()
        self._place_tensors()
        for operator in self._forward:
            operator.bind(self)
        self._sums = {name: self._sum(name) for name in self._senders if len(self._senders[name]) > 1}
        heard = [o for o in self._forward if o is self.loss or o.name in self._senders]
        self._backward = heard[::-1] if self.train else []

    def _find_senders(self):
        """{node: the nodes that send it an error}: those that read it, if it or what it depends on is trained."""
        senders = {}
        if self.train:
            for operator in self._forward:
                for source in operator.sources:
                    if source != _INPUT and self.graph.upstream(source) & self.train:
                        senders.setdefault(source, []).append(operator.name)
        return senders

    def _place_tensors(self):
        self.outputs = {_INPUT: self._tensor("y:input", _INPUT)}
        self.outputs[_INPUT].scale = self.graph.input_scale
        self.errors, self._parts = {}, {}
        for operator in self._forward:
            if not operator.loss:
                self.outputs[operator.name] = self._tensor("y:" + operator.name, operator.name)
        for name, senders in self._senders.items():
            self.errors[name] = self._tensor("d:" + name, name)
            for sender in senders if len(senders) > 1 else ():
                key = name + "<" + sender
                self._parts[key] = self._tensor("d:" + key, name)

    def _tensor(self, key, name):
        return Tensor(self.take(key, self.graph.widths[name]))

    def take(self, key, width):
        return self._arena.take(key, self.batch * width)

    def sent(self, sender, name):
        """The tensor in which `sender` leaves its error for `name`; None where nothing needs it."""
        return self._parts.get(name + "<" + sender) or self.errors.get(name)

    def adapts(self, name):
        """Whether training changes what a node computes, and so the range of its output."""
        return bool(self.graph.upstream(name) & self.train)

    def is_relu(self, name):
        return name != _INPUT and self.graph.operator(name).relu

    def _sum(self, name):
        senders = self._senders[name]
        if len(senders) != 2:
            raise ValueError("more than two consumers: " + name)
        operator = self.graph.operator(name)
        a, b, d = self.sent(senders[0], name), self.sent(senders[1], name), self.errors[name]
        mask = self.outputs[name].data if operator.relu else None
        state = operator.state[_OUTPUT_ERROR : _OUTPUT_ERROR + 1]
        kernel = self.graph.precision.ErrorSum(d.data, a.data, b.data, mask, state)
        return kernel, d, a, b, operator.width

    def put(self, place, row):
        """Makes an int8 row the sample number `place` of the batch."""
        self.graph.precision.put(self.outputs[_INPUT], place * self.graph.input_width, row)

    def forward(self, n, clock):
        for operator in self._forward:
            operator.forward(n, clock)

    def step(self, n, clock):
        """Forward, backward and update on the first n samples that were put."""
        self.forward(n, clock)
        for operator in self._backward:
            if operator.name in self._sums:
                kernel, d, a, b, width = self._sums[operator.name]
                d.scale = kernel.forward(n * width, a.scale, b.scale)
            operator.backward(n, clock)
            if operator.name in self.train:
                operator.update(n, clock)
