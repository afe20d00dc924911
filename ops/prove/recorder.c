/* Records what a process does to its log: loaded before libc (LD_PRELOAD), it passes each call on and, once the
 * call has succeeded, appends it to the file named by RECORDER_TRACE as
 *
 *     uint32 kind   uint32 synchronous   int64 offset   uint64 length   length bytes
 *
 * Only files called data.mdb, last_write and acknowledgements are of interest. `synchronous` says that the descriptor was
 * opened with O_DSYNC: such a write is durable when it returns. A recording that fails ends the process. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OTHER, WRITE, FLUSH, RESIZE, ACKNOWLEDGED, NOTED };

struct header {
    uint32_t kind, synchronous;
    int64_t offset;
    uint64_t length;
};

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int called(const char *path, const char *name) {
    const char *last = strrchr(path, '/');
    return last != NULL && strcmp(last + 1, name) == 0;
}

static enum kind kind_of(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return OTHER;
    path[length] = 0;
    if (called(path, "data.mdb"))
        return WRITE;
    if (called(path, "last_write"))
        return NOTED;
    return called(path, "acknowledgements") ? ACKNOWLEDGED : OTHER;
}

static void append(const void *bytes, size_t length) {
    if (NEXT(write)(trace, bytes, length) != (ssize_t)length)
        abort();
}

static void record(enum kind kind, int fd, int64_t offset, const struct iovec *parts, int count, size_t length) {
    struct header header = {kind, (fcntl(fd, F_GETFL) & O_DSYNC) != 0, offset, length};
    pthread_mutex_lock(&order);
    if (trace < 0)
        trace = open(getenv("RECORDER_TRACE"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    append(&header, sizeof header);
    for (int i = 0; i < count && length > 0; i++) {
        size_t part = parts[i].iov_len < length ? parts[i].iov_len : length;
        append(parts[i].iov_base, part);
        length -= part;
    }
    pthread_mutex_unlock(&order);
}

static ssize_t written(int fd, ssize_t result, int64_t offset, const struct iovec *parts, int count) {
    enum kind kind = result > 0 ? kind_of(fd) : OTHER;
    if (kind != OTHER)
        record(kind, fd, offset, parts, count, (size_t)result);
    return result;
}

static int flushed(int fd, int result) {
    if (result == 0 && kind_of(fd) == WRITE)
        record(FLUSH, fd, 0, NULL, 0, 0);
    return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    struct iovec one = {(void *)bytes, length};
    return written(fd, NEXT(pwrite)(fd, bytes, length, offset), offset, &one, 1);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    struct iovec one = {(void *)bytes, length};
    return written(fd, NEXT(pwrite64)(fd, bytes, length, offset), offset, &one, 1);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return written(fd, NEXT(pwritev)(fd, parts, count, offset), offset, parts, count);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    struct iovec one = {(void *)bytes, length};
    ssize_t result = NEXT(write)(fd, bytes, length);
    return written(fd, result, result > 0 ? lseek(fd, 0, SEEK_CUR) - result : 0, &one, 1);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t result = NEXT(writev)(fd, parts, count);
    return written(fd, result, result > 0 ? lseek(fd, 0, SEEK_CUR) - result : 0, parts, count);
}

int fdatasync(int fd) { return flushed(fd, NEXT(fdatasync)(fd)); }

int fsync(int fd) { return flushed(fd, NEXT(fsync)(fd)); }

static int resized(int fd, int result, off_t length) {
    if (result == 0 && kind_of(fd) == WRITE)
        record(RESIZE, fd, length, NULL, 0, 0);
    return result;
}

int ftruncate(int fd, off_t length) { return resized(fd, NEXT(ftruncate)(fd, length), length); }

int ftruncate64(int fd, off64_t length) { return resized(fd, NEXT(ftruncate64)(fd, length), length); }

/* The log does not write through its map; if it ever does, the recording must not look complete. */
int msync(void *address, size_t length, int flags) {
    fputs("recorder: msync, but writes through a map are not recorded\n", stderr);
    (void)address, (void)length, (void)flags;
    abort();
}
