// SPDX-License-Identifier: MIT
// qnn.Latent and the losses qnn.Bernoulli and qnn.Softmax, in every precision.
#include "binding.h"

enum { LATENT_MU, LATENT_LOGVAR, LATENT_SAMPLE, LATENT_DZ, LATENT_DMU_OUT, LATENT_DLOGVAR_OUT, LATENT_BUFFERS };

typedef struct {
    mp_obj_base_t base;
    const precision_t *precision;
    mp_obj_t state;
    mp_obj_t buffer[LATENT_BUFFERS];
    latent_layer_t layer;
    scale_t dlogvar_scale;
} latent_obj_t;

// A sum of nats with 12 fraction bits as an int with 8, which stays a small int.
static mp_obj_t nats(int64_t q12) {
    int64_t q8 = q12 >> 4;
    return MP_OBJ_NEW_SMALL_INT(q8 > 0x3fffffff ? 0x3fffffff : q8 < -0x3fffffff ? -0x3fffffff : q8);
}

// Latent(state, width, beta, tensor)
static mp_obj_t latent_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 4, 4, false);
    latent_obj_t *self = mp_obj_malloc(latent_obj_t, type);
    self->precision = type == &qnn_type_latent_float32 ? &qnn_float32 : &qnn_int8;
    self->state = args[0];
    self->layer.width = qnn_int(args[1], 1, WIDTH_LIMIT, MP_QSTR_width);
    self->layer.beta = qnn_scale(args[2], MP_QSTR_beta);
    self->layer.tensor = mp_obj_get_int_truncated(args[3]);
    self->dlogvar_scale = 0;
    for (size_t i = 0; i < LATENT_BUFFERS; i++) {
        self->buffer[i] = mp_const_none;
    }
    return MP_OBJ_FROM_PTR(self);
}

