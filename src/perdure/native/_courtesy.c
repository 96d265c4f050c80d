/* Who was away has its turn soon after it is back.

   One thread at a time runs Python. A thread that loads one object after the other is asked
   for its turn every 5 ms, or lets go of it at a read and has taken it back before a thread
   that waits for it is awake. So a commit, which calls the system several times, would wait
   for milliseconds after each call.

   Here the calls themselves say that a thread is back and waits, before it waits. A thread
   that loads looks at that, steps aside, and takes its turn again when the other one has its
   own. What waits for a lock, say, cannot tell; so while a commit is under way, threads that
   load step aside now and then anyway. One that has just committed was away itself.
   See objects/courtesy.py. */

#define _GNU_SOURCE /* pwritev, statx */

#include "courtesy.h"

#ifdef _WIN32
#error "there is no pwritev"
#endif
#ifdef Py_GIL_DISABLED
#error "without the GIL, there are no turns"
#endif

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>
#ifdef __linux__
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#endif
#include <time.h>
#include <unistd.h>

/* Giving way */

#define RUN_NS 10000    /* between two times that who loads gives way to who waits */
#define WAIT_NS 200000  /* at most, for each of them */
#define TURN_NS 150000  /* between two times that it gives way to a commit anyway */
#define ASIDE_NS 30000

/* Read without the GIL, too. */
static _Atomic int64_t back_ns;        /* when somebody had its turn again, last */
static _Atomic int64_t aside_until_ns; /* where all give way */

static _Thread_local int64_t returned_ns; /* when a commit of this thread ended */

static struct courtesy shared;

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void wait_for_waiting(int64_t now) {
    int64_t until = now + WAIT_NS;
    if (now < atomic_load(&back_ns) + RUN_NS)
        return;
    Py_BEGIN_ALLOW_THREADS
    /* Awake: a nap would last longer than the other one needs to wake up. */
    while (atomic_load(&shared.waiting) > 0 && now_ns() < until)
        sched_yield();
    Py_END_ALLOW_THREADS
    atomic_store(&back_ns, now_ns());
}

/* All at once: else one comes back while another steps aside, and takes its place. */
static void give_way_anyway(int64_t now) {
    int64_t until = atomic_load(&aside_until_ns);
    if (now >= until + TURN_NS)
        atomic_store(&aside_until_ns, until = now + ASIDE_NS);
    if (now < until) {
        Py_BEGIN_ALLOW_THREADS
        do {
            struct timespec aside = {0, (long)(until - now)};
            nanosleep(&aside, NULL);
            now = now_ns();
            until = atomic_load(&aside_until_ns);
        } while (now < until);
        Py_END_ALLOW_THREADS
    }
}

static void give_way_now(void) {
    int64_t now = now_ns();
    if (now < returned_ns + TURN_NS)
        return;
    if (atomic_load(&shared.waiting) > 0)
        wait_for_waiting(now);
    else
        give_way_anyway(now);
}

static struct courtesy shared = {.give_way = give_way_now};

/* Committing: the body is a part of a commit that calls the system. */

static PyObject *committing_enter(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored)) {
    atomic_fetch_add(&shared.commits, 1);
    Py_RETURN_NONE;
}

static PyObject *committing_exit(PyObject *Py_UNUSED(self), PyObject *const *Py_UNUSED(args),
                                 Py_ssize_t Py_UNUSED(nargs)) {
    if (atomic_load(&shared.commits) > 0) /* not if it began before a fork */
        atomic_fetch_sub(&shared.commits, 1);
    returned_ns = now_ns();
    Py_RETURN_NONE;
}

