// SPDX-License-Identifier: MIT
// qnn.Dense and qnn.ErrorSum, in every precision: prepared once with their tensors, then called with counts and scales.
#include "binding.h"

// Dense(weight, scale, bias, state, scratch, *, rows, cols, relu=False, output_scale=0, tensor=0)
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
    self->precision = type == &qnn_type_dense_float32 ? &qnn_float32 : &qnn_int8;
    self->weight = args[ARG_weight].u_obj;
    self->scale = args[ARG_scale].u_obj;
    self->bias = args[ARG_bias].u_obj;
    self->state = args[ARG_state].u_obj;
    self->scratch = args[ARG_scratch].u_obj;
    self->layer.rows = qnn_int(args[ARG_rows].u_obj, 1, WIDTH_LIMIT, MP_QSTR_rows);
    self->layer.cols = qnn_int(args[ARG_cols].u_obj, 1, WIDTH_LIMIT, MP_QSTR_cols);
    self->layer.relu = args[ARG_relu].u_bool;
    self->layer.output_scale = self->precision->scale_or_zero(args[ARG_output_scale].u_obj, MP_QSTR_output_scale);
    self->layer.tensor = args[ARG_tensor].u_int;
    for (size_t i = 0; i < DENSE_BUFFERS; i++) {
        self->buffer[i] = mp_const_none;
    }
    return MP_OBJ_FROM_PTR(self);
}