// bind(mu, logvar, z, dz, dmu, dlogvar)
static mp_obj_t latent_bind(size_t n_args, const mp_obj_t *args) {
    latent_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    for (size_t i = 0; i < LATENT_BUFFERS; i++) {
        self->buffer[i] = args[i + 1];
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(latent_bind_obj, 1 + LATENT_BUFFERS, 1 + LATENT_BUFFERS, latent_bind);

static int8_t *latent_buffer(latent_obj_t *self, size_t which, uint32_t n, mp_uint_t access, qstr name) {
    return self->precision->items(self->buffer[which], n * self->layer.width, access, name);
}

// forward(n, mu_scale, seed, step, train) -> scale of z
static mp_obj_t latent_forward_(size_t n_args, const mp_obj_t *args) {
    latent_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    uint32_t n = qnn_int(args[1], 1, BATCH_LIMIT, MP_QSTR_n);
    scale_t mu_scale = self->precision->scale(args[2], MP_QSTR_mu_scale);
    self->layer.state = self->precision->states(self->state, LATENT_STATES, MP_QSTR_state);
    const int8_t *mu = latent_buffer(self, LATENT_MU, n, MP_BUFFER_READ, MP_QSTR_mu);
    const int8_t *logvar = latent_buffer(self, LATENT_LOGVAR, n, MP_BUFFER_READ, MP_QSTR_logvar);
    int8_t *z = latent_buffer(self, LATENT_SAMPLE, n, MP_BUFFER_RW, MP_QSTR_z);
    return MP_OBJ_NEW_SMALL_INT(self->precision->latent_forward(&self->layer, z, mu, logvar, n, mu_scale,
        mp_obj_get_int_truncated(args[3]), mp_obj_get_int_truncated(args[4]), mp_obj_is_true(args[5])));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(latent_forward_obj, 6, 6, latent_forward_);

// backward(n, dz_scale, mu_scale, seed, step) -> scale of dmu; dlogvar_scale() has the other one
static mp_obj_t latent_backward(size_t n_args, const mp_obj_t *args) {
    latent_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    uint32_t n = qnn_int(args[1], 1, BATCH_LIMIT, MP_QSTR_n);
    scale_t dz_scale = self->precision->scale(args[2], MP_QSTR_dz_scale);
    scale_t mu_scale = self->precision->scale(args[3], MP_QSTR_mu_scale);
    self->layer.state = self->precision->states(self->state, LATENT_STATES, MP_QSTR_state);
    const int8_t *mu = latent_buffer(self, LATENT_MU, n, MP_BUFFER_READ, MP_QSTR_mu);
    const int8_t *logvar = latent_buffer(self, LATENT_LOGVAR, n, MP_BUFFER_READ, MP_QSTR_logvar);
    const int8_t *dz = latent_buffer(self, LATENT_DZ, n, MP_BUFFER_READ, MP_QSTR_dz);
    int8_t *dmu = latent_buffer(self, LATENT_DMU_OUT, n, MP_BUFFER_RW, MP_QSTR_dmu);
    int8_t *dlogvar = latent_buffer(self, LATENT_DLOGVAR_OUT, n, MP_BUFFER_RW, MP_QSTR_dlogvar);
    scale_t dmu_scale;
    self->precision->latent_backward(&self->layer, dmu, dlogvar, &dmu_scale, &self->dlogvar_scale, dz, mu, logvar, n,
        dz_scale, mu_scale, mp_obj_get_int_truncated(args[4]), mp_obj_get_int_truncated(args[5]));
    return MP_OBJ_NEW_SMALL_INT(dmu_scale);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(latent_backward_obj, 6, 6, latent_backward);

static mp_obj_t latent_dlogvar_scale(mp_obj_t self_in) {
    latent_obj_t *self = MP_OBJ_TO_PTR(self_in);
    return MP_OBJ_NEW_SMALL_INT(self->dlogvar_scale);
}
static MP_DEFINE_CONST_FUN_OBJ_1(latent_dlogvar_scale_obj, latent_dlogvar_scale);

// kl(n, mu_scale) -> nats * 256, summed over the batch
static mp_obj_t latent_kl_(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t mu_scale_in) {
    latent_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    scale_t mu_scale = self->precision->scale(mu_scale_in, MP_QSTR_mu_scale);
    const int8_t *mu = latent_buffer(self, LATENT_MU, n, MP_BUFFER_READ, MP_QSTR_mu);
    const int8_t *logvar = latent_buffer(self, LATENT_LOGVAR, n, MP_BUFFER_READ, MP_QSTR_logvar);
    return nats(self->precision->latent_kl(mu, logvar, n * self->layer.width, mu_scale));
}
static MP_DEFINE_CONST_FUN_OBJ_3(latent_kl_obj, latent_kl_);

static const mp_rom_map_elem_t latent_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_bind), MP_ROM_PTR(&latent_bind_obj) },
    { MP_ROM_QSTR(MP_QSTR_forward), MP_ROM_PTR(&latent_forward_obj) },
    { MP_ROM_QSTR(MP_QSTR_backward), MP_ROM_PTR(&latent_backward_obj) },
    { MP_ROM_QSTR(MP_QSTR_dlogvar_scale), MP_ROM_PTR(&latent_dlogvar_scale_obj) },
    { MP_ROM_QSTR(MP_QSTR_kl), MP_ROM_PTR(&latent_kl_obj) },
};
static MP_DEFINE_CONST_DICT(latent_locals, latent_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(
    qnn_type_latent, MP_QSTR_Latent, MP_TYPE_FLAG_NONE,
    make_new, latent_make_new, locals_dict, &latent_locals
    );
MP_DEFINE_CONST_OBJ_TYPE(
    qnn_type_latent_float32, MP_QSTR_LatentFloat32, MP_TYPE_FLAG_NONE,
    make_new, latent_make_new, locals_dict, &latent_locals
    );

typedef struct {
    mp_obj_base_t base;
    const precision_t *precision;
    mp_obj_t range;
    mp_obj_t logits, target, d;
    uint16_t width;
} loss_obj_t;

// A loss: range is one int32, the state of the error's range.
static mp_obj_t loss_new(const mp_obj_type_t *type, const precision_t *precision, uint32_t widest, size_t n_args,
    size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 2, 2, false);
    loss_obj_t *self = mp_obj_malloc(loss_obj_t, type);
    self->precision = precision;
    self->range = args[0];
    self->width = qnn_int(args[1], 1, widest, MP_QSTR_width);
    self->logits = self->target = self->d = mp_const_none;
    return MP_OBJ_FROM_PTR(self);
}

// Bernoulli(range, width)
static mp_obj_t bernoulli_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    const precision_t *precision = type == &qnn_type_bernoulli_float32 ? &qnn_float32 : &qnn_int8;
    return loss_new(type, precision, WIDTH_LIMIT, n_args, n_kw, args);
}

// Softmax(range, classes)
static mp_obj_t softmax_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    const precision_t *precision = type == &qnn_type_softmax_float32 ? &qnn_float32 : &qnn_int8;
    return loss_new(type, precision, 256, n_args, n_kw, args);
}

