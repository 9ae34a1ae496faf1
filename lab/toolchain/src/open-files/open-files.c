/* Reports a limit of 65,536 open files to a program that refuses to start with fewer, where root may not raise it.
 * Only the report changes: the kernel still refuses the file after the real limit. For the embedded cluster alone. */
#define _GNU_SOURCE
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static const unsigned long reported = 65536;

static int ask(int resource, unsigned long *pair) {
    int failed = (int)syscall(SYS_prlimit64, 0, resource, (void *)0, pair);
    if (!failed && resource == RLIMIT_NOFILE) {
        if (pair[0] < reported) pair[0] = reported;
        if (pair[1] < reported) pair[1] = reported;
    }
    return failed;
}

int getrlimit(__rlimit_resource_t resource, struct rlimit *limit) { return ask((int)resource, (unsigned long *)limit); }
int getrlimit64(__rlimit_resource_t resource, struct rlimit64 *limit) { return ask((int)resource, (unsigned long *)limit); }
