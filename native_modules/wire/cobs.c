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
