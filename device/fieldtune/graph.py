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


class _Sum:
    """The errors that two consumers send to a node, added up."""

    def __init__(self, kernel, d, a, b, width):
        self._kernel, self._d, self._a, self._b, self._width = kernel, d, a, b, width

    def backward(self, n, _clock):
        self._d.scale = self._kernel.forward(n * self._width, self._a.scale, self._b.scale)


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
            self.operators = [o for o in graph.operators if o.name in needed]
        else:
            self.operators = graph.operators
        self._arena = Arena(plan, graph.precision.ITEM_BYTES)
        widest = max(graph.widths[o.name] for o in graph.operators)
        self.scratch = self._arena.take("scratch", 8 * widest)
        self._senders = self._find_senders()
        self._place_tensors()
        for operator in self.operators:
            operator.bind(self)
        self._forward = [operator.forward for operator in self.operators]
        self._backward = self._backward_calls() if self.train else []

    def _find_senders(self):
        """{node: the nodes that send it an error}: those that read it, if it or what it depends on is trained."""
        senders = {}
        if self.train:
            for operator in self.operators:
                for source in operator.sources:
                    if source != _INPUT and self.graph.upstream(source) & self.train:
                        senders.setdefault(source, []).append(operator.name)
        return senders

    def _place_tensors(self):
        self.outputs = {_INPUT: self._tensor("y:input", _INPUT)}
        self.outputs[_INPUT].scale = self.graph.input_scale
        self.errors, self._parts = {}, {}
        for operator in self.operators:
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

    def _backward_calls(self):
        """What follows the forward pass: sums of errors, backward passes and updates, last operator first."""
        calls = []
        for operator in reversed(self.operators):
            senders = self._senders.get(operator.name, ())
            if len(senders) > 1:
                calls.append(self._sum(operator.name).backward)
            if senders or operator is self.loss:
                calls.append(operator.backward)
                if operator.name in self.train:
                    calls.append(operator.update)
        return calls

    def _sum(self, name):
        senders = self._senders[name]
        if len(senders) != 2:
            raise ValueError("more than two consumers: " + name)
        operator = self.graph.operator(name)
        a, b, d = self.sent(senders[0], name), self.sent(senders[1], name), self.errors[name]
        mask = self.outputs[name].data if operator.relu else None
        state = operator.state[_OUTPUT_ERROR : _OUTPUT_ERROR + 1]
        kernel = self.graph.precision.ErrorSum(d.data, a.data, b.data, mask, state)
        return _Sum(kernel, d, a, b, operator.width)

    def put(self, place, rows):
        """Makes int8 rows the samples of the batch from number `place` on."""
        self.graph.precision.put(self.outputs[_INPUT], place * self.graph.input_width, rows)

    def forward(self, n, clock):
        for call in self._forward:
            call(n, clock)

    def step(self, n, clock):
        """Forward, backward and update on the first n samples that were put."""
        for call in self._forward:
            call(n, clock)
        for call in self._backward:
            call(n, clock)
