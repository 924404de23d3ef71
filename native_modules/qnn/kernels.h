// SPDX-License-Identifier: MIT
// The contract of every kernel: shapes, ranges and the exact integer arithmetic.
//
// ref/ is this contract in portable C; a core's own folder agrees with it bit for bit. Kernels know no MicroPython, allocate
// nothing and check nothing: what they need is stated here and guaranteed by layer_*.c and the binding. The one thing that
// nobody checks is bytes of -128 in buffers from outside: they give wrong numbers, never an access outside.
//
// Numbers
//   weights, activations  int8, -127..127, zero point 0; ReLU outputs 0..127; one scale per weight row, one per tensor
//   errors                int8, -63..63, one scale per tensor
//   accumulators          int32
//   matrices              row-major, no padding: w[rows][cols], x[n][cols], y[n][rows]; any alignment
//
// Requantization, everywhere:
//   y = clamp(((a >> s) * m + 2^(r-1)) >> r)     >> rounds towards minus infinity
// with 0 <= s, 1 <= r <= 30, 0 <= m <= 32767. The caller chooses s so that |a >> s| <= 49151; then no product and no sum
// leaves int32. A term 2^(s-1), which makes the first shift round to nearest too, is part of the bias. A real multiplier
// k = m / 2^(s+r) of 2^(14-s) and more does not fit m and is taken as 32767 / 2^(s+1).
//
// Range tracking: a kernel returns the largest magnitude of (a >> s) * m, the not yet rounded and not yet clamped
// result in units of 2^-r.
#ifndef QNN_KERNELS_H
#define QNN_KERNELS_H

#include <stdint.h>

#ifndef QNN_HOT
#define QNN_HOT
#endif

#define ACTIVATION_MAX (127)
#define ERROR_MAX (63)

typedef struct {
    const int8_t *w;     // [rows][cols]
    const int32_t *b;    // [rows], in accumulator units, with 2^(s-1)
    const uint16_t *m;   // [rows]
    uint16_t rows, cols;
    uint8_t s, r;
    uint8_t relu;        // clamps to 0..127 instead of -127..127, and tracks the positive results only
} dense_t;

// y[i][o] = requantize(sum_k x[i][k] * w[o][k] + b[o], m[o])
uint32_t dense_forward(const dense_t *layer, int8_t *y, const int8_t *x, uint32_t n);

// e[i][o] = clamp63((dy[i][o] * m[o] + 2^(r-1)) >> r): the errors times the scales of their weight rows.
uint32_t scale_rows(int8_t *e, const int8_t *dy, const uint16_t *m, uint32_t r, uint32_t n, uint32_t rows);

typedef struct {
    const int8_t *w;     // [rows][cols], from one row to the next `stride`
    uint16_t rows, cols, stride;
    uint16_t m;
    uint8_t s, r;
} dense_dx_t;

// dx[i][k] = clamp63(requantize(sum_o e[i][o] * w[o][k] + 2^(s-1), m)), and 0 where mask is given and mask[i][k] <= 0
// (mask is the ReLU's output). Without the 2^(s-1) where s is 0. Masked results are not tracked.
uint32_t dense_dx(const dense_dx_t *layer, int8_t *dx, const int8_t *e, const int8_t *mask, uint32_t n);

typedef struct {
    int8_t *w;           // [rows][cols]
    const uint16_t *m;   // [rows]: the step; 0 measures the gradient and leaves the row as it is
    uint8_t *row_max;    // [rows], out: the largest |w| before the clamp, at most 255
    uint16_t rows, cols;
    uint8_t s, r;        // r >= 9
    uint32_t key;        // random_key(seed, step, tensor)
} dense_update_t;

// The weights' gradient, formed in registers over the batch, and the step of stochastic gradient descent:
//   g = (sum_i dy[i][o] * x[i][k] + 2^(s-1)) >> s     |g| <= 32767
//   w[o][k] -= (g * m[o] + (2 u + 1) * 2^(r-9)) >> r, clamped to -127..127
// u is byte k % 4 (the lowest first) of word k / 4 of the row's random stream, word 0 being random_next(random_row(key, o)).
// Rows first..end-1. Returns the sum of g * g.
uint64_t dense_update(const dense_update_t *layer, const int8_t *dy, const int8_t *x, uint32_t n, uint32_t first,
    uint32_t end);

