// SPDX-License-Identifier: MIT
// Arguments of qnn's objects, checked at the door: a wrong one is a ValueError that names it.
//
// One binding serves the two types of a kind, such as Dense and DenseFloat32; what is different is in a precision_t.
#ifndef QNN_BINDING_H
#define QNN_BINDING_H

#include "layer.h"
#include "py/runtime.h"

#define WIDTH_LIMIT (4096)
#define BATCH_LIMIT (256)

extern const mp_obj_type_t qnn_type_dense;
extern const mp_obj_type_t qnn_type_error_sum;
extern const mp_obj_type_t qnn_type_latent;
extern const mp_obj_type_t qnn_type_bernoulli;
extern const mp_obj_type_t qnn_type_softmax;
extern const mp_obj_type_t qnn_type_dense_float32;
extern const mp_obj_type_t qnn_type_error_sum_float32;
extern const mp_obj_type_t qnn_type_latent_float32;
extern const mp_obj_type_t qnn_type_bernoulli_float32;
extern const mp_obj_type_t qnn_type_softmax_float32;
MP_DECLARE_CONST_FUN_OBJ_3(qnn_dequantize_obj);

NORETURN void qnn_raise(qstr name);

// The address of `count` items. Fetched at every call: a bytearray can move.
typedef void *qnn_items_t(mp_obj_t object, size_t count, mp_uint_t access, qstr name);
qnn_items_t qnn_bytes;   // one-byte items
qnn_items_t qnn_words;   // int32: array('i'), or bytes at an aligned address
qnn_items_t qnn_floats;  // float32: array('f'), or bytes at an aligned address

// None is NULL.
void *qnn_optional(qnn_items_t *items, mp_obj_t object, size_t count, mp_uint_t access, qstr name);

uint32_t qnn_int(mp_obj_t object, uint32_t low, uint32_t high, qstr name);

// A scale, and one where 0 is allowed too.
typedef scale_t qnn_scale_t(mp_obj_t object, qstr name);
qnn_scale_t qnn_scale;
qnn_scale_t qnn_scale_or_zero;

// Words that are scales; those of a state may be 0, not set.
typedef scale_t *qnn_scales_t(mp_obj_t object, size_t count, qstr name);
qnn_scales_t qnn_scales;
qnn_scales_t qnn_states;

enum { DENSE_X, DENSE_Y, DENSE_DX, DENSE_E, DENSE_DY, DENSE_MASK, DENSE_BUFFERS };

typedef struct {
    mp_obj_base_t base;
    const struct precision *precision;
    mp_obj_t weight, scale, bias, state, scratch;
    mp_obj_t buffer[DENSE_BUFFERS];
    dense_layer_t layer;
} dense_obj_t;

// What a precision takes at the door, and what it does: the functions of layer.h, or others that are called like them.
// int8_t * is the address of items of any kind. An argument that a precision has no use for may be anything, and is 0.
typedef struct precision {
    qnn_items_t *items, *scaled_errors;
    qnn_scale_t *scale, *scale_or_zero;
    qnn_scales_t *states;
    __typeof__(mp_obj_get_int_truncated) *rounding_seed;
    // The layer with this moment's addresses of its tensors.
    const dense_layer_t *(*dense_layer)(dense_obj_t *self, mp_uint_t weight_access);

    __typeof__(dense_layer_forward) *dense_forward;
    __typeof__(dense_layer_backward) *dense_backward;
    __typeof__(dense_layer_update) *dense_update;
    __typeof__(errors_add) *errors_add;
    __typeof__(latent_layer_forward) *latent_forward;
    __typeof__(latent_layer_backward) *latent_backward;
    __typeof__(latent_layer_kl) *latent_kl;
    __typeof__(bernoulli_layer_loss) *bernoulli_loss;
    __typeof__(bernoulli_layer_backward) *bernoulli_backward;
    __typeof__(softmax_layer_loss) *softmax_loss;
    __typeof__(softmax_layer_backward) *softmax_backward;
    __typeof__(argmax) *argmax;
} precision_t;

extern const precision_t qnn_int8;
extern const precision_t qnn_float32;

#endif
