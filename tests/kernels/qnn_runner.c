// SPDX-License-Identifier: MIT
// Runs native_modules/qnn for the tests: requests on stdin, answers on stdout, numbers little endian.
//
// A request is a name of 32 bytes, the numbers (count, int32 each) and the buffers (count; each with its length, or
// ABSENT for NULL, and how many bytes lie before it). The answer is the result as int64 and all buffers as they are
// now. Every buffer ends where its heap block ends, so that a sanitizer sees a step beyond; what lies before it may be
// odd, so that nothing can count on alignment, and must stay as it was.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer.h"
#include "random.h"

#define ABSENT (0xffffffff)
#define GUARD (0xa5)

typedef struct {
    uint8_t *block, *data;
    uint32_t length, before;
} buffer_t;

static int32_t number[16];
static buffer_t buffer[16];
static uint32_t buffers, turns;

void qnn_turn(void) {
    turns++;
}

uint32_t qnn_clock(void) {
    static uint32_t now = 0xffff00;  // wraps at 24 bits soon
    return ++now & 0xffffff;
}

static void get(void *data, size_t n) {
    if (n && fread(data, 1, n, stdin) != n) {
        exit(feof(stdin) ? 0 : 1);
    }
}

static uint32_t get_u32(void) {
    uint32_t v;
    get(&v, sizeof v);
    return v;
}

static int8_t *bytes(uint32_t i) {
    return (int8_t *)buffer[i].data;
}

static uint8_t *octets(uint32_t i) {
    return buffer[i].data;
}

static uint16_t *halves(uint32_t i) {
    return (uint16_t *)buffer[i].data;
}

static int32_t *words(uint32_t i) {
    return (int32_t *)buffer[i].data;
}

// Kernels: the numbers in the order of the struct and of the parameters, then the buffers in theirs.

static int64_t run_dense_forward(void) {
    dense_t layer = {bytes(0), words(1), halves(2), number[0], number[1], number[2], number[3], number[4]};
    return dense_forward(&layer, bytes(3), bytes(4), number[5]);
}

static int64_t run_scale_rows(void) {
    return scale_rows(bytes(0), bytes(1), halves(2), number[0], number[1], number[2]);
}

static int64_t run_dense_dx(void) {
    dense_dx_t layer = {bytes(0), number[0], number[1], number[2], number[3], number[4], number[5]};
    return dense_dx(&layer, bytes(1), bytes(2), bytes(3), number[6]);
}

static int64_t run_dense_update(void) {
    dense_update_t layer = {bytes(0), halves(1), octets(2), number[0], number[1], number[2], number[3], number[4]};
    return dense_update(&layer, bytes(3), bytes(4), number[5], number[6], number[7]);
}

static int64_t run_rescale_row(void) {
    rescale_row(bytes(0), number[0], number[1], number[2], number[3]);
    return 0;
}

static int64_t run_add_errors(void) {
    return add_errors(bytes(0), bytes(1), bytes(2), bytes(3), number[0], number[1], number[2], number[3]);
}

static int64_t run_latent_forward(void) {
    noise_t noise = {number[0], number[1], number[2]};
    return latent_forward(bytes(0), bytes(1), bytes(2), &noise, number[3], number[4], number[5], number[6]);
}

static int64_t run_latent_dlogvar(void) {
    noise_t noise = {number[0], number[1], number[2]};
    return latent_dlogvar(bytes(0), bytes(1), bytes(2), &noise, number[3], number[4], number[5], number[6]);
}

static int64_t run_latent_kl(void) {
    return latent_kl(bytes(0), bytes(1), number[0], number[1], number[2]);
}

static int64_t run_bernoulli_loss(void) {
    return bernoulli_loss(bytes(0), bytes(1), number[0], number[1], number[2]);
}

static int64_t run_bernoulli_dlogits(void) {
    return bernoulli_dlogits(bytes(0), bytes(1), bytes(2), number[0], number[1], number[2], number[3], number[4]);
}

static softmax_t softmax(void) {
    return (softmax_t) {number[0], number[1], number[2]};
}

static int64_t run_softmax_loss(void) {
    softmax_t of = softmax();
    return softmax_loss(&of, bytes(0), octets(1), number[3]);
}

static int64_t run_softmax_dlogits(void) {
    softmax_t of = softmax();
    return softmax_dlogits(&of, bytes(0), bytes(1), octets(2), number[3], number[4], number[5]);
}

static int64_t run_argmax(void) {
    argmax(octets(0), bytes(1), number[0], number[1]);
    return 0;
}

// Layers: a dense layer's five numbers and five tensors come first.

static dense_layer_t dense_layer(void) {
    return (dense_layer_t) {
        bytes(0), words(1), words(2), words(3), words(4), number[0], number[1], number[2], number[3], number[4]
    };
}

static int64_t run_dense_layer_forward(void) {
    dense_layer_t layer = dense_layer();
    return dense_layer_forward(&layer, bytes(5), bytes(6), number[5], number[6], number[7]);
}

static int64_t run_dense_layer_backward(void) {
    dense_layer_t layer = dense_layer();
    return dense_layer_backward(&layer, bytes(5), bytes(6), bytes(7), bytes(8), number[5], number[6]);
}

static int64_t run_dense_layer_update(void) {
    dense_layer_t layer = dense_layer();
    dense_layer_update(&layer, bytes(5), bytes(6), number[5], number[6], number[7], number[8], number[9], number[10]);
    return 0;
}

