/* File operations that fail: a library to preload.

   After arm(folder, at, error, lasting, log), operation number `at` on what lies below
   `folder` fails with `error`, or the process is killed there if `error` is 0. Where
   `lasting` is set, all later ones that need space fail too. Every operation is a line
   of the file `log`: its number, its name and the path. A write that fails has written
   half of its bytes. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static int at, fault, lasting, log_file = -1;
static atomic_int count;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void arm(const char *path, int number, int error, int stays, const char *log) {
  log_file = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  at = number;
  fault = error;
  lasting = stays;
  atomic_store(&count, 0);
  snprintf(folder, sizeof folder, "%s", path);
}

/* The path of a name in the folder of a file descriptor, or of the descriptor. */
static void full_path(char *path, int fd, const char *name) {
  char link[64];
  ssize_t length = 0;
  path[0] = 0;
  if (name && name[0] == '/') {
    snprintf(path, PATH_MAX, "%s", name);
    return;
  }
  if (fd == AT_FDCWD) {
    if (!getcwd(path, PATH_MAX)) return;
    length = strlen(path);
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) length = 0;
    path[length] = 0;
  }
  if (name) snprintf(path + length, PATH_MAX - length, "/%s", name);
}

/* Whether this operation fails; it is counted if it is below the folder. */
static int fails(const char *operation, int fd, const char *name, int needs_space) {
  char path[PATH_MAX], line[PATH_MAX + 64];
  size_t length = strlen(folder);
  if (!length) return 0;
  int before = errno;
  full_path(path, fd, name);
  errno = before;
  if (strncmp(path, folder, length) || (path[length] && path[length] != '/')) return 0;
  int number = atomic_fetch_add(&count, 1) + 1;
  int size = snprintf(line, sizeof line, "%d %s %s\n", number, operation, path);
  if (log_file >= 0 && REAL(write)(log_file, line, size) < 0) errno = before;
  return number == at || (lasting && number > at && at && needs_space);
}

static int fail(void) {
  if (!fault) kill(getpid(), SIGKILL);
  errno = fault;
  return -1;
}

#define OPEN(name, fd, path)                                     \
  mode_t mode = 0;                                               \
  if (flags & (O_CREAT | O_TMPFILE)) {                           \
    va_list rest;                                                \
    va_start(rest, flags);                                       \
    mode = va_arg(rest, mode_t);                                 \
    va_end(rest);                                                \
  }                                                              \
  if (fails("open", fd, path, flags & O_CREAT)) return fail();

int open(const char *path, int flags, ...) {
  OPEN(open, AT_FDCWD, path)
  return REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  OPEN(open64, AT_FDCWD, path)
  return REAL(open64)(path, flags, mode);
}
int openat(int fd, const char *path, int flags, ...) {
  OPEN(openat, fd, path)
  return REAL(openat)(fd, path, flags, mode);
}
int openat64(int fd, const char *path, int flags, ...) {
  OPEN(openat64, fd, path)
  return REAL(openat64)(fd, path, flags, mode);
}

ssize_t write(int fd, const void *bytes, size_t size) {
  if (fails("write", fd, NULL, 1)) {
    if (REAL(write)(fd, bytes, size / 2) < 0) return -1;
    return fail();
  }
  return REAL(write)(fd, bytes, size);
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
  if (fails("pwrite", fd, NULL, 1)) return fail();
  return REAL(pwrite)(fd, bytes, size, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) {
  if (fails("pwrite", fd, NULL, 1)) return fail();
  return REAL(pwrite64)(fd, bytes, size, offset);
}
ssize_t writev(int fd, const struct iovec *parts, int number) {
  if (fails("writev", fd, NULL, 1)) return fail();
  return REAL(writev)(fd, parts, number);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
  if (fails("sendfile", to, NULL, 1)) return fail();
  return REAL(sendfile)(to, from, offset, size);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
  if (fails("sendfile", to, NULL, 1)) return fail();
  return REAL(sendfile64)(to, from, offset, size);
}
ssize_t copy_file_range(int from, off64_t *begin, int to, off64_t *end, size_t size,
                        unsigned flags) {
  if (fails("copy_file_range", to, NULL, 1)) return fail();
  return REAL(copy_file_range)(from, begin, to, end, size, flags);
}
int ftruncate(int fd, off_t size) {
  return fails("ftruncate", fd, NULL, 1) ? fail() : REAL(ftruncate)(fd, size);
}
int ftruncate64(int fd, off64_t size) {
  return fails("ftruncate", fd, NULL, 1) ? fail() : REAL(ftruncate64)(fd, size);
}
int fsync(int fd) { return fails("fsync", fd, NULL, 0) ? fail() : REAL(fsync)(fd); }
int fdatasync(int fd) {
  return fails("fsync", fd, NULL, 0) ? fail() : REAL(fdatasync)(fd);
}
int rename(const char *from, const char *to) {
  return fails("rename", AT_FDCWD, to, 0) ? fail() : REAL(rename)(from, to);
}
int renameat(int fd, const char *from, int there, const char *to) {
  return fails("rename", there, to, 0) ? fail() : REAL(renameat)(fd, from, there, to);
}
int renameat2(int fd, const char *from, int there, const char *to, unsigned flags) {
  if (fails("rename", there, to, 0)) return fail();
  return REAL(renameat2)(fd, from, there, to, flags);
}
int link(const char *from, const char *to) {
  return fails("link", AT_FDCWD, to, 1) ? fail() : REAL(link)(from, to);
}
int mkdir(const char *path, mode_t mode) {
  return fails("mkdir", AT_FDCWD, path, 1) ? fail() : REAL(mkdir)(path, mode);
}
int mkdirat(int fd, const char *path, mode_t mode) {
  return fails("mkdir", fd, path, 1) ? fail() : REAL(mkdirat)(fd, path, mode);
}
int unlink(const char *path) {
  return fails("unlink", AT_FDCWD, path, 0) ? fail() : REAL(unlink)(path);
}
int unlinkat(int fd, const char *path, int flags) {
  const char *name = flags & AT_REMOVEDIR ? "rmdir" : "unlink";
  return fails(name, fd, path, 0) ? fail() : REAL(unlinkat)(fd, path, flags);
}
int rmdir(const char *path) {
  return fails("rmdir", AT_FDCWD, path, 0) ? fail() : REAL(rmdir)(path);
}
DIR *opendir(const char *path) {
  return fails("listing", AT_FDCWD, path, 0) ? (fail(), NULL) : REAL(opendir)(path);
}
DIR *fdopendir(int fd) {
  return fails("listing", fd, NULL, 0) ? (fail(), NULL) : REAL(fdopendir)(fd);
}
