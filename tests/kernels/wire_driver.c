// SPDX-License-Identifier: MIT
// Runs native_modules/wire for test_wire.py: requests on stdin, answers on stdout, numbers little endian.
// Every buffer is allocated at exactly the size that is promised, so that a sanitizer sees a step beyond.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

static void get(void *data, size_t n) {
    if (n > 0 && fread(data, 1, n, stdin) != n) {
        exit(feof(stdin) ? 0 : 1);
    }
}

static void put(const void *data, size_t n) {
    fwrite(data, 1, n, stdout);
}

static uint32_t get_u32(void) {
    uint32_t v;
    get(&v, sizeof(v));
    return v;
}

static void put_u32(uint32_t v) {
    put(&v, sizeof(v));
}

static uint8_t *get_bytes(uint32_t *n) {
    *n = get_u32();
    uint8_t *data = malloc(*n);
    get(data, *n);
    return data;
}

static void put_header(const frame_header_t *h) {
    put_u32(h->type);
    put_u32(h->channel);
    put_u32(h->sequence);
    put_u32(h->session);
}

static void encode(void) {
    frame_header_t h;
    h.type = (uint8_t)get_u32();
    h.channel = (uint8_t)get_u32();
    h.sequence = (uint16_t)get_u32();
    h.session = get_u32();
    uint32_t n;
    uint8_t *payload = get_bytes(&n);
    h.length = (uint16_t)n;
    uint8_t *out = malloc(FRAME_SIZE(n));
    size_t length = frame_encode(out, &h, payload);
    put_u32((uint32_t)length);
    put(out, length);
    free(out);
    free(payload);
}

// Takes the stream in pieces. Answers 1, header and payload for each frame, then 0 and the counters.
static void receive(void) {
    uint32_t size = get_u32();
    uint32_t piece = get_u32();
    uint32_t n;
    uint8_t *stream = get_bytes(&n);
    uint8_t *buffer = malloc(size);
    frame_receiver_t r;
    frame_receiver_init(&r);
    for (uint32_t at = 0; at < n;) {
        uint32_t length = n - at < piece ? n - at : piece;
        uint8_t *data = malloc(length);
        memcpy(data, stream + at, length);
        bool whole;
        at += (uint32_t)frame_receive(&r, buffer, size, data, length, &whole);
        free(data);
        if (whole) {
            put_u32(1);
            put_header(&r.header);
            put_u32(r.header.length);
            put(buffer, r.header.length);
        }
    }
    put_u32(0);
    put_u32(r.corrupt);
    put_u32(r.oversize);
    put_u32(r.skipped);
    free(buffer);
    free(stream);
}

int main(void) {
    for (;;) {
        char request;
        get(&request, 1);
        if (request == 'E') {
            encode();
        } else {
            receive();
        }
        fflush(stdout);
    }
}
