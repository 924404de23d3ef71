// SPDX-License-Identifier: MIT
// Layers: from scales and tensors to kernel calls.
//
// A layer finds the integers a kernel needs (shifts, multipliers, biases in accumulator units), calls it in pieces that
// leave USB its turn, and keeps the training state. It knows no MicroPython either.
//
// Ranges. An adaptive tensor's scale in force is its range / 127 (activations) or / 63 (errors); the range is a moving
// average of the peaks of earlier batches. A range not yet known is measured first, on the same batch. A batch without
// any signal leaves the range as it is, so that a range cannot collapse to nothing.
#ifndef QNN_LAYER_H
#define QNN_LAYER_H

#include <stdbool.h>

#include "kernels.h"
#include "scale.h"

// What a layer needs from the place it runs in: port.c has it for MicroPython.
void qnn_turn(void);       // called between pieces of at most TURN_MACS or TURN_ELEMENTS
uint32_t qnn_clock(void);  // a free-running counter of 24 bits or more, in core cycles

#define TURN_MACS (60000)     // under 10 ms at 125 MHz and 20 cycles each; an update takes at least one row for the whole batch
#define TURN_ELEMENTS (8192)  // where there is no dot product: under 10 ms at 150 cycles each

// Bernoulli logits and log variances have this fixed scale, 1/16.
#define SCALE_Q4 SCALE_PACK(32768, -19)

enum { DENSE_OUTPUT, DENSE_SCALED_ERROR, DENSE_INPUT_ERROR, DENSE_OUTPUT_ERROR, DENSE_POWER, DENSE_STATES };

typedef struct {
    int8_t *weight;        // [rows][cols]
    scale_t *scale;        // [rows]
    int32_t *bias;         // [rows], real value * 2^16
    scale_t *state;        // [DENSE_STATES]
    int32_t *scratch;      // DENSE_SCRATCH(rows) bytes
    uint16_t rows, cols;
    bool relu;
    scale_t output_scale;  // fixed; 0 where the range decides
    uint32_t tensor;       // number of the layer, for the random stream
} dense_layer_t;

#define DENSE_SCRATCH(rows) (8 * (rows))

// y[n][rows] from x[n][cols]. Returns the scale of y.
scale_t dense_layer_forward(const dense_layer_t *layer, int8_t *y, const int8_t *x, uint32_t n, scale_t x_scale,
    bool train);

// dx[n][cols] from dy[n][rows], through e[n][rows]; mask[n][cols] or NULL. Returns the scale of dx.
scale_t dense_layer_backward(const dense_layer_t *layer, int8_t *dx, int8_t *e, const int8_t *dy, const int8_t *mask,
    uint32_t n, scale_t dy_scale);

// One step: w -= rate * gradient / rms, rms being the moving root mean square of the layer's gradient. The bias is a
// weight whose input is 1. rate is 0 (nothing happens) or a valid scale.
void dense_layer_update(const dense_layer_t *layer, const int8_t *dy, const int8_t *x, uint32_t n, scale_t dy_scale,
    scale_t x_scale, scale_t rate, uint32_t seed, uint32_t step);

// d = a + b for a tensor with two consumers. Returns the scale of d.
scale_t errors_add(int8_t *d, const int8_t *a, const int8_t *b, const int8_t *mask, scale_t a_scale, scale_t b_scale,
    scale_t *range, uint32_t count);

enum { LATENT_Z, LATENT_DMU, LATENT_DLOGVAR, LATENT_STATES };

typedef struct {
    scale_t *state;        // [LATENT_STATES]
    scale_t beta;          // weight of the Kullback-Leibler divergence
    uint16_t width;
    uint32_t tensor;
} latent_layer_t;

// z = mu + exp(logvar / 2) * N(0, 1). Returns the scale of z.
scale_t latent_layer_forward(const latent_layer_t *layer, int8_t *z, const int8_t *mu, const int8_t *logvar, uint32_t n,
    scale_t mu_scale, uint32_t seed, uint32_t step, bool train);

// dmu = dz + beta mu, dlogvar = dz * noise / 2 + beta (variance - 1) / 2. Their scales are found through the state.
void latent_layer_backward(const latent_layer_t *layer, int8_t *dmu, int8_t *dlogvar, scale_t *dmu_scale,
    scale_t *dlogvar_scale, const int8_t *dz, const int8_t *mu, const int8_t *logvar, uint32_t n, scale_t dz_scale,
    scale_t mu_scale, uint32_t seed, uint32_t step);

// Losses are sums over everything, in nats with 12 fraction bits.
int64_t latent_layer_kl(const int8_t *mu, const int8_t *logvar, uint32_t count, scale_t mu_scale);
int64_t bernoulli_layer_loss(const int8_t *logits, const int8_t *x, uint32_t count, scale_t x_scale);
int64_t softmax_layer_loss(const int8_t *logits, const uint8_t *labels, uint32_t classes, uint32_t n,
    scale_t logit_scale);

// The scale of d.
scale_t bernoulli_layer_backward(int8_t *d, const int8_t *logits, const int8_t *x, uint32_t count, scale_t x_scale,
    scale_t *range);
scale_t softmax_layer_backward(int8_t *d, const int8_t *logits, const uint8_t *labels, uint32_t classes, uint32_t n,
    scale_t logit_scale, scale_t *range);

#endif
