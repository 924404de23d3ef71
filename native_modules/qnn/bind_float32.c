// SPDX-License-Identifier: MIT
// qnn.DenseFloat32, qnn.ErrorSumFloat32: called as Dense and ErrorSum are. Scales are accepted and mean nothing here.
#include "binding.h"
#include "float32.h"
#include "pieces_float32.h"

#define NO_SCALE MP_OBJ_NEW_SMALL_INT(0)
#define POWER_LIMIT (1e38f)

enum { DENSE_X, DENSE_Y, DENSE_DX, DENSE_E, DENSE_DY, DENSE_MASK, DENSE_BUFFERS };

typedef struct {
    mp_obj_base_t base;
    mp_obj_t weight, bias, state;
    mp_obj_t buffer[DENSE_BUFFERS];
    dense_float32_t layer;
} dense_obj_t;

// DenseFloat32(weight, scale, bias, state, scratch, *, rows, cols, relu=False, output_scale=0, tensor=0)
// scale, scratch, output_scale and tensor are Dense's and not used; of the state only the gradient's power is.
static mp_obj_t dense_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *all_args) {
    enum { ARG_weight, ARG_scale, ARG_bias, ARG_state, ARG_scratch, ARG_rows, ARG_cols, ARG_relu, ARG_output_scale, ARG_tensor };
    static const mp_arg_t allowed[] = {
        { MP_QSTR_weight, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL} },
        { MP_QSTR_scale, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL} },
        { MP_QSTR_bias, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL} },
        { MP_QSTR_state, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL} },
        { MP_QSTR_scratch, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL} },
        { MP_QSTR_rows, MP_ARG_REQUIRED | MP_ARG_KW_ONLY | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL} },
        { MP_QSTR_cols, MP_ARG_REQUIRED | MP_ARG_KW_ONLY | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL} },
        { MP_QSTR_relu, MP_ARG_KW_ONLY | MP_ARG_BOOL, {.u_bool = false} },
        { MP_QSTR_output_scale, MP_ARG_KW_ONLY | MP_ARG_OBJ, {.u_obj = MP_OBJ_NEW_SMALL_INT(0)} },
        { MP_QSTR_tensor, MP_ARG_KW_ONLY | MP_ARG_INT, {.u_int = 0} },
    };
    mp_arg_val_t args[MP_ARRAY_SIZE(allowed)];
    mp_arg_parse_all_kw_array(n_args, n_kw, all_args, MP_ARRAY_SIZE(allowed), allowed, args);

    dense_obj_t *self = mp_obj_malloc(dense_obj_t, type);
    self->weight = args[ARG_weight].u_obj;
    self->bias = args[ARG_bias].u_obj;
    self->state = args[ARG_state].u_obj;
    self->layer.rows = qnn_int(args[ARG_rows].u_obj, 1, WIDTH_LIMIT, MP_QSTR_rows);
    self->layer.cols = qnn_int(args[ARG_cols].u_obj, 1, WIDTH_LIMIT, MP_QSTR_cols);
    self->layer.relu = args[ARG_relu].u_bool;
    for (size_t i = 0; i < DENSE_BUFFERS; i++) {
        self->buffer[i] = mp_const_none;
    }
    return MP_OBJ_FROM_PTR(self);
}

// The layer with this moment's addresses of its tensors.
static const dense_float32_t *dense_layer(dense_obj_t *self, mp_uint_t access) {
    dense_float32_t *layer = &self->layer;
    layer->w = qnn_floats(self->weight, layer->rows * layer->cols, access, MP_QSTR_weight);
    layer->b = qnn_floats(self->bias, layer->rows, access, MP_QSTR_bias);
    return layer;
}

static float *dense_buffer(dense_obj_t *self, size_t which, size_t count, mp_uint_t access, qstr name) {
    return qnn_floats(self->buffer[which], count, access, name);
}

