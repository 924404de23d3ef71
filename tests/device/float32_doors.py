"""Every wrong argument of qnn's float32 objects: a line per case, `ok` or what was wrong."""

from array import array

import qnn

N, ROWS, COLS = 2, 3, 4
ONE = qnn.scale(1, 0)
NAN = float("nan")


def floats(count, value=0.5):
    return array("f", [value] * count)


def wrong(count):
    """Buffers that are no `count` float32."""
    yield None
    yield 7
    yield floats(count - 1)
    yield array("i", [0] * count)
    yield array("d", [0] * count)
    yield bytearray(4 * count - 1)
    yield memoryview(bytearray(4 * count + 1))[1:]  # misaligned


def snapshot(buffers):
    return [bytes(b) for b in buffers if isinstance(b, (array, bytearray))]


def refused(case, name, buffers, action, *given, **named):
    """`action` raises ValueError naming `name` and leaves every buffer alone."""
    before = snapshot(buffers)
    try:
        action(*given, **named)
        outcome = "accepted"
    except ValueError as error:
        outcome = "ok" if str(error) == "wrong " + name else str(error)
    except Exception as error:
        outcome = repr(error)
    if snapshot(buffers) != before:
        outcome += ", but written"
    print(case, name, outcome)


def dense_tensors():
    return {"weight": floats(ROWS * COLS), "bias": floats(ROWS), "state": floats(5)}


def dense_buffers():
    return {
        "x": floats(N * COLS),
        "y": floats(N * ROWS),
        "dx": floats(N * COLS),
        "dy": floats(N * ROWS),
        "mask": floats(N * COLS),
    }


def dense(t, b):
    layer = qnn.DenseFloat32(t["weight"], None, t["bias"], t["state"], None, rows=ROWS, cols=COLS)
    layer.bind(b["x"], b["y"], b["dx"], None, b["dy"], b["mask"])
    return layer


CALLS = {
    "forward": (("weight", "bias", "x", "y"), lambda d: d.forward(N, 0, True)),
    "backward": (("weight", "bias", "dx", "dy", "mask"), lambda d: d.backward(N, 0)),
    "update": (("weight", "bias", "state", "x", "dy"), lambda d: d.update(N, 0, 0, ONE, 1, 1)),
}
for call, (names, action) in CALLS.items():
    for name in names:
        t, b = dense_tensors(), dense_buffers()
        for bad in wrong(len((t if name in t else b)[name])):
            if name == "mask" and bad is None:
                continue  # no mask is fine
            t, b = dense_tensors(), dense_buffers()
            (t if name in t else b)[name] = bad
            held = list(t.values()) + list(b.values())
            refused("dense." + call, name, held, action, dense(t, b))

for call, name in (("forward", "y"), ("backward", "dx")):
    t, b = dense_tensors(), dense_buffers()
    b[name] = bytes(4 * N * COLS)  # read-only
    refused("dense." + call, name, t.values(), CALLS[call][1], dense(t, b))

t, b = dense_tensors(), dense_buffers()
held = list(t.values()) + list(b.values())
for n in (0, -1, 1025, 1 << 40, None, "2"):
    refused("dense.forward", "n", held, dense(t, b).forward, n, 0, True)
for rate in (1, None, 1 << 40):
    refused("dense.update", "rate", held, dense(t, b).update, N, 0, 0, rate, 1, 1)
for value in (NAN, -1.0, float("inf")):
    t["state"][4] = value
    refused("dense.update", "state", held, dense(t, b).update, N, 0, 0, ONE, 1, 1)
for rows in (0, 4097, None):
    refused("dense", "rows", [], qnn.DenseFloat32, 0, 0, 0, 0, 0, rows=rows, cols=4)

names = ("d", "a", "b", "mask")
for i, name in enumerate(names):
    for bad in wrong(6):
        if name == "mask" and bad is None:
            continue
        given = [floats(6) for _ in names]
        given[i] = bad
        refused("sum", name, given, qnn.ErrorSumFloat32(*given, None).forward, 6, 0, 0)

LATENT_CALLS = (
    ("forward", ("mu", "logvar", "z"), lambda o: o.forward(N, 0, 1, 1, True)),
    ("backward", ("mu", "logvar", "dz", "dmu", "dlogvar"), lambda o: o.backward(N, 0, 0, 1, 1)),
    ("kl", ("mu", "logvar"), lambda o: o.kl(N, 0)),
)
names = ("mu", "logvar", "z", "dz", "dmu", "dlogvar")
for call, used, action in LATENT_CALLS:
    for name in used:
        for bad in wrong(N * COLS):
            given = [floats(N * COLS) for _ in names]
            given[names.index(name)] = bad
            latent = qnn.LatentFloat32(None, COLS, ONE, 0)
            latent.bind(*given)
            refused("latent." + call, name, given, action, latent)
for beta in (0, 5, None):
    refused("latent", "beta", [], qnn.LatentFloat32, None, COLS, beta, 0)

LOSS_CALLS = (
    ("loss", ("logits", "target"), lambda o: o.loss(N, 0)),
    ("backward", ("logits", "target", "d"), lambda o: o.backward(N, 0)),
)
names = ("logits", "target", "d")
for call, used, action in LOSS_CALLS:
    for name in used:
        for bad in wrong(N * COLS):
            given = [floats(N * COLS) for _ in names]
            given[names.index(name)] = bad
            loss = qnn.BernoulliFloat32(None, COLS)
            loss.bind(*given)
            refused("bernoulli." + call, name, given, action, loss)
            if name != "target":
                given[1] = bytearray(N)
                loss = qnn.SoftmaxFloat32(None, COLS)
                loss.bind(*given)
                refused("softmax." + call, name, given, action, loss)
    for bad, name in ((bytearray(N - 1), "target"), (floats(N), "target"), (b"\x00\x04", "label")):
        given = [floats(N * COLS), bad, floats(N * COLS)]
        loss = qnn.SoftmaxFloat32(None, COLS)
        loss.bind(*given)
        refused("softmax." + call, name, given, action, loss)
loss = qnn.SoftmaxFloat32(None, COLS)
loss.bind(floats(N * COLS), None, None)
refused("softmax.predict", "classes", [], loss.predict, N, bytearray(N - 1))
refused("softmax", "width", [], qnn.SoftmaxFloat32, None, 257)

for bad in wrong(4):
    refused("dequantize", "out", [bad], qnn.dequantize, bad, bytearray(4), ONE)
refused("dequantize", "x", [], qnn.dequantize, floats(4), floats(4), ONE)
refused("dequantize", "scale", [], qnn.dequantize, floats(4), bytearray(4), 1)

# A bytearray that moves between two calls, and results where everything is right.
x = bytearray(4 * N * COLS)
b = dense_buffers()
b["x"] = x
layer = dense(dense_tensors(), b)
layer.forward(N, 0, True)
x.extend(bytes(100000))
layer.forward(N, 0, True)
print("moved", "y", "ok" if bytes(b["y"]) == bytes(floats(N * ROWS)) else "changed")
