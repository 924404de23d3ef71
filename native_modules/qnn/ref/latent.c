// SPDX-License-Identifier: MIT
#include "../random.h"
#include "arithmetic.h"
#include "normal.h"

#define LOGVAR_MIN (-96)
#define LOGVAR_MAX (64)

static uint32_t variance_index(int8_t logvar) {
    return clamp(logvar, LOGVAR_MIN, LOGVAR_MAX) - LOGVAR_MIN;
}

static int32_t noise_q8(const noise_t *noise, uint32_t i, uint32_t j, int8_t logvar) {
    uint32_t word = random_mix(random_mix(noise->key, noise->first + i), j);
    return (int32_t)sigma_q12[variance_index(logvar)] * normal_of(word) >> 16;
}

uint32_t latent_forward(int8_t *z, const int8_t *mu, const int8_t *logvar, const noise_t *noise, uint32_t m_mu,
    uint32_t m_noise, uint32_t r, uint32_t n) {
    uint32_t peak = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < noise->width; j++) {
            int32_t t = *mu++ * (int32_t)m_mu + noise_q8(noise, i, j, *logvar++) * (int32_t)m_noise;
            peak = larger(peak, t);
            *z++ = clamp(round_shift(t, r), -ACTIVATION_MAX, ACTIVATION_MAX);
        }
    }
    return peak;
}

uint32_t latent_dlogvar(int8_t *dlogvar, const int8_t *dz, const int8_t *logvar, const noise_t *noise, uint32_t m_dz,
    uint32_t m_kl, uint32_t r, uint32_t n) {
    uint32_t peak = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < noise->width; j++, logvar++) {
            int32_t t = (*dz++ * noise_q8(noise, i, j, *logvar) >> 5) * (int32_t)m_dz
                + ((int32_t)variance_q9[variance_index(*logvar)] - 512) * (int32_t)m_kl;
            peak = larger(peak, t);
            *dlogvar++ = clamp(round_shift(t, r), -ERROR_MAX, ERROR_MAX);
        }
    }
    return peak;
}

int64_t latent_kl(const int8_t *mu, const int8_t *logvar, uint32_t m, uint32_t r, uint32_t count) {
    int64_t twice = 0;
    while (count--) {
        uint32_t index = variance_index(*logvar++);
        twice += (variance_q9[index] << 3) - 4096 - (((int32_t)index + LOGVAR_MIN) * 256);
        twice += ((uint32_t)(*mu * *mu) * m) >> r;
        mu++;
    }
    return twice / 2;
}
