/* A disk that can be watched, broken and cut off, by LD_PRELOAD. For tests only.
 *
 * shim_begin(dir, shadow)  from now on watch the files of `dir` (not -shm, which no power cut leaves anything of, and
 *                          not .lock). With a shadow, keep there what a power cut now would leave: file contents as of
 *                          their last fsync or fdatasync ("<id>"), names as of the directory's last fsync ("names").
 *                          What is in `dir` already counts as durable.
 * shim_fail(k, error, sticky)  the k-th operation from now fails with `error` (all later ones too, if sticky). k = 0:
 *                          nothing fails.
 *                          What a failed fsync or fdatasync was to make durable is not, and no later one makes it so:
 *                          Linux marks the pages clean (https://lwn.net/Articles/752063/).
 * shim_count()             operations since shim_fail.
 * shim_tell(heard)         call `heard` before each operation; what that does to watched files is no operation. NULL: no
 *                          longer.
 *
 * An operation is a read, write, truncation, fsync, open or unlink of a watched file. One thread may use the files.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 4096
#define FDS_MAX 1024

struct file {
    char name[256]; /* empty once it is unlinked */
    off_t low, high; /* what was written since the last fsync */
};

static struct file files[FILES_MAX];
static int files_count;
static int file_of[FDS_MAX]; /* 0: not watched; -1: the directory; else 1 + index into files */
static char dir[PATH_MAX], shadow[PATH_MAX];
static long fail_at, operations;
static int fail_error, fail_sticky, telling;
static void (*told)(void);

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int real_open(const char *path, int flags, mode_t mode) {
    REAL(int, open64, const char *, int, ...);
    return real(path, flags, mode);
}
static ssize_t real_pread(int fd, void *data, size_t count, off_t at) {
    REAL(ssize_t, pread64, int, void *, size_t, off_t);
    return real(fd, data, count, at);
}
static ssize_t real_pwrite(int fd, const void *data, size_t count, off_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off_t);
    return real(fd, data, count, at);
}
static int real_ftruncate(int fd, off_t length) {
    REAL(int, ftruncate64, int, off_t);
    return real(fd, length);
}

static int fails(void) {
    if (telling) return 0;
    operations++;
    if (told) {
        telling = 1;
        told();
        telling = 0;
    }
    if (!fail_at || operations < fail_at || (operations > fail_at && !fail_sticky)) return 0;
    errno = fail_error;
    return 1;
}

static int watched_fd(int fd) { return fd >= 0 && fd < FDS_MAX ? file_of[fd] : 0; }

static const char *watched_name(const char *path) {
    size_t length = strlen(dir);
    if (!length || strncmp(path, dir, length) || path[length] != '/') return NULL;
    const char *name = path + length + 1, *end = name + strlen(name);
    if (!*name || strchr(name, '/')) return NULL;
    if (end - name > 4 && !strcmp(end - 4, "-shm")) return NULL;
    if (end - name > 5 && !strcmp(end - 5, ".lock")) return NULL;
    return name;
}

static int named(const char *name) {
    for (int at = 0; at < files_count; at++)
        if (!strcmp(files[at].name, name)) return at + 1;
    return 0;
}

static int add(const char *name) {
    if (files_count == FILES_MAX) abort();
    snprintf(files[files_count].name, sizeof files[0].name, "%s", name);
    files[files_count].low = 0;
    files[files_count].high = 0;
    return ++files_count;
}

static void wrote(int fd, off_t from, off_t to) {
    struct file *file = &files[file_of[fd] - 1];
    if (file->low == file->high) file->low = from, file->high = to;
    if (from < file->low) file->low = from;
    if (to > file->high) file->high = to;
}

/* Bring the shadow of a file up to what the file holds now. */
static void make_durable(int fd, int id) {
    static char block[1 << 16];
    char path[PATH_MAX + 32];
    struct stat status;
    struct file *file = &files[id - 1];
    if (!*shadow || fstat(fd, &status)) return;
    snprintf(path, sizeof path, "%s/%d", shadow, id);
    int copy = real_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (copy < 0) abort();
    for (off_t at = file->low; at < file->high;) {
        size_t want = (size_t)(file->high - at) < sizeof block ? (size_t)(file->high - at) : sizeof block;
        ssize_t got = real_pread(fd, block, want, at);
        if (got <= 0) break;
        if (real_pwrite(copy, block, (size_t)got, at) != got) abort();
        at += got;
    }
    if (real_ftruncate(copy, status.st_size)) abort();
    close(copy);
    file->low = file->high = 0;
}

