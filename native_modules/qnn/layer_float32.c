// SPDX-License-Identifier: MIT
#include "layer_float32.h"

#include "float32.h"
#include "pieces_float32.h"
#include "random.h"

#define NO_SCALE (0)
#define NATS_LIMIT (4194304.0f)  // where qnn's nats end

static float *floats(const int8_t *items) {
    return (float *)items;
}

// Nats with 12 fraction bits; the largest such number for what is no number.
static int64_t q12(float sum) {
    return sum > -NATS_LIMIT && sum < NATS_LIMIT ? (int64_t)(sum * 4096) : INT64_MAX;
}

static dense_float32_t dense_float32(const dense_layer_t *layer) {
    float *bias = (float *)layer->bias;
    return (dense_float32_t) {floats(layer->weight), bias, layer->rows, layer->cols, layer->relu};
}

scale_t dense_layer_float32_forward(const dense_layer_t *layer, int8_t *y, const int8_t *x, uint32_t n,
    scale_t x_scale, bool train) {
    dense_float32_t dense = dense_float32(layer);
    pieces_t piece = in_pieces(n * layer->rows, layer->cols);
    while (next_piece(&piece)) {
        dense_float32_forward(&dense, floats(y), floats(x), piece.first, piece.end);
    }
    return NO_SCALE;
}

scale_t dense_layer_float32_backward(const dense_layer_t *layer, int8_t *dx, int8_t *e, const int8_t *dy,
    const int8_t *mask, uint32_t n, scale_t dy_scale) {
    dense_float32_t dense = dense_float32(layer);
    pieces_t piece = in_pieces(n * layer->cols, layer->rows);
    while (next_piece(&piece)) {
        dense_float32_dx(&dense, floats(dx), floats(dy), floats(mask), piece.first, piece.end);
    }
    return NO_SCALE;
}

// One pass over the weights. Returns the mean square of the gradient.
static float update_at(const dense_float32_t *layer, const float *dy, const float *x, uint32_t n, float step) {
    float power = 0;
    pieces_t piece = in_pieces(layer->rows, n * layer->cols);
    while (next_piece(&piece)) {
        power = dense_float32_update(layer, dy, x, n, step, power, piece.first, piece.end);
    }
    return power / (layer->rows * layer->cols);
}

// The rule of dense_layer_update: the gradient divided by the moving rms of the layer's, which a first batch measures.
void dense_layer_float32_update(const dense_layer_t *layer, const int8_t *dy, const int8_t *x, uint32_t n,
    scale_t dy_scale, scale_t x_scale, scale_t rate, uint32_t seed, uint32_t step) {
    dense_float32_t dense = dense_float32(layer);
    float *power = (float *)layer->state + DENSE_POWER;
    if (rate == 0) {
        return;
    }
    if (*power == 0) {
        *power = update_at(&dense, floats(dy), floats(x), n, 0);
        if (*power == 0) {
            return;
        }
    }
    float seen = update_at(&dense, floats(dy), floats(x), n, float32_of_scale(rate) / float32_sqrt(*power));
    if (seen > 0) {
        *power += (seen - *power) / 8;
    }
}

scale_t errors_layer_float32_add(int8_t *d, const int8_t *a, const int8_t *b, const int8_t *mask,
    scale_t a_scale, scale_t b_scale, scale_t *range, uint32_t count) {
    pieces_t piece = in_pieces(count, 1);
    while (next_piece(&piece)) {
        errors_float32_add(floats(d), floats(a), floats(b), floats(mask), piece.first, piece.end);
    }
    return NO_SCALE;
}

static latent_float32_t latent_layer(const latent_layer_t *layer, uint32_t seed, uint32_t step) {
    uint32_t key = random_key(seed, step, layer->tensor);
    return (latent_float32_t) {.beta = float32_of_scale(layer->beta), .width = layer->width, .key = key};
}

