// SPDX-License-Identifier: MIT
// The dense kernels of kernels.h around dot4: operands are packed into pairs once and used for the whole batch.
//
// The four dot products of a tile are four samples (forward, dx) or four columns (update). What does not fill a tile is
// filled up with zeros. The panel limits how many samples or columns are packed at a time.
#include "../core.h"

#ifdef DENSE_M0PLUS

#include "../random.h"
#include "../ref/arithmetic.h"
#include "dot4.h"

#define PANEL_WORDS (1024)
#define PAIRS_MAX (256)  // longer dot products are left to ref/
#define SAMPLES_MIN (3)  // fewer are not worth the packing

uint32_t dense_forward_ref(const dense_t *layer, int8_t *y, const int8_t *x, uint32_t n);
uint32_t dense_dx_ref(const dense_dx_t *layer, int8_t *dx, const int8_t *e, const int8_t *mask, uint32_t n);
uint64_t dense_update_ref(const dense_update_t *layer, const int8_t *dy, const int8_t *x, uint32_t n, uint32_t first,
    uint32_t end);

static int32_t panel[PANEL_WORDS / 4][4];
static int32_t pairs[PAIRS_MAX];

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

// Pairs for a dot product of `count` terms: an even number of them.
static uint32_t pairs_for(uint32_t count) {
    return (count + 3) / 4 * 2;
}

// `count` bytes, `stride` apart, in the order of dot4's pairs: 0 and 2, 1 and 3, 4 and 6, ...
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

// The same, halves swapped, into column j of a panel.
static void QNN_HOT pack_column(int32_t (*out)[4], uint32_t j, const int8_t *in, uint32_t count, uint32_t stride) {
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
    for (uint32_t line = lines; line % 4; line++) {
        for (uint32_t p = 0; p < height; p++) {
            panel[line / 4 * height + p][line % 4] = 0;
        }
    }
}

// How many lines of `count` terms the panel holds, a multiple of four.
static uint32_t lines_at_once(uint32_t count) {
    return PANEL_WORDS / 4 / pairs_for(count) * 4;
}

uint32_t QNN_HOT dense_forward(const dense_t *layer, int8_t *y, const int8_t *x, uint32_t n) {
    uint32_t rows = layer->rows, cols = layer->cols, height = pairs_for(cols), peak = 0;
    int32_t low = layer->relu ? 0 : -ACTIVATION_MAX;
    if (n < SAMPLES_MIN || height > PAIRS_MAX) {
        return dense_forward_ref(layer, y, x, n);
    }
    for (uint32_t done, i = 0; i < n; i += done) {
        done = least(lines_at_once(cols), n - i);
        pack_panel(x + i * cols, done, cols, cols, 1);
        for (uint32_t o = 0; o < rows; o++) {
            pack_pairs(pairs, layer->w + o * cols, cols, 1);
            for (uint32_t at = 0; at < done; at += 4) {
                int32_t b = layer->b[o];
                int32_t acc[4] = {b, b, b, b};
                dot4(acc, pairs, panel + at / 4 * height, height);
                int8_t *out = y + (i + at) * rows + o;
                for (uint32_t j = 0; j < least(4, done - at); j++, out += rows) {
                    int32_t t = (acc[j] >> layer->s) * layer->m[o];
                    if (!layer->relu || t > 0) {
                        peak = larger(peak, t);
                    }
                    *out = clamp(round_shift(t, layer->r), low, ACTIVATION_MAX);
                }
            }
        }
    }
    return peak;
}

uint32_t QNN_HOT dense_dx(const dense_dx_t *layer, int8_t *dx, const int8_t *e, const int8_t *mask, uint32_t n) {
    uint32_t rows = layer->rows, cols = layer->cols, height = pairs_for(rows), peak = 0;
    int32_t start = half(layer->s), m = layer->m;
    if (n < SAMPLES_MIN || height > PAIRS_MAX) {
        return dense_dx_ref(layer, dx, e, mask, n);
    }
    for (uint32_t done, i = 0; i < n; i += done) {
        done = least(lines_at_once(rows), n - i);
        pack_panel(e + i * rows, done, rows, rows, 1);
        for (uint32_t k = 0; k < cols; k++) {
            pack_pairs(pairs, layer->w + k, rows, layer->stride);
            for (uint32_t at = 0; at < done; at += 4) {
                int32_t acc[4] = {start, start, start, start};
                dot4(acc, pairs, panel + at / 4 * height, height);
                for (uint32_t j = 0; j < least(4, done - at); j++) {
                    uint32_t place = (i + at + j) * cols + k;
                    if (mask && mask[place] <= 0) {
                        dx[place] = 0;
                        continue;
                    }
                    int32_t t = (acc[j] >> layer->s) * m;
                    peak = larger(peak, t);
                    dx[place] = clamp(round_shift(t, layer->r), -ERROR_MAX, ERROR_MAX);
                }
            }
        }
    }
    return peak;
}

// What a row needs while its weights are stepped.
typedef struct {
    uint64_t power;
    uint32_t state, peak;
    int32_t m;
    uint8_t s, r;
} row_t;

// Up to four weights, from the sums of their gradients.
static void QNN_HOT step_weights(row_t *row, int8_t *w, const int32_t acc[4], uint32_t count) {
    uint32_t word = row->state = random_next(row->state);
    for (uint32_t j = 0; j < count; j++, word >>= 8) {
        int32_t g = acc[j] >> row->s;
        row->power += (uint32_t)(g * g);
        int32_t dither = (2 * (word & 0xff) + 1) << (row->r - 9);
        int32_t v = w[j] - ((g * row->m + dither) >> row->r);
        row->peak = larger(row->peak, v);
        w[j] = clamp(v, -ACTIVATION_MAX, ACTIVATION_MAX);
    }
}

uint64_t QNN_HOT dense_update(const dense_update_t *layer, const int8_t *dy, const int8_t *x, uint32_t n,
    uint32_t first, uint32_t end) {
    uint32_t rows = layer->rows, cols = layer->cols, height = pairs_for(n);
    int32_t start = half(layer->s);
    uint64_t power = 0;
    if (n < SAMPLES_MIN || height > PAIRS_MAX) {
        return dense_update_ref(layer, dy, x, n, first, end);
    }
    for (uint32_t done, k = 0; k < cols; k += done) {
        done = least(lines_at_once(n), cols - k);
        pack_panel(x + k, done, 1, n, cols);
        for (uint32_t o = first; o < end; o++) {
            row_t row = {0, random_row(layer->key, o), k ? layer->row_max[o] : 0, layer->m[o], layer->s, layer->r};
            for (uint32_t skipped = 0; skipped < k; skipped += 4) {
                row.state = random_next(row.state);
            }
            pack_pairs(pairs, dy + o, n, rows);
            for (uint32_t at = 0; at < done; at += 4) {
                int32_t acc[4] = {start, start, start, start};
                dot4(acc, pairs, panel + at / 4 * height, height);
                step_weights(&row, layer->w + o * cols + k + at, acc, least(4, done - at));
            }
            power += row.power;
            layer->row_max[o] = least(row.peak, 255);
        }
    }
    return power;
}

#endif
