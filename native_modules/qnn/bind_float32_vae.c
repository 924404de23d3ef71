// SPDX-License-Identifier: MIT
// qnn.LatentFloat32 and the losses qnn.BernoulliFloat32 and qnn.SoftmaxFloat32: called as their int8 twins are. Scales are
// accepted and mean nothing here.
#include "binding.h"
#include "float32.h"
#include "pieces_float32.h"
#include "random.h"

#define NO_SCALE MP_OBJ_NEW_SMALL_INT(0)
#define NATS_LIMIT (4194304.0f)  // where qnn_nats ends

enum { LATENT_MU, LATENT_LOGVAR, LATENT_SAMPLE, LATENT_DZ, LATENT_DMU_OUT, LATENT_DLOGVAR_OUT, LATENT_BUFFERS };

typedef struct {
    mp_obj_base_t base;
    mp_obj_t buffer[LATENT_BUFFERS];
    latent_float32_t layer;
    uint32_t tensor;
} latent_obj_t;

// nats * 256; the largest such number for what is no number.
static mp_obj_t nats(float sum) {
    return qnn_nats(sum > -NATS_LIMIT && sum < NATS_LIMIT ? (int64_t)(sum * 4096) : INT64_MAX);
}

// LatentFloat32(state, width, beta, tensor): state is Latent's and not used.
static mp_obj_t latent_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 4, 4, false);
    latent_obj_t *self = mp_obj_malloc(latent_obj_t, type);
    self->layer.width = qnn_int(args[1], 1, WIDTH_LIMIT, MP_QSTR_width);
    self->layer.beta = float32_of_scale(qnn_scale(args[2], MP_QSTR_beta));
    self->tensor = mp_obj_get_int_truncated(args[3]);
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

static float *latent_buffer(latent_obj_t *self, size_t which, uint32_t n, mp_uint_t access, qstr name) {
    return qnn_floats(self->buffer[which], n * self->layer.width, access, name);
}

static void latent_key(latent_obj_t *self, mp_obj_t seed, mp_obj_t step) {
    self->layer.key = random_key(mp_obj_get_int_truncated(seed), mp_obj_get_int_truncated(step), self->tensor);
}