static PyMethodDef committing_methods[] = {
    {"__enter__", committing_enter, METH_NOARGS, "Have threads that load give way."},
    {"__exit__", (PyCFunction)(void (*)(void))committing_exit, METH_FASTCALL,
     "End what __enter__ began."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot committing_slots[] = {
    {Py_tp_doc, "The body is a part of a commit that calls the system."},
    {Py_tp_methods, committing_methods},
    {0, NULL},
};

static PyType_Spec committing_spec = {
    .name = COURTESY_MODULE ".Committing",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = committing_slots,
};

/* A forked process has none of the other threads: nobody in it waits or commits. */
static void forget_others(void) {
    atomic_store(&shared.waiting, 0);
    atomic_store(&shared.commits, 0);
    atomic_store(&aside_until_ns, 0);
}

static int forgets; /* whether that is done */

/* Calls of the system */

/* Return whether to try again what failed; else there is an exception. */
static int is_to_be_repeated(int error) {
    if (error == EINTR)
        return PyErr_CheckSignals() == 0;
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    return 0;
}

static PyObject *sync_file(PyObject *Py_UNUSED(module), PyObject *file) {
    int descriptor = PyObject_AsFileDescriptor(file), result, error;
    if (descriptor < 0)
        return NULL;
    do {
        Py_BEGIN_ALLOW_THREADS
#ifdef __APPLE__
        result = fsync(descriptor);
#else
        result = fdatasync(descriptor);
#endif
        error = errno;
        BACK_SOON
    } while (result < 0 && is_to_be_repeated(error));
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *read_file(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *data, *read = NULL;
    Py_ssize_t size;
    long long position;
    ssize_t got;
    int descriptor, error;
    char *into;
    if (!PyArg_ParseTuple(args, "inL:read", &descriptor, &size, &position))
        return NULL;
    if (size < 0) {
        errno = EINVAL;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    data = PyBytes_FromStringAndSize(NULL, size);
    if (data == NULL)
        return NULL;
    into = PyBytes_AsString(data);
    do {
        Py_BEGIN_ALLOW_THREADS
        got = pread(descriptor, into, (size_t)size, (off_t)position);
        error = errno;
        BACK_SOON
    } while (got < 0 && is_to_be_repeated(error));
    if (got == size)
        return data;
    if (got >= 0)
        read = PyBytes_FromStringAndSize(into, (Py_ssize_t)got);
    Py_DECREF(data);
    return read;
}

#define MOST_PIECES 64

static void release(Py_buffer *held, int count) {
    while (count-- > 0)
        PyBuffer_Release(&held[count]);
}

/* Get hold of the bytes of pieces; return of how many, -1 with an exception. */
static int hold(PyObject *pieces, Py_buffer *held, struct iovec *vectors) {
    Py_ssize_t count = PySequence_Size(pieces);
    int n;
    if (count > MOST_PIECES)
        count = MOST_PIECES;
    for (n = 0; n < count; n++) {
        PyObject *piece = PySequence_GetItem(pieces, n);
        int failed = piece == NULL || PyObject_GetBuffer(piece, &held[n], PyBUF_SIMPLE) < 0;
        Py_XDECREF(piece);
        if (failed) {
            release(held, n);
            return -1;
        }
        vectors[n].iov_base = held[n].buf;
        vectors[n].iov_len = (size_t)held[n].len;
    }
    return (int)count;
}

static PyObject *write_file(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer held[MOST_PIECES];
    struct iovec vectors[MOST_PIECES];
    PyObject *pieces;
    long long position;
    ssize_t written;
    int descriptor, count, error;
    if (!PyArg_ParseTuple(args, "iOL:write", &descriptor, &pieces, &position))
        return NULL;
    count = hold(pieces, held, vectors);
    if (count < 0)
        return NULL;
    do {
        Py_BEGIN_ALLOW_THREADS
        written = pwritev(descriptor, vectors, count, (off_t)position);
        error = errno;
        BACK_SOON
    } while (written < 0 && is_to_be_repeated(error));
    release(held, count);
    return written < 0 ? NULL : PyLong_FromSsize_t((Py_ssize_t)written);
}

/* Which file a name stands for. A commit asks before each write, with the commit lock held. Where
   the answer is in memory, that takes less than a microsecond: to let others run meanwhile would
   have a thread woken up that finds its turn taken back, and others wait for the lock longer. */

/* Whether the system knows names and files of this file system without asking anybody else. */
static PyObject *is_local(PyObject *Py_UNUSED(module), PyObject *file) {
    int descriptor = PyObject_AsFileDescriptor(file), local = 0;
    if (descriptor < 0)
        return NULL;
#ifdef __linux__
    struct statfs found;
    if (fstatfs(descriptor, &found) == 0)
        switch ((uint32_t)found.f_type) {
        case 0x0000ef53: /* ext4 */
        case 0x01021994: /* tmpfs */
        case 0x2fc12fc1: /* ZFS */
        case 0x58465342: /* XFS */
        case 0x794c7630: /* overlayfs */
        case 0x9123683e: /* Btrfs */
        case 0xca451a4e: /* bcachefs */
        case 0xf2f52010: /* F2FS */
            local = 1;
        }
#endif
    return PyBool_FromLong(local);
}

/* Find the device and the inode of a path; -1 with `errno`. No times are asked for: since Linux
   6.13, whoever writes after somebody saw them has to note new ones, and its sync takes half as
   long again. */
static int identify(const char *path, dev_t *device, ino_t *inode) {
    struct stat found;
#ifdef STATX_INO
    struct statx part;
    if (statx(AT_FDCWD, path, 0, STATX_INO, &part) == 0) {
        *device = makedev(part.stx_dev_major, part.stx_dev_minor);
        *inode = (ino_t)part.stx_ino;
        return 0;
    } /* an old system, or one that forbids the call, knows the other one */
#endif
    if (stat(path, &found) < 0)
        return -1;
    *device = found.st_dev;
    *inode = found.st_ino;
    return 0;
}

static PyObject *names_file(PyObject *Py_UNUSED(module), PyObject *args) {
    const char *path;
    unsigned long long device, inode;
    dev_t found_device;
    ino_t found_inode;
    int is_local, result, error;
    if (!PyArg_ParseTuple(args, "yKKp:names_file", &path, &device, &inode, &is_local))
        return NULL;
    if (is_local) {
        result = identify(path, &found_device, &found_inode);
    } else { /* a server may be slow to answer */
        Py_BEGIN_ALLOW_THREADS
        result = identify(path, &found_device, &found_inode);
        error = errno;
        BACK_SOON
        errno = error;
    }
    if (result == 0)
        return PyBool_FromLong(found_device == device && found_inode == inode);
    if (errno == ENOENT)
        Py_RETURN_FALSE;
    return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
}

static PyMethodDef functions[] = {
    {"read", read_file, METH_VARARGS,
     "Return up to so many bytes of a file from a position on."},
    {"sync", sync_file, METH_O, "Return when all that was written to a file is on the disk."},
    {"write", write_file, METH_VARARGS,
     "Write pieces from a position on; return how many bytes were taken."},
    {"is_local", is_local, METH_O, "Return whether a file is surely of this machine."},
    {"names_file", names_file, METH_VARARGS,
     "Return whether a path stands for a file; nobody else runs meanwhile if it is local."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = COURTESY_MODULE,
    .m_doc = "Who was away has its turn soon after it is back.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__courtesy(void) {
    PyObject *module = PyModule_Create(&definition), *capsule, *committing;
    if (module == NULL)
        return NULL;
    courtesy = &shared;
    if (!forgets && pthread_atfork(NULL, NULL, forget_others) == 0)
        forgets = 1;
    capsule = PyCapsule_New(&shared, COURTESY_MODULE "." COURTESY_CAPSULE, NULL);
    committing = PyType_FromSpec(&committing_spec);
    if (capsule == NULL || PyModule_AddObjectRef(module, COURTESY_CAPSULE, capsule) < 0 ||
        committing == NULL || PyModule_AddObjectRef(module, "Committing", committing) < 0)
        Py_CLEAR(module);
    Py_XDECREF(capsule);
    Py_XDECREF(committing);
    return module;
}
