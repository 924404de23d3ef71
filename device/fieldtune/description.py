"""What a model file may say of its graph, its tasks and its plan. docs/model-file.md states the rules.

Everything here raises ValueError for what breaks them.
"""

from micropython import const

_NODE_LIMIT = const(64)
_TASK_LIMIT = const(8)
_WIDTH_LIMIT = const(4096)
_CLASS_LIMIT = const(256)  # a label is a byte
_BATCH_LIMIT = const(256)
_INT_LIMIT = const(0x7FFFFFFF)
_LOGIT_SCALE = const(-1212416)  # 1/16: what the kernels' tables are made for
_ALIGNMENT = const(4)
_NAME = "abcdefghijklmnopqrstuvwxyz0123456789_."

# An operator's fields besides `op` and `name`: those it must have, those it may have.
_FIELDS = {
    "dense": (("input", "width"), ("relu", "output_scale")),
    "latent": (("mu", "logvar", "beta"), ()),
    "bernoulli": (("input", "target"), ()),
    "softmax": (("input",), ()),
}
_SOURCES = {"dense": ("input",), "latent": ("mu", "logvar"), "bernoulli": ("input",), "softmax": ("input",)}


def require(condition, what):
    if not condition:
        raise ValueError("model file: " + what)


def is_int(value, low, high):
    return isinstance(value, int) and low <= value <= high


def is_scale(value):
    """Whether value is a scale_t that is set."""
    return is_int(value, -(127 << 16), (127 << 16) | 0xFFFF) and value & 0x8000 != 0


def _object(value, needed, optional, what):
    require(isinstance(value, dict), what)
    for key in needed:
        require(key in value, what + " lacks " + key)
    for key in value:
        require(key in needed or key in optional, what + " has an unknown key")


def _is_name(value):
    return isinstance(value, str) and 1 <= len(value) <= 40 and all(c in _NAME for c in value)


def check(graph):
    """Checks a graph. Returns {name: width} of the input and of every node; a loss has none: 0."""
    _object(graph, ("format", "name", "input", "nodes", "tasks", "plan"), ("seed", "step"), "graph")
    require(graph["format"] == 1, "format")
    require(isinstance(graph["name"], str) and len(graph["name"]) <= 80, "name")
    for key in ("seed", "step"):
        require(is_int(graph.get(key, 0), 0, _INT_LIMIT), key)
    _object(graph["input"], ("width", "scale"), (), "input")
    require(is_int(graph["input"]["width"], 1, _WIDTH_LIMIT), "width of the input")
    require(is_scale(graph["input"]["scale"]), "scale of the input")
    nodes = graph["nodes"]
    require(isinstance(nodes, list) and 1 <= len(nodes) <= _NODE_LIMIT, "nodes")
    known, widths = {}, {"input": graph["input"]["width"]}
    for node in nodes:
        require(isinstance(node, dict) and _is_name(node.get("name")), "a node's name")
        require(node["name"] not in widths, "two nodes called " + node["name"])
        widths[node["name"]] = _check_node(node, known, widths)
        known[node["name"]] = node
    tasks = graph["tasks"]
    require(isinstance(tasks, dict) and 1 <= len(tasks) <= _TASK_LIMIT, "tasks")
    for name in tasks:
        require(_is_name(name) and name != "batch", "a task's name")
        _check_task(tasks[name], known)
    check_plan(graph["plan"], tasks)
    return widths


def _check_node(node, known, widths):
    """Checks a node against those before it. Returns its width."""
    op, name = node.get("op"), node["name"]
    require(isinstance(op, str) and op in _FIELDS, "unknown operator of " + name)
    _object(node, ("op", "name") + _FIELDS[op][0], _FIELDS[op][1], name)
    for source in _sources(node):
        require(isinstance(source, str) and widths.get(source), name + " reads an unknown node")
        require(op == "dense" or _is_plain(known.get(source)), name + " reads a node that is not plain")
    if op == "dense":
        require(is_int(node["width"], 1, _WIDTH_LIMIT), "width of " + name)
        require(is_int(node.get("relu", 0), 0, 1), "relu of " + name)
        require("output_scale" not in node or is_scale(node["output_scale"]), "output_scale of " + name)
        return node["width"]
    if op == "latent":
        mu, logvar = node["mu"], node["logvar"]
        require(mu != logvar and widths[mu] == widths[logvar], "widths that " + name + " reads")
        require(known[logvar].get("output_scale") == _LOGIT_SCALE, "logvar's scale of " + name)
        require(is_scale(node["beta"]), "beta of " + name)
        return widths[mu]
    width = widths[node["input"]]
    if op == "bernoulli":
        require(node["target"] == "input" and width == widths["input"], "target of " + name)
        require(known[node["input"]].get("output_scale") == _LOGIT_SCALE, "logits' scale of " + name)
    else:
        require(2 <= width <= _CLASS_LIMIT, "classes of " + name)
    return 0


def _is_plain(node):
    """Whether a latent or a loss can read it: they send errors as they are, with no ReLU to mask them."""
    return node is not None and node["op"] == "dense" and not node.get("relu")


def _sources(node):
    return [node[field] for field in _SOURCES[node["op"]]]


def _upstream(name, known):
    found, queue = set(), [name]
    while queue:
        name = queue.pop()
        if name != "input" and name not in found:
            found.add(name)
            queue.extend(_sources(known[name]))
    return found


def _check_task(task, known):
    _object(task, ("loss", "train"), (), "a task")
    loss, train = task["loss"], task["train"]
    require(isinstance(loss, str) and loss in known, "a task's loss")
    require(known[loss]["op"] in ("bernoulli", "softmax"), "a task's loss")
    require(isinstance(train, list) and all(isinstance(name, str) for name in train), "a task's nodes")
    needed = _upstream(loss, known)
    for name in train:
        require(name in needed and known[name]["op"] == "dense", "a task cannot train " + name)
    require(len(set(train)) == len(train), "a task trains a node twice")
    _check_errors(needed, set(train), known)


def _check_errors(needed, train, known):
    """Two nodes at most send one an error, and a latent sends errors to both that it reads or to neither."""
    senders = {}
    for name in needed:
        sources = _sources(known[name])
        heard = [s for s in sources if s != "input" and _upstream(s, known) & train]
        require(len(heard) in (0, len(sources)), name + " sends an error to mu or logvar alone")
        for source in heard:
            senders[source] = senders.get(source, 0) + 1
            require(senders[source] <= 2, "more than two nodes send an error to " + source)


def check_plan(plan, tasks):
    """Checks that a plan lays out an arena for every task, with nothing outside of it.

    Whether it has all that a task takes shows when the task takes it: see Arena.
    """
    require(isinstance(plan, dict) and is_int(plan.get("batch"), 1, _BATCH_LIMIT), "the plan's batch")
    _object(plan, ["batch"] + list(tasks), (), "plan")
    for name in tasks:
        what = "plan of " + name
        _object(plan[name], ("bytes", "tensors"), (), what)
        size, offsets = plan[name]["bytes"], plan[name]["tensors"]
        require(is_int(size, 0, _INT_LIMIT) and isinstance(offsets, dict), what)
        for key in offsets:
            offset = offsets[key]
            require(isinstance(key, str) and is_int(offset, 0, size) and offset % _ALIGNMENT == 0, what)
