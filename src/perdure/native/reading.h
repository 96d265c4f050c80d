/* Reading records of a data file, one by one:

       record := oid:8 tid:8 previous:8 transaction:8 zero:2 size:8 (data | back:8) */

#ifndef PERDURE_READING_H
#define PERDURE_READING_H

#include "courtesy.h"

#include <stdint.h>
#include <unistd.h>

#define HEADER_SIZE 42

static inline uint64_t number_at(const unsigned char *at, int size) {
    uint64_t number = 0;
    for (int n = 0; n < size; n++)
        number = number << 8 | at[n];
    return number;
}

/* Read up to `size` bytes, while others may run; -1 on an error. */
static inline Py_ssize_t read_at(int descriptor, unsigned char *into, size_t size,
                                 int64_t position) {
    Py_ssize_t got;
    Py_BEGIN_ALLOW_THREADS
    got = pread(descriptor, into, size, (off_t)position);
    BACK_SOON
    return got;
}

#endif
