/* The opcodes of a state, one after the other.

   Where the next one is, and the top of the stack, are kept in variables of `run`, and told
   to the load and its work before anything that looks for them there. */

#ifndef PERDURE_DECODING_OPCODES_H
#define PERDURE_DECODING_OPCODES_H

#include "decoding.h"
#include "decoding_calls.h"
#include "decoding_values.h"

#define NOTHING 1  /* one more than the size of the argument */
#define COUNTED 16 /* plus the size of a length, which is followed by as many bytes */
#define TWO_LINES 32

/* What follows an opcode; 0 where it is handed over. */
static const uint8_t ARGUMENTS[256] = {
    ['('] = NOTHING,  ['.'] = NOTHING,  ['0'] = NOTHING,  ['1'] = NOTHING,  ['2'] = NOTHING,
    ['N'] = NOTHING,  [')'] = NOTHING,  [']'] = NOTHING,  ['}'] = NOTHING,  ['t'] = NOTHING,
    ['l'] = NOTHING,  ['d'] = NOTHING,  ['a'] = NOTHING,  ['e'] = NOTHING,  ['s'] = NOTHING,
    ['u'] = NOTHING,  ['R'] = NOTHING,  ['b'] = NOTHING,  ['Q'] = NOTHING,  [0x81] = NOTHING,
    [0x85] = NOTHING, [0x86] = NOTHING, [0x87] = NOTHING, [0x88] = NOTHING, [0x89] = NOTHING,
    ['K'] = 1 + 1,    ['h'] = 1 + 1,    ['q'] = 1 + 1,    [0x80] = 1 + 1,   ['M'] = 1 + 2,
    ['J'] = 1 + 4,    ['j'] = 1 + 4,    ['r'] = 1 + 4,    ['G'] = 1 + 8,    ['c'] = TWO_LINES,
    ['U'] = COUNTED + 1, ['C'] = COUNTED + 1, [0x8a] = COUNTED + 1,
    ['T'] = COUNTED + 4, ['X'] = COUNTED + 4, ['B'] = COUNTED + 4, [0x8b] = COUNTED + 4,
};

/* Whether all opcodes up to STOP are known here, so that it is safe to call something. */
static int is_known_ahead(const uint8_t *next, const uint8_t *end) {
    while (next < end) {
        uint8_t opcode = *next++, kind = ARGUMENTS[opcode];
        size_t size = kind;
        if (opcode == '.')
            return 1;
        if (kind == 0 || (opcode == 0x80 && next < end && *next > 3))
            return 0;
        if (kind == TWO_LINES) {
            for (int line = 0; line < 2; line++) {
                next = memchr(next, '\n', (size_t)(end - next));
                if (next++ == NULL)
                    return 0;
            }
            continue;
        }
        if (kind > COUNTED) {
            size_t length_size = (size_t)(kind - COUNTED);
            if ((size_t)(end - next) < length_size)
                return 0;
            size = 1 + (length_size == 1 ? *next : uint32_at(next));
            next += length_size;
        }
        if ((size_t)(end - next) < size - 1)
            return 0;
        next += size - 1;
    }
    return 0;
}

static inline int prepare_call(Load *load) {
    if (load->called)
        return DONE;
    if (!is_known_ahead(load->next, load->end))
        return HAND_OVER;
    load->called = 1;
    return DONE;
}

/* Take the `count` bytes of an argument, or the bytes whose number stands in such an argument. */
#define TAKE(count)                                                                                \
    if (end - next < (count))                                                                      \
        goto misfits;                                                                              \
    argument = next;                                                                               \
    next += (count)
#define TAKE_COUNTED(size)                                                                         \
    TAKE(size);                                                                                    \
    length = (size) == 1 ? *argument : uint32_at(argument);                                        \
    if ((size_t)(end - next) < length)                                                             \
        goto misfits;                                                                              \
    argument = next;                                                                               \
    next += length

/* Leave what `run` keeps in variables where others find it; and back, after they were called. */
#define TELL (load->next = next, work->stack_size = top - work->stack)
#define HEAR                                                                                       \
    (next = load->next, top = work->stack + work->stack_size,                                      \
     limit = work->stack + work->stack_room)

#define PUSH(made)                                                                                 \
    do {                                                                                           \
        PyObject *pushed = (made);                                                                 \
        if (pushed != NULL && top < limit) {                                                       \
            *top++ = pushed;                                                                       \
        } else {                                                                                   \
            TELL;                                                                                  \
            outcome = push(work, pushed);                                                          \
            HEAR;                                                                                  \
        }                                                                                          \
    } while (0)
#define CALL(called)                                                                               \
    do {                                                                                           \
        TELL;                                                                                      \
        outcome = (called);                                                                        \
        HEAR;                                                                                      \
    } while (0)

