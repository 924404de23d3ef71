// SPDX-License-Identifier: MIT
#include "cobs.h"

static void open_block(cobs_encoder_t *e) {
    e->code = e->next++;
    *e->code = 1;
}

void cobs_encode_begin(cobs_encoder_t *e, uint8_t *out) {
    e->next = out;
    open_block(e);
}

void cobs_encode(cobs_encoder_t *e, const uint8_t *data, size_t n) {
    while (n-- > 0) {
        // A full block is closed when another byte comes, so that none is left empty at the end.
        if (*e->code == 0xff) {
            open_block(e);
        }
        uint8_t byte = *data++;
        if (byte == 0) {
            open_block(e);
        } else {
            *e->next++ = byte;
            ++*e->code;
        }
    }
}

uint8_t *cobs_encode_end(cobs_encoder_t *e) {
    return e->next;
}

void cobs_decode_begin(cobs_decoder_t *d) {
    d->left = 0;
    d->zero_due = false;
}

int cobs_decode(cobs_decoder_t *d, uint8_t byte) {
    if (d->left > 0) {
        --d->left;
        return byte;
    }
    bool zero = d->zero_due;
    d->left = byte - 1;
    d->zero_due = byte != 0xff;
    return zero ? 0 : -1;
}
