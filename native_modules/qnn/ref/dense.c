// SPDX-License-Identifier: MIT
#include "../core.h"
#include "arithmetic.h"

static int32_t QNN_HOT dot(const int8_t *a, const int8_t *b, uint32_t count) {
    int32_t acc = 0;
    for (; count >= 4; count -= 4, a += 4, b += 4) {
        acc += a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
    }
    while (count--) {
        acc += *a++ * *b++;
    }
    return acc;
}

uint32_t QNN_HOT REF_DENSE(dense_forward)(const dense_t *layer, int8_t *y, const int8_t *x, uint32_t n) {
    int32_t low = layer->relu ? 0 : -ACTIVATION_MAX;
    uint32_t peak = 0;
    for (; n--; x += layer->cols) {
        const int8_t *w = layer->w;
        for (uint32_t o = 0; o < layer->rows; o++, w += layer->cols) {
            int32_t t = ((dot(x, w, layer->cols) + layer->b[o]) >> layer->s) * layer->m[o];
            if (!layer->relu || t > 0) {
                peak = larger(peak, t);
            }
            *y++ = clamp(round_shift(t, layer->r), low, ACTIVATION_MAX);
        }
    }
    return peak;
}

uint32_t QNN_HOT scale_rows(int8_t *e, const int8_t *dy, const uint16_t *m, uint32_t r, uint32_t n, uint32_t rows) {
    uint32_t peak = 0;
    while (n--) {
        for (uint32_t o = 0; o < rows; o++) {
            int32_t t = *dy++ * m[o];
            peak = larger(peak, t);
            *e++ = clamp(round_shift(t, r), -ERROR_MAX, ERROR_MAX);
        }
    }
    return peak;
}

// The dot product of e with a column of w.
static int32_t QNN_HOT column_dot(const int8_t *e, const int8_t *w, uint32_t rows, uint32_t stride) {
    int32_t acc = 0;
    for (; rows >= 4; rows -= 4, e += 4) {
        acc += e[0] * w[0];
        w += stride;
        acc += e[1] * w[0];
        w += stride;
        acc += e[2] * w[0];
        w += stride;
        acc += e[3] * w[0];
        w += stride;
    }
    for (; rows--; w += stride) {
        acc += *e++ * *w;
    }
    return acc;
}

uint32_t QNN_HOT REF_DENSE(dense_dx)(const dense_dx_t *layer, int8_t *dx, const int8_t *e, const int8_t *mask, uint32_t n) {
    uint32_t peak = 0;
    for (; n--; e += layer->rows) {
        for (uint32_t k = 0; k < layer->cols; k++, dx++) {
            if (mask && *mask++ <= 0) {
                *dx = 0;
                continue;
            }
            int32_t acc = column_dot(e, layer->w + k, layer->rows, layer->stride) + half(layer->s);
            int32_t t = (acc >> layer->s) * layer->m;
            peak = larger(peak, t);
            *dx = clamp(round_shift(t, layer->r), -ERROR_MAX, ERROR_MAX);
        }
    }
    return peak;
}

uint32_t QNN_HOT add_errors(int8_t *d, const int8_t *a, const int8_t *b, const int8_t *mask, uint32_t ma, uint32_t mb,
    uint32_t r, uint32_t count) {
    uint32_t peak = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (mask && mask[i] <= 0) {
            d[i] = 0;
            continue;
        }
        int32_t t = a[i] * (int32_t)ma + b[i] * (int32_t)mb;
        peak = larger(peak, t);
        d[i] = clamp(round_shift(t, r), -ERROR_MAX, ERROR_MAX);
    }
    return peak;
}