static int64_t run_errors_add(void) {
    return errors_add(bytes(0), bytes(1), bytes(2), bytes(3), number[0], number[1], words(4), number[2]);
}

static latent_layer_t latent_layer(void) {
    return (latent_layer_t) {words(0), number[0], number[1], number[2]};
}

static int64_t run_latent_layer_forward(void) {
    latent_layer_t layer = latent_layer();
    return latent_layer_forward(&layer, bytes(1), bytes(2), bytes(3), number[3], number[4], number[5], number[6],
        number[7]);
}

static int64_t run_latent_layer_backward(void) {
    latent_layer_t layer = latent_layer();
    latent_layer_backward(&layer, bytes(1), bytes(2), words(3), words(3) + 1, bytes(4), bytes(5), bytes(6), number[3],
        number[4], number[5], number[6], number[7]);
    return 0;
}

static int64_t run_latent_layer_kl(void) {
    return latent_layer_kl(bytes(0), bytes(1), number[0], number[1]);
}

static int64_t run_bernoulli_layer_loss(void) {
    return bernoulli_layer_loss(bytes(0), bytes(1), number[0], number[1]);
}

static int64_t run_softmax_layer_loss(void) {
    return softmax_layer_loss(bytes(0), octets(1), number[0], number[1], number[2]);
}

static int64_t run_bernoulli_layer_backward(void) {
    return bernoulli_layer_backward(bytes(0), bytes(1), bytes(2), number[0], number[1], words(3));
}

static int64_t run_softmax_layer_backward(void) {
    return softmax_layer_backward(bytes(0), bytes(1), octets(2), number[0], number[1], number[2], words(3));
}

// Scales and random keys.

static int64_t run_scale_from(void) {
    return scale_from((uint64_t)(uint32_t)number[1] << 32 | (uint32_t)number[0], number[2]);
}

static int64_t run_scale_mul(void) {
    return scale_mul(number[0], number[1]);
}

static int64_t run_scale_div(void) {
    return scale_div(number[0], number[1]);
}

static int64_t run_scale_sqrt(void) {
    return scale_sqrt(number[0]);
}

static int64_t run_scale_average(void) {
    return scale_average(number[0], number[1]);
}

static int64_t run_scale_integer(void) {
    return scale_integer(number[0], number[1], number[2]);
}

static int64_t run_random_key(void) {
    return random_key(number[0], number[1], number[2]);
}

// How often a layer gave its turn since this was asked last.
static int64_t run_turns(void) {
    uint32_t seen = turns;
    turns = 0;
    return seen;
}

// Writes number[0] at index number[1] of a buffer: how the tests find out that a sanitizer is awake.
static int64_t run_poke(void) {
    bytes(0)[number[1]] = number[0];
    return 0;
}

static int64_t run_add(void) {
    return number[0] + number[1];
}

#define ENTRY(name) { #name, run_ ## name }

static const struct {
    const char *name;
    int64_t (*run)(void);
} entries[] = {
    ENTRY(dense_forward), ENTRY(scale_rows), ENTRY(dense_dx), ENTRY(dense_update), ENTRY(rescale_row),
    ENTRY(add_errors), ENTRY(latent_forward), ENTRY(latent_dlogvar), ENTRY(latent_kl), ENTRY(bernoulli_loss),
    ENTRY(bernoulli_dlogits), ENTRY(softmax_loss), ENTRY(softmax_dlogits), ENTRY(argmax),
    ENTRY(dense_layer_forward), ENTRY(dense_layer_backward), ENTRY(dense_layer_update), ENTRY(errors_add),
    ENTRY(latent_layer_forward), ENTRY(latent_layer_backward), ENTRY(latent_layer_kl), ENTRY(bernoulli_layer_loss),
    ENTRY(softmax_layer_loss), ENTRY(bernoulli_layer_backward), ENTRY(softmax_layer_backward),
    ENTRY(scale_from), ENTRY(scale_mul), ENTRY(scale_div), ENTRY(scale_sqrt), ENTRY(scale_average),
    ENTRY(scale_integer), ENTRY(random_key), ENTRY(turns), ENTRY(poke), ENTRY(add),
};

static void get_buffer(buffer_t *b) {
    *b = (buffer_t) {0};
    b->length = get_u32();
    b->before = get_u32();
    if (b->length == ABSENT) {
        return;
    }
    b->block = malloc(b->before + b->length);
    memset(b->block, GUARD, b->before);
    b->data = b->block + b->before;
    get(b->data, b->length);
}

static void put_buffer(const buffer_t *b) {
    if (b->length == ABSENT) {
        return;
    }
    for (uint32_t i = 0; i < b->before; i++) {
        if (b->block[i] != GUARD) {
            fprintf(stderr, "written before a buffer\n");
            exit(1);
        }
    }
    fwrite(b->data, 1, b->length, stdout);
    free(b->block);
}

static void answer(void) {
    char name[32];
    get(name, sizeof name);
    uint32_t numbers = get_u32();
    get(number, 4 * numbers);
    buffers = get_u32();
    for (uint32_t i = 0; i < buffers; i++) {
        get_buffer(&buffer[i]);
    }
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        if (strncmp(entries[i].name, name, sizeof name) == 0) {
            int64_t result = entries[i].run();
            fwrite(&result, sizeof result, 1, stdout);
            for (uint32_t j = 0; j < buffers; j++) {
                put_buffer(&buffer[j]);
            }
            fflush(stdout);
            return;
        }
    }
    fprintf(stderr, "nothing is called %.32s\n", name);
    exit(1);
}

int main(void) {
    for (;;) {
        answer();
    }
}
