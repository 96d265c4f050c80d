/* The references in a record, found by running its pickles on kinds instead of values.

   A record is two pickles with one memo. Of every value only its kind is kept: enough to
   know what stands where a persistent reference is made, and whether the unpickler would
   go on. Nothing is made, called or imported.

   Only what real records consist of is known here, and only where the unpickler could not
   possibly object. All else is SCAN_UNKNOWN: the caller asks the pure function, which reads
   the record or says what is wrong with it. So what is found here is what that would find.

   Memory: 8 bytes for each value on the stack and in the memo. Both are bounded by the
   number of bytes in the record. Nothing here needs the GIL. */

#ifndef PERDURE_REFERENCES_H
#define PERDURE_REFERENCES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum scan_result { SCAN_DONE, SCAN_UNKNOWN, SCAN_NO_MEMORY };

enum kind {
    UNSET = 0, /* in the memo: no such number */
    PLAIN,     /* hashable and without parts: a number, a text, None */
    OID,       /* 8 bytes, `oid` bytes from the start of the record */
    CLASS,     /* what GLOBAL gives; everything can be called, made, filled and given a state */
    INSTANCE,
    TUPLE,     /* its first item is the oid at `oid`, if that is not 0 */
    LIST,
    DICT,
};

/* In one word: what was just put on the stack is often copied from there at once. */
struct value {
    uint64_t oid : 48, kind : 8;
    uint64_t unhashable : 8; /* or a tuple with something unhashable in it */
};

#define HEAD_MOST 256
#define HEAD_MEMO_MOST 8

struct scan {
    struct value *stack;
    size_t stack_size;
    struct value *memo;
    size_t memo_size;
    size_t *marks;
    size_t marks_size;
    const uint8_t **found; /* the oids, where they stand in the record */
    size_t found_size;
    size_t found_count;
    /* A first pickle, and the memo behind it: most records of a class begin alike. */
    uint8_t head[HEAD_MOST];
    size_t head_size; /* 0: none is known */
    struct value head_memo[HEAD_MEMO_MOST];
    size_t head_memo_count;
};

static inline void scan_free(struct scan *scan) {
    free(scan->stack);
    free(scan->memo);
    free(scan->marks);
    free((void *)scan->found);
    memset(scan, 0, sizeof *scan);
}

/* Return `array` with room for at least `count` items of `item` bytes, and how many in `*size`;
   NULL, and all as it was, if there is no memory. */
static inline void *scan_room(void *array, size_t *size, size_t count, size_t item) {
    size_t larger = *size ? *size : 64;
    void *room;
    while (larger < count)
        larger *= 2;
    room = realloc(array, larger * item);
    if (room != NULL)
        *size = larger;
    return room;
}

#define ROOM(array, count)                                                                   \
    do {                                                                                     \
        if ((count) > scan->array##_size) {                                                  \
            void *room = scan_room((void *)scan->array, &scan->array##_size, (count),        \
                                   sizeof *scan->array);                                     \
            if (room == NULL)                                                                \
                return SCAN_NO_MEMORY;                                                       \
            scan->array = room;                                                              \
        }                                                                                    \
    } while (0)

/* Remember the first pickle of a record, of `size` bytes, and the memo that it left, if it points
   to nothing: then it means the same in every record. */
static inline void remember_head(struct scan *scan, const uint8_t *data, size_t size,
                                 size_t memo_count) {
    size_t n;
    /* In a record that is longer, each number in the memo is below its size. */
    if (size > HEAD_MOST || memo_count > HEAD_MEMO_MOST || memo_count > size || scan->found_count)
        return;
    for (n = 0; n < memo_count; n++)
        if (scan->memo[n].oid)
            return;
    memcpy(scan->head, data, size);
    scan->head_size = size;
    if (memo_count)
        memcpy(scan->head_memo, scan->memo, memo_count * sizeof *scan->memo);
    scan->head_memo_count = memo_count;
}

