/* A daemon that says when it came to life: the first thing main() does is to read the clocks, the second is to append one line
 * "MONOTONIC_NS REALTIME_NS PID" to FILE. Then it pauses for ever.
 *
 *   stamp FILE                stays in the foreground
 *   stamp FILE PIDFILE        forks twice, becomes a session leader, and writes its pid beside PIDFILE and renames it
 *
 * In the second form the stamp is of the program's first instruction, the pid of the daemon that stays.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static long long ns(struct timespec t)
{
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void put(const char *path, int flags, const char *text, int length)
{
    int fd = open(path, flags | O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, length) != length) {
        perror(path);
        exit(1);
    }
    close(fd);
}

static void leave(void)
{
    pid_t pid = fork();
    if (pid < 0)
        exit(1);
    if (pid > 0)
        _exit(0);
}

int main(int argc, char **argv)
{
    struct timespec mono, real;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    clock_gettime(CLOCK_REALTIME, &real);
    if (argc < 2)
        return 2;

    char text[96];
    if (argc > 2) {
        leave();
        setsid();
        leave();
        char beside[4096];
        snprintf(beside, sizeof beside, "%s.%d", argv[2], getpid());
        put(beside, O_TRUNC, text, snprintf(text, sizeof text, "%d\n", getpid()));
        if (rename(beside, argv[2]) < 0)
            return 1;
    }
    put(argv[1], O_APPEND, text, snprintf(text, sizeof text, "%lld %lld %d\n", ns(mono), ns(real), getpid()));
    for (;;)
        pause();
}
