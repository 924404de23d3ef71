"""One task over samples in float32: python float32_step.py MODEL SAMPLES TASK LABELLED RATE OUT.

Writes to OUT, as float32: the standard normal samples of the latent's first step, then weight,
bias and state of every dense layer as they were and as they became. Prints the sums as JSON.
"""

import json
import sys
from array import array

import qnn

import fieldtune

SEED = 5
path, samples, task, labelled, rate, out = sys.argv[1:]

model = fieldtune.load(path, precision="float32")
nodes = model.description["nodes"]
batch = model.description["plan"]["batch"]


def write_tensors(file):
    for node in nodes:
        if node["op"] == "dense":
            for name in ("weight", "bias", "state"):
                file.write(model.tensors[node["name"] + "." + name])


def normal_samples():
    """z of mean 0 and log variance 0."""
    number = [node["op"] for node in nodes].index("latent")
    width = model.graph.widths[nodes[number]["name"]]
    zero, z = array("f", bytes(4 * batch * width)), array("f", bytes(4 * batch * width))
    kernel = qnn.LatentFloat32(None, width, nodes[number]["beta"], number)
    kernel.bind(zero, zero, z, None, None, None)
    kernel.forward(batch, 0, SEED, model.description["step"], True)
    return z


with open(out, "wb") as file:
    file.write(normal_samples())
    write_tensors(file)
    trainer = model.trainer(task, rate=int(rate), seed=SEED, labelled=bool(int(labelled)))
    with open(samples, "rb") as data:
        trainer.feed(data.read())
    trainer.run()
    write_tensors(file)
print(json.dumps(trainer.sums))
