// SPDX-License-Identifier: MIT
// Four dot products at once, two multiply-accumulates a MULS.
//
// A word of `pairs` holds two operands as p0 + 65536 p1, a word of `panel` two partners the other way round,
// q1 + 65536 q0; all are signed bytes. Their product modulo 2^32 is p0 q1 + 65536 (p0 q0 + p1 q1): the low half is at most
// 127 * 127 in magnitude, so adding 2^15 and shifting right by 16 leaves p0 q0 + p1 q1, exactly.
#ifndef QNN_M0PLUS_DOT4_H
#define QNN_M0PLUS_DOT4_H

#include <stdint.h>

// acc[j] += sum over p of the pair products of pairs[p] and panel[p][j], p < count; count is even and not 0.
void dot4(int32_t acc[4], const int32_t *pairs, const int32_t (*panel)[4], uint32_t count);

#endif