scale_t latent_layer_float32_forward(const latent_layer_t *given, int8_t *z, const int8_t *mu,
    const int8_t *logvar, uint32_t n, scale_t mu_scale, uint32_t seed, uint32_t step, bool train) {
    latent_float32_t layer = latent_layer(given, seed, step);
    pieces_t piece = in_pieces(n * layer.width, EXP_MACS);
    while (next_piece(&piece)) {
        latent_float32_forward(&layer, floats(z), floats(mu), floats(logvar), piece.first, piece.end);
    }
    return NO_SCALE;
}

void latent_layer_float32_backward(const latent_layer_t *given, int8_t *dmu, int8_t *dlogvar, scale_t *dmu_scale,
    scale_t *dlogvar_scale, const int8_t *dz, const int8_t *mu, const int8_t *logvar, uint32_t n, scale_t dz_scale,
    scale_t mu_scale, uint32_t seed, uint32_t step) {
    latent_float32_t layer = latent_layer(given, seed, step);
    pieces_t piece = in_pieces(n * layer.width, EXP_MACS);
    while (next_piece(&piece)) {
        latent_float32_backward(&layer, floats(dmu), floats(dlogvar), floats(dz), floats(mu), floats(logvar),
            piece.first, piece.end);
    }
    *dmu_scale = *dlogvar_scale = NO_SCALE;
}

int64_t latent_layer_float32_kl(const int8_t *mu, const int8_t *logvar, uint32_t count, scale_t mu_scale) {
    const float *m = floats(mu), *v = floats(logvar);
    float kl = 0;
    pieces_t piece = in_pieces(count, EXP_MACS);
    while (next_piece(&piece)) {
        kl += latent_float32_kl(m + piece.first, v + piece.first, piece.end - piece.first);
    }
    return q12(kl);
}

int64_t bernoulli_layer_float32_loss(const int8_t *logits, const int8_t *x, uint32_t count, scale_t x_scale) {
    const float *l = floats(logits), *target = floats(x);
    float loss = 0;
    pieces_t piece = in_pieces(count, EXP_MACS);
    while (next_piece(&piece)) {
        loss += bernoulli_float32_loss(l + piece.first, target + piece.first, piece.end - piece.first);
    }
    return q12(loss);
}

scale_t bernoulli_layer_float32_backward(int8_t *d, const int8_t *logits, const int8_t *x, uint32_t count,
    scale_t x_scale, scale_t *range) {
    float *dl = floats(d);
    const float *l = floats(logits), *target = floats(x);
    pieces_t piece = in_pieces(count, EXP_MACS);
    while (next_piece(&piece)) {
        uint32_t first = piece.first;
        bernoulli_float32_dlogits(dl + first, l + first, target + first, piece.end - first);
    }
    return NO_SCALE;
}

int64_t softmax_layer_float32_loss(const int8_t *logits, const uint8_t *labels, uint32_t classes, uint32_t n,
    scale_t logit_scale) {
    const float *l = floats(logits);
    float loss = 0;
    pieces_t piece = in_pieces(n, classes * EXP_MACS);
    while (next_piece(&piece)) {
        for (uint32_t i = piece.first; i < piece.end; i++) {
            loss += softmax_float32_loss(l + i * classes, labels[i], classes);
        }
    }
    return q12(loss);
}

scale_t softmax_layer_float32_backward(int8_t *d, const int8_t *logits, const uint8_t *labels, uint32_t classes,
    uint32_t n, scale_t logit_scale, scale_t *range) {
    float *dl = floats(d);
    const float *l = floats(logits);
    pieces_t piece = in_pieces(n, classes * EXP_MACS);
    while (next_piece(&piece)) {
        for (uint32_t i = piece.first; i < piece.end; i++) {
            softmax_float32_dlogits(dl + i * classes, l + i * classes, labels[i], classes);
        }
    }
    return NO_SCALE;
}

void argmax_layer_float32(uint8_t *labels, const int8_t *logits, uint32_t classes, uint32_t n) {
    const float *l = floats(logits);
    for (uint32_t i = 0; i < n; i++) {
        labels[i] = argmax_float32(l + i * classes, classes);
    }
}
