// SPDX-License-Identifier: MIT
#ifndef QNN_REF_ARITHMETIC_H
#define QNN_REF_ARITHMETIC_H

#include <stdint.h>

#include "../kernels.h"

static inline int32_t clamp(int32_t v, int32_t low, int32_t high) {
    return v < low ? low : v > high ? high : v;
}

static inline int32_t round_shift(int32_t v, uint32_t r) {
    return (v + (1 << (r - 1))) >> r;
}

// (a >> s) starts from this, so that it rounds to nearest.
static inline int32_t half(uint32_t s) {
    return s ? 1 << (s - 1) : 0;
}

static inline uint32_t larger(uint32_t peak, int32_t t) {
    uint32_t magnitude = t < 0 ? -t : t;
    return magnitude > peak ? magnitude : peak;
}

#endif
