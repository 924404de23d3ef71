// SPDX-License-Identifier: MIT
// The kernels of the yardstick: the same network in float32. Shapes and names are those of kernels.h.
//
// Sums are formed in one order, whatever the compiler: four accumulators, item i in the i % 4th, then (0 + 1) + (2 + 3), then
// what is left over. Built without contraction and without libm, so every IEEE core gets the same bits.
//
// Matrices are row-major: w[rows][cols], x[n][cols], y[n][rows]. `first` and `end` delimit the part of the result, seen
// flat, that a call writes; how a caller divides it changes nothing.
#ifndef QNN_FLOAT32_H
#define QNN_FLOAT32_H

#include <stdint.h>

#include "scale.h"

// The value of a scale; 0 for one that is not set. Held within the normal numbers.
float float32_of_scale(scale_t a);

// exp(v), 2 ulp; NaN for NaN. v is held within -87 .. 88, where it neither overflows nor leaves the normal numbers.
float float32_exp(float v);

// The natural logarithm of a normal, positive v; NaN for NaN. 2 ulp, or 2^-24 where |log(v)| is small.
float float32_log(float v);

// The square root of a normal, positive v: 1 ulp; 0 for 0.
float float32_sqrt(float v);

// out[i] = x[i] * scale
void float32_dequantize(float *out, const int8_t *x, float scale, uint32_t count);

typedef struct {
    float *w;            // [rows][cols]
    float *b;            // [rows]
    uint16_t rows, cols;
    uint8_t relu;
} dense_float32_t;

// y[i][o] = sum_k x[i][k] * w[o][k] + b[o], at least 0 with relu.
void dense_float32_forward(const dense_float32_t *layer, float *y, const float *x, uint32_t first, uint32_t end);

// dx[i][k] = sum_o dy[i][o] * w[o][k], and 0 where mask is given and not mask[i][k] > 0.
void dense_float32_dx(const dense_float32_t *layer, float *dx, const float *dy, const float *mask, uint32_t first,
    uint32_t end);

// The weights' gradient, formed in registers over the batch, and the step; the bias is a weight whose input is 1:
//   g = sum_i dy[i][o] * x[i][k]    w[o][k] -= step * g    b[o] -= step * sum_i dy[i][o]
// Rows first..end-1. Returns power plus the sum of g * g, row by row. A step of 0 only measures.
float dense_float32_update(const dense_float32_t *layer, const float *dy, const float *x, uint32_t n, float step,
    float power, uint32_t first, uint32_t end);

// d[i] = a[i] + b[i], 0 where mask is given and not mask[i] > 0.
void errors_float32_add(float *d, const float *a, const float *b, const float *mask, uint32_t first, uint32_t end);

// Log variances are held within -6..4, as in int8; what lies outside has the gradient of the nearest one inside.
typedef struct {
    float beta;
    uint16_t width;
    uint32_t key;        // random_key(seed, step, tensor): the samples are the int8 kernels'
} latent_float32_t;

// z[i][j] = mu + exp(logvar / 2) * normal
void latent_float32_forward(const latent_float32_t *layer, float *z, const float *mu, const float *logvar, uint32_t first,
    uint32_t end);

// dmu = dz + beta * mu, dlogvar = (dz * exp(logvar / 2) * normal + beta * (exp(logvar) - 1)) / 2
void latent_float32_backward(const latent_float32_t *layer, float *dmu, float *dlogvar, const float *dz, const float *mu,
    const float *logvar, uint32_t first, uint32_t end);

// Losses are sums of `count` terms, in nats.
// sum(exp(logvar) + mu^2 - 1 - logvar) / 2
float latent_float32_kl(const float *mu, const float *logvar, uint32_t count);

// The target is x held within 0..1: sum(log(1 + exp(l)) - target * l)
float bernoulli_float32_loss(const float *logits, const float *x, uint32_t count);

// d = 1 / (1 + exp(-l)) - target
void bernoulli_float32_dlogits(float *d, const float *logits, const float *x, uint32_t count);

// Of one sample: log(sum_c exp(l[c])) - l[label]
float softmax_float32_loss(const float *logits, uint32_t label, uint32_t classes);

// d[c] = exp(l[c]) / sum_c exp(l[c]) - [c == label]
void softmax_float32_dlogits(float *d, const float *logits, uint32_t label, uint32_t classes);

// The first class with the largest logit.
uint32_t argmax_float32(const float *logits, uint32_t classes);

#endif
