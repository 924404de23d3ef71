// SPDX-License-Identifier: MIT
// The precision of Dense, ErrorSum, Latent, Bernoulli and Softmax: int8 items with scales.
#include "binding.h"

static const dense_layer_t *dense_layer(dense_obj_t *self, mp_uint_t weight_access) {
    dense_layer_t *layer = &self->layer;
    layer->weight = qnn_bytes(self->weight, layer->rows * layer->cols, weight_access, MP_QSTR_weight);
    layer->scale = qnn_scales(self->scale, layer->rows, MP_QSTR_scale);
    layer->bias = qnn_words(self->bias, layer->rows, MP_BUFFER_RW, MP_QSTR_bias);
    layer->state = qnn_states(self->state, DENSE_STATES, MP_QSTR_state);
    layer->scratch = qnn_words(self->scratch, DENSE_SCRATCH(layer->rows) / 4, MP_BUFFER_RW, MP_QSTR_scratch);
    return layer;
}

const precision_t qnn_int8 = {
    .items = qnn_bytes,
    .scaled_errors = qnn_bytes,
    .scale = qnn_scale,
    .scale_or_zero = qnn_scale_or_zero,
    .states = qnn_states,
    .rounding_seed = mp_obj_get_int_truncated,
    .dense_layer = dense_layer,
    .dense_forward = dense_layer_forward,
    .dense_backward = dense_layer_backward,
    .dense_update = dense_layer_update,
    .errors_add = errors_add,
    .latent_forward = latent_layer_forward,
    .latent_backward = latent_layer_backward,
    .latent_kl = latent_layer_kl,
    .bernoulli_loss = bernoulli_layer_loss,
    .bernoulli_backward = bernoulli_layer_backward,
    .softmax_loss = softmax_layer_loss,
    .softmax_backward = softmax_layer_backward,
    .argmax = argmax,
};