static inline uint32_t little_4(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Whether this is UTF-8; with `surrogates`, single ones may be in it, as pickles have them. */
static inline int is_utf8(const uint8_t *at, size_t size, int surrogates) {
    const uint8_t *end = at + size;
    while (at < end) {
        uint64_t eight;
        uint8_t c;
        while (end - at >= 32) {
            uint64_t four[4];
            memcpy(four, at, 32);
            if ((four[0] | four[1] | four[2] | four[3]) & UINT64_C(0x8080808080808080))
                break;
            at += 32;
        }
        while (end - at >= 8) {
            memcpy(&eight, at, 8);
            if (eight & UINT64_C(0x8080808080808080))
                break;
            at += 8;
        }
        if (at == end)
            break;
        c = *at;
        if (c < 0x80) {
            at += 1;
        } else if (c >= 0xC2 && c <= 0xDF) {
            if (end - at < 2 || (at[1] & 0xC0) != 0x80)
                return 0;
            at += 2;
        } else if (c >= 0xE0 && c <= 0xEF) {
            if (end - at < 3 || (at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80)
                return 0;
            if ((c == 0xE0 && at[1] < 0xA0) || (c == 0xED && at[1] >= 0xA0 && !surrogates))
                return 0;
            at += 3;
        } else if (c >= 0xF0 && c <= 0xF4) {
            if (end - at < 4 || (at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80 ||
                (at[3] & 0xC0) != 0x80)
                return 0;
            if ((c == 0xF0 && at[1] < 0x90) || (c == 0xF4 && at[1] >= 0x90))
                return 0;
            at += 4;
        } else {
            return 0;
        }
    }
    return 1;
}

/* Return what follows a line of UTF-8 that is not empty, NULL if there is none. */
static inline const uint8_t *behind_line(const uint8_t *at, const uint8_t *end) {
    const uint8_t *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    if (newline == NULL || newline == at || !is_utf8(at, (size_t)(newline - at), 0))
        return NULL;
    return newline + 1;
}

#define NEED(count)                    \
    if ((size_t)(end - at) < (count))  \
        return SCAN_UNKNOWN
#define ON_STACK(count)                \
    if (depth - fence < (size_t)(count)) \
        return SCAN_UNKNOWN
#define PUSH(kind_, oid_, unhashable_)                          \
    do {                                                        \
        ROOM(stack, depth + 1);                                 \
        scan->stack[depth++] =                                  \
            (struct value){.oid = (oid_), .kind = (kind_), .unhashable = (unhashable_)}; \
    } while (0)
#define PUT(number_)                                            \
    do {                                                        \
        size_t number = (number_);                              \
        ON_STACK(1);                                            \
        /* A sound number is smaller than the number of bytes. */ \
        if (number >= size)                                     \
            return SCAN_UNKNOWN;                                \
        if (number >= memo_count) {                             \
            ROOM(memo, number + 1);                             \
            if (number > memo_count)                            \
                memset(scan->memo + memo_count, 0, (number - memo_count) * sizeof *scan->memo); \
            memo_count = number + 1;                            \
        }                                                       \
        scan->memo[number] = scan->stack[depth - 1];            \
    } while (0)
#define GET(number_)                                            \
    do {                                                        \
        size_t number = (number_);                              \
        if (number >= memo_count || scan->memo[number].kind == UNSET) \
            return SCAN_UNKNOWN;                                \
        ROOM(stack, depth + 1);                                 \
        scan->stack[depth++] = scan->memo[number];              \
    } while (0)
#define STRING(length_, kind_)                                  \
    do {                                                        \
        size_t length = (length_);                              \
        NEED(length);                                           \
        if (length == 8 && (kind_) == OID)                      \
            PUSH(OID, (uint64_t)(at - data), 0);                                   \
        else                                                    \
            PUSH(PLAIN, 0, 0);                               \
        at += length;                                           \
    } while (0)
/* Make a tuple of what stands from `start` on. */
#define TUPLE_FROM(start_)                                      \
    do {                                                        \
        size_t bottom = (start_), item;                         \
        uint8_t hard = 0;                                       \
        uint64_t first = 0;                                     \
        for (item = bottom; item < depth; item++)               \
            hard |= scan->stack[item].unhashable;               \
        if (bottom < depth && scan->stack[bottom].kind == OID)  \
            first = scan->stack[bottom].oid;                    \
        depth = bottom;                                         \
        PUSH(TUPLE, first, hard);                               \
    } while (0)
#define POP_MARK(start_)                                        \
    do {                                                        \
        if (mark_count == 0)                                    \
            return SCAN_UNKNOWN;                                \
        (start_) = scan->marks[--mark_count];                   \
        fence = mark_count ? scan->marks[mark_count - 1] : 0;   \
    } while (0)
/* Keys and values stand from `start` on: are there pairs of them, with keys that can be such? */
#define PAIRS(start_)                                           \
    do {                                                        \
        size_t key;                                             \
        if ((depth - (start_)) % 2)                             \
            return SCAN_UNKNOWN;                                \
        for (key = (start_); key < depth; key += 2)             \
            if (scan->stack[key].unhashable)                    \
                return SCAN_UNKNOWN;                            \
    } while (0)

/* Find the oids, in order, that keep objects of this database alive: `scan->found`.

   A scan that is all zeros is one to begin with; it can be used again, and is to be freed. */
static enum scan_result scan_references(struct scan *scan, const uint8_t *data, size_t size) {
    const uint8_t *at = data, *end = data + size;
    size_t depth = 0, memo_count = 0, mark_count = 0, fence = 0, start;
    int pickles = 2;

    scan->found_count = 0;
    if (scan->head_size && size > scan->head_size &&
        memcmp(data, scan->head, scan->head_size) == 0) {
        at += scan->head_size;
        pickles = 1;
        memo_count = scan->head_memo_count;
        if (memo_count) /* the memo had room for it when it was remembered */
            memcpy(scan->memo, scan->head_memo, memo_count * sizeof *scan->memo);
    }
    while (at < end) {
        switch (*at++) {
        case 'h': /* BINGET */
            NEED(1);
            GET(*at);
            at += 1;
            break;
        case 'q': /* BINPUT */
            NEED(1);
            PUT(*at);
            at += 1;
            break;
        case 'X': { /* BINUNICODE */
            size_t length;
            NEED(4);
            length = little_4(at);
            at += 4;
            NEED(length);
            if (!is_utf8(at, length, 1))
                return SCAN_UNKNOWN;
            PUSH(PLAIN, 0, 0);
            at += length;
            break;
        }
        case 'C': /* SHORT_BINBYTES */
        case 'U': /* SHORT_BINSTRING: bytes, too */
            NEED(1);
            at += 1;
            STRING(at[-1], OID);
            break;
        case 'B': /* BINBYTES */
            NEED(4);
            at += 4;
            STRING(little_4(at - 4), OID);
            break;
        case 'T': /* BINSTRING: its length has a sign */
            NEED(4);
            if (at[3] & 0x80)
                return SCAN_UNKNOWN;
            at += 4;
            STRING(little_4(at - 4), OID);
            break;
        case 'K': /* BININT1 */
            NEED(1);
            at += 1;
            PUSH(PLAIN, 0, 0);
            break;
        case 'M': /* BININT2 */
            NEED(2);
            at += 2;
            PUSH(PLAIN, 0, 0);
            break;
        case 'J': /* BININT */
            NEED(4);
            at += 4;
            PUSH(PLAIN, 0, 0);
            break;
        case 'G': /* BINFLOAT */
            NEED(8);
            at += 8;
            PUSH(PLAIN, 0, 0);
            break;
        case 0x8a: /* LONG1 */
            NEED(1);
            at += 1;
            STRING(at[-1], PLAIN);
            break;
        case 'N':  /* NONE */
        case 0x88: /* NEWTRUE */
        case 0x89: /* NEWFALSE */
            PUSH(PLAIN, 0, 0);
            break;
        case 'Q': { /* BINPERSID */
            struct value *stored;
            ON_STACK(1);
            stored = &scan->stack[depth - 1];
            if (stored->oid) { /* an oid, or a tuple that begins with one */
                ROOM(found, scan->found_count + 1);
                scan->found[scan->found_count++] = data + stored->oid;
            } else if (stored->kind != LIST) { /* a list: weak, or in another database */
                return SCAN_UNKNOWN;
            }
            *stored = (struct value){.kind = PLAIN}; /* the pure function puts None here */
            break;
        }
        case 0x85: /* TUPLE1 */
            ON_STACK(1);
            TUPLE_FROM(depth - 1);
            break;
        case 0x86: /* TUPLE2 */
            ON_STACK(2);
            TUPLE_FROM(depth - 2);
            break;
        case 0x87: /* TUPLE3 */
            ON_STACK(3);
            TUPLE_FROM(depth - 3);
            break;
        case 't': /* TUPLE */
            POP_MARK(start);
            TUPLE_FROM(start);
            break;
        case ')': /* EMPTY_TUPLE */
            PUSH(TUPLE, 0, 0);
            break;
        case ']': /* EMPTY_LIST */
            PUSH(LIST, 0, 1);
            break;
        case '}': /* EMPTY_DICT */
            PUSH(DICT, 0, 1);
            break;
        case '(': /* MARK */
            ROOM(marks, mark_count + 1);
            scan->marks[mark_count++] = fence = depth;
            break;
        case 'l': /* LIST */
            POP_MARK(start);
            depth = start;
            PUSH(LIST, 0, 1);
            break;
        case 'd': /* DICT */
            POP_MARK(start);
            PAIRS(start);
            depth = start;
            PUSH(DICT, 0, 1);
            break;
        case 'a': /* APPEND */
        case 'e': /* APPENDS */
            if (at[-1] == 'e') {
                POP_MARK(start);
            } else {
                ON_STACK(1);
                start = depth - 1;
            }
            depth = start;
            ON_STACK(1);
            if (scan->stack[depth - 1].kind != LIST && scan->stack[depth - 1].kind != INSTANCE)
                return SCAN_UNKNOWN;
            break;
        case 's': /* SETITEM */
        case 'u': /* SETITEMS */
            if (at[-1] == 'u') {
                POP_MARK(start);
            } else {
                ON_STACK(2);
                start = depth - 2;
            }
            if (start == fence || (depth - start) % 2)
                return SCAN_UNKNOWN;
            if (scan->stack[start - 1].kind == DICT)
                PAIRS(start);
            else if (scan->stack[start - 1].kind != INSTANCE)
                return SCAN_UNKNOWN;
            depth = start;
            break;
        case 'c': /* GLOBAL */
            if ((at = behind_line(at, end)) == NULL || (at = behind_line(at, end)) == NULL)
                return SCAN_UNKNOWN;
            PUSH(CLASS, 0, 0);
            break;
        case 'R':  /* REDUCE */
        case 0x81: /* NEWOBJ */
            ON_STACK(2);
            depth -= 1;
            if (scan->stack[depth].kind != TUPLE)
                return SCAN_UNKNOWN;
            if (scan->stack[depth - 1].kind != CLASS &&
                (at[-1] != 'R' || scan->stack[depth - 1].kind != INSTANCE))
                return SCAN_UNKNOWN;
            scan->stack[depth - 1].kind = INSTANCE;
            break;
        case 'b': /* BUILD */
            ON_STACK(2);
            depth -= 1;
            if (scan->stack[depth - 1].kind != INSTANCE)
                return SCAN_UNKNOWN;
            break;
        case 'r': /* LONG_BINPUT */
            NEED(4);
            PUT(little_4(at));
            at += 4;
            break;
        case 'j': /* LONG_BINGET */
            NEED(4);
            GET(little_4(at));
            at += 4;
            break;
        case 0x80: /* PROTO */
            NEED(1);
            if (*at > 5)
                return SCAN_UNKNOWN;
            at += 1;
            break;
        case '.': /* STOP */
            if (depth != 1 || mark_count)
                return SCAN_UNKNOWN;
            depth = 0;
            if (--pickles == 0)
                return SCAN_DONE;
            remember_head(scan, data, (size_t)(at - data), memo_count);
            break;
        default:
            return SCAN_UNKNOWN;
        }
    }
    return SCAN_UNKNOWN; /* cut short */
}

#undef ROOM
#undef NEED
#undef ON_STACK
#undef PUSH
#undef PUT
#undef GET
#undef STRING
#undef TUPLE_FROM
#undef POP_MARK
#undef PAIRS

/* The class of a record of the plain form: PROTO, GLOBAL, perhaps BINPUT, STOP. 1 if it has it. */
struct plain_head {
    const uint8_t *module, *name;
    size_t module_size, name_size;
};

static inline int plain_head(const uint8_t *data, size_t size, struct plain_head *head) {
    const uint8_t *end = data + size, *at, *line;
    if (size < 8 || data[0] != 0x80 || data[2] != 'c')
        return 0;
    at = data + 3;
    line = memchr(at, '\n', (size_t)(end - at));
    if (line == NULL || line == at)
        return 0;
    head->module = at;
    head->module_size = (size_t)(line - at);
    at = line + 1;
    line = memchr(at, '\n', (size_t)(end - at));
    if (line == NULL || line == at)
        return 0;
    head->name = at;
    head->name_size = (size_t)(line - at);
    at = line + 1;
    if (end - at >= 3 && at[0] == 'q' && at[2] == '.')
        return 1;
    return at < end && *at == '.';
}

#endif
