// SPDX-License-Identifier: MIT
#include "binding.h"

#include <string.h>

#include "py/binary.h"

NORETURN void qnn_raise(qstr name) {
    mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("wrong %q"), name);
}

// `codes` are the array typecodes that may hold such items; plain bytes hold anything.
static void *items(mp_obj_t object, size_t size, const char *codes, size_t count, mp_uint_t access, qstr name) {
    mp_buffer_info_t info;
    if (!mp_get_buffer(object, &info, access)) {
        qnn_raise(name);
    }
    size_t align = 1;
    bool plain = info.typecode == BYTEARRAY_TYPECODE || info.typecode == 'B';
    bool same = !plain && strchr(codes, info.typecode) && mp_binary_get_size('@', info.typecode, &align) == size;
    if (!(plain || same) || info.len < size * count || (uintptr_t)info.buf % size) {
        qnn_raise(name);
    }
    return info.buf;
}

void *qnn_bytes(mp_obj_t object, size_t count, mp_uint_t access, qstr name) {
    return items(object, 1, "b", count, access, name);
}

void *qnn_words(mp_obj_t object, size_t count, mp_uint_t access, qstr name) {
    return items(object, 4, "il", count, access, name);
}

void *qnn_floats(mp_obj_t object, size_t count, mp_uint_t access, qstr name) {
    return items(object, 4, "f", count, access, name);
}

void *qnn_optional(qnn_items_t *items, mp_obj_t object, size_t count, mp_uint_t access, qstr name) {
    return object == mp_const_none ? NULL : items(object, count, access, name);
}

uint32_t qnn_int(mp_obj_t object, uint32_t low, uint32_t high, qstr name) {
    if (!mp_obj_is_small_int(object)) {
        qnn_raise(name);
    }
    mp_int_t value = MP_OBJ_SMALL_INT_VALUE(object);
    if (value < (mp_int_t)low || value > (mp_int_t)high) {
        qnn_raise(name);
    }
    return value;
}

scale_t qnn_scale_or_zero(mp_obj_t object, qstr name) {
    if (!mp_obj_is_small_int(object)) {
        qnn_raise(name);
    }
    mp_int_t value = MP_OBJ_SMALL_INT_VALUE(object);
    if (value != (int32_t)value || (value && !scale_is_valid(value))) {
        qnn_raise(name);
    }
    return value;
}

scale_t qnn_scale(mp_obj_t object, qstr name) {
    scale_t value = qnn_scale_or_zero(object, name);
    if (value == 0) {
        qnn_raise(name);
    }
    return value;
}

static scale_t *scales(mp_obj_t object, size_t count, bool unset_allowed, qstr name) {
    scale_t *found = qnn_words(object, count, MP_BUFFER_RW, name);
    for (size_t i = 0; i < count; i++) {
        if (!scale_is_valid(found[i]) && !(unset_allowed && found[i] == 0)) {
            qnn_raise(name);
        }
    }
    return found;
}

scale_t *qnn_scales(mp_obj_t object, size_t count, qstr name) {
    return scales(object, count, false, name);
}

scale_t *qnn_states(mp_obj_t object, size_t count, qstr name) {
    return scales(object, count, true, name);
}