// bind(logits, target, d): the target is the input of a reconstruction, or a label per sample.
static mp_obj_t loss_bind(size_t n_args, const mp_obj_t *args) {
    loss_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    self->logits = args[1];
    self->target = args[2];
    self->d = args[3];
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(loss_bind_obj, 4, 4, loss_bind);

// `n` samples of one of the loss's tensors.
static int8_t *loss_items(loss_obj_t *self, mp_obj_t object, uint32_t n, mp_uint_t access, qstr name) {
    return self->precision->items(object, n * self->width, access, name);
}

static const int8_t *loss_logits(loss_obj_t *self, uint32_t n) {
    return loss_items(self, self->logits, n, MP_BUFFER_READ, MP_QSTR_logits);
}

// loss(n, x_scale) -> nats * 256, summed over the batch
static mp_obj_t bernoulli_loss_(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t x_scale_in) {
    loss_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    scale_t x_scale = self->precision->scale(x_scale_in, MP_QSTR_x_scale);
    const int8_t *x = loss_items(self, self->target, n, MP_BUFFER_READ, MP_QSTR_target);
    return nats(self->precision->bernoulli_loss(loss_logits(self, n), x, n * self->width, x_scale));
}
static MP_DEFINE_CONST_FUN_OBJ_3(bernoulli_loss_obj, bernoulli_loss_);

// backward(n, x_scale) -> scale of d
static mp_obj_t bernoulli_backward(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t x_scale_in) {
    loss_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    scale_t x_scale = self->precision->scale(x_scale_in, MP_QSTR_x_scale);
    const int8_t *x = loss_items(self, self->target, n, MP_BUFFER_READ, MP_QSTR_target);
    int8_t *d = loss_items(self, self->d, n, MP_BUFFER_RW, MP_QSTR_d);
    scale_t *range = self->precision->states(self->range, 1, MP_QSTR_range);
    return MP_OBJ_NEW_SMALL_INT(self->precision->bernoulli_backward(d, loss_logits(self, n), x, n * self->width,
        x_scale, range));
}
static MP_DEFINE_CONST_FUN_OBJ_3(bernoulli_backward_obj, bernoulli_backward);

static const uint8_t *softmax_labels(loss_obj_t *self, uint32_t n) {
    const uint8_t *labels = qnn_bytes(self->target, n, MP_BUFFER_READ, MP_QSTR_target);
    for (uint32_t i = 0; i < n; i++) {
        if (labels[i] >= self->width) {
            qnn_raise(MP_QSTR_label);
        }
    }
    return labels;
}

// loss(n, logit_scale) -> nats * 256, summed over the batch
static mp_obj_t softmax_loss_(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t logit_scale_in) {
    loss_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    scale_t logit_scale = self->precision->scale(logit_scale_in, MP_QSTR_logit_scale);
    return nats(self->precision->softmax_loss(loss_logits(self, n), softmax_labels(self, n), self->width, n,
        logit_scale));
}
static MP_DEFINE_CONST_FUN_OBJ_3(softmax_loss_obj, softmax_loss_);

// backward(n, logit_scale) -> scale of d
static mp_obj_t softmax_backward(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t logit_scale_in) {
    loss_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    scale_t logit_scale = self->precision->scale(logit_scale_in, MP_QSTR_logit_scale);
    int8_t *d = loss_items(self, self->d, n, MP_BUFFER_RW, MP_QSTR_d);
    scale_t *range = self->precision->states(self->range, 1, MP_QSTR_range);
    return MP_OBJ_NEW_SMALL_INT(self->precision->softmax_backward(d, loss_logits(self, n), softmax_labels(self, n),
        self->width, n, logit_scale, range));
}
static MP_DEFINE_CONST_FUN_OBJ_3(softmax_backward_obj, softmax_backward);

// predict(n, classes): writes the class of every sample
static mp_obj_t softmax_predict(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t classes_in) {
    loss_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    uint8_t *classes = qnn_bytes(classes_in, n, MP_BUFFER_RW, MP_QSTR_classes);
    self->precision->argmax(classes, loss_logits(self, n), self->width, n);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(softmax_predict_obj, softmax_predict);

static const mp_rom_map_elem_t bernoulli_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_bind), MP_ROM_PTR(&loss_bind_obj) },
    { MP_ROM_QSTR(MP_QSTR_loss), MP_ROM_PTR(&bernoulli_loss_obj) },
    { MP_ROM_QSTR(MP_QSTR_backward), MP_ROM_PTR(&bernoulli_backward_obj) },
};
static MP_DEFINE_CONST_DICT(bernoulli_locals, bernoulli_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(
    qnn_type_bernoulli, MP_QSTR_Bernoulli, MP_TYPE_FLAG_NONE,
    make_new, bernoulli_make_new, locals_dict, &bernoulli_locals
    );
MP_DEFINE_CONST_OBJ_TYPE(
    qnn_type_bernoulli_float32, MP_QSTR_BernoulliFloat32, MP_TYPE_FLAG_NONE,
    make_new, bernoulli_make_new, locals_dict, &bernoulli_locals
    );

static const mp_rom_map_elem_t softmax_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_bind), MP_ROM_PTR(&loss_bind_obj) },
    { MP_ROM_QSTR(MP_QSTR_loss), MP_ROM_PTR(&softmax_loss_obj) },
    { MP_ROM_QSTR(MP_QSTR_backward), MP_ROM_PTR(&softmax_backward_obj) },
    { MP_ROM_QSTR(MP_QSTR_predict), MP_ROM_PTR(&softmax_predict_obj) },
};
static MP_DEFINE_CONST_DICT(softmax_locals, softmax_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(
    qnn_type_softmax, MP_QSTR_Softmax, MP_TYPE_FLAG_NONE,
    make_new, softmax_make_new, locals_dict, &softmax_locals
    );
MP_DEFINE_CONST_OBJ_TYPE(
    qnn_type_softmax_float32, MP_QSTR_SoftmaxFloat32, MP_TYPE_FLAG_NONE,
    make_new, softmax_make_new, locals_dict, &softmax_locals
    );
