"""The built-in example: handwritten digits, a VAE 64-48-10 and a classifier on its mu."""

from dataclasses import dataclass

import numpy as np

from fieldtune.errors import FieldtuneError
from fieldtune.model import graph as graphs
from fieldtune.model import planner, quantize, scale
from fieldtune.model.file import DTYPES, Model
from fieldtune.model.graph import Graph
from fieldtune.model.operators import LOGIT_SCALE

SIDE = 8
LABELLED, UNLABELLED = 800, 600  # of 1797 images; the other 397 are held out
BETA = 0.02
PIXEL_SCALE = scale.encode(1 / 127)  # 0..1 becomes 0..127
# He initialization assumes a ReLU behind; these outputs have none. logvar starts close to 0.
WEIGHT_FACTORS = {"encoder.mu": 0.5, "encoder.logvar": 0.1, "decoder.logits": 0.5}


@dataclass(frozen=True)
class Digits:
    """Images float32 [n, 64] in 0..1 and labels int64 [n]: to train, to adapt to, held out."""

    source_x: np.ndarray
    source_y: np.ndarray
    adapt_x: np.ndarray
    adapt_y: np.ndarray
    held_out_x: np.ndarray
    held_out_y: np.ndarray


def graph(seed: int) -> Graph:
    """The graph of the example."""

    def dense(name: str, source: str, width: int, **fields) -> dict:
        return {"op": "dense", "name": name, "input": source, "width": width, **fields}

    logits = {"output_scale": LOGIT_SCALE}
    vae = ["encoder.hidden", "encoder.mu", "encoder.logvar", "decoder.hidden", "decoder.logits"]
    return graphs.from_json(
        {
            "format": graphs.FORMAT,
            "name": "digits",
            "seed": seed,
            "step": 0,
            "input": {"width": SIDE * SIDE, "scale": PIXEL_SCALE},
            "nodes": [
                dense("encoder.hidden", "input", 48, relu=1),
                dense("encoder.mu", "encoder.hidden", 10),
                dense("encoder.logvar", "encoder.hidden", 10, **logits),
                {
                    "op": "latent",
                    "name": "latent",
                    "mu": "encoder.mu",
                    "logvar": "encoder.logvar",
                    "beta": scale.encode(BETA),
                },
                dense("decoder.hidden", "latent", 48, relu=1),
                dense("decoder.logits", "decoder.hidden", SIDE * SIDE, **logits),
                {
                    "op": "bernoulli",
                    "name": "reconstruction",
                    "input": "decoder.logits",
                    "target": "input",
                },
                dense("head.hidden", "encoder.mu", 32, relu=1),
                dense("head.logits", "head.hidden", 10),
                {"op": "softmax", "name": "class", "input": "head.logits"},
            ],
            "tasks": {
                "finetune": {"loss": "reconstruction", "train": vae},
                "head": {"loss": "class", "train": ["head.hidden", "head.logits"]},
                "evaluate": {"loss": "class", "train": []},
            },
        }
    )


def digits(seed: int = 1, batch: int = 16) -> Model:
    """The example before any training: He-initialized weights on their int8 grid."""
    shape = graph(seed)
    random = np.random.default_rng(seed)
    tensors = {
        name: np.zeros(size, DTYPES[dtype]) for name, (dtype, size, _) in shape.tensors().items()
    }
    for node in shape.nodes:
        if node.op == "dense":
            rows, columns = tensors[f"{node.name}.weight"].shape
            spread = WEIGHT_FACTORS.get(node.name, 1.0) * np.sqrt(2 / columns)
            values = random.standard_normal((rows, columns)) * spread
            weight, scales = quantize.weights(values)
            tensors[f"{node.name}.weight"] = weight
            tensors[f"{node.name}.scale"] = scales
    return Model(shape, tensors, planner.plan(shape, batch))


def data(seed: int = 1) -> Digits:
    """scikit-learn's 8x8 digits, shuffled by `seed` and split."""
    load_digits = _demo("sklearn.datasets").load_digits
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order]
    a, b = LABELLED, LABELLED + UNLABELLED
    return Digits(x[:a], y[:a], x[a:b], y[a:b], x[b:], y[b:])


def tilt(images: np.ndarray, degrees: float) -> np.ndarray:
    """float [n, 64] -> float32 [n, 64], each image turned about its middle, black around it."""
    rotate = _demo("scipy.ndimage").rotate
    square = np.asarray(images, np.float32).reshape(-1, SIDE, SIDE)
    turned = rotate(square, degrees, axes=(2, 1), reshape=False, order=1)
    return turned.clip(0, 1).reshape(len(square), SIDE * SIDE).astype(np.float32)


def renormalize(
    kind: str, source: np.ndarray, drifted: np.ndarray, images: np.ndarray
) -> np.ndarray:
    """The baseline without training: what maps `drifted` onto `source`, applied to `images`.

    `kind` is "global" (two numbers) or "per-feature" (two a pixel); mean and standard deviation
    are matched, no label is used. float [n, 64] -> float32 [n, 64] in 0..1.
    """
    return quantize.normalization(kind, drifted, reference=source).apply(images)


def _demo(module: str):
    """A module of the `demo` extra."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise FieldtuneError(
            f"the digits need {module.split('.')[0]}, which is not installed",
            str(error),
            "pip install 'fieldtune[demo]'",
        ) from error
