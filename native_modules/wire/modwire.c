// SPDX-License-Identifier: MIT
// The module `wire`: frames on a stream, for fieldtune.link. Binding only.
#include "py/mperrno.h"
#include "py/objarray.h"
#include "py/runtime.h"
#include "py/stream.h"

#include "crc32.h"
#include "frame.h"

// How bytes come in. A file descriptor hands out what is there. Other streams block until as many bytes came as were
// asked for, and are read one by one. On TinyUSB ports that costs two turns of the USB stack a byte, so there frames are
// decoded from the ring behind stdin.
#if MICROPY_PY_SELECT_POSIX_OPTIMISATIONS
#define HAS_POSIX_POLL 1
#define CHUNK 256
#include <poll.h>
#else
#define HAS_POSIX_POLL 0
#define CHUNK 1
#endif
#define HAS_STDIN_RING (MICROPY_HW_USB_CDC && MICROPY_HW_ENABLE_USBDEV && !MICROPY_EXCLUDE_SHARED_TINYUSB_USBD_CDC)
#if HAS_STDIN_RING
#include "py/mphal.h"
#include "py/ringbuf.h"
extern const struct _mp_dummy_t mp_sys_stdin_obj;
#endif

// poll() returns after that many bytes even if more are there, so that garbage without end cannot hold it.
#define POLL_BYTES 8192

static mp_int_t get_int(mp_obj_t arg, mp_int_t low, mp_int_t high) {
    mp_int_t value = mp_obj_get_int(arg);
    if (value < low || value > high) {
        mp_raise_ValueError(MP_ERROR_TEXT("out of range"));
    }
    return value;
}

static bool stream_ready(mp_obj_t stream) {
    const mp_stream_p_t *protocol = mp_get_stream(stream);
    int error = 0;
    #if HAS_POSIX_POLL
    mp_uint_t fd = protocol->ioctl(stream, MP_STREAM_GET_FILENO, 0, &error);
    if (fd != MP_STREAM_ERROR) {
        struct pollfd p = {.fd = (int)fd, .events = POLLIN};
        return poll(&p, 1, 0) > 0;
    }
    #endif
    mp_uint_t ready = protocol->ioctl(stream, MP_STREAM_POLL, MP_STREAM_POLL_RD, &error);
    if (ready == MP_STREAM_ERROR) {
        mp_raise_OSError(error);
    }
    return ready & MP_STREAM_POLL_RD;
}

/******************************************************************************/
// Receiver

typedef struct {
    mp_obj_base_t base;
    mp_obj_t stream;
    mp_obj_t buffer;
    frame_receiver_t frames;
    #if HAS_STDIN_RING
    bool is_stdin;
    #endif
    uint16_t at, end; // what of `chunk` is still to be taken
    uint8_t chunk[CHUNK];
} receiver_obj_t;

// The buffer is looked up at every poll, because a bytearray can move when it is resized.
static void get_buffer(receiver_obj_t *self, mp_buffer_info_t *info) {
    mp_get_buffer_raise(self->buffer, info, MP_BUFFER_WRITE);
}

static void set_buffer(receiver_obj_t *self, mp_obj_t buffer) {
    mp_buffer_info_t info;
    mp_get_buffer_raise(buffer, &info, MP_BUFFER_WRITE);
    if (info.len < FRAME_CRC) {
        mp_raise_ValueError(MP_ERROR_TEXT("buffer too small"));
    }
    self->buffer = buffer;
}

static mp_obj_t receiver_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 2, 2, false);
    mp_get_stream_raise(args[0], MP_STREAM_OP_READ | MP_STREAM_OP_IOCTL);
    receiver_obj_t *self = mp_obj_malloc(receiver_obj_t, type);
    self->stream = args[0];
    #if HAS_STDIN_RING
    self->is_stdin = args[0] == mp_load_attr(MP_OBJ_FROM_PTR(&mp_sys_stdin_obj), MP_QSTR_buffer);
    #endif
    self->at = self->end = 0;
    frame_receiver_init(&self->frames);
    set_buffer(self, args[1]);
    return MP_OBJ_FROM_PTR(self);
}

// Reads to the empty chunk. False when there is nothing to read.
static bool fill(receiver_obj_t *self) {
    if (!stream_ready(self->stream)) {
        return false;
    }
    int error;
    mp_uint_t n = mp_get_stream(self->stream)->read(self->stream, self->chunk, CHUNK, &error);
    if (n == MP_STREAM_ERROR) {
        if (mp_is_nonblocking_error(error)) {
            return false;
        }
        mp_raise_OSError(error);
    }
    if (n == 0) {
        mp_raise_type(&mp_type_EOFError);
    }
    self->at = 0;
    self->end = (uint16_t)n;
    return true;
}

