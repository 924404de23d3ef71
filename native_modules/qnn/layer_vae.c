// SPDX-License-Identifier: MIT
#include "pieces.h"
#include "random.h"

static const scale_t Q8 = SCALE_PACK(32768, -23);   // the unit of noise_q8
static const scale_t Q9 = SCALE_PACK(32768, -24);   // of variance_q9
static const scale_t Q12 = SCALE_PACK(32768, -27);
static const scale_t Q15 = SCALE_PACK(32768, -30);
static const scale_t HALF = SCALE_PACK(32768, -16);
static const scale_t NOISE_MAX = SCALE_PACK(49152, -11);  // 24: what mu and noise together hardly exceed

static noise_t noise_of(const latent_layer_t *layer, uint32_t seed, uint32_t step) {
    return (noise_t) {layer->width, random_key(seed, step, layer->tensor), 0};
}

static scale_t z_at(int8_t *z, const int8_t *mu, const int8_t *logvar, uint32_t n, scale_t mu_scale, noise_t noise,
    scale_t z_scale) {
    scale_t k_mu = scale_div(mu_scale, z_scale), k_noise = scale_div(Q8, z_scale);
    uint32_t r = shift_after(k_mu > k_noise ? k_mu : k_noise, 0, 1);
    uint32_t m_mu = multiplier(k_mu, r), m_noise = multiplier(k_noise, r), peak = 0;
    uint32_t n_at_once = samples_at_once(noise.width);
    for (; noise.first < n; noise.first += n_at_once) {
        uint32_t at = noise.first * noise.width, start = piece_start(), length = least(n_at_once, n - noise.first);
        peak = most(peak, latent_forward(z + at, mu + at, logvar + at, &noise, m_mu, m_noise, r, length));
        piece_end(start);
    }
    return peak_value(peak, r, z_scale);
}

scale_t latent_layer_forward(const latent_layer_t *layer, int8_t *z, const int8_t *mu, const int8_t *logvar, uint32_t n,
    scale_t mu_scale, uint32_t seed, uint32_t step, bool train) {
    noise_t noise = noise_of(layer, seed, step);
    scale_t *range = &layer->state[LATENT_Z];
    if (*range == 0) {
        scale_t seen = z_at(z, mu, logvar, n, mu_scale, noise, activation_scale(NOISE_MAX));
        range_start(range, seen, NOISE_MAX);
    }
    scale_t z_scale = activation_scale(*range);
    scale_t seen = z_at(z, mu, logvar, n, mu_scale, noise, z_scale);
    if (train) {
        range_follow(range, seen);
    }
    return z_scale;
}

// Terms of dlogvar: dz * noise / 2, the product shifted by 5, and beta (variance - 1) / 2.
static scale_t dlogvar_at(const latent_layer_t *layer, int8_t *dlogvar, const int8_t *dz, const int8_t *logvar,
    uint32_t n, scale_t dz_scale, noise_t noise, scale_t scale) {
    scale_t k_dz = scale_div(scale_mul(dz_scale, SCALE_PACK(32768, -19)), scale);
    scale_t k_kl = scale_div(scale_mul(scale_mul(layer->beta, HALF), Q9), scale);
    uint32_t r = shift_after(k_dz > k_kl ? k_dz : k_kl, 0, 1);
    uint32_t m_dz = multiplier(k_dz, r), m_kl = multiplier(k_kl, r), peak = 0;
    uint32_t n_at_once = samples_at_once(noise.width);
    for (; noise.first < n; noise.first += n_at_once) {
        uint32_t at = noise.first * noise.width, start = piece_start(), length = least(n_at_once, n - noise.first);
        peak = most(peak, latent_dlogvar(dlogvar + at, dz + at, logvar + at, &noise, m_dz, m_kl, r, length));
        piece_end(start);
    }
    return peak_value(peak, r, scale);
}

void latent_layer_backward(const latent_layer_t *layer, int8_t *dmu, int8_t *dlogvar, scale_t *dmu_scale,
    scale_t *dlogvar_scale, const int8_t *dz, const int8_t *mu, const int8_t *logvar, uint32_t n, scale_t dz_scale,
    scale_t mu_scale, uint32_t seed, uint32_t step) {
    noise_t noise = noise_of(layer, seed, step);
    *dmu_scale = errors_add(dmu, dz, mu, 0, dz_scale, scale_mul(layer->beta, mu_scale), &layer->state[LATENT_DMU],
        n * layer->width);
    scale_t *range = &layer->state[LATENT_DLOGVAR];
    if (*range == 0) {
        scale_t bound = scale_mul(dz_scale, scale_from(ERROR_MAX, 4));
        range_start(range, dlogvar_at(layer, dlogvar, dz, logvar, n, dz_scale, noise, error_scale(bound)), bound);
    }
    *dlogvar_scale = error_scale(*range);
    range_follow(range, dlogvar_at(layer, dlogvar, dz, logvar, n, dz_scale, noise, *dlogvar_scale));
}

