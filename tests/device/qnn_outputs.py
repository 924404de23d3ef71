"""The board's side of test_qnn_reference.py: qnn_outputs.py MODEL SAMPLES PLAN OUTPUT.

Evaluates the samples and writes, batch by batch, every output of every node; prints the sums.
"""

import json
import sys

import fieldtune

model = fieldtune.load(sys.argv[1])
with open(sys.argv[2], "rb") as file:
    samples = file.read()
with open(sys.argv[3]) as file:
    plan, order = json.load(file)
batch, width = plan["batch"], model.graph.input_width
trainer = model.trainer("evaluate", plan=plan)
classes = bytearray()
with open(sys.argv[4], "wb") as out:
    for at in range(0, len(samples), batch * width):
        part = memoryview(samples)[at : at + batch * width]
        trainer.feed(part)
        trainer.run()
        n = len(part) // width
        for name in order:
            view = trainer._task.outputs[name].data
            out.write(view[: n * model.graph.widths[name]])
        classes.extend(trainer.classes(n))
print(json.dumps({"sums": trainer.sums, "classes": list(classes)}))