// What has come and lies in one piece: its length and address. 0 when there is nothing.
static size_t peek(receiver_obj_t *self, const uint8_t **data) {
    #if HAS_STDIN_RING
    if (self->is_stdin) {
        ringbuf_t *ring = &stdin_ringbuf;
        if (ring->iget == ring->iput) {
            stream_ready(self->stream);
        }
        *data = ring->buf + ring->iget;
        return (ring->iput < ring->iget ? ring->size : ring->iput) - ring->iget;
    }
    #endif
    if (self->at == self->end && !fill(self)) {
        return 0;
    }
    *data = self->chunk + self->at;
    return self->end - self->at;
}

static void consume(receiver_obj_t *self, size_t n) {
    #if HAS_STDIN_RING
    if (self->is_stdin) {
        size_t iget = stdin_ringbuf.iget + n;
        stdin_ringbuf.iget = (uint16_t)(iget < stdin_ringbuf.size ? iget : 0);
        return;
    }
    #endif
    self->at += (uint16_t)n;
}

// Reads what is there. Returns the payload's length when a frame is whole, or -1.
static mp_obj_t receiver_poll(mp_obj_t self_in) {
    receiver_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_buffer_info_t info;
    get_buffer(self, &info);
    const uint8_t *data;
    size_t n;
    for (size_t read = 0; read < POLL_BYTES && (n = peek(self, &data)) > 0; read += n) {
        bool whole;
        n = frame_receive(&self->frames, info.buf, info.len, data, n, &whole);
        consume(self, n);
        if (whole) {
            return MP_OBJ_NEW_SMALL_INT(self->frames.header.length);
        }
    }
    return MP_OBJ_NEW_SMALL_INT(-1);
}
static MP_DEFINE_CONST_FUN_OBJ_1(receiver_poll_obj, receiver_poll);

static mp_obj_t receiver_load(const receiver_obj_t *self, qstr attr) {
    const frame_receiver_t *frames = &self->frames;
    switch (attr) {
        case MP_QSTR_type:
            return MP_OBJ_NEW_SMALL_INT(frames->header.type);
        case MP_QSTR_channel:
            return MP_OBJ_NEW_SMALL_INT(frames->header.channel);
        case MP_QSTR_sequence:
            return MP_OBJ_NEW_SMALL_INT(frames->header.sequence);
        case MP_QSTR_session:
            return mp_obj_new_int_from_uint(frames->header.session);
        case MP_QSTR_corrupt:
            return mp_obj_new_int_from_uint(frames->corrupt);
        case MP_QSTR_oversize:
            return mp_obj_new_int_from_uint(frames->oversize);
        case MP_QSTR_skipped:
            return mp_obj_new_int_from_uint(frames->skipped);
        case MP_QSTR_buffer:
            return self->buffer;
        default:
            return MP_OBJ_NULL;
    }
}

static void receiver_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest) {
    receiver_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (dest[0] == MP_OBJ_NULL) {
        dest[0] = receiver_load(self, attr);
        if (dest[0] == MP_OBJ_NULL) {
            dest[1] = MP_OBJ_SENTINEL; // look among the methods
        }
    } else if (attr == MP_QSTR_buffer && dest[1] != MP_OBJ_NULL) {
        set_buffer(self, dest[1]);
        dest[0] = MP_OBJ_NULL;
    }
}

static const mp_rom_map_elem_t receiver_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_poll), MP_ROM_PTR(&receiver_poll_obj) },
};
static MP_DEFINE_CONST_DICT(receiver_locals, receiver_locals_table);

static MP_DEFINE_CONST_OBJ_TYPE(
    receiver_type,
    MP_QSTR_Receiver,
    MP_TYPE_FLAG_NONE,
    make_new, receiver_make_new,
    attr, receiver_attr,
    locals_dict, &receiver_locals
    );

/******************************************************************************/
// Tally: what one direction has carried

typedef struct {
    mp_obj_base_t base;
    uint32_t counts[3]; // frames, bytes, CRC-32
} tally_obj_t;

static mp_obj_t tally_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    (void)args;
    mp_arg_check_num(n_args, n_kw, 0, 0, false);
    tally_obj_t *self = mp_obj_malloc(tally_obj_t, type);
    self->counts[0] = self->counts[1] = self->counts[2] = 0;
    return MP_OBJ_FROM_PTR(self);
}

