// SPDX-License-Identifier: MIT
// The module qnn: objects that train a quantized network, and the integer arithmetic of their scales.
#include "binding.h"
#include "core.h"
#include "pieces.h"
#include "py/objstr.h"

// scale(m, e) -> the scale m * 2^e; 0 for 0
static mp_obj_t qnn_scale_(mp_obj_t m, mp_obj_t e) {
    mp_int_t exponent = mp_obj_get_int(e);
    if (exponent < -1000 || exponent > 1000) {
        qnn_raise(MP_QSTR_e);
    }
    return MP_OBJ_NEW_SMALL_INT(scale_from(qnn_int(m, 0, 0x3fffffff, MP_QSTR_m), exponent));
}
static MP_DEFINE_CONST_FUN_OBJ_2(qnn_scale_obj, qnn_scale_);

// cycles() -> core cycles spent in kernels so far, modulo 2^30; 0 where the core cannot tell
static mp_obj_t qnn_cycles(void) {
    return MP_OBJ_NEW_SMALL_INT(layer_cycles & 0x3fffffff);
}
static MP_DEFINE_CONST_FUN_OBJ_0(qnn_cycles_obj, qnn_cycles);

static const MP_DEFINE_STR_OBJ(qnn_kernels_obj, QNN_KERNELS);

static const mp_rom_map_elem_t qnn_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_qnn) },
    { MP_ROM_QSTR(MP_QSTR_Dense), MP_ROM_PTR(&qnn_type_dense) },
    { MP_ROM_QSTR(MP_QSTR_ErrorSum), MP_ROM_PTR(&qnn_type_error_sum) },
    { MP_ROM_QSTR(MP_QSTR_Latent), MP_ROM_PTR(&qnn_type_latent) },
    { MP_ROM_QSTR(MP_QSTR_Bernoulli), MP_ROM_PTR(&qnn_type_bernoulli) },
    { MP_ROM_QSTR(MP_QSTR_Softmax), MP_ROM_PTR(&qnn_type_softmax) },
    { MP_ROM_QSTR(MP_QSTR_DenseFloat32), MP_ROM_PTR(&qnn_type_dense_float32) },
    { MP_ROM_QSTR(MP_QSTR_ErrorSumFloat32), MP_ROM_PTR(&qnn_type_error_sum_float32) },
    { MP_ROM_QSTR(MP_QSTR_LatentFloat32), MP_ROM_PTR(&qnn_type_latent_float32) },
    { MP_ROM_QSTR(MP_QSTR_BernoulliFloat32), MP_ROM_PTR(&qnn_type_bernoulli_float32) },
    { MP_ROM_QSTR(MP_QSTR_SoftmaxFloat32), MP_ROM_PTR(&qnn_type_softmax_float32) },
    { MP_ROM_QSTR(MP_QSTR_dequantize), MP_ROM_PTR(&qnn_dequantize_obj) },
    { MP_ROM_QSTR(MP_QSTR_scale), MP_ROM_PTR(&qnn_scale_obj) },
    { MP_ROM_QSTR(MP_QSTR_cycles), MP_ROM_PTR(&qnn_cycles_obj) },
    { MP_ROM_QSTR(MP_QSTR_KERNELS), MP_ROM_PTR(&qnn_kernels_obj) },
};
static MP_DEFINE_CONST_DICT(qnn_globals, qnn_globals_table);

const mp_obj_module_t qnn_user_cmodule = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&qnn_globals,
};
MP_REGISTER_MODULE(MP_QSTR_qnn, qnn_user_cmodule);
