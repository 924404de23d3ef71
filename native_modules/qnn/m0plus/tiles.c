// SPDX-License-Identifier: MIT
// The functions of tiles.h in C, for the tests of dense.c on other cores.
#include "../core.h"
#include "tiles.h"

#if defined(DENSE_M0PLUS) && !defined(__ARM_ARCH_6M__)

#include <stdbool.h>

#include "../random.h"
#include "../ref/arithmetic.h"

static void requantize(requantize_tiles_t *job, int32_t low, bool masked) {
    for (; job->tiles; job->tiles--, job->panel += job->pairs_end - job->pairs) {
        for (uint32_t j = 0; j < 4; j++, job->out += job->stride) {
            if (masked && masked_out(job)) {
                *job->out = 0;
                continue;
            }
            int32_t t = (dot_product(job->pairs, job->pairs_end, job->panel, job->start, j) >> job->s) * (int32_t)job->m;
            if (low < 0 || t > 0) {
                job->peak = larger(job->peak, t);
            }
            *job->out = clamp((t + job->half) >> job->r, low, job->limit);
        }
    }
}

void requantize_tiles_relu(requantize_tiles_t *job) {
    requantize(job, 0, false);
}

void requantize_tiles(requantize_tiles_t *job) {
    requantize(job, -job->limit, false);
}

void requantize_tiles_masked(requantize_tiles_t *job) {
    requantize(job, -job->limit, true);
}

void update_tiles(update_tiles_t *job) {
    for (; job->tiles; job->tiles--, job->panel += job->pairs_end - job->pairs, job->w += 4) {
        uint32_t word = job->state = random_next(job->state);
        for (uint32_t j = 0; j < 4; j++, word >>= 8) {
            int32_t g = dot_product(job->pairs, job->pairs_end, job->panel, job->start, j) >> job->s;
            job->power += (uint32_t)(g * g);
            int32_t v = job->w[j] - ((g * (int32_t)job->m + (int32_t)((2 * (word & 0xff) + 1) << job->dither)) >> job->r);
            job->peak = larger(job->peak, v);
            job->w[j] = clamp(v, -ACTIVATION_MAX, ACTIVATION_MAX);
        }
    }
}

#endif
