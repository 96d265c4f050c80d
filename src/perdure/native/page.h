/* The entries of one page of an index, in memory of their own: 2 bytes of an oid -> position.

   Packed, as in the index file, they are all suffixes in order, then the position of each in 6
   bytes, both big-endian. In memory a page has one of two forms:

       row     a sorted array of entries of 8 bytes, the suffix before the position
       blocks  for each first byte of suffixes, where it has any, a block: a bit for each second
               byte, and the positions of those that are there, as in a packed page

   A row is what few entries have, or such as are far apart, up to 4096; so a page of one entry is
   small. A full page of 65,536 takes 6.2 bytes for each.

   None of this runs Python code, or lets another thread run. */

#ifndef PERDURE_PAGE_H
#define PERDURE_PAGE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#include "arena.h"
#include "page_block.h"

#define PAGE_SUFFIXES 65536
#define PAGE_BLOCKS 256
#define ROW_MOST 4096
#define IN_BLOCKS UINT32_MAX
#define ENTRY_SIZE 8 /* packed */

struct blocks {
    struct arena *arena; /* of some of them, or NULL */
    struct block *at[PAGE_BLOCKS];
};

struct page {
    uint32_t count;
    uint32_t room; /* of the row, or IN_BLOCKS */
    union {
        uint64_t *row;
        struct blocks *blocks;
    };
};

static inline uint16_t swapped_2(uint16_t value) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = (uint16_t)(value << 8 | value >> 8);
#endif
    return value;
}

static inline unsigned suffix_at(const unsigned char *at) { return (unsigned)at[0] << 8 | at[1]; }

static inline unsigned suffix_of(uint64_t entry) { return (unsigned)(entry >> POSITION_BITS); }

/* Rows ------------------------------------------------------------------------------------- */

/* Return the number of the first entry of a row that is not below `suffix`. */
static inline uint32_t place_in_row(const struct page *page, unsigned suffix) {
    const uint64_t *row = page->row;
    uint64_t sought = (uint64_t)suffix << POSITION_BITS;
    uint32_t low = 0, left = page->count, guess;
    if (left == 0 || row[left - 1] < sought)
        return left;
    if (row[0] >= sought)
        return 0;
    guess = suffix - suffix_of(row[0]); /* where it is if all between are there, or beyond */
    if (guess < left && suffix_of(row[guess]) == suffix)
        return guess;
    while (left > 0) {
        uint32_t half = left / 2;
        int higher = row[low + half] < sought;
        low = higher ? low + half + 1 : low;
        left = higher ? left - half - 1 : half;
    }
    return low;
}

/* A page ----------------------------------------------------------------------------------- */

static inline void clear_page(struct page *page) {
    if (page->room == IN_BLOCKS) {
        unsigned high;
        for (high = 0; high < PAGE_BLOCKS; high++)
            free_block(page->blocks->at[high]);
        leave_arena(page->blocks->arena);
        PyMem_Free(page->blocks);
    } else {
        PyMem_Free(page->row);
    }
    memset(page, 0, sizeof *page);
}

/* Find an entry; return whether it is there. */
static inline int page_find(const struct page *page, unsigned suffix, uint64_t *position) {
    if (page->room == IN_BLOCKS) {
        const struct block *block = page->blocks->at[suffix >> 8];
        if (block == NULL || !in_block(block, suffix & 255))
            return 0;
        *position = position_at(place_in(block, suffix & 255));
    } else {
        uint32_t number = place_in_row(page, suffix);
        if (number == page->count || suffix_of(page->row[number]) != suffix)
            return 0;
        *position = page->row[number] & POSITION_MASK;
    }
    return 1;
}

/* Find the first entry that is not below `suffix`; return whether there is one. */
static inline int page_next(const struct page *page, unsigned suffix, unsigned *found,
                            uint64_t *position) {
    if (suffix >= PAGE_SUFFIXES)
        return 0;
    if (page->room == IN_BLOCKS) {
        unsigned high = suffix >> 8, low = suffix & 255;
        for (; high < PAGE_BLOCKS; high++, low = 0) {
            const struct block *block = page->blocks->at[high];
            low = block == NULL ? BLOCK_MOST : next_in(block, low);
            if (low < BLOCK_MOST) {
                *found = high << 8 | low;
                *position = position_at(place_in(block, low));
                return 1;
            }
        }
        return 0;
    } else {
        uint32_t number = place_in_row(page, suffix);
        if (number == page->count)
            return 0;
        *found = suffix_of(page->row[number]);
        *position = page->row[number] & POSITION_MASK;
        return 1;
    }
}