// forward(n, mu_scale, seed, step, train)
static mp_obj_t latent_forward_(size_t n_args, const mp_obj_t *args) {
    latent_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    uint32_t n = qnn_int(args[1], 1, BATCH_LIMIT, MP_QSTR_n);
    latent_key(self, args[3], args[4]);
    const float *mu = latent_buffer(self, LATENT_MU, n, MP_BUFFER_READ, MP_QSTR_mu);
    const float *logvar = latent_buffer(self, LATENT_LOGVAR, n, MP_BUFFER_READ, MP_QSTR_logvar);
    float *z = latent_buffer(self, LATENT_SAMPLE, n, MP_BUFFER_RW, MP_QSTR_z);
    pieces_t piece = in_pieces(n * self->layer.width, EXP_MACS);
    while (next_piece(&piece)) {
        latent_float32_forward(&self->layer, z, mu, logvar, piece.first, piece.end);
    }
    return NO_SCALE;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(latent_forward_obj, 6, 6, latent_forward_);

// backward(n, dz_scale, mu_scale, seed, step)
static mp_obj_t latent_backward(size_t n_args, const mp_obj_t *args) {
    latent_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    uint32_t n = qnn_int(args[1], 1, BATCH_LIMIT, MP_QSTR_n);
    latent_key(self, args[4], args[5]);
    const float *mu = latent_buffer(self, LATENT_MU, n, MP_BUFFER_READ, MP_QSTR_mu);
    const float *logvar = latent_buffer(self, LATENT_LOGVAR, n, MP_BUFFER_READ, MP_QSTR_logvar);
    const float *dz = latent_buffer(self, LATENT_DZ, n, MP_BUFFER_READ, MP_QSTR_dz);
    float *dmu = latent_buffer(self, LATENT_DMU_OUT, n, MP_BUFFER_RW, MP_QSTR_dmu);
    float *dlogvar = latent_buffer(self, LATENT_DLOGVAR_OUT, n, MP_BUFFER_RW, MP_QSTR_dlogvar);
    pieces_t piece = in_pieces(n * self->layer.width, EXP_MACS);
    while (next_piece(&piece)) {
        latent_float32_backward(&self->layer, dmu, dlogvar, dz, mu, logvar, piece.first, piece.end);
    }
    return NO_SCALE;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(latent_backward_obj, 6, 6, latent_backward);

static mp_obj_t latent_dlogvar_scale(mp_obj_t self_in) {
    return NO_SCALE;
}
static MP_DEFINE_CONST_FUN_OBJ_1(latent_dlogvar_scale_obj, latent_dlogvar_scale);

// kl(n, mu_scale) -> nats * 256, summed over the batch
static mp_obj_t latent_kl_(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t mu_scale) {
    latent_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    const float *mu = latent_buffer(self, LATENT_MU, n, MP_BUFFER_READ, MP_QSTR_mu);
    const float *logvar = latent_buffer(self, LATENT_LOGVAR, n, MP_BUFFER_READ, MP_QSTR_logvar);
    float kl = 0;
    pieces_t piece = in_pieces(n * self->layer.width, EXP_MACS);
    while (next_piece(&piece)) {
        kl += latent_float32_kl(mu + piece.first, logvar + piece.first, piece.end - piece.first);
    }
    return nats(kl);
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
    qnn_type_latent_float32, MP_QSTR_LatentFloat32, MP_TYPE_FLAG_NONE,
    make_new, latent_make_new, locals_dict, &latent_locals
    );

typedef struct {
    mp_obj_base_t base;
    mp_obj_t logits, target, d;
    uint16_t width;
} loss_obj_t;

// BernoulliFloat32(range, width), SoftmaxFloat32(range, classes): range is the twins' and not used.
static mp_obj_t loss_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 2, 2, false);
    loss_obj_t *self = mp_obj_malloc(loss_obj_t, type);
    self->width = qnn_int(args[1], 1, type == &qnn_type_softmax_float32 ? 256 : WIDTH_LIMIT, MP_QSTR_width);
    self->logits = self->target = self->d = mp_const_none;
    return MP_OBJ_FROM_PTR(self);
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

static const float *loss_logits(loss_obj_t *self, uint32_t n) {
    return qnn_floats(self->logits, n * self->width, MP_BUFFER_READ, MP_QSTR_logits);
}

// loss(n, x_scale) -> nats * 256, summed over the batch
static mp_obj_t bernoulli_loss_(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t x_scale) {
    loss_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    const float *x = qnn_floats(self->target, n * self->width, MP_BUFFER_READ, MP_QSTR_target);
    const float *logits = loss_logits(self, n);
    float loss = 0;
    pieces_t piece = in_pieces(n * self->width, EXP_MACS);
    while (next_piece(&piece)) {
        loss += bernoulli_float32_loss(logits + piece.first, x + piece.first, piece.end - piece.first);
    }
    return nats(loss);
}
static MP_DEFINE_CONST_FUN_OBJ_3(bernoulli_loss_obj, bernoulli_loss_);

// backward(n, x_scale)
static mp_obj_t bernoulli_backward(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t x_scale) {
    loss_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    const float *x = qnn_floats(self->target, n * self->width, MP_BUFFER_READ, MP_QSTR_target);
    const float *logits = loss_logits(self, n);
    float *d = qnn_floats(self->d, n * self->width, MP_BUFFER_RW, MP_QSTR_d);
    pieces_t piece = in_pieces(n * self->width, EXP_MACS);
    while (next_piece(&piece)) {
        uint32_t first = piece.first;
        bernoulli_float32_dlogits(d + first, logits + first, x + first, piece.end - first);
    }
    return NO_SCALE;
}
static MP_DEFINE_CONST_FUN_OBJ_3(bernoulli_backward_obj, bernoulli_backward);

static const uint8_t *softmax_labels(loss_obj_t *self, uint32_t n) {
    const uint8_t *labels = (const uint8_t *)qnn_bytes(self->target, n, MP_BUFFER_READ, MP_QSTR_target);
    for (uint32_t i = 0; i < n; i++) {
        if (labels[i] >= self->width) {
            qnn_raise(MP_QSTR_label);
        }
    }
    return labels;
}

// loss(n, logit_scale) -> nats * 256, summed over the batch
static mp_obj_t softmax_loss_(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t logit_scale) {
    loss_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    const float *logits = loss_logits(self, n);
    const uint8_t *labels = softmax_labels(self, n);
    float loss = 0;
    pieces_t piece = in_pieces(n, self->width * EXP_MACS);
    while (next_piece(&piece)) {
        for (uint32_t i = piece.first; i < piece.end; i++) {
            loss += softmax_float32_loss(logits + i * self->width, labels[i], self->width);
        }
    }
    return nats(loss);
}
static MP_DEFINE_CONST_FUN_OBJ_3(softmax_loss_obj, softmax_loss_);

// backward(n, logit_scale)
static mp_obj_t softmax_backward(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t logit_scale) {
    loss_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    const float *logits = loss_logits(self, n);
    const uint8_t *labels = softmax_labels(self, n);
    float *d = qnn_floats(self->d, n * self->width, MP_BUFFER_RW, MP_QSTR_d);
    pieces_t piece = in_pieces(n, self->width * EXP_MACS);
    while (next_piece(&piece)) {
        for (uint32_t i = piece.first; i < piece.end; i++) {
            softmax_float32_dlogits(d + i * self->width, logits + i * self->width, labels[i], self->width);
        }
    }
    return NO_SCALE;
}
static MP_DEFINE_CONST_FUN_OBJ_3(softmax_backward_obj, softmax_backward);

// predict(n, classes): writes the class of every sample
static mp_obj_t softmax_predict(mp_obj_t self_in, mp_obj_t n_in, mp_obj_t classes_in) {
    loss_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t n = qnn_int(n_in, 1, BATCH_LIMIT, MP_QSTR_n);
    uint8_t *classes = (uint8_t *)qnn_bytes(classes_in, n, MP_BUFFER_RW, MP_QSTR_classes);
    const float *logits = loss_logits(self, n);
    for (uint32_t i = 0; i < n; i++) {
        classes[i] = argmax_float32(logits + i * self->width, self->width);
    }
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
    qnn_type_bernoulli_float32, MP_QSTR_BernoulliFloat32, MP_TYPE_FLAG_NONE,
    make_new, loss_make_new, locals_dict, &bernoulli_locals
    );

static const mp_rom_map_elem_t softmax_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_bind), MP_ROM_PTR(&loss_bind_obj) },
    { MP_ROM_QSTR(MP_QSTR_loss), MP_ROM_PTR(&softmax_loss_obj) },
    { MP_ROM_QSTR(MP_QSTR_backward), MP_ROM_PTR(&softmax_backward_obj) },
    { MP_ROM_QSTR(MP_QSTR_predict), MP_ROM_PTR(&softmax_predict_obj) },
};
static MP_DEFINE_CONST_DICT(softmax_locals, softmax_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(
    qnn_type_softmax_float32, MP_QSTR_SoftmaxFloat32, MP_TYPE_FLAG_NONE,
    make_new, loss_make_new, locals_dict, &softmax_locals
    );
