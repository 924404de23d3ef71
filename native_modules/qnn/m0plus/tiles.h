// SPDX-License-Identifier: MIT
// Tiles of four dot products, each product two multiply-accumulates a MULS, and what becomes of them.
//
// A word of `pairs` holds two operands as p0 + 65536 p1, a word of the panel two partners the other way round,
// q1 + 65536 q0; all are signed bytes. Their product modulo 2^32 is p0 q1 + 65536 (p0 q0 + p1 q1): the low half is at most
// 127 * 127 in magnitude, so adding 2^15 and shifting right by 16 leaves p0 q0 + p1 q1, exactly.
//
// The panel of a tile is height words of four, one for each dot product; tiles follow one another. pairs is height words.
// height is even and not 0.
#ifndef QNN_M0PLUS_TILES_H
#define QNN_M0PLUS_TILES_H

#include <stdint.h>

#include "../random.h"
#include "../ref/arithmetic.h"

typedef int32_t panel_t[4];

// One dot product, number j of its tile.
static inline int32_t dot_product(const int32_t *pairs, const int32_t *end, const panel_t *panel, int32_t start,
    uint32_t j) {
    int32_t acc = start;
    for (; pairs < end; pairs++, panel++) {
        acc += (int32_t)((uint32_t)*pairs * (uint32_t)(*panel)[j] + 0x8000) >> 16;
    }
    return acc;
}

typedef struct {
    const int32_t *pairs, *pairs_end;
    const panel_t *panel;
    int32_t start;        // of every dot product: bias and 2^(s-1)
    uint32_t s, m, r;
    int32_t half;         // 2^(r-1)
    int32_t limit;        // 127 or 63
    int8_t *out;          // of the first dot product
    uint32_t stride;      // from one dot product's output to the next
    uint32_t tiles;
    uint32_t peak;        // in, out: largest magnitude of (dot >> s) * m
    intptr_t mask;        // address of the mask of out[0], less the address of out
} requantize_tiles_t;

static inline int masked_out(const requantize_tiles_t *job) {
    return *(const int8_t *)((intptr_t)job->out + job->mask) <= 0;
}

// One output from a tile's dot product number j: what the functions below do four times a tile.
static inline void requantize_one(requantize_tiles_t *job, const panel_t *panel, uint32_t j, int32_t low) {
    int32_t t = (dot_product(job->pairs, job->pairs_end, panel, job->start, j) >> job->s) * (int32_t)job->m;
    if (low < 0 || t > 0) {
        job->peak = larger(job->peak, t);
    }
    *job->out = clamp((t + job->half) >> job->r, low, job->limit);
}

// out = clamp(((dot >> s) * m + half) >> r) to 0..limit; positive results are tracked
void requantize_tiles_relu(requantize_tiles_t *job);

// The same to -limit..limit; all are tracked.
void requantize_tiles(requantize_tiles_t *job);

// The same, but 0 and untracked where the mask is not positive.
void requantize_tiles_masked(requantize_tiles_t *job);

typedef struct {
    const int32_t *pairs, *pairs_end;
    const panel_t *panel;
    int32_t start;        // 2^(s-1)
    uint32_t s, m, r;
    uint32_t dither;      // r - 9
    int8_t *w;
    uint32_t tiles;
    uint32_t state;       // in, out: of the row's random stream
    uint32_t peak;        // in, out: largest |w| before the clamp
    uint64_t power;       // in, out: the sum of g * g
} update_tiles_t;

// Steps four weights a tile: see dense_update in kernels.h.
void update_tiles(update_tiles_t *job);

// The first `count` weights of one tile.
static inline void update_some(update_tiles_t *job, const panel_t *panel, uint32_t count) {
    uint32_t word = job->state = random_next(job->state);
    for (uint32_t j = 0; j < count; j++, word >>= 8) {
        int32_t g = dot_product(job->pairs, job->pairs_end, panel, job->start, j) >> job->s;
        job->power += (uint32_t)(g * g);
        int32_t dither = (2 * (word & 0xff) + 1) << job->dither;
        int32_t v = job->w[j] - ((g * (int32_t)job->m + dither) >> job->r);
        job->peak = larger(job->peak, v);
        job->w[j] = clamp(v, -ACTIVATION_MAX, ACTIVATION_MAX);
    }
}

#endif