/* Return the highest suffix of a page that is not empty. */
static inline unsigned page_highest(const struct page *page) {
    unsigned high = PAGE_BLOCKS, word = 4;
    const struct block *block = NULL;
    if (page->room != IN_BLOCKS)
        return suffix_of(page->row[page->count - 1]);
    while (block == NULL)
        block = page->blocks->at[--high];
    while (block->bits[--word] == 0)
        ;
    return high << 8 | (word * 64 + 63 - (unsigned)__builtin_clzll(block->bits[word]));
}

/* Write the entries, packed, into `count` times ENTRY_SIZE bytes. */
static inline void pack_page(const struct page *page, unsigned char *into) {
    unsigned char *suffixes = into, *positions = into + 2 * (size_t)page->count;
    if (page->room == IN_BLOCKS) {
        unsigned high, low;
        for (high = 0; high < PAGE_BLOCKS; high++) {
            const struct block *block = page->blocks->at[high];
            if (block == NULL)
                continue;
            memcpy(positions, block->positions, 6 * (size_t)block->count);
            positions += 6 * (size_t)block->count;
            for (low = 0; block->count == BLOCK_MOST && low < BLOCK_MOST; low++) {
                suffixes[2 * low] = (unsigned char)high;
                suffixes[2 * low + 1] = (unsigned char)low;
            }
            if (block->count == BLOCK_MOST) {
                suffixes += 2 * BLOCK_MOST;
                continue;
            }
            for (low = next_in(block, 0); low < BLOCK_MOST; low = next_in(block, low + 1)) {
                *suffixes++ = (unsigned char)high;
                *suffixes++ = (unsigned char)low;
            }
        }
    } else {
        uint32_t number;
        for (number = 0; number < page->count; number++) {
            uint64_t entry = page->row[number];
            *suffixes++ = (unsigned char)(entry >> 56);
            *suffixes++ = (unsigned char)(entry >> 48);
            put_position(positions, entry);
            positions += 6;
        }
    }
}

/* Return whether suffixes of a packed page are in order, and none of them twice. */
static inline int are_in_order(const unsigned char *suffixes, size_t count) {
    unsigned wrong = 0;
    size_t number;
    for (number = 1; number < count; number++) {
        uint16_t before, suffix; /* loaded whole, so that the compiler can do many at a time */
        memcpy(&before, suffixes + 2 * number - 2, 2);
        memcpy(&suffix, suffixes + 2 * number, 2);
        wrong |= swapped_2(before) >= swapped_2(suffix);
    }
    return !wrong;
}

/* Return how many of the next suffixes of a packed page, which are in order, are of one block. */
static inline unsigned in_one_block(const unsigned char *suffixes, size_t left) {
    unsigned size = 1;
    if (left >= BLOCK_MOST && suffixes[2 * (BLOCK_MOST - 1)] == suffixes[0])
        return BLOCK_MOST;
    while (size < left && suffixes[2 * size] == suffixes[0])
        size++;
    return size;
}

/* Make an empty page one of blocks, of entries that are packed in order; 0 without memory. */
static inline int fill_blocks(struct page *page, const unsigned char *packed, uint32_t count,
                              struct arena *arena) {
    const unsigned char *positions = packed + 2 * (size_t)count;
    uint32_t number = 0;
    page->blocks = PyMem_Calloc(1, sizeof *page->blocks);
    if (page->blocks == NULL)
        return 0;
    page->room = IN_BLOCKS;
    page->blocks->arena = arena;
    if (arena != NULL)
        arena->users++;
    while (number < count) {
        const unsigned char *suffixes = packed + 2 * (size_t)number;
        unsigned size = in_one_block(suffixes, count - number);
        struct block *block = page->blocks->at[suffixes[0]] = new_block(size, arena);
        if (block == NULL) {
            clear_page(page);
            return 0;
        }
        block->count = (uint16_t)size;
        memcpy(block->positions, positions + 6 * (size_t)number, 6 * (size_t)size);
        number += size;
        if (size == BLOCK_MOST) {
            memset(block->bits, 0xFF, sizeof block->bits);
        } else {
            for (; size > 0; size--, suffixes += 2)
                block->bits[suffixes[1] >> 6] |= UINT64_C(1) << (suffixes[1] & 63);
        }
        count_words(block);
    }
    page->count = count;
    return 1;
}

/* Return whether blocks would take less than a row with room for so many more as there are. */
static inline int are_blocks_smaller(uint32_t count, uint32_t blocks, uint32_t more) {
    size_t as_blocks = PAGE_BLOCKS * sizeof(void *) +
                       blocks * (BLOCK_HEAD + 16) + 6 * (size_t)count;
    return as_blocks < (size_t)(count + more) * sizeof(uint64_t);
}