// add(buffer[, length])
static mp_obj_t tally_add(size_t n_args, const mp_obj_t *args) {
    tally_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    mp_buffer_info_t info;
    mp_get_buffer_raise(args[1], &info, MP_BUFFER_READ);
    size_t length = n_args == 3 ? (size_t)get_int(args[2], 0, (mp_int_t)info.len) : info.len;
    self->counts[0] += 1;
    self->counts[1] += (uint32_t)length;
    self->counts[2] = wire_crc32(self->counts[2], info.buf, length);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tally_add_obj, 2, 3, tally_add);

// pack_into(buffer, offset): 12 bytes, little endian
static mp_obj_t tally_pack_into(mp_obj_t self_in, mp_obj_t buffer_in, mp_obj_t offset_in) {
    tally_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_buffer_info_t info;
    mp_get_buffer_raise(buffer_in, &info, MP_BUFFER_WRITE);
    uint8_t *out = (uint8_t *)info.buf + get_int(offset_in, 0, (mp_int_t)info.len - 12);
    for (size_t i = 0; i < 12; i++) {
        out[i] = (uint8_t)(self->counts[i / 4] >> (i % 4 * 8));
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(tally_pack_into_obj, tally_pack_into);

static void tally_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest) {
    tally_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (dest[0] != MP_OBJ_NULL) {
        return;
    }
    if (attr == MP_QSTR_frames || attr == MP_QSTR_bytes) {
        dest[0] = mp_obj_new_int_from_uint(self->counts[attr == MP_QSTR_bytes]);
    } else {
        dest[1] = MP_OBJ_SENTINEL;
    }
}

static const mp_rom_map_elem_t tally_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_add), MP_ROM_PTR(&tally_add_obj) },
    { MP_ROM_QSTR(MP_QSTR_pack_into), MP_ROM_PTR(&tally_pack_into_obj) },
};
static MP_DEFINE_CONST_DICT(tally_locals, tally_locals_table);

static MP_DEFINE_CONST_OBJ_TYPE(
    tally_type,
    MP_QSTR_Tally,
    MP_TYPE_FLAG_NONE,
    make_new, tally_make_new,
    attr, tally_attr,
    locals_dict, &tally_locals
    );

/******************************************************************************/
// Module

// encode(out, type, channel, sequence, session, payload): returns the bytes written to `out`
static mp_obj_t wire_encode(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    mp_buffer_info_t out, payload;
    mp_get_buffer_raise(args[0], &out, MP_BUFFER_WRITE);
    mp_get_buffer_raise(args[5], &payload, MP_BUFFER_READ);
    if (payload.len > FRAME_PAYLOAD_MAX || out.len < FRAME_SIZE(payload.len)) {
        mp_raise_ValueError(MP_ERROR_TEXT("buffer too small"));
    }
    frame_header_t header = {
        .type = (uint8_t)get_int(args[1], 0, 0xff),
        .channel = (uint8_t)get_int(args[2], 0, 0xff),
        .sequence = (uint16_t)get_int(args[3], 0, 0xffff),
        .session = (uint32_t)get_int(args[4], 0, 0x3fffffff),
        .length = (uint16_t)payload.len,
    };
    return MP_OBJ_NEW_SMALL_INT(frame_encode(out.buf, &header, payload.buf));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(wire_encode_obj, 6, 6, wire_encode);

// frame_size(length): the room that encode() wants for a payload of `length` bytes
static mp_obj_t wire_frame_size(mp_obj_t length_in) {
    return MP_OBJ_NEW_SMALL_INT(FRAME_SIZE(get_int(length_in, 0, FRAME_PAYLOAD_MAX)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(wire_frame_size_obj, wire_frame_size);

static const mp_rom_map_elem_t wire_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_wire) },
    { MP_ROM_QSTR(MP_QSTR_Receiver), MP_ROM_PTR(&receiver_type) },
    { MP_ROM_QSTR(MP_QSTR_Tally), MP_ROM_PTR(&tally_type) },
    { MP_ROM_QSTR(MP_QSTR_encode), MP_ROM_PTR(&wire_encode_obj) },
    { MP_ROM_QSTR(MP_QSTR_frame_size), MP_ROM_PTR(&wire_frame_size_obj) },
};
static MP_DEFINE_CONST_DICT(wire_globals, wire_globals_table);

const mp_obj_module_t wire_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&wire_globals,
};

MP_REGISTER_MODULE(MP_QSTR_wire, wire_module);
