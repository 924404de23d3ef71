// SPDX-License-Identifier: MIT
#include "random.h"
#include "pieces.h"

#define ROW_MAX_HIGH (124)
#define ROW_MAX_LOW (90)
#define BIAS_LIMIT (1 << 30)
#define RESCALE_KEY (0x72657363)  // a stream of its own

static const scale_t UP = SCALE_PACK(34816, -15);    // 17/16
static const scale_t DOWN = SCALE_PACK(61681, -16);  // 16/17

static scale_t widest(const dense_layer_t *layer) {
    scale_t top = layer->scale[0];
    for (uint32_t o = 1; o < layer->rows; o++) {
        top = layer->scale[o] > top ? layer->scale[o] : top;
    }
    return top;
}

static scale_t narrowest(const dense_layer_t *layer) {
    scale_t low = layer->scale[0];
    for (uint32_t o = 1; o < layer->rows; o++) {
        low = layer->scale[o] < low ? layer->scale[o] : low;
    }
    return low;
}

// The bias in accumulator units, at most half of what the accumulator may hold, with the first shift's half.
static int32_t bias_in_accumulator(int32_t bias, scale_t unit, uint32_t s) {
    scale_t inverse = scale_div(SCALE_ONE, unit);
    int shift = 16 - scale_exponent(inverse);
    int64_t limit = (int64_t)1 << (14 + s);
    int64_t b = (int64_t)bias * scale_mantissa(inverse);
    b = shift > 62 ? 0 : shift > 0 ? b >> shift : b > 0 ? limit : b < 0 ? -limit : 0;
    b = b > limit ? limit : b < -limit ? -limit : b;
    return (int32_t)b + (s ? 1 << (s - 1) : 0);
}

static uint16_t *multipliers(const dense_layer_t *layer) {
    return (uint16_t *)(layer->scratch + layer->rows);
}

// y at a given scale. Returns the peak as a value.
static scale_t forward_at(const dense_layer_t *layer, int8_t *y, const int8_t *x, uint32_t n, scale_t x_scale,
    scale_t y_scale) {
    uint32_t rows = layer->rows, cols = layer->cols;
    uint32_t s = shift_before(cols * ACTIVATION_MAX * ACTIVATION_MAX);
    scale_t ratio = scale_div(x_scale, y_scale);
    uint32_t r = shift_after(scale_mul(ratio, widest(layer)), s, 1);
    int32_t *b = layer->scratch;
    uint16_t *m = multipliers(layer);
    for (uint32_t o = 0; o < rows; o++) {
        m[o] = multiplier(scale_mul(ratio, layer->scale[o]), s + r);
        b[o] = bias_in_accumulator(layer->bias[o], scale_mul(x_scale, layer->scale[o]), s);
    }
    uint32_t rows_at_once = least(rows, at_least_one(TURN_MACS / cols));
    uint32_t n_at_once = rows_at_once < rows ? 1 : at_least_one(TURN_MACS / (rows * cols));
    uint32_t peak = 0;
    for (uint32_t i = 0; i < n; i += n_at_once) {
        for (uint32_t o = 0; o < rows; o += rows_at_once) {
            dense_t piece = {layer->weight + o * cols, b + o, m + o, least(rows_at_once, rows - o), cols, s, r, layer->relu};
            uint32_t start = piece_start();
            uint32_t seen = dense_forward(&piece, y + i * rows + o, x + i * cols, least(n_at_once, n - i));
            piece_end(start);
            peak = most(peak, seen);
        }
    }
    return peak_value(peak, r, y_scale);
}

scale_t dense_layer_forward(const dense_layer_t *layer, int8_t *y, const int8_t *x, uint32_t n, scale_t x_scale,
    bool train) {
    if (layer->output_scale) {
        forward_at(layer, y, x, n, x_scale, layer->output_scale);
        return layer->output_scale;
    }
    scale_t *range = &layer->state[DENSE_OUTPUT];
    if (*range == 0) {
        scale_t bound = scale_mul(scale_mul(scale_from(layer->cols * ACTIVATION_MAX, 0), x_scale), widest(layer));
        scale_t seen = forward_at(layer, y, x, n, x_scale, bound);
        range_start(range, seen, bound);
    }
    scale_t y_scale = activation_scale(*range);
    scale_t seen = forward_at(layer, y, x, n, x_scale, y_scale);
    if (train) {
        range_follow(range, seen);
    }
    return y_scale;
}

