// SPDX-License-Identifier: MIT
// The dense kernels of kernels.h on tiles: operands are packed into pairs once and used for the whole batch.
//
// The four dot products of a tile are four samples (forward, dx) or four columns (update); the one to three that are left
// over are done one by one. The panel limits how many samples or columns are packed at a time.
#include "../core.h"

#ifdef DENSE_M0PLUS

#include "tiles.h"

#define PANEL_WORDS (1024)
#define PAIRS_MAX (256)  // longer dot products are left to ref/
#define SAMPLES_MIN (3)  // fewer do not pay for the packing, but for the update, which gains by its steps

uint32_t dense_forward_ref(const dense_t *layer, int8_t *y, const int8_t *x, uint32_t n);
uint32_t dense_dx_ref(const dense_dx_t *layer, int8_t *dx, const int8_t *e, const int8_t *mask, uint32_t n);
uint64_t dense_update_ref(const dense_update_t *layer, const int8_t *dy, const int8_t *x, uint32_t n, uint32_t first,
    uint32_t end);

static panel_t panel[PANEL_WORDS / 4];
static int32_t pairs[PAIRS_MAX];

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

// Pairs for a dot product of `count` terms: an even number of them.
static uint32_t pairs_for(uint32_t count) {
    return (count + 3) / 4 * 2;
}

// `count` bytes, `stride` apart, in the order of tiles.h's pairs: 0 and 2, 1 and 3, 4 and 6, ...
static void QNN_HOT pack_pairs(int32_t *out, const int8_t *in, uint32_t count, uint32_t stride) {
    for (; count >= 4; count -= 4, in += 4 * stride, out += 2) {
        const int8_t *next = in + stride;
        out[0] = in[0] + in[2 * stride] * 65536;
        out[1] = next[0] + next[2 * stride] * 65536;
    }
    if (count) {
        out[0] = in[0] + (count > 2 ? in[2 * stride] * 65536 : 0);
        out[1] = count > 1 ? in[stride] : 0;
    }
}

// The same, halves swapped, as number j of a tile.
static void QNN_HOT pack_column(panel_t *out, uint32_t j, const int8_t *in, uint32_t count, uint32_t stride) {
    for (; count >= 4; count -= 4, in += 4 * stride, out += 2) {
        const int8_t *next = in + stride;
        out[0][j] = in[0] * 65536 + in[2 * stride];
        out[1][j] = next[0] * 65536 + next[2 * stride];
    }
    if (count) {
        out[0][j] = in[0] * 65536 + (count > 2 ? in[2 * stride] : 0);
        out[1][j] = count > 1 ? in[stride] * 65536 : 0;
    }
}

// Packs `lines` dot product partners of `count` terms into tiles of four. From one line to the next `step` bytes, from
// one term to the next `stride`.
static void QNN_HOT pack_panel(const int8_t *in, uint32_t lines, uint32_t step, uint32_t count, uint32_t stride) {
    uint32_t height = pairs_for(count);
    for (uint32_t line = 0; line < lines; line++) {
        pack_column(panel + line / 4 * height, line % 4, in + line * step, count, stride);
    }
}

// How many lines of `count` terms the panel holds, a multiple of four.
static uint32_t lines_at_once(uint32_t count) {
    return PANEL_WORDS / 4 / pairs_for(count) * 4;
}

// A weight row against `done` packed samples. Outputs lie `job->stride` apart.
static void QNN_HOT requantize_line(requantize_tiles_t *job, void (*tiles)(requantize_tiles_t *), uint32_t done,
    int32_t low, const int8_t *mask) {
    uint32_t left = done % 4;
    job->panel = panel;
    job->tiles = done / 4;
    job->mask = (intptr_t)mask - (intptr_t)job->out;
    if (job->tiles) {
        tiles(job);
    }
    const panel_t *last = panel + done / 4 * (job->pairs_end - job->pairs);
    for (uint32_t j = 0; j < left; j++, job->out += job->stride) {
        if (mask && masked_out(job)) {
            *job->out = 0;
            continue;
        }
        requantize_one(job, last, j, low);
    }
}