static void make_names_durable(void) {
    char path[PATH_MAX + 32], fresh[PATH_MAX + 32];
    if (!*shadow) return;
    snprintf(path, sizeof path, "%s/names", shadow);
    snprintf(fresh, sizeof fresh, "%s/names.new", shadow);
    FILE *out = fopen(fresh, "w");
    if (!out) abort();
    for (int at = 0; at < files_count; at++)
        if (*files[at].name) fprintf(out, "%d %s\n", at + 1, files[at].name);
    if (fclose(out) || rename(fresh, path)) abort();
}

void shim_begin(const char *new_dir, const char *new_shadow) {
    struct dirent *entry;
    files_count = 0;
    memset(file_of, 0, sizeof file_of);
    snprintf(dir, sizeof dir, "%s", new_dir);
    snprintf(shadow, sizeof shadow, "%s", new_shadow);
    DIR *listing = opendir(dir);
    if (!listing) abort();
    while ((entry = readdir(listing))) {
        char path[PATH_MAX + 300];
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (entry->d_name[0] == '.' || !watched_name(path)) continue;
        int id = add(entry->d_name), fd = real_open(path, O_RDONLY | O_CLOEXEC, 0);
        if (fd < 0 || fstat(fd, &status)) abort();
        files[id - 1].high = status.st_size;
        make_durable(fd, id);
        close(fd);
    }
    closedir(listing);
    make_names_durable();
}

void shim_fail(long k, int error, int sticky) {
    operations = 0;
    fail_at = k;
    fail_error = error;
    fail_sticky = sticky;
}

long shim_count(void) { return operations; }

void shim_tell(void (*heard)(void)) { told = heard; }

static int opened(const char *path, int flags, mode_t mode) {
    const char *name = watched_name(path);
    if (name && fails()) return -1;
    int fd = real_open(path, flags, mode);
    if (fd < 0 || fd >= FDS_MAX) return fd;
    file_of[fd] = 0;
    if (name) file_of[fd] = named(name) ? named(name) : add(name);
    else if (*dir && !strcmp(path, dir)) file_of[fd] = -1;
    return fd;
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(path, flags, mode);
}

int close(int fd) {
    REAL(int, close, int);
    if (watched_fd(fd)) file_of[fd] = 0;
    return real(fd);
}

ssize_t pread64(int fd, void *data, size_t count, off_t at) {
    if (watched_fd(fd) > 0 && fails()) return -1;
    return real_pread(fd, data, count, at);
}
ssize_t pread(int fd, void *data, size_t count, off_t at) { return pread64(fd, data, count, at); }

ssize_t pwrite64(int fd, const void *data, size_t count, off_t at) {
    if (watched_fd(fd) <= 0) return real_pwrite(fd, data, count, at);
    if (fails()) return -1;
    ssize_t done = real_pwrite(fd, data, count, at);
    if (done > 0) wrote(fd, at, at + done);
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t count, off_t at) { return pwrite64(fd, data, count, at); }

ssize_t write(int fd, const void *data, size_t count) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (watched_fd(fd) <= 0) return real(fd, data, count);
    if (fails()) return -1;
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = real(fd, data, count);
    if (done > 0) wrote(fd, at, at + done);
    return done;
}

int ftruncate64(int fd, off_t length) {
    if (watched_fd(fd) > 0 && fails()) return -1;
    return real_ftruncate(fd, length);
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int synced(int fd, int (*real)(int)) {
    int id = watched_fd(fd);
    if (id && fails()) {
        if (id > 0) files[id - 1].low = files[id - 1].high = 0;
        return -1;
    }
    if (real(fd)) return -1;
    if (id > 0) make_durable(fd, id);
    if (id < 0) make_names_durable();
    return 0;
}

int fsync(int fd) {
    REAL(int, fsync, int);
    return synced(fd, real);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return synced(fd, real);
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    const char *name = watched_name(path);
    if (name && fails()) return -1;
    int answer = real(path);
    if (!answer && name && named(name)) files[named(name) - 1].name[0] = 0;
    return answer;
}
