"""The board's side of test_qnn_door.py: what every qnn object is made of, and how it is called.

Read with exec. `things` holds right arguments by name, or by object and name; call(what) makes the
object from them and calls it; checksum() covers every buffer.
"""

from array import array

import qnn

ONE = qnn.scale(1, 0)
UNIT = qnn.scale(1, -4)
ROWS, COLS, N = 3, 5, 4


def words(count, value):
    return array("i", [value] * count)


def octets(count, value=1):
    return bytearray([value & 255] * count)


things = {
    "weight": octets(ROWS * COLS, 3),
    "scale": words(ROWS, UNIT),
    "bias": words(ROWS, 7),
    "state": words(5, UNIT),
    "scratch": words(2 * ROWS, 0),
    "rows": ROWS,
    "cols": COLS,
    "output_scale": 0,
    "tensor": 1,
    "x": octets(N * COLS, 9),
    "y": octets(N * ROWS),
    "dx": octets(N * COLS),
    "e": octets(N * ROWS),
    "dy": octets(N * ROWS, -5),
    "mask": octets(N * COLS),
    "n": N,
    "x_scale": UNIT,
    "dy_scale": UNIT,
    "rate": UNIT,
    "seed": 1,
    "step": 2,
    "d": octets(N * ROWS),
    "a": octets(N * ROWS, 4),
    "b": octets(N * ROWS, -4),
    "range": words(1, ONE),
    "ErrorSum.mask": octets(N * ROWS),
    "count": N * ROWS,
    "a_scale": UNIT,
    "b_scale": UNIT,
    "width": ROWS,
    "Latent.state": words(3, UNIT),
    "beta": UNIT,
    "mu": octets(N * ROWS, 10),
    "logvar": octets(N * ROWS, -10),
    "z": octets(N * ROWS),
    "dz": octets(N * ROWS, 20),
    "dmu": octets(N * ROWS),
    "dlogvar": octets(N * ROWS),
    "mu_scale": UNIT,
    "dz_scale": UNIT,
    "logits": octets(N * ROWS, 30),
    "target": octets(N * ROWS, 2),
    "logit_scale": UNIT,
    "classes": octets(N),
    "m": 5,
    "exponent": -3,
}


def pick(*names):
    return [things[name] for name in names]


def dense():
    layer = qnn.Dense(
        *pick("weight", "scale", "bias", "state", "scratch"),
        rows=things["rows"],
        cols=things["cols"],
        output_scale=things["output_scale"],
        tensor=things["tensor"],
    )
    layer.bind(*pick("x", "y", "dx", "e", "dy", "mask"))
    return layer


def latent():
    layer = qnn.Latent(*pick("Latent.state", "width", "beta", "tensor"))
    layer.bind(*pick("mu", "logvar", "z", "dz", "dmu", "dlogvar"))
    return layer


def loss(kind):
    layer = kind(*pick("range", "width"))
    layer.bind(*pick("logits", "target", "d"))
    return layer


CALLS = {
    "Dense.forward": lambda: dense().forward(*pick("n", "x_scale"), True),
    "Dense.backward": lambda: dense().backward(*pick("n", "dy_scale")),
    "Dense.update": lambda: dense().update(
        *pick("n", "dy_scale", "x_scale", "rate", "seed", "step")
    ),
    "ErrorSum.forward": lambda: qnn.ErrorSum(
        *pick("d", "a", "b", "ErrorSum.mask", "range")
    ).forward(*pick("count", "a_scale", "b_scale")),
    "Latent.forward": lambda: latent().forward(*pick("n", "mu_scale", "seed", "step"), True),
    "Latent.backward": lambda: latent().backward(
        *pick("n", "dz_scale", "mu_scale", "seed", "step")
    ),
    "Latent.kl": lambda: latent().kl(*pick("n", "mu_scale")),
    "Bernoulli.loss": lambda: loss(qnn.Bernoulli).loss(*pick("n", "x_scale")),
    "Bernoulli.backward": lambda: loss(qnn.Bernoulli).backward(*pick("n", "x_scale")),
    "Softmax.loss": lambda: loss(qnn.Softmax).loss(*pick("n", "logit_scale")),
    "Softmax.backward": lambda: loss(qnn.Softmax).backward(*pick("n", "logit_scale")),
    "Softmax.predict": lambda: loss(qnn.Softmax).predict(*pick("n", "classes")),
    "scale": lambda: qnn.scale(*pick("m", "exponent")),
}


def call(what):
    return CALLS[what]()


def checksum():
    return [bytes(things[name]) for name in sorted(things) if not isinstance(things[name], int)]


def refused(what, name, wrong):
    """Calls with a wrong argument: the error's text, with "written: " if a buffer changed."""
    right = things[name]
    before = checksum()
    things[name] = wrong
    try:
        call(what)
        return "accepted"
    except ValueError as error:
        text = str(error)
    except Exception as error:
        return type(error).__name__ + ": " + str(error)
    finally:
        things[name] = right
    return text if checksum() == before else "written: " + text