// bind(x, y, dx, e, dy, mask): the tensors of a task; None for what it does not use. e is Dense's.
static mp_obj_t dense_bind(size_t n_args, const mp_obj_t *args) {
    dense_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    for (size_t i = 0; i < DENSE_BUFFERS; i++) {
        self->buffer[i] = args[i + 1];
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(dense_bind_obj, 1 + DENSE_BUFFERS, 1 + DENSE_BUFFERS, dense_bind);

// forward(n, x_scale, train)
static mp_obj_t dense_forward_(size_t n_args, const mp_obj_t *args) {
    dense_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    uint32_t n = qnn_int(args[1], 1, BATCH_LIMIT, MP_QSTR_n);
    const dense_float32_t *layer = dense_layer(self, MP_BUFFER_READ);
    const float *x = dense_buffer(self, DENSE_X, n * layer->cols, MP_BUFFER_READ, MP_QSTR_x);
    float *y = dense_buffer(self, DENSE_Y, n * layer->rows, MP_BUFFER_RW, MP_QSTR_y);
    pieces_t piece = in_pieces(n * layer->rows, layer->cols);
    while (next_piece(&piece)) {
        dense_float32_forward(layer, y, x, piece.first, piece.end);
    }
    return NO_SCALE;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(dense_forward_obj, 4, 4, dense_forward_);

// backward(n, dy_scale)
static mp_obj_t dense_backward(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t dy_scale) {
    dense_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    const dense_float32_t *layer = dense_layer(self, MP_BUFFER_READ);
    float *dx = dense_buffer(self, DENSE_DX, n * layer->cols, MP_BUFFER_RW, MP_QSTR_dx);
    const float *dy = dense_buffer(self, DENSE_DY, n * layer->rows, MP_BUFFER_READ, MP_QSTR_dy);
    const float *mask = qnn_optional_floats(self->buffer[DENSE_MASK], n * layer->cols, MP_BUFFER_READ, MP_QSTR_mask);
    pieces_t piece = in_pieces(n * layer->cols, layer->rows);
    while (next_piece(&piece)) {
        dense_float32_dx(layer, dx, dy, mask, piece.first, piece.end);
    }
    return NO_SCALE;
}
static MP_DEFINE_CONST_FUN_OBJ_3(dense_backward_obj, dense_backward);

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
static void update_layer(const dense_float32_t *layer, float *power, const float *dy, const float *x, uint32_t n,
    float rate) {
    if (rate == 0) {
        return;
    }
    if (*power == 0) {
        *power = update_at(layer, dy, x, n, 0);
        if (*power == 0) {
            return;
        }
    }
    float seen = update_at(layer, dy, x, n, rate / float32_sqrt(*power));
    if (seen > 0) {
        *power += (seen - *power) / 8;
    }
}

// update(n, dy_scale, x_scale, rate, seed, step); rate is a scale or 0, and means something
static mp_obj_t dense_update_(size_t n_args, const mp_obj_t *args) {
    dense_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    uint32_t n = qnn_int(args[1], 1, BATCH_LIMIT, MP_QSTR_n);
    float rate = float32_of_scale(qnn_scale_or_zero(args[4], MP_QSTR_rate));
    const dense_float32_t *layer = dense_layer(self, MP_BUFFER_RW);
    const float *dy = dense_buffer(self, DENSE_DY, n * layer->rows, MP_BUFFER_READ, MP_QSTR_dy);
    const float *x = dense_buffer(self, DENSE_X, n * layer->cols, MP_BUFFER_READ, MP_QSTR_x);
    float *state = qnn_floats(self->state, DENSE_STATES, MP_BUFFER_RW, MP_QSTR_state);
    if (!(state[DENSE_POWER] >= 0 && state[DENSE_POWER] < POWER_LIMIT)) {
        qnn_raise(MP_QSTR_state);
    }
    update_layer(layer, &state[DENSE_POWER], dy, x, n, rate);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(dense_update_obj, 7, 7, dense_update_);

static const mp_rom_map_elem_t dense_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_bind), MP_ROM_PTR(&dense_bind_obj) },
    { MP_ROM_QSTR(MP_QSTR_forward), MP_ROM_PTR(&dense_forward_obj) },
    { MP_ROM_QSTR(MP_QSTR_backward), MP_ROM_PTR(&dense_backward_obj) },
    { MP_ROM_QSTR(MP_QSTR_update), MP_ROM_PTR(&dense_update_obj) },
};
static MP_DEFINE_CONST_DICT(dense_locals, dense_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(
    qnn_type_dense_float32, MP_QSTR_DenseFloat32, MP_TYPE_FLAG_NONE,
    make_new, dense_make_new, locals_dict, &dense_locals
    );

typedef struct {
    mp_obj_base_t base;
    mp_obj_t d, a, b, mask;
} error_sum_obj_t;

// ErrorSumFloat32(d, a, b, mask, range): range is ErrorSum's and not used.
static mp_obj_t error_sum_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 5, 5, false);
    error_sum_obj_t *self = mp_obj_malloc(error_sum_obj_t, type);
    self->d = args[0];
    self->a = args[1];
    self->b = args[2];
    self->mask = args[3];
    return MP_OBJ_FROM_PTR(self);
}

// forward(count, a_scale, b_scale)
static mp_obj_t error_sum_forward(size_t n_args, const mp_obj_t *args) {
    error_sum_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    uint32_t count = qnn_int(args[1], 1, BATCH_LIMIT * WIDTH_LIMIT, MP_QSTR_count);
    float *d = qnn_floats(self->d, count, MP_BUFFER_RW, MP_QSTR_d);
    const float *a = qnn_floats(self->a, count, MP_BUFFER_READ, MP_QSTR_a);
    const float *b = qnn_floats(self->b, count, MP_BUFFER_READ, MP_QSTR_b);
    const float *mask = qnn_optional_floats(self->mask, count, MP_BUFFER_READ, MP_QSTR_mask);
    pieces_t piece = in_pieces(count, 1);
    while (next_piece(&piece)) {
        errors_float32_add(d, a, b, mask, piece.first, piece.end);
    }
    return NO_SCALE;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(error_sum_forward_obj, 4, 4, error_sum_forward);

static const mp_rom_map_elem_t error_sum_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_forward), MP_ROM_PTR(&error_sum_forward_obj) },
};
static MP_DEFINE_CONST_DICT(error_sum_locals, error_sum_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(
    qnn_type_error_sum_float32, MP_QSTR_ErrorSumFloat32, MP_TYPE_FLAG_NONE,
    make_new, error_sum_make_new, locals_dict, &error_sum_locals
    );

// dequantize(out, x, scale): float32 out = int8 x * scale, for all of x; a scale of 0 gives 0
static mp_obj_t dequantize(mp_obj_t out_in, mp_obj_t x_in, mp_obj_t scale_in) {
    float scale = float32_of_scale(qnn_scale_or_zero(scale_in, MP_QSTR_scale));
    const int8_t *x = qnn_bytes(x_in, 0, MP_BUFFER_READ, MP_QSTR_x);
    mp_buffer_info_t info;
    mp_get_buffer_raise(x_in, &info, MP_BUFFER_READ);
    float32_dequantize(qnn_floats(out_in, info.len, MP_BUFFER_RW, MP_QSTR_out), x, scale, info.len);
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_3(qnn_dequantize_obj, dequantize);
