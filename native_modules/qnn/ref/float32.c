// SPDX-License-Identifier: MIT
#include "../float32.h"
#include "../random.h"
#include "normal.h"

#define EXP_MIN (-87.0f)
#define EXP_MAX (88.0f)
#define LOGVAR_MIN (-6.0f)
#define LOGVAR_MAX (4.0f)

// log(2) in two parts: the first has so few bits that its product with an exponent is exact.
#define LN2_HIGH (0.693359375f)
#define LN2_LOW (-2.12194440e-4f)

typedef union {
    float value;
    uint32_t bits;
} float_bits_t;

static float power_of_two(int32_t n) {
    return (float_bits_t) {.bits = (uint32_t)(n + 127) << 23}.value;
}

float float32_of_scale(scale_t a) {
    int32_t e = scale_exponent(a);
    return (float)scale_mantissa(a) * power_of_two(e < -126 ? -126 : e > 104 ? 104 : e);
}

// v = n log(2) + r with |r| <= log(2) / 2, and the Taylor series of exp(r): its first missing term is under 2^-27.
float float32_exp(float v) {
    if (v != v) {
        return v;
    }
    v = v < EXP_MIN ? EXP_MIN : v > EXP_MAX ? EXP_MAX : v;
    int32_t n = (int32_t)(v * 1.44269504f + (v < 0 ? -0.5f : 0.5f));
    float r = (v - n * LN2_HIGH) - n * LN2_LOW;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    return (1.0f + (r + r * r * p)) * power_of_two(n);
}

// v = m 2^e with m within sqrt(1/2) .. sqrt(2), and log(m) = 2 artanh(s), s = (m - 1) / (m + 1): |s| < 0.172.
float float32_log(float v) {
    if (v != v) {
        return v;
    }
    float_bits_t m = {.value = v};
    int32_t e = (int32_t)(m.bits >> 23) - 127;
    m.bits = (m.bits & 0x7fffff) | 127u << 23;
    if (m.value > 1.41421356f) {
        m.value *= 0.5f;
        e += 1;
    }
    float s = (m.value - 1.0f) / (m.value + 1.0f);
    float s2 = s * s;
    float p = 2.0f / 9;
    p = p * s2 + 2.0f / 7;
    p = p * s2 + 2.0f / 5;
    p = p * s2 + 2.0f / 3;
    return e * LN2_HIGH + (e * LN2_LOW + (2.0f * s + s * s2 * p));
}

// Halving the exponent comes within 4 %; each of Newton's steps doubles the right digits.
float float32_sqrt(float v) {
    if (!(v > 0)) {
        return v;
    }
    float_bits_t root = {.value = v};
    root.bits = 0x1fbd1df5 + (root.bits >> 1);
    for (uint32_t i = 0; i < 3; i++) {
        root.value = 0.5f * (root.value + v / root.value);
    }
    return root.value;
}

void float32_dequantize(float *out, const int8_t *x, float scale, uint32_t count) {
    while (count--) {
        *out++ = *x++ * scale;
    }
}

// Of vectors whose items lie `a_step` and `b_step` apart.
static inline float dot(const float *a, uint32_t a_step, const float *b, uint32_t b_step, uint32_t count) {
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (; count >= 4; count -= 4, a += 4 * a_step, b += 4 * b_step) {
        s0 += a[0] * b[0];
        s1 += a[a_step] * b[b_step];
        s2 += a[2 * a_step] * b[2 * b_step];
        s3 += a[3 * a_step] * b[3 * b_step];
    }
    float sum = (s0 + s1) + (s2 + s3);
    for (; count--; a += a_step, b += b_step) {
        sum += *a * *b;
    }
    return sum;
}

void dense_float32_forward(const dense_float32_t *layer, float *y, const float *x, uint32_t first, uint32_t end) {
    uint32_t rows = layer->rows, cols = layer->cols;
    for (uint32_t p = first; p < end; p++) {
        uint32_t i = p / rows, o = p % rows;
        float v = dot(x + i * cols, 1, layer->w + o * cols, 1, cols) + layer->b[o];
        y[p] = layer->relu && v < 0 ? 0 : v;
    }
}

void dense_float32_dx(const dense_float32_t *layer, float *dx, const float *dy, const float *mask, uint32_t first,
    uint32_t end) {
    uint32_t rows = layer->rows, cols = layer->cols;
    for (uint32_t p = first; p < end; p++) {
        uint32_t i = p / cols, k = p % cols;
        dx[p] = mask && !(mask[p] > 0) ? 0 : dot(dy + i * rows, 1, layer->w + k, cols, rows);
    }
}

