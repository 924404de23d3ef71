// SPDX-License-Identifier: MIT
// Frames on a byte stream, as docs/protocol.md describes them. No allocation, no MicroPython.
#ifndef FIELDTUNE_WIRE_FRAME_H
#define FIELDTUNE_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cobs.h"

#define FRAME_HEADER 10
#define FRAME_CRC 4
#define FRAME_PAYLOAD_MAX 65535

// What a frame takes on the wire at most, its two zeros included.
#define FRAME_SIZE(payload) (COBS_MAX(FRAME_HEADER + (payload) + FRAME_CRC) + 2)

typedef struct {
    uint8_t type;
    uint8_t channel;
    uint16_t sequence;
    uint16_t length; // of the payload, bytes
    uint32_t session;
} frame_header_t;

// Writes the frame of header->length bytes at `payload` to `out`, which has room for
// FRAME_SIZE(header->length). Returns the bytes written.
size_t frame_encode(uint8_t *out, const frame_header_t *header, const uint8_t *payload);

typedef struct {
    frame_header_t header; // of the last whole frame
    uint32_t corrupt;      // frames cut short, or with a wrong CRC or length
    uint32_t oversize;     // frames longer than the buffer
    uint32_t skipped;      // bytes that were part of no valid frame

    cobs_decoder_t cobs;
    uint8_t raw_header[FRAME_HEADER];
    uint32_t taken; // bytes from the wire since the last zero
    size_t decoded; // bytes of header, payload and CRC
    bool too_long;
} frame_receiver_t;

void frame_receiver_init(frame_receiver_t *r);

// Takes bytes from the wire until one ends a valid frame, `n` at most. Payload and CRC are decoded to the `size` bytes of
// `buffer`. Returns how many bytes that were. `*whole`: a frame has ended, its header is in r->header, its payload at
// `buffer`.
size_t frame_receive(frame_receiver_t *r, uint8_t *buffer, size_t size, const uint8_t *data, size_t n, bool *whole);

#endif
