"""What qnn's files are made of: tables from their script, integers only, nothing from outside."""

import re
import shutil
import subprocess
import sys

import pytest
from tests.kernels import oracle
from tests.kernels.qnn_runner import QNN, sources

FLAGS = ["-O2", "-ffp-contract=off"]  # qnn's own, as micropython.mk gives them
HOST = ["cc"]
M0PLUS = ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb"]
M4F = [
    *("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb"),
    *("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
]
TARGETS = {"host": HOST, "m0plus": M0PLUS, "m4": M4F}

LIBM = re.compile(r"^(exp|log|pow|sqrt|tanh?|erf|sin|cos|round|floor|ceil|ldexp|frexp|fma)")
SOFT_FLOAT = re.compile(r"^__aeabi_(f|d|cf|cd|i2|ui2|l2|ul2)|^__\w*[sd]f\d?$")
FLOAT_INSTRUCTION = re.compile(
    r"\t(v(add|sub|mul|div|fma|fms|fnm|mla|mls|nm|cvt|sqrt|cmp|neg|abs)\w*\.\S*f"  # Arm
    r"|(v?(add|sub|mul|div|sqrt|max|min)[sp][sd]|v?cvt\w*|v?fn?m\w*[sp][sd]|f(ld|mul|add|div))\b)"
)

# 64-bit helpers of the compiler, and what they serve. No 64-bit division is among them.
WIDE = {
    "scale.c": {
        "__aeabi_llsl": "an average's terms at one exponent",
        "__aeabi_llsr": "an average's terms at one exponent",
        "__aeabi_lasr": "an average's terms at one exponent",
    },
    "layer_dense.c": {
        "__aeabi_lmul": "a bias and its step, once a row",
        "__aeabi_llsl": "the bias's limit, once a row",
        "__aeabi_lasr": "a bias and its step, once a row",
    },
}
# 32 bits by 32 serve softmax's p = exp / sum, quotients of mantissas and the cutting into pieces.
NO_DIVISION = re.compile(r"^ref/(dense|update|latent)\.c$")
PIECES = re.compile(r"^__gnu_thumb1_case|^__aeabi_mem|^mem(cpy|set|move)$|^_GLOBAL_OFFSET_TABLE_$")


@pytest.fixture(scope="module", params=TARGETS)
def objects(request, tmp_path_factory):
    """The target's name, its tools' prefix and one object for each source."""
    compiler = TARGETS[request.param]
    assert shutil.which(compiler[0]), f"{compiler[0]} is missing"
    folder = tmp_path_factory.mktemp(request.param)
    found = {}
    for source in [*sources(), *sorted(QNN.glob("m[04]*/*.[cS]"))]:
        name = source.relative_to(QNN).as_posix()
        found[name] = folder / f"{name.replace('/', '_')}.o"
        command = [*compiler, *FLAGS, "-I", QNN, "-c", source, "-o", found[name]]
        subprocess.run(command, check=True)
    return request.param, compiler[0].removesuffix("gcc").removesuffix("cc"), found


def symbols(prefix: str, path, *options: str) -> set[str]:
    listing = subprocess.run(
        [f"{prefix}nm", "-P", *options, path], capture_output=True, text=True, check=True
    )
    return {line.split()[0] for line in listing.stdout.splitlines()}


def test_tables_are_what_their_script_writes():
    made = subprocess.run([sys.executable, QNN / "tables.py"], capture_output=True, check=True)
    assert made.stdout == (QNN / "tables.h").read_bytes()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sigmoid_q15", oracle.SIGMOID),
        ("softplus_q12", oracle.SOFTPLUS),
        ("exp_q15", oracle.EXP),
        ("sigma_q12", oracle.SIGMA),
        ("variance_q9", oracle.VARIANCE),
        ("ln_q12", oracle.LN),
    ],
)
def test_tables_are_their_functions(name, values):
    assert oracle.table(name).tolist() == values.tolist()


def test_nothing_comes_from_libm_or_soft_float(objects):
    _, prefix, files = objects
    for name, path in files.items():
        for symbol in symbols(prefix, path, "-u"):
            assert not LIBM.match(symbol), f"{name} needs {symbol}"
            assert not SOFT_FLOAT.match(symbol), f"{name} needs {symbol}"


def test_no_instruction_computes_in_float(objects):
    _, prefix, files = objects
    for name, path in files.items():
        listing = subprocess.run(
            [f"{prefix}objdump", "-d", path], capture_output=True, text=True, check=True
        )
        assert name.startswith("m") or listing.stdout.count("\n") > 20, name
        wrong = [line for line in listing.stdout.splitlines() if FLOAT_INSTRUCTION.search(line)]
        assert wrong == [], name


def test_the_search_for_float_would_find_it(objects, tmp_path):
    target, prefix, _ = objects
    source = tmp_path / "float.c"
    source.write_text("float f(float a, float b, int c) { return a * b + c; }\n")
    subprocess.run([*TARGETS[target], *FLAGS, "-c", source, "-o", tmp_path / "f.o"], check=True)
    needed = symbols(prefix, tmp_path / "f.o", "-u")
    listing = subprocess.run(
        [f"{prefix}objdump", "-d", tmp_path / "f.o"], capture_output=True, text=True, check=True
    )
    assert any(map(SOFT_FLOAT.match, needed)) or FLOAT_INSTRUCTION.search(listing.stdout)


def test_what_the_objects_need_is_listed(objects):
    """Each other, the port's two functions, 32-bit division, and the 64-bit helpers above."""
    target, prefix, files = objects
    own = set().union(*(symbols(prefix, path, "-g", "--defined-only") for path in files.values()))
    for name, path in files.items():
        allowed = own | {"qnn_turn", "qnn_clock"} | set(WIDE.get(name, ()))
        if not NO_DIVISION.match(name):
            allowed |= {"__aeabi_uidiv", "__aeabi_uidivmod", "__aeabi_idiv"}
        needed = {each for each in symbols(prefix, path, "-u") if not PIECES.match(each)}
        assert needed <= allowed, f"{target} {name}: {sorted(needed - allowed)}"
