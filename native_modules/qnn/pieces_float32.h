// SPDX-License-Identifier: MIT
// Divides a float32 kernel's work, so that USB gets its turn: a result of `count` items in pieces of bounded cost.
//
//     pieces_t piece = in_pieces(count, cost);
//     while (next_piece(&piece)) { kernel(..., piece.first, piece.end); }
#ifndef QNN_PIECES_FLOAT32_H
#define QNN_PIECES_FLOAT32_H

#include "pieces.h"

// Costs are in multiply-accumulates, 200 cycles each where floats are software: under 10 ms at 125 MHz.
#define TURN_MACS_FLOAT32 (5000)
#define EXP_MACS (40)  // an item with an exponential or two in it

typedef struct {
    uint32_t first, end;
    uint32_t count, at_once, clock;
} pieces_t;

static inline pieces_t in_pieces(uint32_t count, uint32_t cost) {
    uint32_t at_once = TURN_MACS_FLOAT32 / cost;
    return (pieces_t) {.count = count, .at_once = at_once ? at_once : 1};
}

static inline bool next_piece(pieces_t *piece) {
    if (piece->end) {
        piece_end(piece->clock);
    }
    piece->first = piece->end;
    piece->end = piece->count - piece->first < piece->at_once ? piece->count : piece->first + piece->at_once;
    piece->clock = piece_start();
    return piece->first < piece->count;
}

#endif
