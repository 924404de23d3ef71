// SPDX-License-Identifier: MIT
// The precision of DenseFloat32, ErrorSumFloat32 and so on. There are no scales in it, and of what Dense is given scale,
// scratch and e are not used.
#include "binding.h"
#include "float32.h"
#include "layer_float32.h"

#define POWER_LIMIT (1e38f)

static scale_t any_scale(mp_obj_t object, qstr name) {
    return 0;
}

static void *any_items(mp_obj_t object, size_t count, mp_uint_t access, qstr name) {
    return NULL;
}

static scale_t *any_states(mp_obj_t object, size_t count, qstr name) {
    return NULL;
}

static mp_int_t any_seed(mp_const_obj_t object) {
    return 0;
}

// Of the state only the gradient's power is used, where weights are written.
static const dense_layer_t *dense_layer(dense_obj_t *self, mp_uint_t weight_access) {
    dense_layer_t *layer = &self->layer;
    layer->weight = qnn_floats(self->weight, layer->rows * layer->cols, weight_access, MP_QSTR_weight);
    layer->bias = qnn_floats(self->bias, layer->rows, weight_access, MP_QSTR_bias);
    if (weight_access == MP_BUFFER_RW) {
        float *state = qnn_floats(self->state, DENSE_STATES, MP_BUFFER_RW, MP_QSTR_state);
        if (!(state[DENSE_POWER] >= 0 && state[DENSE_POWER] < POWER_LIMIT)) {
            qnn_raise(MP_QSTR_state);
        }
        layer->state = (scale_t *)state;
    }
    return layer;
}

const precision_t qnn_float32 = {
    .items = qnn_floats,
    .scaled_errors = any_items,
    .scale = any_scale,
    .scale_or_zero = any_scale,
    .states = any_states,
    .rounding_seed = any_seed,
    .dense_layer = dense_layer,
    .dense_forward = dense_layer_float32_forward,
    .dense_backward = dense_layer_float32_backward,
    .dense_update = dense_layer_float32_update,
    .errors_add = errors_layer_float32_add,
    .latent_forward = latent_layer_float32_forward,
    .latent_backward = latent_layer_float32_backward,
    .latent_kl = latent_layer_float32_kl,
    .bernoulli_loss = bernoulli_layer_float32_loss,
    .bernoulli_backward = bernoulli_layer_float32_backward,
    .softmax_loss = softmax_layer_float32_loss,
    .softmax_backward = softmax_layer_float32_backward,
    .argmax = argmax_layer_float32,
};

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