static scale_t scale_rows_at(const dense_layer_t *layer, int8_t *e, const int8_t *dy, uint32_t n, scale_t dy_scale,
    scale_t e_scale) {
    scale_t ratio = scale_div(dy_scale, e_scale);
    uint32_t r = shift_after(scale_mul(ratio, widest(layer)), 0, 1);
    uint16_t *m = multipliers(layer);
    for (uint32_t o = 0; o < layer->rows; o++) {
        m[o] = multiplier(scale_mul(ratio, layer->scale[o]), r);
    }
    uint32_t n_at_once = samples_at_once(layer->rows), peak = 0;
    for (uint32_t i = 0; i < n; i += n_at_once) {
        uint32_t at = i * layer->rows, start = piece_start();
        peak = most(peak, scale_rows(e + at, dy + at, m, r, least(n_at_once, n - i), layer->rows));
        piece_end(start);
    }
    return peak_value(peak, r, e_scale);
}

static scale_t dx_at(const dense_layer_t *layer, int8_t *dx, const int8_t *e, const int8_t *mask, uint32_t n,
    scale_t e_scale, scale_t dx_scale) {
    uint32_t rows = layer->rows, cols = layer->cols;
    uint32_t s = shift_before(rows * ERROR_MAX * ACTIVATION_MAX);
    scale_t ratio = scale_div(e_scale, dx_scale);
    uint32_t r = shift_after(ratio, s, 1);
    uint32_t m = multiplier(ratio, s + r);
    uint32_t cols_at_once = least(cols, at_least_one(TURN_MACS / rows));
    uint32_t n_at_once = cols_at_once < cols ? 1 : at_least_one(TURN_MACS / (rows * cols));
    uint32_t peak = 0;
    for (uint32_t i = 0; i < n; i += n_at_once) {
        for (uint32_t k = 0; k < cols; k += cols_at_once) {
            dense_dx_t piece = {layer->weight + k, rows, least(cols_at_once, cols - k), cols, m, s, r};
            uint32_t at = i * cols + k;
            uint32_t start = piece_start();
            uint32_t seen = dense_dx(&piece, dx + at, e + i * rows, mask ? mask + at : 0, least(n_at_once, n - i));
            piece_end(start);
            peak = most(peak, seen);
        }
    }
    return peak_value(peak, r, dx_scale);
}

scale_t dense_layer_backward(const dense_layer_t *layer, int8_t *dx, int8_t *e, const int8_t *dy, const int8_t *mask,
    uint32_t n, scale_t dy_scale) {
    scale_t *range = &layer->state[DENSE_SCALED_ERROR];
    if (*range == 0) {
        scale_t bound = scale_mul(dy_scale, widest(layer));
        scale_t seen = scale_rows_at(layer, e, dy, n, dy_scale, bound);
        range_start(range, seen, bound);
    }
    scale_t e_scale = error_scale(*range);
    scale_t seen = scale_rows_at(layer, e, dy, n, dy_scale, e_scale);
    range_follow(range, seen);

    range = &layer->state[DENSE_INPUT_ERROR];
    if (*range == 0) {
        scale_t bound = scale_mul(scale_from(layer->rows * ACTIVATION_MAX, 0), e_scale);
        seen = dx_at(layer, dx, e, mask, n, e_scale, bound);
        range_start(range, seen, bound);
    }
    scale_t dx_scale = error_scale(*range);
    seen = dx_at(layer, dx, e, mask, n, e_scale, dx_scale);
    range_follow(range, seen);
    return dx_scale;
}

