// SPDX-License-Identifier: MIT
// dot4.S in C, for the cores that lack it: the tests run m0plus/dense.c with it.
#include "dot4.h"

#if !defined(__ARM_ARCH_6M__) && defined(QNN_M0PLUS)

void dot4(int32_t acc[4], const int32_t *pairs, const int32_t (*panel)[4], uint32_t count) {
    for (uint32_t p = 0; p < count; p++) {
        for (uint32_t j = 0; j < 4; j++) {
            acc[j] += (int32_t)((uint32_t)pairs[p] * (uint32_t)panel[p][j] + 0x8000) >> 16;
        }
    }
}

#endif
