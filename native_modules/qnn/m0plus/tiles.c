// SPDX-License-Identifier: MIT
// The functions of tiles.h in C, for the tests of dense.c on other cores.
#include "../core.h"
#include "tiles.h"

#if defined(DENSE_M0PLUS) && !defined(__ARM_ARCH_6M__)

#include <stdbool.h>

static void requantize(requantize_tiles_t *job, int32_t low, bool masked) {
    for (; job->tiles; job->tiles--, job->panel += job->pairs_end - job->pairs) {
        for (uint32_t j = 0; j < 4; j++, job->out += job->stride) {
            if (masked && masked_out(job)) {
                *job->out = 0;
                continue;
            }
            requantize_one(job, job->panel, j, low);
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
        update_some(job, job->panel, 4);
    }
}

#endif
