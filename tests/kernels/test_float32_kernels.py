"""native_modules/qnn/ref/float32.c against float64: values, gradients by differences."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldtune import tree

QNN = tree.source("native_modules", "qnn")
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]
HALF_ULP = 2.0**-24  # the relative error of one float32 operation
# Central differences in float64: truncation is of the order of STEP^2, rounding of 1e-16 / STEP,
# so both stay under 1e-9 of a loss of the order of 1.
STEP = 1e-5
DIFFERENCE = 1e-8


class Dense(ctypes.Structure):
    _fields_ = [
        ("w", ctypes.c_void_p),
        ("b", ctypes.c_void_p),
        ("rows", ctypes.c_uint16),
        ("cols", ctypes.c_uint16),
        ("relu", ctypes.c_uint8),
    ]


class Latent(ctypes.Structure):
    _fields_ = [("beta", ctypes.c_float), ("width", ctypes.c_uint16), ("key", ctypes.c_uint32)]


class Noise(ctypes.Structure):
    _fields_ = [("width", ctypes.c_uint16), ("key", ctypes.c_uint32), ("first", ctypes.c_uint32)]


REAL_RESULT = ["float32_of_scale", "float32_exp", "float32_log", "float32_sqrt"]
REAL_RESULT += ["dense_float32_update", "latent_float32_kl"]
REAL_RESULT += ["bernoulli_float32_loss", "softmax_float32_loss"]


class Kernels:
    """The C functions on numpy arrays; a float goes over as float32."""

    def __init__(self, library):
        self.library = ctypes.CDLL(str(library))
        for name in REAL_RESULT:
            getattr(self.library, name).restype = ctypes.c_float

    def __getattr__(self, name):
        function = getattr(self.library, name)
        return lambda *given: function(*map(self._argument, given))

    @staticmethod
    def _argument(value):
        if isinstance(value, np.ndarray):
            return ctypes.c_void_p(value.ctypes.data)
        if isinstance(value, float | np.floating):
            return ctypes.c_float(value)
        return ctypes.byref(value) if isinstance(value, ctypes.Structure) else value


def compiled(folder, *flags, compiler="gcc"):
    library = folder / "float32.so"
    sources = [QNN / "ref" / "float32.c", QNN / "ref" / "latent.c"]
    subprocess.run(
        [compiler, *FLAGS, *(flags or ["-O2"]), "-shared", "-fPIC", *sources, "-o", library],
        check=True,
    )
    return Kernels(library)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("float32"))


def real(random, *shape):
    return random.standard_normal(shape).astype(np.float32)


def layer(w, b, relu=False):
    return Dense(w.ctypes.data, b.ctypes.data, *w.shape, relu)


def differences(function, at):
    """The gradient of `function` (float64 array -> number) by central differences."""
    at = np.array(at, np.float64)
    found = np.empty_like(at)
    for place in np.ndindex(at.shape):
        here = at[place]
        at[place] = here + STEP
        above = function(at)
        at[place] = here - STEP
        found[place] = (above - function(at)) / (2 * STEP)
        at[place] = here
    return found


def ulps(found, exact):
    return np.abs(found - exact) / np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)


def guarded(*shape):
    """An array for results, and a check that its surroundings were left alone."""
    size = int(np.prod(shape))
    block = np.full(size + 16, 12345, np.float32)

    def untouched():
        return (block[:8] == 12345).all() and (block[size + 8 :] == 12345).all()

    return block[8 : size + 8].reshape(shape), untouched


shapes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 9999))


# Functions


def test_exp_is_within_two_ulp(kernels):
    v = np.random.default_rng(1).uniform(-87, 88, 50000).astype(np.float32)
    v = np.concatenate([v, np.float32([-87, -0.34657, -1e-8, 0, 1e-8, 0.34657, 0.34658, 88])])
    found = np.array([kernels.float32_exp(x) for x in v])
    assert ulps(found, np.exp(v.astype(np.float64))).max() <= 2


def test_exp_is_exact_at_zero_and_held_at_its_ends(kernels):
    assert kernels.float32_exp(0.0) == 1
    assert kernels.float32_exp(-np.inf) == kernels.float32_exp(-87.0) > 0
    assert kernels.float32_exp(np.inf) == kernels.float32_exp(88.0) < np.inf
    assert np.isnan(kernels.float32_exp(np.nan))


def test_log_is_within_two_ulp(kernels):
    random = np.random.default_rng(2)
    v = np.concatenate([np.exp(random.uniform(-87, 88, 30000)), random.uniform(0.5, 2, 30000)])
    v = np.append(v, [1, 2, 0.5, np.sqrt(2), np.finfo(np.float32).tiny]).astype(np.float32)
    found = np.array([kernels.float32_log(x) for x in v])
    exact = np.log(v.astype(np.float64))
    wrong = (ulps(found, exact) > 2) & (np.abs(found - exact) > HALF_ULP)
    assert not wrong.any(), v[wrong]
    assert kernels.float32_log(1.0) == 0
    assert np.isnan(kernels.float32_log(np.nan))


def test_sqrt_is_within_one_ulp(kernels):
    v = np.exp(np.random.default_rng(3).uniform(-87, 88, 50000)).astype(np.float32)
    v = np.append(v, np.float32([1, 2, 4, np.finfo(np.float32).tiny, np.finfo(np.float32).max]))
    found = np.array([kernels.float32_sqrt(x) for x in v])
    assert ulps(found, np.sqrt(v.astype(np.float64))).max() <= 1
    assert kernels.float32_sqrt(0.0) == 0


def test_a_scale_is_its_mantissa_times_its_power_of_two(kernels):
    for m, e in [(32768, -19), (65535, 0), (33026, -22), (40000, -126), (40000, 104)]:
        assert kernels.float32_of_scale(e << 16 | m) == np.float32(m * 2.0**e)
    assert kernels.float32_of_scale(0) == 0
    # A float32 ends where a scale does not: the nearest one instead of infinity.
    assert kernels.float32_of_scale(127 << 16 | 40000) == np.float32(40000 * 2.0**104)


def test_dequantize_multiplies(kernels):
    x = np.arange(-128, 128).astype(np.int8)
    out, untouched = guarded(256)
    kernels.float32_dequantize(out, x, 0.1, 256)
    assert (out == x * np.float32(0.1)).all() and untouched()


# Dense


@given(shapes, st.booleans())
@settings(max_examples=60, deadline=None)
def test_forward_is_the_affine_map(kernels, shape, relu):
    n, rows, cols, seed = shape
    random = np.random.default_rng(seed)
    w, b, x = real(random, rows, cols), real(random, rows), real(random, n, cols)
    y, untouched = guarded(n, rows)
    kernels.dense_float32_forward(layer(w, b, relu), y, x, 0, n * rows)
    exact = x.astype(np.float64) @ w.T.astype(np.float64) + b
    # Each product and each of at most cols sums is rounded once (Higham 2002, section 3.1).
    bound = (cols + 2) * HALF_ULP * (np.abs(x) @ np.abs(w).T + np.abs(b))
    assert (np.abs(y - (np.maximum(exact, 0) if relu else exact)) <= bound).all() and untouched()


@given(shapes)
@settings(max_examples=40, deadline=None)
def test_dx_is_the_gradient_through_the_relu_before(kernels, shape):
    n, rows, cols, seed = shape
    random = np.random.default_rng(seed)
    w, b, dy = real(random, rows, cols), real(random, rows), real(random, n, rows)
    u = real(random, n, cols)
    u[np.abs(u) < 0.01] = 0.01  # differences must not straddle the kink
    x = np.maximum(u, 0)
    dx, untouched = guarded(n, cols)
    kernels.dense_float32_dx(layer(w, b), dx, dy, x, 0, n * cols)
    expected = differences(lambda v: (dy * (np.maximum(v, 0) @ w.T + b)).sum(dtype="d"), u)
    bound = (rows + 1) * HALF_ULP * (np.abs(dy) @ np.abs(w)) + DIFFERENCE * rows * n
    assert (np.abs(dx - expected) <= bound).all() and untouched()
    kernels.dense_float32_dx(layer(w, b), dx, dy, None, 0, n * cols)
    exact = dy.astype(np.float64) @ w
    assert (np.abs(dx - exact) <= bound).all()


@given(shapes)
@settings(max_examples=40, deadline=None)
def test_update_steps_down_the_gradient_of_weights_and_bias(kernels, shape):
    n, rows, cols, seed = shape
    random = np.random.default_rng(seed)
    dy, x = real(random, n, rows), real(random, n, cols)
    # From zero, with a step of 1, the weights become the negative gradient without more rounding.
    (w, w_untouched), (b, b_untouched) = guarded(rows, cols), guarded(rows)
    w[:], b[:] = 0, 0
    power = kernels.dense_float32_update(layer(w, b), dy, x, n, 1.0, 0.5, 0, rows)
    expected = differences(lambda v: (dy * (x @ v.T)).sum(dtype="d"), np.zeros((rows, cols)))
    bound = (n + 1) * HALF_ULP * (np.abs(dy).T @ np.abs(x)) + DIFFERENCE * n * rows
    assert (np.abs(-w - expected) <= bound).all() and w_untouched()
    expected = differences(lambda v: (dy * v).sum(dtype="d"), np.zeros(rows))
    assert (np.abs(-b - expected) <= (n + 1) * HALF_ULP * np.abs(dy).sum(0) + 1e-8).all()
    assert b_untouched()
    # Sums of squares: as many roundings as weights, and the 0.5 that was there.
    exact = 0.5 + (w.astype(np.float64) ** 2).sum()
    assert power == pytest.approx(exact, rel=(rows * cols + 2) * HALF_ULP)


def test_a_step_of_zero_only_measures(kernels):
    random = np.random.default_rng(4)
    w, b, dy, x = real(random, 5, 7), real(random, 5), real(random, 3, 5), real(random, 3, 7)
    before = w.copy(), b.copy()
    assert kernels.dense_float32_update(layer(w, b), dy, x, 3, 0.0, 0.0, 0, 5) > 0
    assert (w == before[0]).all() and (b == before[1]).all()


def test_errors_of_two_consumers_are_added_where_the_mask_is_positive(kernels):
    a, b = np.float32([1, 2, 3, 4]), np.float32([10, 20, 30, 40])
    d, untouched = guarded(4)
    kernels.errors_float32_add(d, a, b, None, 0, 4)
    assert d.tolist() == [11, 22, 33, 44]
    kernels.errors_float32_add(d, a, b, np.float32([0, 1e-30, -1, np.nan]), 0, 4)
    assert d.tolist() == [0, 22, 0, 0] and untouched()


# Latent


def samples(kernels, n, width, key):
    """The standard normal samples: z of mean 0 and log variance 0."""
    z, zero = np.empty((n, width), np.float32), np.zeros((n, width), np.float32)
    kernels.latent_float32_forward(Latent(1, width, key), z, zero, zero, 0, n * width)
    return z


def test_the_random_samples_are_those_of_int8(kernels):
    n, width, key = 50, 20, 0xDEADBEEF
    q12 = samples(kernels, n, width, key) * 4096
    assert (q12 == np.rint(q12)).all()
    z, zero = np.empty((n, width), np.int8), np.zeros((n, width), np.int8)
    kernels.latent_forward(z, zero, zero, Noise(width, key, 0), 0, 1 << 10, 13, n)
    noise_q8 = q12.astype(np.int64) * 4096 >> 16
    assert (z == np.clip((noise_q8 * 1024 + 4096) >> 13, -127, 127)).all()


def objective(z_weight, noise, beta):
    """sum(z_weight z) + beta KL as a function of (mu, logvar), float64."""

    def value(both):
        mu, logvar = both
        z = mu + np.exp(logvar / 2) * noise
        kl = 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar).sum()
        return (z_weight * z).sum() + beta * kl

    return value


def test_latent_forward_and_backward_agree_with_differences(kernels):
    n, width, beta = 6, 5, 0.25
    random = np.random.default_rng(5)
    mu, dz = real(random, n, width), real(random, n, width)
    logvar = random.uniform(-5.9, 3.9, (n, width)).astype(np.float32)
    shape = Latent(beta, width, 77)
    noise = samples(kernels, n, width, 77).astype(np.float64)
    z, untouched = guarded(n, width)
    kernels.latent_float32_forward(shape, z, mu, logvar, 0, n * width)
    exact = mu + np.exp(logvar.astype(np.float64) / 2) * noise
    # exp within 2 ulp, then two roundings; half a dozen operations in the backward pass.
    assert z == pytest.approx(exact, abs=8 * HALF_ULP * np.abs(exact).max()) and untouched()
    (dmu, mu_untouched), (dlogvar, logvar_untouched) = guarded(n, width), guarded(n, width)
    kernels.latent_float32_backward(shape, dmu, dlogvar, dz, mu, logvar, 0, n * width)
    expected = differences(objective(dz, noise, beta), np.stack([mu, logvar]))
    tolerance = 16 * HALF_ULP * np.abs(expected).max() + 100 * DIFFERENCE  # a loss of about 100
    assert dmu == pytest.approx(expected[0], abs=tolerance) and mu_untouched()
    assert dlogvar == pytest.approx(expected[1], abs=tolerance) and logvar_untouched()


def test_log_variances_beyond_the_limits_act_as_the_limits(kernels):
    def results(logvar):
        logvar = np.float32([logvar] * 3)
        mu, dz = np.float32([1, 2, 3]), np.float32([3, -1, 2])
        z, dmu, dlogvar = np.empty(3, "f"), np.empty(3, "f"), np.empty(3, "f")
        shape = Latent(0.5, 3, 9)
        kernels.latent_float32_forward(shape, z, mu, logvar, 0, 3)
        kernels.latent_float32_backward(shape, dmu, dlogvar, dz, mu, logvar, 0, 3)
        kl = kernels.latent_float32_kl(mu, logvar, 3)
        return [*z.tolist(), *dmu.tolist(), *dlogvar.tolist(), kl]

    assert results(-50) == results(-6) != results(-5.9)
    assert results(50) == results(4) != results(3.9)


def test_kl_is_the_divergence_from_the_standard_normal(kernels):
    random = np.random.default_rng(6)
    mu, logvar = real(random, 100), random.uniform(-6, 4, 100).astype(np.float32)
    exact = 0.5 * (np.exp(logvar.astype("d")) + mu.astype("d") ** 2 - 1 - logvar).sum()
    assert kernels.latent_float32_kl(mu, logvar, 100) == pytest.approx(exact, rel=104 * HALF_ULP)
    zero = np.zeros(4, np.float32)
    assert kernels.latent_float32_kl(zero, zero, 4) == 0


# Losses


def bernoulli(logits, x):
    return np.logaddexp(0, logits) - np.clip(x, 0, 1) * logits


def test_bernoulli_loss_and_gradient(kernels):
    random = np.random.default_rng(7)
    logits = random.uniform(-30, 30, 200).astype(np.float32)
    x = random.uniform(-0.5, 1.5, 200).astype(np.float32)  # beyond 0..1 the target is held
    exact = bernoulli(logits.astype("d"), x.astype("d")).sum()
    found = kernels.bernoulli_float32_loss(logits, x, 200)
    assert found == pytest.approx(exact, rel=204 * HALF_ULP)
    d, untouched = guarded(200)
    kernels.bernoulli_float32_dlogits(d, logits, x, 200)
    expected = differences(lambda v: bernoulli(v, x.astype("d")).sum(), logits)
    # Probabilities and targets are at most 1; exp within 2 ulp, three more roundings. The sum of
    # 200 losses of up to 30 rounds the differences more coarsely than a loss of 1.
    assert d == pytest.approx(expected, abs=8 * HALF_ULP + 10 * DIFFERENCE) and untouched()


def softmax_loss(logits, label):
    top = logits.max()
    return np.log(np.exp(logits - top).sum()) + top - logits[label]


@given(st.integers(1, 12), st.integers(0, 9999))
@settings(max_examples=40, deadline=None)
def test_softmax_loss_and_gradient(kernels, classes, seed):
    random = np.random.default_rng(seed)
    logits = (random.standard_normal(classes) * 5).astype(np.float32)
    label = int(random.integers(classes))
    exact = softmax_loss(logits.astype("d"), label)
    found = kernels.softmax_float32_loss(logits, label, classes)
    # The logits' differences are rounded at their size, the sum once a class.
    rounding = (classes + 8) * HALF_ULP * max(1.0, float(np.ptp(logits)))
    assert found == pytest.approx(exact, abs=rounding)
    d, untouched = guarded(classes)
    kernels.softmax_float32_dlogits(d, logits, label, classes)
    expected = differences(lambda v: softmax_loss(v, label), logits)
    assert d == pytest.approx(expected, abs=rounding + DIFFERENCE)
    assert untouched()


def test_huge_logits_overflow_nothing(kernels):
    logits = np.float32([-3e4, 3e4, 0])
    d = np.empty(3, np.float32)
    kernels.softmax_float32_dlogits(d, logits, 0, 3)
    assert d.tolist() == pytest.approx([-1, 1, 0], abs=1e-30)
    assert kernels.softmax_float32_loss(logits, 0, 3) == 6e4
    kernels.bernoulli_float32_dlogits(d, logits, np.float32([1, 1, 1]), 3)
    assert d.tolist() == pytest.approx([-1, 0, -0.5], abs=1e-30)
    assert kernels.bernoulli_float32_loss(logits, np.float32([1, 1, 0]), 2) == 3e4


def test_a_loss_with_a_nan_in_it_is_nan(kernels):
    logits = np.float32([0, np.nan, 0])
    assert np.isnan(kernels.softmax_float32_loss(logits, 0, 3))
    assert np.isnan(kernels.bernoulli_float32_loss(logits, logits * 0, 3))
    assert np.isnan(kernels.latent_float32_kl(logits, np.zeros(3, "f"), 3))


def test_argmax_is_the_first_of_the_largest(kernels):
    assert kernels.argmax_float32(np.float32([1, 3, -2, 3]), 4) == 1
    assert kernels.argmax_float32(np.float32([-7]), 1) == 0


# Bits


def battery(kernels, cut=lambda count: [0, count]):
    """The bytes of everything the kernels compute of one batch, in the pieces that `cut` makes."""
    random = np.random.default_rng(8)
    n, rows, cols = 5, 7, 10
    w, b = real(random, rows, cols), real(random, rows)
    x, dy = real(random, n, cols), real(random, n, rows)
    y, dx, z, dmu, dlogvar = (np.empty((n, k), "f") for k in (rows, cols, rows, rows, rows))
    shape, latent, power = layer(w, b), Latent(0.3, rows, 5), 0.0

    def pieces(count):
        marks = cut(count)
        return zip(marks[:-1], marks[1:], strict=True)

    for first, end in pieces(n * rows):
        kernels.dense_float32_forward(shape, y, x, first, end)
        kernels.latent_float32_forward(latent, z, y, dy, first, end)
        kernels.latent_float32_backward(latent, dmu, dlogvar, dy, y, dy, first, end)
    for first, end in pieces(n * cols):
        kernels.dense_float32_dx(shape, dx, dy, x, first, end)
    for first, end in pieces(rows):
        power = kernels.dense_float32_update(shape, dy, x, n, 0.1, power, first, end)
    kernels.bernoulli_float32_dlogits(x, y, dy, n * rows)
    losses = [power, kernels.bernoulli_float32_loss(y, z, n * rows)]
    losses += [kernels.softmax_float32_loss(y, 2, rows), kernels.latent_float32_kl(z, y, n * rows)]
    arrays = [w, b, y, dx, z, dmu, dlogvar, x, np.float32(losses)]
    return b"".join(array.tobytes() for array in arrays)


@given(st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_dividing_the_work_changes_no_bit(kernels, random):
    def cut(count):
        return sorted({0, count, *random.sample(range(count), min(3, count))})

    assert battery(kernels, cut) == battery(kernels)


@pytest.mark.parametrize("flags", ["-O0", "-O3 -funroll-loops"])
def test_optimization_changes_no_bit(kernels, tmp_path, flags):
    assert battery(compiled(tmp_path, *flags.split())) == battery(kernels)


def test_another_compiler_changes_no_bit(kernels, tmp_path):
    compiler = shutil.which("clang") or "gcc"
    assert battery(compiled(tmp_path, "-O2", compiler=compiler)) == battery(kernels)


def undefined(compiler, nm, folder, *flags):
    """The symbols that float32.c needs from elsewhere."""
    target = folder / "float32.o"
    source = QNN / "ref" / "float32.c"
    subprocess.run([compiler, *FLAGS, "-O2", *flags, "-c", source, "-o", target], check=True)
    done = subprocess.run([nm, "-u", target], capture_output=True, text=True, check=True)
    return {line.split()[-1] for line in done.stdout.splitlines()}


def test_nothing_comes_from_libm(tmp_path):
    assert undefined("gcc", "nm", tmp_path) == set()


def test_the_pico_needs_no_double(tmp_path):
    needed = undefined(
        "arm-none-eabi-gcc", "arm-none-eabi-nm", tmp_path, "-mcpu=cortex-m0plus", "-mthumb"
    )
    single = {"fadd", "fsub", "fmul", "fdiv", "fcmpeq", "fcmplt", "fcmpgt", "fcmpge", "fcmple"}
    allowed = {
        f"__aeabi_{name}" for name in single | {"fcmpun", "f2iz", "i2f", "ui2f", "uidivmod"}
    }
    assert needed <= allowed
