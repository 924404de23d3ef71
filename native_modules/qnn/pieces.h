// SPDX-License-Identifier: MIT
// What every layer does around a kernel: from real multipliers to shifts and integers, ranges, and the clock.
#ifndef QNN_PIECES_H
#define QNN_PIECES_H

#include "layer.h"

#define MULTIPLIER_MAX (32767)

// Smallest s with bound >> s <= 32767.
static inline uint32_t shift_before(uint32_t bound) {
    uint32_t s = 0;
    while (bound >> s > 32767) {
        s++;
    }
    return s;
}

// r in low..30 that gives the largest of a layer's multipliers 15 bits.
static inline uint32_t shift_after(scale_t largest, uint32_t s, int low) {
    int r = 14 - scale_log2(largest) - (int)s;
    return r < low ? low : r > 30 ? 30 : r;
}

static inline uint32_t multiplier(scale_t k, uint32_t shift) {
    return scale_integer(k, shift, MULTIPLIER_MAX);
}

// range / 127 and range / 63
static inline scale_t activation_scale(scale_t range) {
    return scale_mul(range, SCALE_PACK(33026, -22));
}

static inline scale_t error_scale(scale_t range) {
    return scale_mul(range, SCALE_PACK(33288, -21));
}

// What a kernel's peak stands for, its result having scale `unit`.
static inline scale_t peak_value(uint32_t peak, uint32_t r, scale_t unit) {
    return peak ? scale_mul(scale_from(peak, -(int)r), unit) : 0;
}

// A range after a batch whose peak was `seen`; 0 is no signal.
static inline void range_follow(scale_t *range, scale_t seen) {
    if (seen) {
        *range = scale_average(*range, seen);
    }
}

static inline void range_start(scale_t *range, scale_t seen, scale_t bound) {
    *range = seen ? seen : bound;
}

static inline uint32_t at_least_one(uint32_t v) {
    return v ? v : 1;
}

static inline uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static inline uint32_t most(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

// Samples of `width` elements in a piece.
static inline uint32_t samples_at_once(uint32_t width) {
    return at_least_one(TURN_ELEMENTS / width);
}

// Cycles spent in kernels so far.
extern uint64_t layer_cycles;

static inline uint32_t piece_start(void) {
    return qnn_clock();
}

static inline void piece_end(uint32_t start) {
    layer_cycles += (qnn_clock() - start) & 0xffffff;
    qnn_turn();
}

#endif
