// SPDX-License-Identifier: MIT
// void update_tiles(update_tiles_t *job)      (tiles.h; C twin: tiles.c)
//
// Register map behind the dot products
//   r0      random word                    r8..r11  the four dot products, then r8 the tile's sum of g * g
//   r1      g, step, weight                r12      panel
//   r2, r3  scratch                        lr       job
//   r4 m    r5 s    r6 r    r7 w
// Clobbers nothing that the caller keeps. Stack: 36 bytes.
// Instructions: 12 a call, 160 a tile and 38 for every two pairs.
// Cycles on the Cortex-M0+: 33, 192 and 49. Where nothing is clamped or a new peak.

#if defined(__ARM_ARCH_6M__)

#include "tiles.inc"

    .equ    S, 16
    .equ    M, 20
    .equ    R, 24
    .equ    DITHER, 28
    .equ    WEIGHT, 32
    .equ    TILES, 36
    .equ    STATE, 40
    .equ    PEAK, 44
    .equ    POWER, 48

    // r0 = job's next random word
    .macro next_word
    mov     r3, job
    ldr     r0, [r3, #STATE]
    lsls    r1, r0, #13
    eors    r0, r1
    lsrs    r1, r0, #17
    eors    r0, r1
    lsls    r1, r0, #5
    eors    r0, r1
    str     r0, [r3, #STATE]
    .endm

    // Weight \place of the tile from its gradient in \sum; leaves g * g in \sum.
    .macro step sum, place
    mov     r1, \sum
    asrs    r1, r5
    movs    r2, r1
    muls    r2, r1
    mov     \sum, r2
    muls    r1, r4
    uxtb    r2, r0
    lsls    r2, r2, #1
    adds    r2, r2, #1
    mov     r3, job
    ldr     r3, [r3, #DITHER]
    lsls    r2, r3
    adds    r1, r1, r2
    asrs    r1, r6
    movs    r2, #\place
    ldrsb   r2, [r7, r2]
    subs    r1, r2, r1
    asrs    r2, r1, #31
    movs    r3, r1
    eors    r3, r2
    subs    r2, r3, r2
    mov     r3, job
    ldr     r3, [r3, #PEAK]
    cmp     r2, r3
    bhi     7f
2:  cmp     r2, #127
    bhi     8f
3:  strb    r1, [r7, #\place]
    .if \place < 3
    lsrs    r0, r0, #8
    .endif
    .subsection 1
7:  mov     r3, job
    str     r2, [r3, #PEAK]
    b       2b
8:  asrs    r1, r1, #31
    movs    r2, #127
    eors    r1, r2
    // -128 for negative ones: one more for them
    lsrs    r2, r1, #31
    adds    r1, r1, r2
    b       3b
    .previous
    .endm

    .section .time_critical.update_tiles, "ax", %progbits
    .global update_tiles
    .type   update_tiles, %function
    .thumb_func
    .balign 4
update_tiles:
    save_registers
    mov     job, r0
    ldr     panel, [r0, #PANEL]
5:  dot_products
    mov     r12, panel
    next_word
    ldr     r4, [r3, #M]
    ldr     r5, [r3, #S]
    ldr     r6, [r3, #R]
    ldr     r7, [r3, #WEIGHT]
    step    r8, 0
    step    r9, 1
    step    r10, 2
    step    r11, 3
    // Four squares of 15 bits each fit 32 bits; the sum over the row needs 64.
    add     r8, r9
    add     r8, r10
    add     r8, r11
    mov     r0, job
    ldr     r1, [r0, #POWER]
    ldr     r2, [r0, #POWER + 4]
    movs    r3, #0
    mov     r4, r8
    adds    r1, r1, r4
    adcs    r2, r3
    str     r1, [r0, #POWER]
    str     r2, [r0, #POWER + 4]
    adds    r7, r7, #4
    str     r7, [r0, #WEIGHT]
    ldr     r1, [r0, #TILES]
    subs    r1, r1, #1
    str     r1, [r0, #TILES]
    beq     6f
    mov     panel, r12
    b       5b
6:  restore_registers
    .size   update_tiles, . - update_tiles

#endif
