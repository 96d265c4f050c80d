/* Where the current record of each object is: oid -> position and some marks, in memory of its own.

   The first 6 bytes of an oid name a page, the last 2 an entry in it. A page is a sorted row
   of entries while it has few, then an array with a place for each of its 65,536 oids.

   Memory: 8 bytes for each object where oids are dense; at most 10 in a sorted row, and at most
   128 where a page has just become an array. */

#ifndef PERDURE_POSITIONS_H
#define PERDURE_POSITIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROW_MOST 4096
#define PAGE_OIDS 65536

/* An entry is a position, below 2**48, and these. */
#define POSITION(entry) ((entry) & ((UINT64_C(1) << 48) - 1))
#define GONE (UINT64_C(1) << 48)     /* the object was deleted, or its creation undone */
#define REFERRED (UINT64_C(1) << 49) /* some record refers to it */
#define BLOB (UINT64_C(1) << 50)
#define REACHED (UINT64_C(1) << 51)

struct page {
    uint64_t prefix;
    uint64_t *entries;
    uint16_t *suffixes; /* sorted; NULL in an array */
    uint32_t count;     /* of a row */
    uint32_t room;      /* of a row */
};

struct positions {
    struct page **pages; /* a hash table of so many places, a power of two */
    size_t places;
    size_t page_count;
    struct page *last; /* the one found last */
};

static inline uint64_t big_8(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static inline unsigned big_2(const uint8_t *at) { return (unsigned)at[0] << 8 | at[1]; }

static inline size_t place_of(const struct positions *positions, uint64_t prefix) {
    size_t place = (size_t)((prefix * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & (positions->places - 1);
    while (positions->pages[place] != NULL && positions->pages[place]->prefix != prefix)
        place = (place + 1) & (positions->places - 1);
    return place;
}

static inline struct page *page_of(struct positions *positions, uint64_t prefix) {
    struct page *page = positions->last;
    if (page != NULL && page->prefix == prefix)
        return page;
    if (positions->places == 0)
        return NULL;
    page = positions->pages[place_of(positions, prefix)];
    if (page != NULL)
        positions->last = page;
    return page;
}

static inline size_t suffix_place(const struct page *page, uint16_t suffix) {
    size_t low = 0, high = page->count;
    if (high && page->suffixes[high - 1] < suffix)
        return high; /* oids are given out in order */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (page->suffixes[middle] < suffix)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Return the entry of an oid, NULL if there is none; good until another one is made. */
static inline uint64_t *entry_of(struct positions *positions, uint64_t oid) {
    struct page *page = page_of(positions, oid >> 16);
    size_t place;
    if (page == NULL)
        return NULL;
    if (page->suffixes == NULL)
        return page->entries[oid & 0xFFFF] ? &page->entries[oid & 0xFFFF] : NULL;
    place = suffix_place(page, (uint16_t)oid);
    if (place == page->count || page->suffixes[place] != (uint16_t)oid)
        return NULL;
    return &page->entries[place];
}

static inline int more_places(struct positions *positions) {
    struct page **old = positions->pages;
    size_t places = positions->places, n;
    struct page **larger = calloc(places ? places * 2 : 64, sizeof *larger);
    if (larger == NULL)
        return 0;
    positions->pages = larger;
    positions->places = places ? places * 2 : 64;
    for (n = 0; n < places; n++)
        if (old[n] != NULL)
            larger[place_of(positions, old[n]->prefix)] = old[n];
    free((void *)old);
    return 1;
}

static inline struct page *new_page(struct positions *positions, uint64_t prefix) {
    struct page *page;
    if (positions->page_count * 2 >= positions->places && !more_places(positions))
        return NULL;
    page = calloc(1, sizeof *page);
    if (page == NULL)
        return NULL;
    page->prefix = prefix;
    page->room = 8;
    page->suffixes = malloc(page->room * sizeof *page->suffixes);
    page->entries = malloc(page->room * sizeof *page->entries);
    if (page->suffixes == NULL || page->entries == NULL) {
        free(page->suffixes);
        free(page->entries);
        free(page);
        return NULL;
    }
    positions->pages[place_of(positions, prefix)] = page;
    positions->page_count++;
    return positions->last = page;
}

static inline int make_array(struct page *page) {
    uint64_t *entries = calloc(PAGE_OIDS, sizeof *entries);
    size_t n;
    if (entries == NULL)
        return 0;
    for (n = 0; n < page->count; n++)
        entries[page->suffixes[n]] = page->entries[n];
    free(page->entries);
    free(page->suffixes);
    page->entries = entries;
    page->suffixes = NULL;
    return 1;
}

static inline int larger_row(struct page *page) {
    uint32_t room = page->room * 2;
    uint16_t *suffixes = realloc(page->suffixes, room * sizeof *suffixes);
    uint64_t *entries;
    if (suffixes == NULL)
        return 0;
    page->suffixes = suffixes;
    entries = realloc(page->entries, room * sizeof *entries);
    if (entries == NULL)
        return 0;
    page->entries = entries;
    page->room = room;
    return 1;
}

/* Return the entry of an oid, made if there was none: then it is 0, which is as good as none.
   NULL if there is no memory. */
static inline uint64_t *entry_for(struct positions *positions, uint64_t oid) {
    struct page *page = page_of(positions, oid >> 16);
    size_t place;
    if (page == NULL && (page = new_page(positions, oid >> 16)) == NULL)
        return NULL;
    if (page->suffixes == NULL)
        return &page->entries[oid & 0xFFFF];
    place = suffix_place(page, (uint16_t)oid);
    if (place < page->count && page->suffixes[place] == (uint16_t)oid)
        return &page->entries[place];
    if (page->count == ROW_MOST) {
        if (!make_array(page))
            return NULL;
        return &page->entries[oid & 0xFFFF];
    }
    if (page->count == page->room && !larger_row(page))
        return NULL;
    memmove(page->suffixes + place + 1, page->suffixes + place,
            (page->count - place) * sizeof *page->suffixes);
    memmove(page->entries + place + 1, page->entries + place,
            (page->count - place) * sizeof *page->entries);
    page->suffixes[place] = (uint16_t)oid;
    page->entries[place] = 0;
    page->count++;
    return &page->entries[place];
}

static inline void free_positions(struct positions *positions) {
    size_t n;
    for (n = 0; n < positions->places; n++)
        if (positions->pages[n] != NULL) {
            free(positions->pages[n]->entries);
            free(positions->pages[n]->suffixes);
            free(positions->pages[n]);
        }
    free((void *)positions->pages);
    memset(positions, 0, sizeof *positions);
}

/* Find the next entry of a page in order, from number `*n` on; 0 at the end. */
static inline int next_entry(const struct page *page, uint32_t *n, uint16_t *suffix,
                             uint64_t *entry) {
    uint32_t count = page->suffixes ? page->count : PAGE_OIDS;
    while (*n < count && page->entries[*n] == 0)
        ++*n;
    if (*n >= count)
        return 0;
    *suffix = page->suffixes ? page->suffixes[*n] : (uint16_t)*n;
    *entry = page->entries[(*n)++];
    return 1;
}

#endif
