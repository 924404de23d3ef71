"""Where every tensor of a task lies in the arena that the board allocates once.

A tensor lives from the step that writes it to the last step that reads it; two tensors that live
at the same step never overlap. docs/model-file.md lists the keys.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fieldtune import boards
from fieldtune.errors import UsageError
from fieldtune.model.graph import INPUT, Graph, Node, Task, wrong
from fieldtune.text import printable

ALIGNMENT = 4
BATCHES = range(1, 257)
SCRATCH = "scratch"
SCRATCH_BYTES = 8  # an output of the widest layer: DENSE_SCRATCH of qnn/layer.h
# What the board holds besides tensors and arena: the file's header and its parsed form, the
# link's buffers, and the objects of the package: 31.5 KB for the digits on the Pico.
RUNTIME_BYTES = 32 * 1024


@dataclass(frozen=True)
class Lifetime:
    """A tensor of `size` bytes that is live from step `first` to step `last`, both included."""

    key: str
    size: int
    first: int
    last: int

    def meets(self, other: "Lifetime") -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Ram:
    """Bytes a model needs on a board (weights, arena, everything else) and what the board has."""

    tensors: int
    arena: int
    runtime: int
    heap: int

    @property
    def needed(self) -> int:
        return self.tensors + self.arena + self.runtime

    @property
    def fits(self) -> bool:
        return self.needed <= self.heap


Step = tuple[set[str], set[str]]  # the keys it reads, the keys it writes


def steps(graph: Graph, task: Task) -> list[Step]:
    """What each step of a task reads and writes, in the order the board runs them."""
    if not task.train:
        return [_forward(node) for node in graph.nodes]
    needed = graph.upstream(task.loss)
    nodes = [node for node in graph.nodes if node.name in needed]
    senders = graph.senders(task)
    result = [_forward(node) for node in nodes]
    for node in reversed(nodes):
        if node.operator.loss or node.name in senders:
            result += _backward(node, task, senders)
    return result


def _forward(node: Node) -> Step:
    return {f"y:{name}" for name in node.reads}, _outputs(node)


def _outputs(node: Node) -> set[str]:
    return set() if node.operator.loss else {f"y:{node.name}"}


def _error_key(name: str, sender: str, senders: dict[str, list[str]]) -> str:
    return f"d:{name}<{sender}" if len(senders[name]) > 1 else f"d:{name}"


def _backward(node: Node, task: Task, senders: dict[str, list[str]]) -> list[Step]:
    """The steps of a node: sum its errors, send them on, update its weights."""
    name, result = node.name, []
    own = set() if node.operator.loss else {f"d:{name}"}
    if len(senders.get(name, ())) > 1:
        mask = {f"y:{name}"} if node.fields.get("relu") else set()
        result.append(({f"d:{name}<{sender}" for sender in senders[name]} | mask, own))
    kept = {f"y:{node.fields[field]}" for field in node.operator.backward_reads}
    sent = {_error_key(source, name, senders) for source in node.sources if source in senders}
    if sent:
        # The errors scaled by row live within this step alone, which writes and reads them.
        scaled = {f"e:{name}"} if node.operator.requantizes_error else set()
        result.append((own | kept, sent | scaled))
    if name in task.train:
        result.append((own | kept, set()))
    return result


def lifetimes(graph: Graph, task: Task, batch: int) -> list[Lifetime]:
    """Every tensor of a task, aligned size and lifetime. The batch is there before step 0."""
    born, dies = {f"y:{INPUT}": 0}, {f"y:{INPUT}": 0}
    order = steps(graph, task)
    for time, (reads, writes) in enumerate(order):
        for key in sorted(writes):
            born.setdefault(key, time)
        for key in reads | writes:
            dies[key] = time
    found = [
        Lifetime(key, _aligned(batch * graph.widths[_node_of(key)]), born[key], dies[key])
        for key in born
    ]
    return [Lifetime(SCRATCH, scratch_bytes(graph), 0, len(order) - 1), *found]


def _node_of(key: str) -> str:
    return key[2:].split("<")[0]


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def scratch_bytes(graph: Graph) -> int:
    """Bytes of the kernels' per-output values, enough for any layer of the file."""
    wide = [graph.widths[node.name] for node in graph.nodes if node.operator.requantizes_error]
    return SCRATCH_BYTES * max(wide, default=0)


def lower_bound(tensors: Iterable[Lifetime]) -> int:
    """Bytes live at the fullest step: no layout needs less."""
    tensors = list(tensors)
    times = range(max(t.last for t in tensors) + 1)
    return max(sum(t.size for t in tensors if t.first <= time <= t.last) for time in times)


_ORDERS = (  # whichever gives the lowest peak wins; the first alone is rarely far off
    lambda t: (-t.size, t.first),
    lambda t: (t.first - t.last, -t.size),
    lambda t: (t.first, -t.size),
    lambda t: (-t.last, -t.size),
    lambda t: (-t.size * (t.last - t.first + 1), t.first),
)