int64_t latent_layer_kl(const int8_t *mu, const int8_t *logvar, uint32_t count, scale_t mu_scale) {
    scale_t k = scale_div(scale_mul(mu_scale, mu_scale), Q12);
    uint32_t r = shift_after(k, 0, 1);
    int64_t kl = 0;
    for (uint32_t i = 0; i < count; i += TURN_ELEMENTS) {
        uint32_t start = piece_start();
        kl += latent_kl(mu + i, logvar + i, multiplier(k, r), r, least(TURN_ELEMENTS, count - i));
        piece_end(start);
    }
    return kl;
}

// The target with 15 fraction bits: m and r of (x * m) >> r.
static uint32_t target_multiplier(scale_t x_scale, uint32_t *r) {
    scale_t k = scale_div(x_scale, Q15);
    *r = shift_after(k, 0, 1);
    return multiplier(k, *r);
}

int64_t bernoulli_layer_loss(const int8_t *logits, const int8_t *x, uint32_t count, scale_t x_scale) {
    uint32_t r, m = target_multiplier(x_scale, &r);
    int64_t loss = 0;
    for (uint32_t i = 0; i < count; i += TURN_ELEMENTS) {
        uint32_t start = piece_start();
        loss += bernoulli_loss(logits + i, x + i, m, r, least(TURN_ELEMENTS, count - i));
        piece_end(start);
    }
    return loss;
}

// Probabilities are off by at most 1, which bounds the first range of both losses' errors.
static scale_t bernoulli_at(int8_t *d, const int8_t *logits, const int8_t *x, uint32_t count, scale_t x_scale,
    scale_t d_scale) {
    scale_t k = scale_div(Q15, d_scale);
    uint32_t rx, mx = target_multiplier(x_scale, &rx), r = shift_after(k, 0, 1);
    uint32_t m = multiplier(k, r), peak = 0;
    for (uint32_t i = 0; i < count; i += TURN_ELEMENTS) {
        uint32_t start = piece_start(), length = least(TURN_ELEMENTS, count - i);
        peak = most(peak, bernoulli_dlogits(d + i, logits + i, x + i, mx, rx, m, r, length));
        piece_end(start);
    }
    return peak_value(peak, r, d_scale);
}

scale_t bernoulli_layer_backward(int8_t *d, const int8_t *logits, const int8_t *x, uint32_t count, scale_t x_scale,
    scale_t *range) {
    if (*range == 0) {
        range_start(range, bernoulli_at(d, logits, x, count, x_scale, error_scale(SCALE_ONE)), SCALE_ONE);
    }
    scale_t d_scale = error_scale(*range);
    range_follow(range, bernoulli_at(d, logits, x, count, x_scale, d_scale));
    return d_scale;
}

static softmax_t softmax_of(uint32_t classes, scale_t logit_scale) {
    scale_t k = scale_div(logit_scale, SCALE_Q4);
    uint32_t r = shift_after(k, 0, 1);
    return (softmax_t) {classes, multiplier(k, r), r};
}

int64_t softmax_layer_loss(const int8_t *logits, const uint8_t *labels, uint32_t classes, uint32_t n,
    scale_t logit_scale) {
    softmax_t softmax = softmax_of(classes, logit_scale);
    uint32_t n_at_once = samples_at_once(classes);
    int64_t loss = 0;
    for (uint32_t i = 0; i < n; i += n_at_once) {
        uint32_t start = piece_start();
        loss += softmax_loss(&softmax, logits + i * classes, labels + i, least(n_at_once, n - i));
        piece_end(start);
    }
    return loss;
}

static scale_t softmax_at(int8_t *d, const int8_t *logits, const uint8_t *labels, const softmax_t *softmax, uint32_t n,
    scale_t d_scale) {
    scale_t k = scale_div(Q15, d_scale);
    uint32_t r = shift_after(k, 0, 1);
    uint32_t m = multiplier(k, r), n_at_once = samples_at_once(softmax->classes), peak = 0;
    for (uint32_t i = 0; i < n; i += n_at_once) {
        uint32_t at = i * softmax->classes, start = piece_start(), length = least(n_at_once, n - i);
        peak = most(peak, softmax_dlogits(softmax, d + at, logits + at, labels + i, m, r, length));
        piece_end(start);
    }
    return peak_value(peak, r, d_scale);
}

scale_t softmax_layer_backward(int8_t *d, const int8_t *logits, const uint8_t *labels, uint32_t classes, uint32_t n,
    scale_t logit_scale, scale_t *range) {
    softmax_t softmax = softmax_of(classes, logit_scale);
    if (*range == 0) {
        range_start(range, softmax_at(d, logits, labels, &softmax, n, error_scale(SCALE_ONE)), SCALE_ONE);
    }
    scale_t d_scale = error_scale(*range);
    range_follow(range, softmax_at(d, logits, labels, &softmax, n, d_scale));
    return d_scale;
}