/* Run the opcodes up to STOP, and leave the state as the only value on the stack. */
static int run(Load *load, const uint8_t *record) {
    Work *work = load->work;
    const uint8_t *next, *const end = load->end, *argument;
    PyObject **top, **limit;
    Py_ssize_t count;
    size_t length;
    int outcome = DONE;
    if (work->stack == NULL &&
        grow((void **)&work->stack, &work->stack_room, 1, sizeof *work->stack) != DONE)
        return FAILED;
    HEAR;
    while (outcome == DONE) {
        uint8_t opcode;
        if (next == end)
            goto misfits;
        opcode = *next++;
        switch (opcode) {
        case 0x80: /* PROTO */
            TAKE(1);
            if (*argument > 3)
                goto misfits;
            break;
        case '.': /* STOP */
            TELL;
            return work->marks_size == 0 && work->stack_size == 1 ? DONE : misfit(load);
        case '(': /* MARK */
            CALL(push_mark(work));
            break;
        case '0': /* POP: a value, or else a mark */
            TELL;
            if (above_mark(work) > 0)
                drop(work, 1);
            else if (pop_mark(work) < 0)
                goto misfits;
            HEAR;
            break;
        case '1': /* POP_MARK */
            TELL;
            count = pop_mark(work);
            if (count < 0)
                goto misfits;
            drop(work, count);
            HEAR;
            break;
        case '2': /* DUP */
            TELL;
            if (above_mark(work) < 1)
                goto misfits;
            PUSH(Py_NewRef(top[-1]));
            break;
        case 'N': /* NONE */
            PUSH(Py_NewRef(Py_None));
            break;
        case 0x88: /* NEWTRUE */
            PUSH(Py_NewRef(Py_True));
            break;
        case 0x89: /* NEWFALSE */
            PUSH(Py_NewRef(Py_False));
            break;
        case 'K': /* BININT1 */
            TAKE(1);
            PUSH(PyLong_FromLong(argument[0]));
            break;
        case 'M': /* BININT2 */
            TAKE(2);
            PUSH(PyLong_FromLong(argument[0] | argument[1] << 8));
            break;
        case 'J': /* BININT */
            TAKE(4);
            PUSH(PyLong_FromLong((int32_t)uint32_at(argument)));
            break;
        case 0x8a: /* LONG1 */
            TAKE_COUNTED(1);
            PUSH(signed_number(argument, length));
            break;
        case 0x8b: /* LONG4 */
            TAKE_COUNTED(4);
            if (length > INT32_MAX) /* a negative length */
                goto misfits;
            PUSH(signed_number(argument, length));
            break;
        case 'G': /* BINFLOAT */
            TAKE(8);
            PUSH(PyFloat_FromDouble(double_at(argument)));
            break;
        case 'U': /* SHORT_BINSTRING: of Python 2, read as bytes */
        case 'C': /* SHORT_BINBYTES */
            TAKE_COUNTED(1);
            PUSH(bytes_of(argument, length));
            if (length == 8 && outcome == DONE)
                CALL(load_reference_ahead(load));
            break;
        case 'T': /* BINSTRING */
        case 'B': /* BINBYTES */
            TAKE_COUNTED(4);
            if (opcode == 'T' && length > INT32_MAX) /* a negative length */
                goto misfits;
            PUSH(bytes_of(argument, length));
            break;
        case 'X': /* BINUNICODE */
            TAKE_COUNTED(4);
            if (load->keys_are_names)
                TELL;
            PUSH(text_of(load, argument, length));
            /* A BINPUT comes next, nearly always. */
            if (end - next >= 2 && *next == 'q' && next[1] == work->memo_size &&
                work->memo_size < work->memo_room && outcome == DONE) {
                work->memo[work->memo_size++] = Py_NewRef(top[-1]);
                next += 2;
            }
            break;
        case 'q': /* BINPUT */
            TAKE(1);
            TELL;
            outcome = memoize_next(load, *argument, record);
            break;
        case 'r': /* LONG_BINPUT */
            TAKE(4);
            TELL;
            outcome = memoize_next(load, uint32_at(argument), record);
            break;
        case 'h': /* BINGET */
            TAKE(1);
            CALL(push_memoized(load, *argument));
            break;
        case 'j': /* LONG_BINGET */
            TAKE(4);
            CALL(push_memoized(load, uint32_at(argument)));
            break;
        case ')': /* EMPTY_TUPLE */
            PUSH(Py_NewRef(empty_tuple));
            break;
        case 0x85: /* TUPLE1 */
        case 0x86: /* TUPLE2 */
        case 0x87: /* TUPLE3 */
            CALL(push_tuple(load, opcode - 0x84));
            break;
        case 't': /* TUPLE */
            TELL;
            count = pop_mark(work);
            CALL(count < 0 ? misfit(load) : push(work, pop_tuple(work, count)));
            break;
        case ']': /* EMPTY_LIST */
            PUSH(PyList_New(0));
            break;
        case 'l': /* LIST */
            TELL;
            count = pop_mark(work);
            CALL(count < 0 ? misfit(load) : push(work, pop_list(work, count)));
            break;
        case '}': /* EMPTY_DICT */
            PUSH(PyDict_New());
            break;
        case 'd': /* DICT */
            CALL(push_filled(load, PyDict_New(), set_items));
            break;
        case 'a': /* APPEND */
            CALL(append_items(load, 1));
            break;
        case 'e': /* APPENDS */
            TELL;
            count = pop_mark(work);
            CALL(count < 0 ? misfit(load) : append_items(load, count));
            break;
        case 's': /* SETITEM */
            CALL(set_items(load, 2));
            break;
        case 'u': /* SETITEMS */
            TELL;
            count = pop_mark(work);
            CALL(count < 0 ? misfit(load) : set_items(load, count));
            break;
        case 'c': /* GLOBAL */
            CALL(push_global(load));
            break;
        case 'Q': /* BINPERSID */
            CALL(load_persistent(load));
            break;
        case 'R': /* REDUCE */
            TELL;
            outcome = prepare_call(load);
            if (outcome == DONE)
                CALL(reduce(load));
            break;
        case 0x81: /* NEWOBJ */
            TELL;
            outcome = prepare_call(load);
            if (outcome == DONE)
                CALL(make_instance(load));
            break;
        case 'b': /* BUILD */
            TELL;
            outcome = prepare_call(load);
            if (outcome == DONE)
                CALL(build(load));
            break;
        default:
            goto misfits;
        }
    }
    TELL;
    return outcome;
misfits:
    TELL;
    return misfit(load);
}

#endif
