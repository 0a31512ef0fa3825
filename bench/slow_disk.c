/* Preloaded, it makes every way to wait for the disk longer by SLOW_DISK_US microseconds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static unsigned delay;

__attribute__((constructor)) static void start(void) {
  const char *given = getenv("SLOW_DISK_US");
  delay = given ? (unsigned)atoi(given) : 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void wait_longer(void) {
  if (delay) usleep(delay);
}

int fsync(int descriptor) {
  wait_longer();
  return REAL(fsync)(descriptor);
}

int fdatasync(int descriptor) {
  wait_longer();
  return REAL(fdatasync)(descriptor);
}

int sync_file_range(int descriptor, off64_t offset, off64_t bytes, unsigned flags) {
  wait_longer();
  return REAL(sync_file_range)(descriptor, offset, bytes, flags);
}