float dense_float32_update(const dense_float32_t *layer, const float *dy, const float *x, uint32_t n, float step,
    float power, uint32_t first, uint32_t end) {
    static const float one = 1;
    uint32_t rows = layer->rows, cols = layer->cols;
    for (uint32_t o = first; o < end; o++) {
        float *w = layer->w + o * cols, row_power = 0;
        for (uint32_t k = 0; k < cols; k++) {
            float g = dot(dy + o, rows, x + k, cols, n);
            row_power += g * g;
            w[k] -= step * g;
        }
        layer->b[o] -= step * dot(dy + o, rows, &one, 0, n);
        power += row_power;
    }
    return power;
}

void errors_float32_add(float *d, const float *a, const float *b, const float *mask, uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end; i++) {
        d[i] = mask && !(mask[i] > 0) ? 0 : a[i] + b[i];
    }
}

static float hold(float v, float low, float high) {
    return v < low ? low : v > high ? high : v;
}

static float normal(const latent_float32_t *layer, uint32_t p) {
    uint32_t i = p / layer->width, j = p % layer->width;
    return normal_of(random_mix(random_mix(layer->key, i), j)) * (1.0f / 4096);
}

static float deviation(float logvar) {
    return float32_exp(0.5f * hold(logvar, LOGVAR_MIN, LOGVAR_MAX));
}

void latent_float32_forward(const latent_float32_t *layer, float *z, const float *mu, const float *logvar, uint32_t first,
    uint32_t end) {
    for (uint32_t p = first; p < end; p++) {
        z[p] = mu[p] + deviation(logvar[p]) * normal(layer, p);
    }
}

void latent_float32_backward(const latent_float32_t *layer, float *dmu, float *dlogvar, const float *dz, const float *mu,
    const float *logvar, uint32_t first, uint32_t end) {
    for (uint32_t p = first; p < end; p++) {
        float sigma = deviation(logvar[p]);
        dlogvar[p] = 0.5f * (dz[p] * sigma * normal(layer, p) + layer->beta * (sigma * sigma - 1.0f));
        dmu[p] = dz[p] + layer->beta * mu[p];
    }
}

float latent_float32_kl(const float *mu, const float *logvar, uint32_t count) {
    float twice = 0;
    for (uint32_t p = 0; p < count; p++) {
        float held = hold(logvar[p], LOGVAR_MIN, LOGVAR_MAX);
        twice += float32_exp(held) - 1.0f - held + mu[p] * mu[p];
    }
    return 0.5f * twice;
}

// log(1 + exp(v)), without overflow
static float softplus(float v) {
    return (v > 0 ? v : 0) + float32_log(1.0f + float32_exp(v > 0 ? -v : v));
}

float bernoulli_float32_loss(const float *logits, const float *x, uint32_t count) {
    float loss = 0;
    for (uint32_t p = 0; p < count; p++) {
        loss += softplus(logits[p]) - hold(x[p], 0, 1) * logits[p];
    }
    return loss;
}

void bernoulli_float32_dlogits(float *d, const float *logits, const float *x, uint32_t count) {
    for (uint32_t p = 0; p < count; p++) {
        d[p] = 1.0f / (1.0f + float32_exp(-logits[p])) - hold(x[p], 0, 1);
    }
}

uint32_t argmax_float32(const float *logits, uint32_t classes) {
    uint32_t best = 0;
    for (uint32_t c = 1; c < classes; c++) {
        if (logits[c] > logits[best]) {
            best = c;
        }
    }
    return best;
}

float softmax_float32_loss(const float *logits, uint32_t label, uint32_t classes) {
    float top = logits[argmax_float32(logits, classes)], sum = 0;
    for (uint32_t c = 0; c < classes; c++) {
        sum += float32_exp(logits[c] - top);
    }
    return float32_log(sum) + (top - logits[label]);
}

void softmax_float32_dlogits(float *d, const float *logits, uint32_t label, uint32_t classes) {
    float top = logits[argmax_float32(logits, classes)], sum = 0;
    for (uint32_t c = 0; c < classes; c++) {
        d[c] = float32_exp(logits[c] - top);
        sum += d[c];
    }
    for (uint32_t c = 0; c < classes; c++) {
        d[c] = d[c] / sum - (c == label ? 1.0f : 0.0f);
    }
}
