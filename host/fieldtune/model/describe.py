"""What a model file holds and needs, for programs and for people."""

import math

from fieldtune import boards
from fieldtune.model import planner, scale
from fieldtune.model.file import Model
from fieldtune.model.graph import Node
from fieldtune.text import printable

STEPS = {True: 63, False: 127}  # a range is this many steps of an error, or of an activation


def data(model: Model) -> dict:
    """Everything `host model info` shows. Sizes in bytes, scales as real numbers."""
    graph = model.graph
    needs = {board.name: planner.ram(graph, model.plan, board.name) for board in boards.all()}
    return {
        "name": printable(graph.name),
        "sha256": model.sha256,
        "seed": graph.seed,
        "step": graph.step,
        "parameters": model.parameters,
        "batch": model.plan["batch"],
        "input": {"width": graph.input_width, "scale": scale.decode(graph.input_scale)},
        "nodes": [_node(model, node) for node in graph.nodes],
        "tasks": {
            name: {
                "loss": task.loss,
                "train": list(task.train),
                "arena_bytes": model.plan[name]["bytes"],
                "lower_bound_bytes": planner.lower_bound(
                    planner.lifetimes(graph, task, model.plan["batch"])
                ),
            }
            for name, task in graph.tasks.items()
        },
        "ram": {
            "tensors": planner.tensor_bytes(graph),
            "arena": planner.arena_bytes(model.plan),
            "runtime": planner.RUNTIME_BYTES,
        },
        "boards": {
            name: {"needed_bytes": need.needed, "heap_bytes": need.heap, "fits": need.fits}
            for name, need in needs.items()
        },
    }


def _node(model: Model, node: Node) -> dict:
    own = f"{node.name}."
    found = {
        k[len(own) :]: v for k, v in model.tensors.items() if k.rpartition(".")[0] + "." == own
    }
    state = zip(node.operator.state, found["state"].tolist(), strict=True)
    described = {
        "name": node.name,
        "op": node.op,
        "reads": list(node.reads),
        "width": model.graph.widths[node.name],
        "relu": bool(node.fields.get("relu")),
        "parameters": sum(found[k].size for k in ("weight", "bias") if k in found),
        # The scale in force: None until a first batch has calibrated it.
        "scales": {
            name: scale.decode(packed) / STEPS["error" in name] if packed else None
            for name, packed in state
            if name != "gradient power"
        },
    }
    if "output_scale" in node.fields:
        described["scales"]["output"] = scale.decode(node.fields["output_scale"])
    if "scale" in found:
        rows = [scale.decode(packed) for packed in found["scale"].tolist()]
        described["weight_scales"] = [min(rows), max(rows)]
    return described


def lines(described: dict) -> list[str]:
    """The same as text."""
    head = [
        f"{described['name']}: {described['parameters']} parameters, seed {described['seed']}, "
        f"step {described['step']}",
        f"sha256 {described['sha256']}",
        f"input  {described['input']['width']} wide, scale {described['input']['scale']:.3g}",
        "",
        f"{'node':<18} {'operator':<10} {'width':>5} {'parameters':>10}  "
        f"{'weight scales':<17} {'output scale':<12} reads",
    ]
    nodes = [_node_line(node) for node in described["nodes"]]
    tasks = [
        f"task {name}: {task['loss']}, arena {task['arena_bytes']} bytes at batch "
        f"{described['batch']} (no plan needs less than {task['lower_bound_bytes']}), "
        + (f"trains {', '.join(task['train'])}" if task["train"] else "trains nothing")
        for name, task in described["tasks"].items()
    ]
    ram = described["ram"]
    boards = [
        f"{name}: {board['needed_bytes']} of {board['heap_bytes']} bytes of RAM"
        + ("" if board["fits"] else ", too large")
        for name, board in described["boards"].items()
    ]
    parts = (
        f"RAM: tensors {ram['tensors']} + arena {ram['arena']} + runtime {ram['runtime']} bytes"
    )
    return [*head, *nodes, "", *tasks, "", parts, *boards]


def _node_line(node: dict) -> str:
    weights = " .. ".join(f"{each:.2g}" for each in node.get("weight_scales", []))
    output = node["scales"].get("output", math.nan)
    shown = "-" if output is None else "" if output != output else f"{output:.3g}"
    operator = node["op"] + (" relu" if node["relu"] else "")
    return (
        f"{node['name']:<18} {operator:<10} {node['width']:>5} {node['parameters']:>10}  "
        f"{weights:<17} {shown:<12} {', '.join(node['reads'])}"
    )
