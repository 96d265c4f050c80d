/* A block of a page of an index: 256 oids that differ in their last byte -> position.

   A bit says of each of them whether it is there. The positions of those that are stand in
   a row, 6 bytes each, big-endian. So the place of one is how many bits are set in front of its
   own, which are counted within a word of 64, and noted for the words before. */

#ifndef PERDURE_PAGE_BLOCK_H
#define PERDURE_PAGE_BLOCK_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arena.h"

#define BLOCK_MOST 256
#define POSITION_BITS 48
#define POSITION_MASK ((UINT64_C(1) << POSITION_BITS) - 1)

struct block {
    uint64_t bits[4];
    uint8_t before[4]; /* how many entries stand in front of those of a word of bits */
    uint16_t count;
    uint16_t room; /* 0 in an arena, where it has none but for what is there */
    unsigned char positions[];
};

#define BLOCK_HEAD offsetof(struct block, positions)

static inline uint64_t swapped(uint64_t value) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static inline void put_position(unsigned char *at, uint64_t position) {
    position = swapped(position << 16);
    memcpy(at, &position, 6);
}

/* Return the position that stands at `at`, where 2 other bytes stand in front of it. */
static inline uint64_t position_at(const unsigned char *at) {
    uint64_t value;
    memcpy(&value, at - 2, 8);
    return swapped(value) & POSITION_MASK;
}

static inline unsigned bits_in(uint64_t word) {
    word -= word >> 1 & UINT64_C(0x5555555555555555);
    word = (word & UINT64_C(0x3333333333333333)) + (word >> 2 & UINT64_C(0x3333333333333333));
    word = (word + (word >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    return (unsigned)(word * UINT64_C(0x0101010101010101) >> 56);
}

static inline int in_block(const struct block *block, unsigned low) {
    return block->bits[low >> 6] >> (low & 63) & 1;
}

/* Return where the entry of `low` stands in a block, or would stand. */
static inline unsigned char *place_in(const struct block *block, unsigned low) {
    uint64_t lower = block->bits[low >> 6] & ((UINT64_C(1) << (low & 63)) - 1);
    unsigned number = block->before[low >> 6] + bits_in(lower);
    return (unsigned char *)block + BLOCK_HEAD + 6 * (size_t)number;
}

static inline void count_words(struct block *block) {
    unsigned before = 0, word;
    for (word = 0; word < 4; word++) {
        block->before[word] = (uint8_t)before;
        before += bits_in(block->bits[word]);
    }
}

static inline size_t block_size(unsigned room) {
    return BLOCK_HEAD + 6 * (size_t)room;
}

/* Return an empty block for so many entries, and no more where it is in the arena; NULL
 * without memory. */
static inline struct block *new_block(unsigned room, struct arena *arena) {
    struct block *block = take_from(arena, block_size(room));
    unsigned noted = block == NULL ? room : 0;
    if (block == NULL)
        block = PyMem_Malloc(block_size(room));
    if (block != NULL) {
        memset(block, 0, BLOCK_HEAD);
        block->room = (uint16_t)noted;
    }
    return block;
}

static inline void free_block(struct block *block) {
    if (block != NULL && block->room != 0)
        PyMem_Free(block);
}

/* Return a block with a place for one more, instead of `block`; NULL without memory. */
static inline struct block *larger_block(struct block *block) {
    unsigned room = (block->count + block->count / 2u + 8) & ~7u;
    struct block *larger;
    if (room > BLOCK_MOST)
        room = BLOCK_MOST;
    if (block->room == 0) {
        larger = PyMem_Malloc(block_size(room));
        if (larger != NULL)
            memcpy(larger, block, block_size(block->count));
    } else {
        larger = PyMem_Realloc(block, block_size(room));
    }
    if (larger != NULL)
        larger->room = (uint16_t)room;
    return larger;
}

/* Return the lowest of a block that is not below `low`, BLOCK_MOST if there is none. */
static inline unsigned next_in(const struct block *block, unsigned low) {
    uint64_t left;
    if (low >= BLOCK_MOST)
        return BLOCK_MOST;
    left = block->bits[low >> 6] >> (low & 63) << (low & 63);
    low &= ~63u;
    while (left == 0) {
        low += 64;
        if (low == BLOCK_MOST)
            return BLOCK_MOST;
        left = block->bits[low >> 6];
    }
    return low + (unsigned)__builtin_ctzll(left);
}

#endif
