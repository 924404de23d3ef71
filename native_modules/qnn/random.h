// SPDX-License-Identifier: MIT
// Random words as functions of where they are used, not of the order of calls.
//
// A key is mixed from (seed, step, tensor); a row of a weight matrix starts a stream of its own from (key, row), one word
// for four columns. Packing, lists of rows and split calls therefore change no weight.
#ifndef QNN_RANDOM_H
#define QNN_RANDOM_H

#include <stdint.h>

// Two rounds of multiply and shift (the constants are xxHash32's primes).
static inline uint32_t random_mix(uint32_t h, uint32_t v) {
    h = (h ^ v) * 0x9e3779b1u;
    h = (h ^ h >> 15) * 0x85ebca77u;
    return h ^ h >> 13;
}

static inline uint32_t random_key(uint32_t seed, uint32_t step, uint32_t tensor) {
    return random_mix(random_mix(random_mix(0x165667b1u, seed), step), tensor);
}

// Start of a row's stream; never 0, which xorshift cannot leave.
static inline uint32_t random_row(uint32_t key, uint32_t row) {
    uint32_t state = random_mix(key, row);
    return state ? state : 1;
}

// xorshift32 (Marsaglia 2003, "Xorshift RNGs", triple 13, 17, 5).
static inline uint32_t random_next(uint32_t state) {
    state ^= state << 13;
    state ^= state >> 17;
    return state ^ state << 5;
}

#endif
