// SPDX-License-Identifier: MIT
// Scales: positive real numbers in one int32, computed with integers only, so that every core gets the same bits.
//
// A scale is m * 2^e with m in 2^15 .. 2^16-1, packed as (e << 16) | m. Results are rounded to nearest, quotients and roots
// to within one unit of m; all saturate at e = -127 and 127. Zero stands for "not set" and is no operand.
#ifndef QNN_SCALE_H
#define QNN_SCALE_H

#include <stdint.h>

typedef int32_t scale_t;

#define SCALE_BITS (16)
#define SCALE_PACK(m, e) ((scale_t)((uint32_t)(e) << SCALE_BITS | (m)))
#define SCALE_ONE SCALE_PACK(32768, -15)

static inline uint32_t scale_mantissa(scale_t a) {
    return (uint32_t)a & 0xffff;
}

static inline int scale_exponent(scale_t a) {
    return a >> SCALE_BITS;
}

// floor(log2(a))
static inline int scale_log2(scale_t a) {
    return scale_exponent(a) + SCALE_BITS - 1;
}

// a <= 127 in magnitude of exponent and mantissa normalized: what a file or a caller may hand in.
static inline int scale_is_valid(scale_t a) {
    return scale_mantissa(a) >= 32768 && scale_exponent(a) >= -127 && scale_exponent(a) <= 127;
}

scale_t scale_from(uint64_t m, int e);           // m * 2^e; 0 for m = 0
scale_t scale_mul(scale_t a, scale_t b);
scale_t scale_div(scale_t a, scale_t b);
scale_t scale_sqrt(scale_t a);
scale_t scale_average(scale_t old, scale_t seen);  // old + (seen - old) / 8; seen where old is not set

// a * 2^shift, rounded to nearest, at most limit.
uint32_t scale_integer(scale_t a, int shift, uint32_t limit);

#endif