// Gives a row a finer or a coarser grid: w = (w * m + (2 u + 1) * 2^5) >> 14, clamped, u as above;
// m = 17408 multiplies by 17/16, m = 15420 by 16/17.
void rescale_row(int8_t *w, uint32_t cols, uint32_t m, uint32_t key, uint32_t row);

// d[i] = clamp63((a[i] * ma + b[i] * mb + 2^(r-1)) >> r), 0 where mask is given and mask[i] <= 0; ma, mb <= 32767.
uint32_t add_errors(int8_t *d, const int8_t *a, const int8_t *b, const int8_t *mask, uint32_t ma, uint32_t mb,
    uint32_t r, uint32_t count);

// Log variances are int8 of scale 1/16, clamped to -6..4. noise = (sigma_q12 * normal_q12) >> 16 has 8 fraction bits.
// normal_q12 comes from the 16 low bits of random_mix(random_mix(key, first + i), j): bit 15 is the sign, bits 14..8 the
// place in the table of quantiles, bits 7..0 interpolate: low + ((high - low) * bits >> 8).
typedef struct {
    uint16_t width;
    uint32_t key;
    uint32_t first;      // number of the call's first sample in its batch
} noise_t;

// z[i][j] = clamp((mu * m_mu + noise * m_noise + 2^(r-1)) >> r)
uint32_t latent_forward(int8_t *z, const int8_t *mu, const int8_t *logvar, const noise_t *noise, uint32_t m_mu,
    uint32_t m_noise, uint32_t r, uint32_t n);

// dlogvar[i][j] = clamp63((((dz * noise) >> 5) * m_dz + (variance_q9 - 512) * m_kl + 2^(r-1)) >> r)
uint32_t latent_dlogvar(int8_t *dlogvar, const int8_t *dz, const int8_t *logvar, const noise_t *noise, uint32_t m_dz,
    uint32_t m_kl, uint32_t r, uint32_t n);

// Kullback-Leibler divergence from N(0, 1), summed over everything, in nats with 12 fraction bits:
//   sum(variance + mu^2 - 1 - logvar) / 2 (towards zero), mu^2 = (mu * mu * m) >> r in 12 fraction bits.
int64_t latent_kl(const int8_t *mu, const int8_t *logvar, uint32_t m, uint32_t r, uint32_t count);

// Logits are int8 of scale 1/16. t = min((x * m) >> r, 32768) is the target with 15 fraction bits, negative x as 0.
// Binary cross-entropy, summed over everything, in nats with 12 fraction bits: sum(softplus(l) - ((t * l) >> 7)).
int64_t bernoulli_loss(const int8_t *logits, const int8_t *x, uint32_t m, uint32_t r, uint32_t count);

// d[i] = clamp63(((sigmoid_q15 - t) * md + 2^(rd-1)) >> rd)
uint32_t bernoulli_dlogits(int8_t *d, const int8_t *logits, const int8_t *x, uint32_t m, uint32_t r, uint32_t md,
    uint32_t rd, uint32_t count);

// Softmax over classes 0..classes-1 of logits[n][classes]; labels[n] < classes; at most 256 classes.
// distance(c) = min(((max - l) * mx + 2^(rx-1)) >> rx, 255) is in 1/16; p = (exp_q15[distance] * 2^15) / sum, rounded down.
typedef struct {
    uint16_t classes;
    uint16_t mx;
    uint8_t rx;
} softmax_t;

// Cross-entropy, summed over the samples, in nats with 12 fraction bits: sum(ln(sum of exp) + distance(label) * 256).
// ln(v / 2^15): v is halved h times until it is below 2^16, p = v >> 10 & 31 is the place in ln_q12:
//   h * 2839 + low + ((high - low) * (v & 1023) >> 10)
int64_t softmax_loss(const softmax_t *softmax, const int8_t *logits, const uint8_t *labels, uint32_t n);

// d = clamp63(((p - [c == label] * 2^15) * m + 2^(r-1)) >> r)
uint32_t softmax_dlogits(const softmax_t *softmax, int8_t *d, const int8_t *logits, const uint8_t *labels, uint32_t m,
    uint32_t r, uint32_t n);

// labels[i] = the first class with the largest logit
void argmax(uint8_t *labels, const int8_t *logits, uint32_t classes, uint32_t n);

#endif
