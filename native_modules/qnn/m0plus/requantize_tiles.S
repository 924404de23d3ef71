// SPDX-License-Identifier: MIT
// void requantize_tiles(requantize_tiles_t *job), requantize_tiles_relu, requantize_tiles_masked      (tiles.h; C twin: tiles.c)
//
// Register map behind the dot products
//   r0      job                            r8..r11  the four dot products
//   r1      value                          r12      panel
//   r2, r3  scratch                        lr       job
//   r4 m    r5 s    r6 r    r7 out
// Clobbers nothing that the caller keeps. Stack: 36 bytes.
// Instructions: 12 a call; a tile 100 with ReLU, 112 without, 132 masked, and 38 for every two pairs.
// Cycles on the Cortex-M0+: 33; 142, 154, 182; 49. Where nothing is clamped, masked or a new peak.

#if defined(__ARM_ARCH_6M__)

#include "tiles.inc"

    .equ    S, 16
    .equ    M, 20
    .equ    R, 24
    .equ    HALF, 28
    .equ    LIMIT, 32
    .equ    OUT, 36
    .equ    STRIDE, 40
    .equ    TILES, 44
    .equ    PEAK, 48
    .equ    MASK, 52

    // r3 = the magnitude to track of the value in r1
    .macro magnitude relu
    .if \relu
    movs    r3, r1
    .else
    asrs    r2, r1, #31
    movs    r3, r1
    eors    r3, r2
    subs    r3, r3, r2
    .endif
    .endm

    .macro requantize sum, relu, masked
    .if \masked
    ldr     r2, [r0, #MASK]
    movs    r1, #0
    ldrsb   r2, [r7, r2]
    cmp     r2, #0
    ble     4f
    .endif
    mov     r1, \sum
    asrs    r1, r5
    muls    r1, r4
    magnitude \relu
    ldr     r2, [r0, #PEAK]
    cmp     r3, r2
    ble     2f
    str     r3, [r0, #PEAK]
2:  ldr     r2, [r0, #HALF]
    adds    r1, r1, r2
    asrs    r1, r6
    ldr     r2, [r0, #LIMIT]
    cmp     r1, r2
    ble     3f
    movs    r1, r2
3:
    .if \relu
    movs    r2, #0
    .else
    rsbs    r2, r2, #0
    .endif
    cmp     r1, r2
    bge     4f
    movs    r1, r2
4:  strb    r1, [r7]
    ldr     r2, [r0, #STRIDE]
    adds    r7, r7, r2
    .endm

    .macro make_requantize_tiles name, relu=0, masked=0
    .section .time_critical.\name, "ax", %progbits
    .global \name
    .type   \name, %function
    .thumb_func
    .balign 4
\name:
    save_registers
    mov     job, r0
    ldr     panel, [r0, #PANEL]
5:  dot_products
    mov     r12, panel
    mov     r0, job
    ldr     r4, [r0, #M]
    ldr     r5, [r0, #S]
    ldr     r6, [r0, #R]
    ldr     r7, [r0, #OUT]
    requantize r8, \relu, \masked
    requantize r9, \relu, \masked
    requantize r10, \relu, \masked
    requantize r11, \relu, \masked
    str     r7, [r0, #OUT]
    ldr     r1, [r0, #TILES]
    subs    r1, r1, #1
    str     r1, [r0, #TILES]
    beq     6f
    mov     panel, r12
    b       5b
6:  restore_registers
    .size   \name, . - \name
    .endm

    make_requantize_tiles requantize_tiles
    make_requantize_tiles requantize_tiles_relu, relu=1
    make_requantize_tiles requantize_tiles_masked, masked=1

#endif