uint32_t QNN_HOT dense_forward(const dense_t *layer, int8_t *y, const int8_t *x, uint32_t n) {
    uint32_t rows = layer->rows, cols = layer->cols, height = pairs_for(cols);
    if (n < SAMPLES_MIN || height > PAIRS_MAX) {
        return dense_forward_ref(layer, y, x, n);
    }
    requantize_tiles_t job = {
        .pairs = pairs, .pairs_end = pairs + height, .s = layer->s, .r = layer->r, .half = 1 << (layer->r - 1),
        .limit = ACTIVATION_MAX, .stride = rows,
    };
    int32_t low = layer->relu ? 0 : -ACTIVATION_MAX;
    for (uint32_t done, i = 0; i < n; i += done) {
        done = least(lines_at_once(cols), n - i);
        pack_panel(x + i * cols, done, cols, cols, 1);
        for (uint32_t o = 0; o < rows; o++) {
            pack_pairs(pairs, layer->w + o * cols, cols, 1);
            job.start = layer->b[o];
            job.m = layer->m[o];
            job.out = y + i * rows + o;
            requantize_line(&job, layer->relu ? requantize_tiles_relu : requantize_tiles, done, low, 0);
        }
    }
    return job.peak;
}

uint32_t QNN_HOT dense_dx(const dense_dx_t *layer, int8_t *dx, const int8_t *e, const int8_t *mask, uint32_t n) {
    uint32_t rows = layer->rows, cols = layer->cols, height = pairs_for(rows);
    if (n < SAMPLES_MIN || height > PAIRS_MAX) {
        return dense_dx_ref(layer, dx, e, mask, n);
    }
    requantize_tiles_t job = {
        .pairs = pairs, .pairs_end = pairs + height, .start = half(layer->s), .s = layer->s, .m = layer->m,
        .r = layer->r, .half = 1 << (layer->r - 1), .limit = ERROR_MAX, .stride = cols,
    };
    for (uint32_t done, i = 0; i < n; i += done) {
        done = least(lines_at_once(rows), n - i);
        pack_panel(e + i * rows, done, rows, rows, 1);
        for (uint32_t k = 0; k < cols; k++) {
            pack_pairs(pairs, layer->w + k, rows, layer->stride);
            uint32_t place = i * cols + k;
            job.out = dx + place;
            requantize_line(&job, mask ? requantize_tiles_masked : requantize_tiles, done, -ERROR_MAX,
                mask ? mask + place : 0);
        }
    }
    return job.peak;
}

uint64_t QNN_HOT dense_update(const dense_update_t *layer, const int8_t *dy, const int8_t *x, uint32_t n,
    uint32_t first, uint32_t end) {
    uint32_t rows = layer->rows, cols = layer->cols, height = pairs_for(n);
    if (height > PAIRS_MAX) {
        return dense_update_ref(layer, dy, x, n, first, end);
    }
    update_tiles_t job = {
        .pairs = pairs, .pairs_end = pairs + height, .start = half(layer->s), .s = layer->s, .r = layer->r,
        .dither = layer->r - 9,
    };
    for (uint32_t done, k = 0; k < cols; k += done) {
        done = least(lines_at_once(n), cols - k);
        pack_panel(x + k, done, 1, n, cols);
        for (uint32_t o = first; o < end; o++) {
            job.state = random_row(layer->key, o);
            for (uint32_t skipped = 0; skipped < k; skipped += 4) {
                job.state = random_next(job.state);
            }
            pack_pairs(pairs, dy + o, n, rows);
            job.panel = panel;
            job.tiles = done / 4;
            job.w = layer->w + o * cols + k;
            job.m = layer->m[o];
            job.peak = k ? layer->row_max[o] : 0;
            if (job.tiles) {
                update_tiles(&job);
            }
            update_some(&job, panel + done / 4 * height, done % 4);
            layer->row_max[o] = least(job.peak, 255);
        }
    }
    return job.power;
}

#endif
