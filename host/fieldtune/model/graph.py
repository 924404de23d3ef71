"""The graph of a model: nodes in the order they run, and the tasks that can be asked of it."""

import re
from dataclasses import dataclass
from functools import cached_property

from fieldtune.errors import UsageError
from fieldtune.model import scale
from fieldtune.model.operators import LOGIT_SCALE, OPERATORS, Operator
from fieldtune.text import printable

FORMAT = 1
INPUT = "input"
MOST_NODES = 64
MOST_TASKS = 8
WIDTHS = range(1, 4097)
CLASSES = range(2, 257)  # a label is a byte
_NAME = re.compile(r"[a-z0-9_.]{1,40}")


def wrong(what: str, why: str = "") -> UsageError:
    """The error of a graph that cannot be used."""
    return UsageError(what, why, "docs/model-file.md describes the file")


@dataclass(frozen=True)
class Node:
    """One operator at work. `fields` are the JSON keys other than `op` and `name`."""

    op: str
    name: str
    fields: dict[str, int | str]

    @property
    def operator(self) -> Operator:
        return OPERATORS[self.op]

    @property
    def sources(self) -> tuple[str, ...]:
        """The nodes (or "input") it reads and may send errors to."""
        return tuple(self.fields[field] for field in self.operator.sources)

    @property
    def reads(self) -> tuple[str, ...]:
        """Everything it reads, a loss's target included."""
        kinds = ("node", "target")
        return tuple(self.fields[f.name] for f in self.operator.fields if f.kind in kinds)


@dataclass(frozen=True)
class Task:
    """A loss and the nodes it trains; nothing to train makes it an evaluation."""

    loss: str
    train: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """A validated graph. Raises UsageError, naming the node, when it is not one."""

    name: str
    input_width: int
    input_scale: int
    nodes: tuple[Node, ...]
    tasks: dict[str, Task]
    seed: int = 0
    step: int = 0

    def __post_init__(self) -> None:
        _check_head(self)
        known = {INPUT: None}
        widths = {INPUT: self.input_width}
        for node in self.nodes:
            _check_node(node, known, widths)
            known[node.name] = node
            widths[node.name] = _output_width(node, widths)
        for name, task in self.tasks.items():
            _check_task(name, task, self)

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def widths(self) -> dict[str, int]:
        """Width of "input" and of every node's output (a loss: of what it compares)."""
        widths = {INPUT: self.input_width}
        for node in self.nodes:
            widths[node.name] = _output_width(node, widths)
        return widths

    @property
    def signed_input(self) -> bool:
        """Whether samples may be negative: not when a loss takes them as probabilities."""
        return not any(node.op == "bernoulli" for node in self.nodes)

    def upstream(self, name: str) -> set[str]:
        """The nodes that node `name` depends on, itself included, "input" left out."""
        found, waiting = set(), [name]
        while waiting:
            name = waiting.pop()
            if name != INPUT and name not in found:
                found.add(name)
                waiting.extend(self.by_name[name].sources)
        return found

    def senders(self, task: Task) -> dict[str, list[str]]:
        """The nodes that hear an error in a task, each with the nodes that send it.

        A node hears those that read it, when it is trained or depends on one that is.
        """
        found: dict[str, list[str]] = {}
        needed, train = self.upstream(task.loss), set(task.train)
        for node in self.nodes:
            for source in node.sources if node.name in needed else ():
                if source != INPUT and self.upstream(source) & train:
                    found.setdefault(source, []).append(node.name)
        return found

    def tensors(self) -> dict[str, tuple[str, tuple[int, ...], str]]:
        """Every tensor the file must have: name -> (dtype, shape, what it holds)."""
        return {
            f"{node.name}.{tensor.suffix}": (
                tensor.dtype,
                tensor.shape(self.widths[node.sources[0]], self.widths[node.name]),
                tensor.holds,
            )
            for node in self.nodes
            for tensor in node.operator.tensors
        }

    def to_json(self) -> dict:
        """The JSON object of the file, without its plan."""
        return {
            "format": FORMAT,
            "name": self.name,
            "seed": self.seed,
            "step": self.step,
            "input": {"width": self.input_width, "scale": self.input_scale},
            "nodes": [{"op": n.op, "name": n.name, **n.fields} for n in self.nodes],
            "tasks": {k: {"loss": t.loss, "train": list(t.train)} for k, t in self.tasks.items()},
        }


