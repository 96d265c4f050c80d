/* Memory for many blocks that are made at once, when an index is loaded, in huge pages.

   The system hands memory out in pages of 4 KiB, when they are first written to, and each costs it
   far more than to fill it: loading the index of a million objects would take three times as long.
   So blocks stand in a row in memory that is asked for in pages of 2 MiB. Nothing of it is freed
   before all of its users are gone.

   It is made as large as is likely to be filled; what does not fit is allocated one by one. */

#ifndef PERDURE_ARENA_H
#define PERDURE_ARENA_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#define HUGE_PAGE ((size_t)2 << 20)

struct arena {
    size_t users;
    unsigned char *next, *end; /* what is left */
    void *mapped;
    size_t mapped_size;
};

static inline void leave_arena(struct arena *arena) {
#ifdef MADV_HUGEPAGE
    if (arena != NULL && --arena->users == 0) {
        munmap(arena->mapped, arena->mapped_size);
        free(arena);
    }
#else
    (void)arena;
#endif
}

/* Return an arena of which about so many bytes will be used; NULL where there is to be none. */
static inline struct arena *new_arena(size_t likely_bytes) {
#ifdef MADV_HUGEPAGE
    /* Nine tenths of the last one have to be needed. */
    size_t size = (likely_bytes + HUGE_PAGE / 10) / HUGE_PAGE * HUGE_PAGE;
    struct arena *arena;
    uintptr_t begin;
    if (size == 0 || size > SIZE_MAX / 2 || (arena = calloc(1, sizeof *arena)) == NULL)
        return NULL;
    arena->mapped_size = size + HUGE_PAGE;
    arena->mapped = mmap(NULL, arena->mapped_size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (arena->mapped == MAP_FAILED) {
        free(arena);
        return NULL;
    }
    begin = ((uintptr_t)arena->mapped + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    arena->next = (unsigned char *)arena->mapped + (begin - (uintptr_t)arena->mapped);
    arena->end = arena->next + size;
    arena->users = 1;
    madvise(arena->next, size, MADV_HUGEPAGE); /* a hint; without, it is slower */
    return arena;
#else
    (void)likely_bytes;
    return NULL;
#endif
}

/* Return memory that is aligned to 8 bytes; NULL where there is no more. */
static inline void *take_from(struct arena *arena, size_t size) {
    void *taken;
    size = (size + 7) & ~(size_t)7;
    if (arena == NULL || size > (size_t)(arena->end - arena->next))
        return NULL;
    taken = arena->next;
    arena->next += size;
    return taken;
}

#endif
