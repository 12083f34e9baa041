/* The least that looking at a host can cost: once per PERIOD_MS it opens, reads to the end and closes each of its files, lists
 * /proc, and does nothing with what it read.
 *
 *   look PERIOD_MS FILE...            opens the files anew each time
 *   look -k PERIOD_MS FILE...         keeps them open
 *
 * Its CPU time is taken from outside, like that of any other process.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char buffer[65536];

static void drain(int fd)
{
    off_t at = 0;
    ssize_t got;
    while ((got = pread(fd, buffer, sizeof buffer, at)) > 0)
        at += got;
}

static void list(int proc)
{
    lseek(proc, 0, SEEK_SET);
    while (syscall(SYS_getdents64, proc, buffer, sizeof buffer) > 0)
        ;
}

int main(int argc, char **argv)
{
    int keep = argc > 1 && strcmp(argv[1], "-k") == 0;
    if (argc < 2 + keep)
        return 2;
    long period_ms = atol(argv[1 + keep]);
    char **files = argv + 2 + keep;
    int count = argc - 2 - keep, proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int *kept = calloc((size_t)count + 1, sizeof *kept);
    for (int at = 0; keep && at < count; at++)
        kept[at] = open(files[at], O_RDONLY | O_CLOEXEC);

    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    prctl(PR_SET_TIMERSLACK, 50000);
    for (;;) {
        for (int at = 0; at < count; at++) {
            int fd = keep ? kept[at] : open(files[at], O_RDONLY | O_CLOEXEC);
            if (fd < 0)
                continue;
            drain(fd);
            if (!keep)
                close(fd);
        }
        list(proc);
        next.tv_nsec += period_ms % 1000 * 1000000L;
        next.tv_sec += period_ms / 1000 + next.tv_nsec / 1000000000L;
        next.tv_nsec %= 1000000000L;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
}
