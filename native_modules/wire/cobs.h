// SPDX-License-Identifier: MIT
// Consistent Overhead Byte Stuffing: a sequence of any bytes becomes one without zeros.
// Cheshire and Baker, IEEE/ACM Transactions on Networking 7(2), 1999.
#ifndef FIELDTUNE_WIRE_COBS_H
#define FIELDTUNE_WIRE_COBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What `n` bytes can grow to.
#define COBS_MAX(n) ((n) + (n) / 254 + 1)

typedef struct {
    uint8_t *code; // where the length of the present block goes
    uint8_t *next;
} cobs_encoder_t;

// The caller has COBS_MAX(total) bytes at `out`.
void cobs_encode_begin(cobs_encoder_t *e, uint8_t *out);
void cobs_encode(cobs_encoder_t *e, const uint8_t *data, size_t n);
// Returns the first byte behind the encoded ones.
uint8_t *cobs_encode_end(cobs_encoder_t *e);

typedef struct {
    uint8_t left;  // bytes that the present block still holds
    bool zero_due; // the next block is preceded by a zero
} cobs_decoder_t;

static inline void cobs_decode_begin(cobs_decoder_t *d) {
    d->left = 0;
    d->zero_due = false;
}

// Takes one byte, which is not 0. Returns the byte it stands for, or -1 when it stands for none.
// Here because it is called for every byte that comes in.
static inline int cobs_decode(cobs_decoder_t *d, uint8_t byte) {
    if (d->left > 0) {
        --d->left;
        return byte;
    }
    bool zero = d->zero_due;
    d->left = (uint8_t)(byte - 1);
    d->zero_due = byte != 0xff;
    return zero ? 0 : -1;
}

#endif
