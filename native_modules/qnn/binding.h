// SPDX-License-Identifier: MIT
// Arguments of qnn's objects, checked at the door: a wrong one is a ValueError that names it.
#ifndef QNN_BINDING_H
#define QNN_BINDING_H

#include "layer.h"
#include "py/runtime.h"

#define WIDTH_LIMIT (4096)
#define BATCH_LIMIT (1024)

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

// The bytes of a buffer of one-byte items, at least `length` of them. Fetched at every call: a bytearray can move.
int8_t *qnn_bytes(mp_obj_t object, size_t length, mp_uint_t access, qstr name);

// The same for int32 items: array('i'), or bytes at an aligned address.
int32_t *qnn_words(mp_obj_t object, size_t count, mp_uint_t access, qstr name);

// The same for float32 items: array('f'), or bytes at an aligned address.
float *qnn_floats(mp_obj_t object, size_t count, mp_uint_t access, qstr name);

// None is NULL.
int8_t *qnn_optional_bytes(mp_obj_t object, size_t length, mp_uint_t access, qstr name);
float *qnn_optional_floats(mp_obj_t object, size_t count, mp_uint_t access, qstr name);

uint32_t qnn_int(mp_obj_t object, uint32_t low, uint32_t high, qstr name);

// A scale, and one where 0 is allowed too.
scale_t qnn_scale(mp_obj_t object, qstr name);
scale_t qnn_scale_or_zero(mp_obj_t object, qstr name);

// The first `count` words are valid scales (or 0 where unset ones are allowed).
scale_t *qnn_scales(mp_obj_t object, size_t count, bool unset_allowed, qstr name);

// A sum of nats with 12 fraction bits as an int with 8, which stays a small int.
mp_obj_t qnn_nats(int64_t q12);

#endif
