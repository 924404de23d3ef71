// SPDX-License-Identifier: MIT
#include "../core.h"
#include "../random.h"
#include "arithmetic.h"

// The sum over the batch of one error times one input.
static int32_t QNN_HOT gradient(const int8_t *dy, const int8_t *x, uint32_t n, uint32_t rows, uint32_t cols) {
    int32_t g = 0;
    for (; n >= 4; n -= 4) {
        g += *dy * *x;
        dy += rows, x += cols;
        g += *dy * *x;
        dy += rows, x += cols;
        g += *dy * *x;
        dy += rows, x += cols;
        g += *dy * *x;
        dy += rows, x += cols;
    }
    for (; n--; dy += rows, x += cols) {
        g += *dy * *x;
    }
    return g;
}

uint64_t QNN_HOT REF_DENSE(dense_update)(const dense_update_t *layer, const int8_t *dy, const int8_t *x, uint32_t n,
    uint32_t first, uint32_t end) {
    uint32_t rows = layer->rows, cols = layer->cols;
    uint64_t power = 0;
    for (uint32_t o = first; o < end; o++) {
        int8_t *w = layer->w + o * cols;
        uint32_t state = random_row(layer->key, o), word = 0, peak = 0;
        for (uint32_t k = 0; k < cols; k++, word >>= 8) {
            if (k % 4 == 0) {
                word = state = random_next(state);
            }
            int32_t g = (gradient(dy + o, x + k, n, rows, cols) + half(layer->s)) >> layer->s;
            power += (uint32_t)(g * g);
            int32_t dither = (2 * (word & 0xff) + 1) << (layer->r - 9);
            int32_t v = w[k] - ((g * layer->m[o] + dither) >> layer->r);
            peak = larger(peak, v);
            w[k] = clamp(v, -ACTIVATION_MAX, ACTIVATION_MAX);
        }
        layer->row_max[o] = peak < 255 ? peak : 255;
    }
    return power;
}

void QNN_HOT rescale_row(int8_t *w, uint32_t cols, uint32_t m, uint32_t key, uint32_t row) {
    uint32_t state = random_row(key, row), word = 0;
    for (uint32_t k = 0; k < cols; k++, word >>= 8) {
        if (k % 4 == 0) {
            word = state = random_next(state);
        }
        int32_t v = (w[k] * (int32_t)m + ((2 * (int32_t)(word & 0xff) + 1) << 5)) >> 14;
        w[k] = clamp(v, -ACTIVATION_MAX, ACTIVATION_MAX);
    }
}