// bind(x, y, dx, e, dy, mask): the tensors of a task; None for what it does not use.
static mp_obj_t dense_bind(size_t n_args, const mp_obj_t *args) {
    dense_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    for (size_t i = 0; i < DENSE_BUFFERS; i++) {
        self->buffer[i] = args[i + 1];
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(dense_bind_obj, 1 + DENSE_BUFFERS, 1 + DENSE_BUFFERS, dense_bind);

// forward(n, x_scale, train) -> scale of y
static mp_obj_t dense_forward_(size_t n_args, const mp_obj_t *args) {
    dense_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    const precision_t *precision = self->precision;
    uint32_t n = qnn_int(args[1], 1, BATCH_LIMIT, MP_QSTR_n);
    scale_t x_scale = precision->scale(args[2], MP_QSTR_x_scale);
    const dense_layer_t *layer = precision->dense_layer(self, MP_BUFFER_READ);
    const int8_t *x = precision->items(self->buffer[DENSE_X], n * layer->cols, MP_BUFFER_READ, MP_QSTR_x);
    int8_t *y = precision->items(self->buffer[DENSE_Y], n * layer->rows, MP_BUFFER_RW, MP_QSTR_y);
    return MP_OBJ_NEW_SMALL_INT(precision->dense_forward(layer, y, x, n, x_scale, mp_obj_is_true(args[3])));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(dense_forward_obj, 4, 4, dense_forward_);

// backward(n, dy_scale) -> scale of dx
static mp_obj_t dense_backward(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t dy_scale_in) {
    dense_obj_t *self = MP_OBJ_TO_PTR(self_in);
    const precision_t *precision = self->precision;
    const mp_obj_t *buffer = self->buffer;
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    scale_t dy_scale = precision->scale(dy_scale_in, MP_QSTR_dy_scale);
    const dense_layer_t *layer = precision->dense_layer(self, MP_BUFFER_READ);
    uint32_t in = n * layer->cols, out = n * layer->rows;
    int8_t *dx = precision->items(buffer[DENSE_DX], in, MP_BUFFER_RW, MP_QSTR_dx);
    int8_t *e = precision->scaled_errors(buffer[DENSE_E], out, MP_BUFFER_RW, MP_QSTR_e);
    const int8_t *dy = precision->items(buffer[DENSE_DY], out, MP_BUFFER_READ, MP_QSTR_dy);
    const int8_t *mask = qnn_optional(precision->items, buffer[DENSE_MASK], in, MP_BUFFER_READ, MP_QSTR_mask);
    return MP_OBJ_NEW_SMALL_INT(precision->dense_backward(layer, dx, e, dy, mask, n, dy_scale));
}
static MP_DEFINE_CONST_FUN_OBJ_3(dense_backward_obj, dense_backward);

// update(n, dy_scale, x_scale, rate, seed, step)
static mp_obj_t dense_update_(size_t n_args, const mp_obj_t *args) {
    dense_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    const precision_t *precision = self->precision;
    uint32_t n = qnn_int(args[1], 1, BATCH_LIMIT, MP_QSTR_n);
    scale_t dy_scale = precision->scale(args[2], MP_QSTR_dy_scale);
    scale_t x_scale = precision->scale(args[3], MP_QSTR_x_scale);
    scale_t rate = qnn_scale_or_zero(args[4], MP_QSTR_rate);
    const dense_layer_t *layer = precision->dense_layer(self, MP_BUFFER_RW);
    const int8_t *dy = precision->items(self->buffer[DENSE_DY], n * layer->rows, MP_BUFFER_READ, MP_QSTR_dy);
    const int8_t *x = precision->items(self->buffer[DENSE_X], n * layer->cols, MP_BUFFER_READ, MP_QSTR_x);
    precision->dense_update(layer, dy, x, n, dy_scale, x_scale, rate, precision->rounding_seed(args[5]),
        precision->rounding_seed(args[6]));
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
    qnn_type_dense, MP_QSTR_Dense, MP_TYPE_FLAG_NONE,
    make_new, dense_make_new, locals_dict, &dense_locals
    );
MP_DEFINE_CONST_OBJ_TYPE(
    qnn_type_dense_float32, MP_QSTR_DenseFloat32, MP_TYPE_FLAG_NONE,
    make_new, dense_make_new, locals_dict, &dense_locals
    );

typedef struct {
    mp_obj_base_t base;
    const precision_t *precision;
    mp_obj_t d, a, b, mask, range;
} error_sum_obj_t;

// ErrorSum(d, a, b, mask, range): range is one int32, the state of d's range.
static mp_obj_t error_sum_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 5, 5, false);
    error_sum_obj_t *self = mp_obj_malloc(error_sum_obj_t, type);
    self->precision = type == &qnn_type_error_sum_float32 ? &qnn_float32 : &qnn_int8;
    self->d = args[0];
    self->a = args[1];
    self->b = args[2];
    self->mask = args[3];
    self->range = args[4];
    return MP_OBJ_FROM_PTR(self);
}

// forward(count, a_scale, b_scale) -> scale of d
static mp_obj_t error_sum_forward(size_t n_args, const mp_obj_t *args) {
    error_sum_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    const precision_t *precision = self->precision;
    uint32_t count = qnn_int(args[1], 1, BATCH_LIMIT * WIDTH_LIMIT, MP_QSTR_count);
    scale_t a_scale = precision->scale(args[2], MP_QSTR_a_scale);
    scale_t b_scale = precision->scale(args[3], MP_QSTR_b_scale);
    int8_t *d = precision->items(self->d, count, MP_BUFFER_RW, MP_QSTR_d);
    const int8_t *a = precision->items(self->a, count, MP_BUFFER_READ, MP_QSTR_a);
    const int8_t *b = precision->items(self->b, count, MP_BUFFER_READ, MP_QSTR_b);
    const int8_t *mask = qnn_optional(precision->items, self->mask, count, MP_BUFFER_READ, MP_QSTR_mask);
    scale_t *range = precision->states(self->range, 1, MP_QSTR_range);
    return MP_OBJ_NEW_SMALL_INT(precision->errors_add(d, a, b, mask, a_scale, b_scale, range, count));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(error_sum_forward_obj, 4, 4, error_sum_forward);

static const mp_rom_map_elem_t error_sum_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_forward), MP_ROM_PTR(&error_sum_forward_obj) },
};
static MP_DEFINE_CONST_DICT(error_sum_locals, error_sum_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(
    qnn_type_error_sum, MP_QSTR_ErrorSum, MP_TYPE_FLAG_NONE,
    make_new, error_sum_make_new, locals_dict, &error_sum_locals
    );
MP_DEFINE_CONST_OBJ_TYPE(
    qnn_type_error_sum_float32, MP_QSTR_ErrorSumFloat32, MP_TYPE_FLAG_NONE,
    make_new, error_sum_make_new, locals_dict, &error_sum_locals
    );
