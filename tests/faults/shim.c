/* Preloaded into the processes under test: disk, clock, names and sudden death, as a shared page of memory says.
 *
 * The page is the file named by FAULTS_PAGE; `shim.py` writes it. Nothing in the program knows of this: a step is a call
 * that it makes to the system anyway.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct page { /* as in shim.py */
  volatile int64_t clock_ns;     /* added to the wall clock */
  volatile int64_t wal_end;      /* where the last write into SQLite's log ended */
  volatile int64_t wal_synced;   /* how much of the log was on disk at the last sync */
  volatile int32_t disk_error;   /* errno in place of writing, 0: none */
  volatile int32_t disk_one_in;  /* one call of so many fails */
  volatile int32_t short_one_in; /* one write of so many takes only half, 0: none */
  volatile int32_t no_names;     /* localhost has no address */
  volatile int32_t step;         /* the next process that comes to it is struck */
  volatile int32_t step_signal;
  volatile int32_t struck;       /* the number of the process that was */
  volatile int32_t failed;       /* calls that were made to fail */
};

enum { /* as in shim.py */
  BEFORE_WRITING = 1, HALF_WRITTEN, WRITTEN, ON_DISK, CLAIMED, HALF_SENT, SENT, RECORDING, RECORDED, COMMIT_SENT
};
enum { OTHER, WAL, DATABASE, LEADS };

static struct page none, *page = &none;
static int is_worker;
static unsigned char kinds[65536];
static __thread int log_writes, has_sent, commits;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CACHED(name) \
  static __typeof__(&name) real; \
  if (!real) real = REAL(name)

