"""The one table of operators: what a node says, which tensors it has, what its backward reads.

Graph validation, the model file, the planner and docs/model-file.md all read it here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fieldtune.model import scale

LOGIT_SCALE = scale.encode(1 / 16)  # what the loss kernels' and the latent's tables are made for

DENSE_STATE = ("output", "scaled error", "input error", "output error", "gradient power")
LATENT_STATE = ("z", "mu error", "logvar error")
LOSS_STATE = ("error",)


@dataclass(frozen=True)
class Field:
    """A key of a node's JSON. `kind`: node, target, width, flag or scale."""

    name: str
    kind: str
    optional: bool = False


@dataclass(frozen=True)
class Tensor:
    """A tensor of a node; its shape follows from the widths of the node's input and output.

    `holds`: weight (int8, -127..127), scale (scale_t), bias (int32 = real * 2**16) or
    state (scale_t or 0).
    """

    suffix: str
    holds: str
    shape: Callable[[int, int], tuple[int, ...]]
    drawn: str

    @property
    def dtype(self) -> str:
        return "I8" if self.holds == "weight" else "I32"


@dataclass(frozen=True)
class Operator:
    """One kind of node.

    `sources` are the fields that name the nodes it reads and sends errors to. Its output is as
    wide as field `width_from`: its own `width`, or the width of that input; a loss has no output.
    `backward_reads` are the fields whose outputs its backward step needs again.
    `requantizes_error`: before errors go to its input they are scaled by row into a tensor of
    their own.
    """

    name: str
    does: str
    fields: tuple[Field, ...]
    tensors: tuple[Tensor, ...]
    sources: tuple[str, ...]
    backward_reads: tuple[str, ...]
    width_from: str
    loss: bool = False
    requantizes_error: bool = False
    state: tuple[str, ...] = ()


def _state(names: tuple[str, ...]) -> Tensor:
    return Tensor("state", "state", lambda i, o: (len(names),), f"[{len(names)}]")


OPERATORS = {
    operator.name: operator
    for operator in (
        Operator(
            "dense",
            "output = weight * input + bias, ReLU if `relu` is 1",
            fields=(
                Field("input", "node"),
                Field("width", "width"),
                Field("relu", "flag", optional=True),
                Field("output_scale", "scale", optional=True),
            ),
            tensors=(
                Tensor("weight", "weight", lambda i, o: (o, i), "[O, I]"),
                Tensor("scale", "scale", lambda i, o: (o,), "[O]"),
                Tensor("bias", "bias", lambda i, o: (o,), "[O]"),
                _state(DENSE_STATE),
            ),
            sources=("input",),
            backward_reads=("input",),
            width_from="width",
            requantizes_error=True,
            state=DENSE_STATE,
        ),
        Operator(
            "latent",
            "z = mu + exp(logvar / 2) * noise; in evaluation z = mu",
            fields=(Field("mu", "node"), Field("logvar", "node"), Field("beta", "scale")),
            tensors=(_state(LATENT_STATE),),
            sources=("mu", "logvar"),
            backward_reads=("mu", "logvar"),
            width_from="mu",
            state=LATENT_STATE,
        ),
        Operator(
            "bernoulli",
            "loss: cross-entropy of sigmoid(input) with `target`",
            fields=(Field("input", "node"), Field("target", "target")),
            tensors=(_state(LOSS_STATE),),
            sources=("input",),
            backward_reads=("input", "target"),
            width_from="input",
            loss=True,
            state=LOSS_STATE,
        ),
        Operator(
            "softmax",
            "loss: cross-entropy of softmax(input) with a sample's label",
            fields=(Field("input", "node"),),
            tensors=(_state(LOSS_STATE),),
            sources=("input",),
            backward_reads=("input",),
            width_from="input",
            loss=True,
            state=LOSS_STATE,
        ),
    )
}


def markdown() -> str:
    """The table as docs/model-file.md shows it."""
    lines = [
        "| operator | does | fields | tensors | backward reads |",
        "|---|---|---|---|---|",
    ]
    for operator in OPERATORS.values():
        fields = ", ".join(f"`{f.name}`" + (" (optional)" * f.optional) for f in operator.fields)
        tensors = ", ".join(f"`{t.suffix}` {t.dtype} {t.drawn}" for t in operator.tensors)
        reads = ", ".join(f"`{name}`" for name in operator.backward_reads)
        lines.append(f"| `{operator.name}` | {operator.does} | {fields} | {tensors} | {reads} |")
    return "\n".join(lines)