def from_json(data: object) -> Graph:
    """The graph of a parsed JSON object; its plan, if any, is the planner's. Raises UsageError."""
    needed = {"format", "name", "input", "nodes", "tasks"}
    data = _object(data, "the graph", needed, {"seed", "step", "plan"})
    if data["format"] != FORMAT:
        raise wrong(f"format {printable(data['format'])} of a model is not known")
    source = _object(data["input"], "`input`", {"width", "scale"})
    nodes, tasks = data["nodes"], data["tasks"]
    if not isinstance(nodes, list) or not isinstance(tasks, dict):
        raise wrong("`nodes` is a list and `tasks` an object")
    return Graph(
        data["name"],
        source["width"],
        source["scale"],
        tuple(_node(node) for node in nodes),
        {name: _task(name, task) for name, task in tasks.items()},
        data.get("seed", 0),
        data.get("step", 0),
    )


def _node(data: object) -> Node:
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise wrong("a node is an object with a name")
    name = printable(data["name"])
    operator = OPERATORS.get(data["op"]) if isinstance(data.get("op"), str) else None
    if operator is None:
        raise wrong(f"node '{name}': unknown operator '{printable(data.get('op'))}'")
    needed = {"op", "name"} | {f.name for f in operator.fields if not f.optional}
    data = _object(data, f"node '{name}'", needed, {f.name for f in operator.fields})
    fields = {field.name: data[field.name] for field in operator.fields if field.name in data}
    return Node(data["op"], data["name"], fields)


def _task(name: str, data: object) -> Task:
    data = _object(data, f"task '{printable(name)}'", {"loss", "train"})
    train = data["train"]
    if not isinstance(train, list) or not all(isinstance(each, str) for each in train):
        raise wrong(f"task '{printable(name)}': `train` is a list of names")
    return Task(data["loss"], tuple(train))


def _object(data: object, what: str, needed: set[str], optional: set[str] = frozenset()) -> dict:
    if not isinstance(data, dict):
        raise wrong(f"{what} is not an object")
    missing, unknown = needed - data.keys(), data.keys() - needed - optional
    if missing:
        raise wrong(f"{what} lacks `{min(missing)}`")
    if unknown:
        raise wrong(f"{what} has an unknown key '{printable(min(unknown))}'")
    return data


def _check_head(graph: Graph) -> None:
    if not isinstance(graph.name, str) or len(graph.name) > 80:
        raise wrong("the model's name is no text of up to 80 characters")
    for key in ("seed", "step"):
        if type(getattr(graph, key)) is not int or not 0 <= getattr(graph, key) < 1 << 31:
            raise wrong(f"`{key}` is not an integer of 0 to 2147483647")
    if type(graph.input_width) is not int or graph.input_width not in WIDTHS:
        raise wrong(f"the input's width is not {WIDTHS[0]} to {WIDTHS[-1]}")
    if type(graph.input_scale) is not int or not scale.is_scale(graph.input_scale):
        raise wrong("the input's scale is out of range")
    if not 1 <= len(graph.nodes) <= MOST_NODES:
        raise wrong(f"{len(graph.nodes)} nodes; a model has 1 to {MOST_NODES}")
    if not 1 <= len(graph.tasks) <= MOST_TASKS:
        raise wrong(f"{len(graph.tasks)} tasks; a model has 1 to {MOST_TASKS}")


def _output_width(node: Node, widths: dict[str, int]) -> int:
    value = node.fields[node.operator.width_from]
    return value if node.operator.width_from == "width" else widths[value]


def _check_node(node: Node, known: dict[str, Node | None], widths: dict) -> None:
    name = printable(node.name)
    if not _NAME.fullmatch(node.name):
        raise wrong(f"node '{name}': a name has 1 to 40 characters of a-z, 0-9, _ and .")
    if node.name in known:
        raise wrong(f"node '{name}': the name is taken")
    for field in node.operator.fields:
        if field.name in node.fields:
            _check_field(name, field, node.fields[field.name], known)
    if node.op == "latent":
        _check_latent(node, known, widths)
    if node.operator.loss:
        _check_loss(node, known, widths)


