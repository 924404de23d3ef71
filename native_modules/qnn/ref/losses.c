// SPDX-License-Identifier: MIT
#include "../tables.h"
#include "arithmetic.h"

static int32_t target_q15(int8_t x, uint32_t m, uint32_t r) {
    return x <= 0 ? 0 : clamp((x * (int32_t)m) >> r, 0, 32768);
}

int64_t bernoulli_loss(const int8_t *logits, const int8_t *x, uint32_t m, uint32_t r, uint32_t count) {
    int64_t loss = 0;
    for (uint32_t i = 0; i < count; i++) {
        loss += softplus_q12[logits[i] + 128] - ((target_q15(x[i], m, r) * logits[i]) >> 7);
    }
    return loss;
}

uint32_t bernoulli_dlogits(int8_t *d, const int8_t *logits, const int8_t *x, uint32_t m, uint32_t r, uint32_t md,
    uint32_t rd, uint32_t count) {
    uint32_t peak = 0;
    for (uint32_t i = 0; i < count; i++) {
        int32_t t = (sigmoid_q15[logits[i] + 128] - target_q15(x[i], m, r)) * (int32_t)md;
        peak = larger(peak, t);
        d[i] = clamp(round_shift(t, rd), -ERROR_MAX, ERROR_MAX);
    }
    return peak;
}

// The first of the largest.
static uint32_t largest(const int8_t *logits, uint32_t classes) {
    uint32_t best = 0;
    for (uint32_t c = 1; c < classes; c++) {
        if (logits[c] > logits[best]) {
            best = c;
        }
    }
    return best;
}

// How far a logit lies below the largest, in 1/16, at most 255.
static uint32_t distance(const softmax_t *softmax, int32_t below) {
    uint32_t d = ((uint32_t)below * softmax->mx + (1u << (softmax->rx - 1))) >> softmax->rx;
    return d < 255 ? d : 255;
}

static uint32_t sum_exp_q15(const softmax_t *softmax, const int8_t *logits, int32_t top) {
    uint32_t sum = 0;
    for (uint32_t c = 0; c < softmax->classes; c++) {
        sum += exp_q15[distance(softmax, top - logits[c])];
    }
    return sum;
}

// The natural logarithm of v / 2^15 with 12 fraction bits, v >= 2^15: the exponent, and a table of 33 points.
static int32_t ln_of_q15(uint32_t v) {
    int32_t exponent = 0;
    while (v >= 1u << 16) {
        v >>= 1;
        exponent++;
    }
    uint32_t place = v >> 10 & 31;
    int32_t low = ln_q12[place], high = ln_q12[place + 1];
    return exponent * 2839 + low + ((high - low) * (int32_t)(v & 1023) >> 10);
}

int64_t softmax_loss(const softmax_t *softmax, const int8_t *logits, const uint8_t *labels, uint32_t n) {
    int64_t loss = 0;
    for (uint32_t i = 0; i < n; i++, logits += softmax->classes) {
        int32_t top = logits[largest(logits, softmax->classes)];
        loss += ln_of_q15(sum_exp_q15(softmax, logits, top));
        loss += distance(softmax, top - logits[labels[i]]) * 256;
    }
    return loss;
}

uint32_t softmax_dlogits(const softmax_t *softmax, int8_t *d, const int8_t *logits, const uint8_t *labels, uint32_t m,
    uint32_t r, uint32_t n) {
    uint32_t peak = 0;
    for (uint32_t i = 0; i < n; i++, logits += softmax->classes) {
        int32_t top = logits[largest(logits, softmax->classes)];
        uint32_t sum = sum_exp_q15(softmax, logits, top);
        for (uint32_t c = 0; c < softmax->classes; c++) {
            int32_t p = ((uint32_t)exp_q15[distance(softmax, top - logits[c])] << 15) / sum;
            int32_t t = (p - (c == labels[i] ? 32768 : 0)) * (int32_t)m;
            peak = larger(peak, t);
            *d++ = clamp(round_shift(t, r), -ERROR_MAX, ERROR_MAX);
        }
    }
    return peak;
}

void argmax(uint8_t *labels, const int8_t *logits, uint32_t classes, uint32_t n) {
    for (; n--; logits += classes) {
        *labels++ = largest(logits, classes);
    }
}