def layout(tensors: list[Lifetime]) -> tuple[int, dict[str, int]]:
    """Greedy best fit. Returns the arena's bytes and the offset of each tensor."""
    best = None
    for order in _ORDERS:
        # What lives all the time goes to the bottom, where it splits no gap.
        always = max(t.last for t in tensors)
        queue = sorted(tensors, key=lambda t: ((t.first, t.last) != (0, always), order(t), t.key))
        offsets: dict[str, int] = {}
        placed: list[Lifetime] = []
        for tensor in queue:
            offsets[tensor.key] = _best_fit(tensor, placed, offsets)
            placed.append(tensor)
        peak = max(offsets[t.key] + t.size for t in tensors)
        if best is None or peak < best[0]:
            best = peak, {t.key: offsets[t.key] for t in tensors}
    return best


def _best_fit(tensor: Lifetime, placed: list[Lifetime], offsets: dict[str, int]) -> int:
    """The tightest gap between tensors alive at the same time, else above them all."""
    taken = sorted((offsets[t.key], t.size) for t in placed if t.meets(tensor))
    best, tightest, end = None, None, 0
    for offset, size in taken:
        gap = offset - end
        if gap >= tensor.size and (best is None or gap < tightest):
            best, tightest = end, gap
        end = max(end, offset + size)
    return end if best is None else best


def plan(graph: Graph, batch: int = 16) -> dict:
    """The plan of every task, as the model file carries it. Raises UsageError on a wrong batch."""
    if type(batch) is not int or batch not in BATCHES:
        raise UsageError(f"a batch of {batch!r} samples", f"it is {BATCHES[0]} to {BATCHES[-1]}")
    result: dict = {"batch": batch}
    for name, task in graph.tasks.items():
        size, offsets = layout(lifetimes(graph, task, batch))
        result[name] = {"bytes": size, "tensors": offsets}
    return result


def check(graph: Graph, given: object) -> None:
    """Raises UsageError when a plan from a file misses a tensor or lets two live ones overlap."""
    if not isinstance(given, dict) or given.keys() != {"batch", *graph.tasks}:
        raise wrong("the plan is not one of `batch` and every task")
    if type(given["batch"]) is not int or given["batch"] not in BATCHES:
        raise wrong(f"the plan's batch is not {BATCHES[0]} to {BATCHES[-1]}")
    for name, task in graph.tasks.items():
        _check_task(name, lifetimes(graph, task, given["batch"]), given[name])


def _check_task(name: str, tensors: list[Lifetime], given: object) -> None:
    at = f"the plan of task {name!r}"
    if not isinstance(given, dict) or given.keys() != {"bytes", "tensors"}:
        raise wrong(f"{at} is not one of `bytes` and `tensors`")
    size, offsets = given["bytes"], given["tensors"]
    if not isinstance(offsets, dict) or offsets.keys() != {t.key for t in tensors}:
        raise wrong(f"{at} does not place the tensors that the task has")
    for tensor in tensors:
        offset = offsets[tensor.key]
        if type(offset) is not int or offset < 0 or offset % ALIGNMENT:
            raise wrong(f"{at}: offset {printable(offset)} of {tensor.key}")
        if type(size) is not int or offset + tensor.size > size:
            raise wrong(f"{at}: {tensor.key} ends outside of the arena")
    for i, a in enumerate(tensors):
        for b in tensors[:i]:
            low, high = sorted((a, b), key=lambda t: offsets[t.key])
            if a.meets(b) and offsets[low.key] + low.size > offsets[high.key]:
                raise wrong(f"{at}: {a.key} and {b.key} overlap")


def arena_bytes(given: dict) -> int:
    """Bytes of the largest arena of a plan."""
    return max(task["bytes"] for name, task in given.items() if name != "batch")


def tensor_bytes(graph: Graph) -> int:
    """Bytes of all tensors of the file."""
    sizes = {"I8": 1, "I32": 4}
    total = 0
    for dtype, shape, _ in graph.tensors().values():
        count = 1
        for length in shape:
            count *= length
        total += count * sizes[dtype]
    return total


def ram(graph: Graph, given: dict, board: str) -> Ram:
    """What a model with the plan `given` needs on a board and what the board has, in bytes."""
    heap = boards.load(board).heap_bytes
    return Ram(tensor_bytes(graph), arena_bytes(given), RUNTIME_BYTES, heap)


def check_fits(graph: Graph, given: dict, board: str) -> Ram:
    """Raises UsageError with both numbers when the board has not enough RAM."""
    need = ram(graph, given, board)
    if not need.fits:
        raise UsageError(
            f"the model needs {need.needed} bytes of RAM, the board {board} has {need.heap}",
            f"weights {need.tensors}, arena at batch {given['batch']} {need.arena}, "
            f"runtime {need.runtime}",
            "take a smaller --batch, or a smaller model",
        )
    return need