__attribute__((constructor)) static void start(void) {
  const char *name = getenv("FAULTS_PAGE");
  char command[4096];
  int descriptor = name ? REAL(open)(name, O_RDWR | O_CLOEXEC) : -1;
  if (descriptor >= 0) {
    void *mapped = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (mapped != MAP_FAILED) page = mapped;
    close(descriptor);
  }
  descriptor = REAL(open)("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  ssize_t length = descriptor >= 0 ? read(descriptor, command, sizeof command) : 0;
  for (char *word = command; word < command + length; word += strlen(word) + 1)
    if (!strcmp(word, "work")) is_worker = 1;
  if (descriptor >= 0) close(descriptor);
}

static void come_to(int step, int who) {
  if (page->step != step || is_worker != who) return;
  if (!__sync_bool_compare_and_swap(&page->step, step, 0)) return;
  page->struck = getpid();
  kill(getpid(), page->step_signal);
}

static int one_in(int number) {
  static __thread unsigned dice;
  if (!dice) dice = (unsigned)getpid() * 2654435761u + (unsigned)(uintptr_t)&dice;
  return number > 0 && rand_r(&dice) % number == 0;
}

static int kind_of(int descriptor) {
  return descriptor >= 0 && descriptor < (int)sizeof kinds ? kinds[descriptor] : OTHER;
}

static int fails(int kind) {
  if (kind == OTHER || !page->disk_error || !one_in(page->disk_one_in)) return 0;
  __sync_fetch_and_add(&page->failed, 1);
  errno = page->disk_error;
  return 1;
}

/* Files */

static int opened(int descriptor, const char *name) {
  size_t length = strlen(name);
#define ENDS(with) (length >= sizeof with - 1 && !strcmp(name + length - (sizeof with - 1), with))
  if (descriptor >= 0 && descriptor < (int)sizeof kinds)
    kinds[descriptor] = ENDS(".db-wal") ? WAL : ENDS(".db") ? DATABASE : ENDS(".jsonl") ? LEADS : OTHER;
  return descriptor;
}

#define MODE(flags) \
  mode_t mode = 0; \
  if (flags & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

static int refused(const char *name, int flags) { /* a file system that went read-only */
  size_t length = strlen(name);
  if (ENDS(".jsonl") && flags & O_RDWR) come_to(CLAIMED, 1); /* before its lock is taken */
  if (page->disk_error != EROFS || !(flags & (O_WRONLY | O_RDWR))) return 0;
  if (!(ENDS(".db-wal") || ENDS(".db") || ENDS(".jsonl"))) return 0;
  __sync_fetch_and_add(&page->failed, 1);
  errno = EROFS;
  return 1;
}

int open(const char *name, int flags, ...) {
  MODE(flags) CACHED(open);
  return refused(name, flags) ? -1 : opened(real(name, flags, mode), name);
}

int open64(const char *name, int flags, ...) {
  MODE(flags) CACHED(open64);
  return refused(name, flags) ? -1 : opened(real(name, flags, mode), name);
}

int openat(int folder, const char *name, int flags, ...) {
  MODE(flags) CACHED(openat);
  return refused(name, flags) ? -1 : opened(real(folder, name, flags, mode), name);
}

int openat64(int folder, const char *name, int flags, ...) {
  MODE(flags) CACHED(openat64);
  return refused(name, flags) ? -1 : opened(real(folder, name, flags, mode), name);
}

int close(int descriptor) {
  CACHED(close);
  if (descriptor >= 0 && descriptor < (int)sizeof kinds) kinds[descriptor] = OTHER;
  return real(descriptor);
}

static void into_log(off64_t end, int begins) {
  come_to(log_writes ? HALF_WRITTEN : BEFORE_WRITING, 0);
  if (has_sent) come_to(RECORDING, 1);
  log_writes++;
  page->wal_end = end;
  if (begins) page->wal_synced = 0; /* the log starts anew */
}

static size_t taken(int kind, size_t length) {
  return kind != OTHER && length > 1 && one_in(page->short_one_in) ? length / 2 : length;
}

ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t at) {
  CACHED(pwrite64);
  int kind = kind_of(descriptor);
  if (kind == OTHER) return real(descriptor, data, length, at);
  if (fails(kind)) return -1;
  length = taken(kind, length);
  if (kind == WAL) into_log(at + (off64_t)length, at == 0);
  return real(descriptor, data, length, at);
}

ssize_t pwrite(int descriptor, const void *data, size_t length, off_t at) {
  return pwrite64(descriptor, data, length, at);
}

ssize_t write(int descriptor, const void *data, size_t length) {
  CACHED(write);
  int kind = kind_of(descriptor);
  if (kind != LEADS || length < 2) return real(descriptor, data, length);
  if (fails(kind)) return -1;
  if (page->step == HALF_SENT && is_worker) {
    ssize_t half = real(descriptor, data, length / 2);
    come_to(HALF_SENT, 1);
    return half;
  }
  return real(descriptor, data, taken(kind, length));
}

int ftruncate64(int descriptor, off64_t length) {
  CACHED(ftruncate64);
  return fails(kind_of(descriptor)) ? -1 : real(descriptor, length);
}

static int synced(int descriptor, int (*real)(int)) {
  int kind = kind_of(descriptor);
  if (kind == OTHER) return real(descriptor);
  if (kind == WAL) come_to(WRITTEN, 0);
  if (fails(kind)) return -1;
  int64_t end = page->wal_end;
  int result = real(descriptor);
  if (result == 0 && kind == WAL) {
    log_writes = 0;
    page->wal_synced = end;
    come_to(ON_DISK, 0);
    if (has_sent) { has_sent = 0; come_to(RECORDED, 1); }
  }
  if (kind == LEADS) { come_to(SENT, 1); has_sent = 1; }
  return result;
}

int fsync(int descriptor) {
  CACHED(fsync);
  return synced(descriptor, real);
}

int fdatasync(int descriptor) {
  CACHED(fdatasync);
  return synced(descriptor, real);
}

/* PostgreSQL: what goes to the server and comes back */

static int is_commit(const void *data, size_t length) {
  return length >= 11 && memmem(data, length < 64 ? length : 64, "COMMIT", 6) != NULL;
}

ssize_t send(int descriptor, const void *data, size_t length, int flags) {
  CACHED(send);
  int commit = page->step && is_commit(data, length);
  if (commit) {
    come_to(WRITTEN, 0);
    if (has_sent) come_to(RECORDING, 1);
  }
  ssize_t result = real(descriptor, data, length, flags);
  if (commit) {
    come_to(COMMIT_SENT, 0);
    commits = 1;
  }
  return result;
}

ssize_t recv(int descriptor, void *data, size_t length, int flags) {
  CACHED(recv);
  ssize_t result = real(descriptor, data, length, flags);
  if (commits && result > 0) {
    commits = 0;
    come_to(ON_DISK, 0);
    if (has_sent) { has_sent = 0; come_to(RECORDED, 1); }
  }
  return result;
}

/* Names and clocks */

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  CACHED(getaddrinfo);
  if (page->no_names && node && !strcmp(node, "localhost")) {
    __sync_fetch_and_add(&page->failed, 1);
    return EAI_AGAIN;
  }
  return real(node, service, hints, found);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  CACHED(clock_gettime);
  int result = real(clock, at);
  if (result == 0 && clock == CLOCK_REALTIME && page->clock_ns) {
    at->tv_sec += page->clock_ns / 1000000000;
    at->tv_nsec += page->clock_ns % 1000000000;
    if (at->tv_nsec >= 1000000000) { at->tv_sec++; at->tv_nsec -= 1000000000; }
    if (at->tv_nsec < 0) { at->tv_sec--; at->tv_nsec += 1000000000; }
  }
  return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
