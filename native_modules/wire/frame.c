// SPDX-License-Identifier: MIT
#include <string.h>

#include "crc32.h"
#include "frame.h"

static void put_u16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void put_u32(uint8_t *p, uint32_t v) {
    put_u16(p, (uint16_t)v);
    put_u16(p + 2, (uint16_t)(v >> 16));
}

static uint16_t get_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get_u32(const uint8_t *p) {
    return get_u16(p) | (uint32_t)get_u16(p + 2) << 16;
}

size_t frame_encode(uint8_t *out, const frame_header_t *header, const uint8_t *payload) {
    uint8_t raw[FRAME_HEADER];
    raw[0] = header->type;
    raw[1] = header->channel;
    put_u16(raw + 2, header->sequence);
    put_u16(raw + 4, header->length);
    put_u32(raw + 6, header->session);
    uint8_t crc[FRAME_CRC];
    put_u32(crc, wire_crc32(wire_crc32(0, raw, FRAME_HEADER), payload, header->length));

    cobs_encoder_t e;
    out[0] = 0;
    cobs_encode_begin(&e, out + 1);
    cobs_encode(&e, raw, FRAME_HEADER);
    cobs_encode(&e, payload, header->length);
    cobs_encode(&e, crc, FRAME_CRC);
    uint8_t *end = cobs_encode_end(&e);
    *end++ = 0;
    return (size_t)(end - out);
}

static void begin(frame_receiver_t *r) {
    cobs_decode_begin(&r->cobs);
    r->taken = 0;
    r->decoded = 0;
    r->too_long = false;
}

void frame_receiver_init(frame_receiver_t *r) {
    memset(r, 0, sizeof(*r));
    begin(r);
}

static bool is_valid(const frame_receiver_t *r, const uint8_t *buffer, size_t size) {
    if (r->cobs.left > 0 || r->decoded < FRAME_HEADER + FRAME_CRC || r->decoded > FRAME_HEADER + size) {
        return false;
    }
    size_t length = r->decoded - FRAME_HEADER - FRAME_CRC;
    const uint8_t *raw = r->raw_header;
    if (get_u16(raw + 4) != length) {
        return false;
    }
    return get_u32(buffer + length) == wire_crc32(wire_crc32(0, raw, FRAME_HEADER), buffer, length);
}

static void read_header(frame_receiver_t *r) {
    const uint8_t *raw = r->raw_header;
    r->header.type = raw[0];
    r->header.channel = raw[1];
    r->header.sequence = get_u16(raw + 2);
    r->header.length = get_u16(raw + 4);
    r->header.session = get_u32(raw + 6);
}

// The zero at the end of one frame and the one at the start of the next may be the same byte, so a zero always ends
// what came before it and starts something new.
static bool end_frame(frame_receiver_t *r, const uint8_t *buffer, size_t size) {
    bool valid = false;
    if (r->too_long) {
        ++r->oversize;
        r->skipped += r->taken;
    } else if (r->taken > 0) {
        valid = is_valid(r, buffer, size);
        if (valid) {
            read_header(r);
        } else {
            ++r->corrupt;
            r->skipped += r->taken;
        }
    }
    begin(r);
    return valid;
}

static size_t skip(const uint8_t *data, size_t n) {
    size_t i = 0;
    while (i < n && data[i] != 0) {
        i++;
    }
    return i;
}

// Decodes to what is left of the header or, behind that, of the buffer. Returns the bytes taken: up to a zero, the end
// of the header, or the end of the data.
static size_t decode(frame_receiver_t *r, uint8_t *buffer, size_t size, const uint8_t *data, size_t n) {
    bool in_header = r->decoded < FRAME_HEADER;
    uint8_t *start = in_header ? r->raw_header + r->decoded : buffer + (r->decoded - FRAME_HEADER);
    uint8_t *end = in_header ? r->raw_header + FRAME_HEADER : buffer + size;
    uint8_t *stop = in_header ? end : NULL;
    uint8_t *next = start;
    cobs_decoder_t cobs = r->cobs;
    size_t i = 0;
    while (i < n && data[i] != 0 && next != stop) {
        int value = cobs_decode(&cobs, data[i++]);
        if (value < 0) {
            continue;
        }
        if (next >= end) {
            r->too_long = true;
            break;
        }
        *next++ = (uint8_t)value;
    }
    r->cobs = cobs;
    r->decoded += (size_t)(next - start);
    return i;
}

size_t frame_receive(frame_receiver_t *r, uint8_t *buffer, size_t size, const uint8_t *data, size_t n, bool *whole) {
    size_t i = 0;
    *whole = false;
    while (i < n && !*whole) {
        if (data[i] == 0) {
            *whole = end_frame(r, buffer, size);
            i++;
            continue;
        }
        size_t taken = r->too_long ? skip(data + i, n - i) : decode(r, buffer, size, data + i, n - i);
        r->taken += (uint32_t)taken;
        i += taken;
    }
    return i;
}