/* Make a row that is full larger, or blocks of it; 0 without memory. */
static inline int make_room(struct page *page) {
    uint32_t more = page->count / 2 + 1, blocks = 0, number;
    unsigned high = PAGE_BLOCKS;
    uint64_t *row;
    for (number = 0; number < page->count; number++) {
        blocks += high != suffix_of(page->row[number]) >> 8;
        high = suffix_of(page->row[number]) >> 8;
    }
    if (page->count >= ROW_MOST || are_blocks_smaller(page->count, blocks, more)) {
        unsigned char *packed = PyMem_Malloc((size_t)page->count * ENTRY_SIZE);
        struct page made = {0};
        int filled;
        if (packed == NULL)
            return 0;
        pack_page(page, packed);
        filled = fill_blocks(&made, packed, page->count, NULL);
        PyMem_Free(packed);
        if (filled) {
            clear_page(page);
            *page = made;
        }
        return filled;
    }
    row = PyMem_Realloc(page->row, (size_t)(page->count + more) * sizeof *row);
    if (row == NULL)
        return 0;
    page->row = row;
    page->room = page->count + more;
    return 1;
}

static inline int put_in_blocks(struct page *page, unsigned suffix, uint64_t position) {
    struct block **at = &page->blocks->at[suffix >> 8], *block = *at;
    unsigned low = suffix & 255, word;
    unsigned char *place, *behind;
    if (block == NULL && (block = *at = new_block(8, NULL)) == NULL)
        return 0;
    if (in_block(block, low)) {
        put_position(place_in(block, low), position);
        return 1;
    }
    if (block->count >= block->room) {
        block = larger_block(block);
        if (block == NULL)
            return 0;
        *at = block;
    }
    place = place_in(block, low);
    behind = (unsigned char *)block + block_size(block->count);
    memmove(place + 6, place, (size_t)(behind - place));
    put_position(place, position);
    block->bits[low >> 6] |= UINT64_C(1) << (low & 63);
    for (word = (low >> 6) + 1; word < 4; word++)
        block->before[word]++;
    block->count++;
    page->count++;
    return 1;
}

/* Make an entry, or change it; 0 without memory. */
static inline int page_put(struct page *page, unsigned suffix, uint64_t position) {
    uint64_t entry = (uint64_t)suffix << POSITION_BITS | position;
    uint32_t number;
    if (page->room == IN_BLOCKS)
        return put_in_blocks(page, suffix, position);
    number = place_in_row(page, suffix);
    if (number < page->count && suffix_of(page->row[number]) == suffix) {
        page->row[number] = entry;
        return 1;
    }
    if (page->count == page->room) {
        if (!make_room(page))
            return 0;
        if (page->room == IN_BLOCKS)
            return put_in_blocks(page, suffix, position);
    }
    memmove(page->row + number + 1, page->row + number,
            (page->count - number) * sizeof *page->row);
    page->row[number] = entry;
    page->count++;
    return 1;
}

/* Remove an entry; return whether it was there. */
static inline int page_remove(struct page *page, unsigned suffix) {
    uint64_t position;
    if (!page_find(page, suffix, &position))
        return 0;
    if (page->room == IN_BLOCKS) {
        struct block *block = page->blocks->at[suffix >> 8];
        unsigned low = suffix & 255;
        unsigned char *place = place_in(block, low);
        unsigned char *behind = (unsigned char *)block + block_size(block->count);
        memmove(place, place + 6, (size_t)(behind - place - 6));
        block->bits[low >> 6] &= ~(UINT64_C(1) << (low & 63));
        count_words(block);
        if (--block->count == 0) {
            free_block(block);
            page->blocks->at[suffix >> 8] = NULL;
        }
    } else {
        uint64_t *entry = page->row + place_in_row(page, suffix);
        memmove(entry, entry + 1,
                (size_t)(page->row + page->count - entry - 1) * sizeof *entry);
    }
    page->count--;
    return 1;
}

/* Enter what is packed, in any order; 0 without memory. */
static inline int put_packed(struct page *page, const unsigned char *packed, size_t count) {
    const unsigned char *positions = packed + 2 * count;
    size_t number;
    for (number = 0; number < count; number++)
        if (!page_put(page, suffix_at(packed + 2 * number), position_at(positions + 6 * number)))
            return 0;
    return 1;
}

/* Give an empty page the entries that are packed, those of blocks in the arena if there is one;
 * 0 without memory. */
static inline int unpack_page(struct page *page, const unsigned char *packed, size_t count,
                              struct arena *arena) {
    uint32_t blocks = 0;
    size_t number;
    if (count == 0)
        return 1;
    if (!are_in_order(packed, count)) /* nobody packs like that */
        return put_packed(page, packed, count);
    for (number = 0; number < count; blocks++)
        number += in_one_block(packed + 2 * number, count - number);
    if (count > ROW_MOST || are_blocks_smaller((uint32_t)count, blocks, 0))
        return fill_blocks(page, packed, (uint32_t)count, arena);
    page->row = PyMem_Malloc(count * sizeof *page->row);
    if (page->row == NULL)
        return 0;
    page->room = (uint32_t)count;
    return put_packed(page, packed, count);
}

#endif