// One pass over the weights with step k = rate * unit / rms (0: measure only). Returns the mean square of the gradient.
static scale_t update_at(const dense_layer_t *layer, const int8_t *dy, const int8_t *x, uint32_t n, scale_t unit,
    scale_t k, uint32_t key) {
    uint32_t rows = layer->rows, cols = layer->cols;
    uint32_t s = shift_before(n * ERROR_MAX * ACTIVATION_MAX);
    uint32_t r = k ? shift_after(scale_div(k, narrowest(layer)), s, 9) : 9;
    uint16_t *m = multipliers(layer);
    for (uint32_t o = 0; o < rows; o++) {
        m[o] = k ? multiplier(scale_div(k, layer->scale[o]), s + r) : 0;
    }
    dense_update_t pass = {layer->weight, m, (uint8_t *)(m + rows), rows, cols, s, r, key};
    uint32_t rows_at_once = at_least_one(TURN_MACS / (n * cols));
    uint64_t power = 0;
    for (uint32_t o = 0; o < rows; o += rows_at_once) {
        uint32_t start = piece_start();
        power += dense_update(&pass, dy, x, n, o, least(o + rows_at_once, rows));
        piece_end(start);
    }
    scale_t mean = scale_div(scale_from(power, 2 * s), scale_from(rows * cols, 0));
    return power ? scale_mul(mean, scale_mul(unit, unit)) : 0;
}

// A row that fills its grid gets a coarser one, a row that leaves much of it unused a finer one. No row's grid becomes
// finer than 1/64 of the coarsest: its bias would not fit the accumulator.
static void rescale_rows(const dense_layer_t *layer, uint32_t key) {
    const uint8_t *row_max = (uint8_t *)(multipliers(layer) + layer->rows);
    scale_t finest = scale_mul(widest(layer), SCALE_PACK(32768, -21));
    for (uint32_t o = 0; o < layer->rows; o++) {
        int8_t *w = layer->weight + o * layer->cols;
        if (row_max[o] >= ROW_MAX_HIGH) {
            rescale_row(w, layer->cols, 15420, key, o);
            layer->scale[o] = scale_mul(layer->scale[o], UP);
        } else if (row_max[o] < ROW_MAX_LOW && layer->scale[o] > finest) {
            rescale_row(w, layer->cols, 17408, key, o);
            layer->scale[o] = scale_mul(layer->scale[o], DOWN);
        }
    }
}

// step has 16 fraction bits, as the bias.
static void update_bias(const dense_layer_t *layer, const int8_t *dy, uint32_t n, scale_t step) {
    uint32_t r = shift_after(step, 0, 1);
    int64_t m = multiplier(step, r);
    for (uint32_t o = 0; o < layer->rows; o++) {
        int32_t g = 0;
        for (uint32_t i = 0; i < n; i++) {
            g += dy[i * layer->rows + o];
        }
        int64_t b = layer->bias[o] - ((g * m + (1 << (r - 1))) >> r);
        layer->bias[o] = b > BIAS_LIMIT ? BIAS_LIMIT : b < -BIAS_LIMIT ? -BIAS_LIMIT : b;
    }
}

void dense_layer_update(const dense_layer_t *layer, const int8_t *dy, const int8_t *x, uint32_t n, scale_t dy_scale,
    scale_t x_scale, scale_t rate, uint32_t seed, uint32_t step) {
    if (rate == 0) {
        return;
    }
    uint32_t key = random_key(seed, step, layer->tensor);
    scale_t unit = scale_mul(dy_scale, x_scale);
    scale_t *power = &layer->state[DENSE_POWER];
    if (*power == 0) {
        *power = update_at(layer, dy, x, n, unit, 0, key);
        if (*power == 0) {
            return;
        }
    }
    scale_t rate_over_rms = scale_div(rate, scale_sqrt(*power));
    scale_t seen = update_at(layer, dy, x, n, unit, scale_mul(rate_over_rms, unit), key);
    range_follow(power, seen);
    rescale_rows(layer, random_mix(key, RESCALE_KEY));
    update_bias(layer, dy, n, scale_mul(scale_mul(rate_over_rms, dy_scale), SCALE_PACK(32768, 1)));
}
