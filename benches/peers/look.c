/* The least that looking at a host can cost: once per PERIOD_MS it opens, reads to the end and closes each of its files, lists
 * /proc, and does nothing with what it read.
 *
 *   look open PERIOD_MS FILE...       opens the files anew each time
 *   look keep PERIOD_MS FILE...       keeps them open
 *   look all PERIOD_MS FILE...        as open, and /proc/PID/stat of every process besides
 *   look same PERIOD_MS LIST          the files and directories named in LIST, one a line, an empty line after those of each
 *                                     period; then from the start again
 *
 * Its CPU time is taken from outside, like that of any other process.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
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

static char names[65536];

struct entry {
    unsigned long long inode, offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static void list(int proc, int each)
{
    long got;
    lseek(proc, 0, SEEK_SET);
    while ((got = syscall(SYS_getdents64, proc, names, sizeof names)) > 0) {
        for (long at = 0; each && at < got;) {
            struct entry *entry = (struct entry *)(names + at);
            at += entry->length;
            if (entry->name[0] < '0' || entry->name[0] > '9')
                continue;
            char path[300];
            snprintf(path, sizeof path, "%s/stat", entry->name);
            int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
            if (fd < 0)
                continue;
            if (read(fd, buffer, sizeof buffer) < 0)
                buffer[0] = 0;
            close(fd);
        }
    }
}

/* Reads what one line after the other names; true at the end of a period, false at the end of the list. */
static int period(FILE *list)
{
    char line[4096];
    while (fgets(line, sizeof line, list)) {
        line[strcspn(line, "\n")] = 0;
        if (!line[0])
            return 1;
        int fd = open(line, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        drain(fd);
        /* Of a directory nothing can be read but names. */
        while (syscall(SYS_getdents64, fd, names, sizeof names) > 0)
            ;
        close(fd);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int same = strcmp(argv[1], "same") == 0;
    FILE *paths = same ? fopen(argv[3], "r") : NULL;
    if (same && !paths)
        return 2;
    int keep = strcmp(argv[1], "keep") == 0, each = strcmp(argv[1], "all") == 0;
    long period_ms = atol(argv[2]);
    char **files = argv + 3;
    int count = argc - 3, proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int *kept = calloc((size_t)count + 1, sizeof *kept);
    for (int at = 0; keep && at < count; at++)
        kept[at] = open(files[at], O_RDONLY | O_CLOEXEC);

    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    prctl(PR_SET_TIMERSLACK, 50000);
    for (;;) {
        if (same && !period(paths))
            rewind(paths);
        for (int at = 0; !same && at < count; at++) {
            int fd = keep ? kept[at] : open(files[at], O_RDONLY | O_CLOEXEC);
            if (fd < 0)
                continue;
            drain(fd);
            if (!keep)
                close(fd);
        }
        if (!same)
            list(proc, each);
        next.tv_nsec += period_ms % 1000 * 1000000L;
        next.tv_sec += period_ms / 1000 + next.tv_nsec / 1000000000L;
        next.tv_nsec %= 1000000000L;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
}
