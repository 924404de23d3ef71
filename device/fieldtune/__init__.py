"""Fine-tunes int8 neural networks where they run.

    import fieldtune
    m = fieldtune.load("model.safetensors")
    m.partial_fit(x)            # unlabelled samples: the model adapts to them
    m.score(x, y)               # share of right answers
    m.save("adapted.safetensors")

fieldtune.board() tells where this is.
"""

from fieldtune.board import board
from fieldtune.model import Model, load
