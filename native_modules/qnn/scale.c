// SPDX-License-Identifier: MIT
#include "scale.h"

scale_t scale_from(uint64_t m, int e) {
    if (m == 0) {
        return 0;
    }
    while (m >= (uint64_t)1 << 32) {
        m >>= 8;
        e += 8;
    }
    uint32_t v = (uint32_t)m;
    while (v >= 1u << 24) {
        v >>= 8;
        e += 8;
    }
    while (v >= 1u << 17) {
        v >>= 1;
        e += 1;
    }
    if (v >= 1u << 16) {
        v = (v + 1) >> 1;
        e += 1;
        if (v == 1u << 16) {
            v >>= 1;
            e += 1;
        }
    }
    while (v < 1u << 15) {
        v <<= 1;
        e -= 1;
    }
    if (e > 127) {
        return SCALE_PACK(65535, 127);
    }
    if (e < -127) {
        return SCALE_PACK(32768, -127);
    }
    return SCALE_PACK(v, e);
}

scale_t scale_mul(scale_t a, scale_t b) {
    return scale_from(scale_mantissa(a) * scale_mantissa(b), scale_exponent(a) + scale_exponent(b));
}

// The quotient of the mantissas has 16 or 17 bits.
scale_t scale_div(scale_t a, scale_t b) {
    uint32_t d = scale_mantissa(b);
    return scale_from((scale_mantissa(a) << SCALE_BITS) / d, scale_exponent(a) - scale_exponent(b) - SCALE_BITS);
}

// Bit by bit: the mantissa, widened to 31 or 32 bits so that the exponent becomes even, has a root of 16 bits.
scale_t scale_sqrt(scale_t a) {
    int e = scale_exponent(a) - 15;
    uint32_t v = scale_mantissa(a) << 15;
    if (e & 1) {
        v <<= 1;
        e -= 1;
    }
    uint32_t root = 0;
    for (uint32_t bit = 1u << 15; bit; bit >>= 1) {
        if ((root | bit) * (root | bit) <= v) {
            root |= bit;
        }
    }
    return scale_from(root, e / 2);
}

// Both terms at the larger one's exponent; what lies more than 31 bits below it counts as nothing.
scale_t scale_average(scale_t old, scale_t seen) {
    if (old == 0 || seen == 0) {
        return old == 0 ? seen : old;
    }
    uint64_t a = (uint64_t)(scale_mantissa(old) * 7) << 31;
    uint64_t b = (uint64_t)scale_mantissa(seen) << 31;
    int e = scale_exponent(old);
    int lead = e - scale_exponent(seen);
    if (lead >= 0) {
        b = lead > 31 ? 0 : b >> lead;
    } else {
        e = scale_exponent(seen);
        a = lead < -31 ? 0 : a >> -lead;
    }
    return scale_from(a + b, e - 31 - 3);
}

uint32_t scale_integer(scale_t a, int shift, uint32_t limit) {
    int e = scale_exponent(a) + shift;
    uint32_t m = scale_mantissa(a);
    if (e > 15) {
        return limit;
    }
    if (e >= 0) {
        m <<= e;
    } else {
        m = e < -17 ? 0 : ((m >> (-e - 1)) + 1) >> 1;
    }
    return m < limit ? m : limit;
}