def _check_field(name: str, field, value: object, known: dict) -> None:
    at = f"node '{name}': `{field.name}`"
    if field.kind == "node":
        if not isinstance(value, str) or value not in known:
            raise wrong(f"{at} names '{printable(value)}', which no node before it is called")
        if known[value] is not None and known[value].operator.loss:
            raise wrong(f"{at} is {value!r}, a loss, which has no output")
    elif field.kind == "target":
        if value != INPUT:
            raise wrong(f"{at} is not {INPUT!r}")
    elif type(value) is not int:
        raise wrong(f"{at} is not an integer")
    elif field.kind == "width" and value not in WIDTHS:
        raise wrong(f"{at} is {value}, not {WIDTHS[0]} to {WIDTHS[-1]}")
    elif field.kind == "flag" and value not in (0, 1):
        raise wrong(f"{at} is {value}, not 0 or 1")
    elif field.kind == "scale" and not scale.is_scale(value):
        raise wrong(f"{at} is a scale out of range")


def _check_dense_without_relu(at: str, name: str, known: dict) -> Node:
    """A latent and a loss send errors as they are: what they read has no ReLU to mask them."""
    node = known[name]
    if node is None or node.op != "dense" or node.fields.get("relu"):
        raise wrong(f"{at} reads {name!r}, which is not a dense node without ReLU")
    return node


def _check_latent(node: Node, known: dict, widths: dict) -> None:
    at = f"node {node.name!r}"
    mu, logvar = node.sources
    _check_dense_without_relu(at, mu, known)
    if _check_dense_without_relu(at, logvar, known).fields.get("output_scale") != LOGIT_SCALE:
        raise wrong(f"{at} reads {logvar!r}, whose output_scale is not 1/16")
    if mu == logvar or widths[mu] != widths[logvar]:
        raise wrong(f"{at} needs two nodes of one width for mu and logvar")


def _check_loss(node: Node, known: dict, widths: dict) -> None:
    at = f"node {node.name!r}"
    source = node.sources[0]
    logits = _check_dense_without_relu(at, source, known)
    if node.op == "bernoulli":
        if logits.fields.get("output_scale") != LOGIT_SCALE:
            raise wrong(f"{at} reads {source!r}, whose output_scale is not 1/16")
        if widths[source] != widths[INPUT]:
            raise wrong(f"{at}: {source!r} is {widths[source]} wide, its target {widths[INPUT]}")
    elif widths[source] not in CLASSES:
        raise wrong(
            f"{at}: {widths[source]} classes", f"there may be {CLASSES[0]} to {CLASSES[-1]}"
        )


def _check_task(name: str, task: Task, graph: Graph) -> None:
    at = f"task '{printable(name)}'"
    if not _NAME.fullmatch(name) or name == "batch":
        raise wrong(f"{at}: a name has 1 to 40 characters of a-z, 0-9, _ and .; not 'batch'")
    loss = graph.by_name.get(task.loss) if isinstance(task.loss, str) else None
    if loss is None or not loss.operator.loss:
        raise wrong(f"{at}: '{printable(task.loss)}' is not a loss")
    if len(set(task.train)) != len(task.train):
        raise wrong(f"{at} trains a node twice")
    for each in task.train:
        if each not in graph.upstream(task.loss):
            raise wrong(f"{at} trains '{printable(each)}', on which its loss does not depend")
        if graph.by_name[each].op != "dense":
            raise wrong(f"{at} trains {each!r}, which has no weights")
    senders = graph.senders(task)
    for name, found in senders.items():
        if len(found) > 2:
            raise wrong(f"{at}: {len(found)} nodes send {name!r} an error; a board adds two")
    for node in graph.nodes:
        if node.op == "latent" and len(set(node.sources) & senders.keys()) == 1:
            raise wrong(f"{at} sends an error to only one of mu and logvar of {node.name!r}")
