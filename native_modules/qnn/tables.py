"""Writes tables.h: the functions that training needs, as integers. `python tables.py > tables.h`."""

from math import erf, exp, log, log1p, sqrt


def inverse_normal(p):
    """z with Phi(z) = p, by bisection."""
    low, high = -8.0, 8.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * (1 + erf(middle / sqrt(2))) < p else (low, middle)
    return (low + high) / 2


def table(c_type, name, note, values):
    lines = [f"// {note}", f"static const {c_type} {name}[{len(values)}] = {{"]
    for i in range(0, len(values), 12):
        lines.append("    " + ", ".join(str(v) for v in values[i : i + 12]) + ",")
    return "\n".join([*lines, "};", ""])


Q4 = [(i - 128) / 16 for i in range(256)]  # the int8 logits and log variances of scale 1/16
# Between two points the kernels interpolate; the last point gives the drawn samples unit variance.
NORMAL = [round(4096 * inverse_normal(0.5 + i / 256)) for i in range(128)] + [13332]

print("// SPDX-License-Identifier: MIT")
print("// Made by tables.py.")
print("#ifndef QNN_TABLES_H\n#define QNN_TABLES_H\n\n#include <stdint.h>\n")
print(table("uint16_t", "sigmoid_q15", "1 / (1 + exp(-v)), v = (i - 128) / 16, times 2^15",
            [round(32768 / (1 + exp(-v))) for v in Q4]))
print(table("uint16_t", "softplus_q12", "log(1 + exp(v)), v = (i - 128) / 16, times 2^12",
            [round(4096 * log1p(exp(v))) for v in Q4]))
print(table("uint16_t", "exp_q15", "exp(-i / 16) times 2^15", [round(32768 * exp(-i / 16)) for i in range(256)]))
print(table("uint16_t", "sigma_q12", "exp(v / 2), v = (i - 96) / 16 in -6 .. 4, times 2^12",
            [round(4096 * exp((i - 96) / 32)) for i in range(161)]))
print(table("uint16_t", "variance_q9", "exp(v), v = (i - 96) / 16 in -6 .. 4, times 2^9",
            [round(512 * exp((i - 96) / 16)) for i in range(161)]))
print(table("uint16_t", "normal_q12", "the standard normal's quantile at 0.5 + i / 256, times 2^12", NORMAL))
print(table("uint16_t", "ln_q12", "log(1 + i / 32) times 2^12", [round(4096 * log(1 + i / 32)) for i in range(33)]))
print("#endif")
