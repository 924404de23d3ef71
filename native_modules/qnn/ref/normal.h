// SPDX-License-Identifier: MIT
#ifndef QNN_REF_NORMAL_H
#define QNN_REF_NORMAL_H

#include "../tables.h"

// The standard normal sample of a random word, with 12 fraction bits: see noise_t in kernels.h.
static inline int32_t normal_of(uint32_t word) {
    uint32_t place = word >> 8 & 0x7f;
    int32_t low = normal_q12[place], high = normal_q12[place + 1];
    int32_t z = low + ((high - low) * (int32_t)(word & 0xff) >> 8);
    return word & 0x8000 ? -z : z;
}

#endif
