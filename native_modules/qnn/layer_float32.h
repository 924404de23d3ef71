// SPDX-License-Identifier: MIT
// The layers of the yardstick: layer.h's functions over float32.h's kernels, in pieces too.
//
// They are called as those are. int8_t * is the address of float32 items; a dense layer's bias and state are float32 too,
// and of the state only the gradient's power is used. rate and beta are scales. The other scales mean nothing, those
// returned are 0; dense layers need no scratch and no e.
#ifndef QNN_LAYER_FLOAT32_H
#define QNN_LAYER_FLOAT32_H

#include "layer.h"

__typeof__(dense_layer_forward) dense_layer_float32_forward;
__typeof__(dense_layer_backward) dense_layer_float32_backward;
__typeof__(dense_layer_update) dense_layer_float32_update;
__typeof__(errors_add) errors_layer_float32_add;
__typeof__(latent_layer_forward) latent_layer_float32_forward;
__typeof__(latent_layer_backward) latent_layer_float32_backward;
__typeof__(latent_layer_kl) latent_layer_float32_kl;
__typeof__(bernoulli_layer_loss) bernoulli_layer_float32_loss;
__typeof__(bernoulli_layer_backward) bernoulli_layer_float32_backward;
__typeof__(softmax_layer_loss) softmax_layer_float32_loss;
__typeof__(softmax_layer_backward) softmax_layer_float32_backward;
__typeof__(argmax) argmax_layer_float32;

#endif
