// SPDX-License-Identifier: MIT
#include "pieces.h"

uint64_t layer_cycles;

static scale_t add_at(int8_t *d, const int8_t *a, const int8_t *b, const int8_t *mask, scale_t a_scale, scale_t b_scale,
    uint32_t count, scale_t d_scale) {
    scale_t ka = scale_div(a_scale, d_scale), kb = scale_div(b_scale, d_scale);
    uint32_t r = shift_after(ka > kb ? ka : kb, 0, 1);
    uint32_t ma = multiplier(ka, r), mb = multiplier(kb, r), peak = 0;
    for (uint32_t i = 0; i < count; i += TURN_ELEMENTS) {
        uint32_t start = piece_start(), length = least(TURN_ELEMENTS, count - i);
        peak = most(peak, add_errors(d + i, a + i, b + i, mask ? mask + i : 0, ma, mb, r, length));
        piece_end(start);
    }
    return peak_value(peak, r, d_scale);
}

scale_t errors_add(int8_t *d, const int8_t *a, const int8_t *b, const int8_t *mask, scale_t a_scale, scale_t b_scale,
    scale_t *range, uint32_t count) {
    if (*range == 0) {
        scale_t bound = scale_mul(a_scale > b_scale ? a_scale : b_scale, SCALE_PACK(32768, -14));
        scale_t seen = add_at(d, a, b, mask, a_scale, b_scale, count, bound);
        range_start(range, seen, scale_mul(bound, scale_from(ERROR_MAX, 0)));
    }
    scale_t d_scale = error_scale(*range);
    range_follow(range, add_at(d, a, b, mask, a_scale, b_scale, count, d_scale));
    return d_scale;
}
