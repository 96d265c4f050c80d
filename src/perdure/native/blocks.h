/* Blocks of a data file in memory, so that not every load calls the system.

   A data file grows at its end, and what is visible of it never changes. So a block of it can be
   kept for as long as the file is open. Only bytes below the visible end are kept, as that was
   when they were read; what is behind it may be written over. The block that has the end
   is read again when more of it is wanted.

   Blocks are kept in sets of two, by their number: at most two for each set, and one to read
   into. Where a set is full, only every eighth block that is missed takes the place of the one
   not used for longer: to read a block costs more than to read a record, which pays only if
   the block is still there when it is wanted again. What is not kept, cannot be read, or is not
   in the file any more is for the caller to read: no bytes are returned.

   The GIL guards all of it, and is released while a block is read: into memory of its own,
   which takes its place in the set afterwards. A pointer that is returned is good until the
   GIL is released, or the next block is asked for. */

#ifndef PERDURE_BLOCKS_H
#define PERDURE_BLOCKS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>
#include <unistd.h>

#ifdef Py_GIL_DISABLED
#error "this relies on the GIL; without it, Perdure uses what it has in Python"
#endif

#define BLOCK_SHIFT 12
#define BLOCK_SIZE ((int64_t)1 << BLOCK_SHIFT)
#define REPLACING_EVERY 8

struct block {
    int64_t number;
    Py_ssize_t size;     /* bytes that are good, from its start */
    unsigned char *data; /* NULL: no block; else room for a whole one */
};

struct block_set {
    struct block recent, other;
};

struct blocks {
    int descriptor;
    int64_t end;            /* what is below is visible */
    size_t set_count;       /* a power of two, or 0: nothing is kept */
    struct block_set *sets; /* made with the first block */
    unsigned char *spare;   /* to read into, or NULL */
    Py_ssize_t reads;       /* how many blocks were read */
    unsigned missed;        /* how many were not there, in full sets */
};

static Py_ssize_t read_at(int descriptor, unsigned char *into, size_t size, int64_t position) {
    Py_ssize_t got;
    Py_BEGIN_ALLOW_THREADS
    got = pread(descriptor, into, size, (off_t)position);
    Py_END_ALLOW_THREADS
    return got;
}

static void free_blocks(struct blocks *blocks) {
    size_t n;
    for (n = 0; blocks->sets != NULL && n < blocks->set_count; n++) {
        PyMem_Free(blocks->sets[n].recent.data);
        PyMem_Free(blocks->sets[n].other.data);
    }
    PyMem_Free(blocks->sets);
    PyMem_Free(blocks->spare);
    blocks->sets = NULL;
    blocks->spare = NULL;
}

static inline struct block_set *set_of(const struct blocks *blocks, int64_t number) {
    return blocks->sets + ((size_t)number & (blocks->set_count - 1));
}

/* Read a block, and return it; NULL if there is no memory, or the system refuses. */
static struct block *read_block(struct blocks *blocks, int64_t number) {
    int64_t start = number << BLOCK_SHIFT, left = blocks->end - start;
    struct block block = {number, 0, blocks->spare};
    struct block_set *set;
    if (left <= 0)
        return NULL;
    if (blocks->sets == NULL)
        blocks->sets = PyMem_Calloc(blocks->set_count, sizeof *blocks->sets);
    blocks->spare = NULL; /* it is ours, while others may run */
    if (block.data == NULL)
        block.data = PyMem_Malloc((size_t)BLOCK_SIZE);
    if (blocks->sets == NULL || block.data == NULL) {
        blocks->spare = block.data;
        return NULL;
    }
    blocks->reads++;
    block.size = read_at(blocks->descriptor, block.data,
                         (size_t)(left < BLOCK_SIZE ? left : BLOCK_SIZE), start);
    if (block.size <= 0) {
        PyMem_Free(block.data);
        return NULL;
    }
    set = set_of(blocks, number);
    PyMem_Free(blocks->spare);
    if (set->recent.data != NULL && set->recent.number == number) {
        blocks->spare = set->recent.data; /* less of it, or the same by another thread */
    } else {
        blocks->spare = set->other.data;
        set->other = set->recent;
    }
    set->recent = block;
    return &set->recent;
}

/* Whether to read a block that is not there. */
static inline int is_worth_reading(struct blocks *blocks, int64_t number) {
    return blocks->sets == NULL || set_of(blocks, number)->other.data == NULL ||
           ++blocks->missed % REPLACING_EVERY == 0;
}

/* Return the first `size` bytes of a block; NULL where that many are not had. */
static inline const unsigned char *block_start(struct blocks *blocks, int64_t number,
                                               Py_ssize_t size) {
    struct block *found = NULL;
    if (blocks->sets != NULL) {
        struct block_set *set = set_of(blocks, number);
        if (set->recent.data != NULL && set->recent.number == number) {
            found = &set->recent;
        } else if (set->other.data != NULL && set->other.number == number) {
            struct block before = set->recent;
            set->recent = set->other;
            set->other = before;
            found = &set->recent;
        }
    }
    if (found == NULL ? is_worth_reading(blocks, number) : found->size < size)
        found = read_block(blocks, number);
    return found == NULL || found->size < size ? NULL : found->data;
}

/* Return where `size` bytes are that do not go beyond their block, and how many are there;
   NULL where they are not had, or go beyond it. */
static inline const unsigned char *in_block(struct blocks *blocks, int64_t position,
                                            Py_ssize_t size, Py_ssize_t *got) {
    Py_ssize_t offset = (Py_ssize_t)(position & (BLOCK_SIZE - 1));
    const unsigned char *found;
    if (offset + size > (Py_ssize_t)BLOCK_SIZE)
        return NULL;
    found = block_start(blocks, position >> BLOCK_SHIFT, offset + size);
    if (found == NULL)
        return NULL;
    *got = set_of(blocks, position >> BLOCK_SHIFT)->recent.size - offset;
    return found + offset;
}

/* Copy bytes that are below the visible end; 0 where they are not had. */
static inline int copy_from_blocks(struct blocks *blocks, int64_t position, Py_ssize_t size,
                                   unsigned char *into) {
    while (size > 0) {
        Py_ssize_t offset = (Py_ssize_t)(position & (BLOCK_SIZE - 1));
        Py_ssize_t piece = (Py_ssize_t)BLOCK_SIZE - offset;
        const unsigned char *found;
        if (piece > size)
            piece = size;
        found = block_start(blocks, position >> BLOCK_SHIFT, offset + piece);
        if (found == NULL)
            return 0;
        memcpy(into, found + offset, (size_t)piece);
        into += piece;
        position += piece;
        size -= piece;
    }
    return 1;
}

#endif
