/* A daemon of which there may be one: it holds a lock as long as it lives, and writes down that it began, or that it met another.
 *
 *   once NAME                 stays in the foreground
 *   once NAME PIDFILE         forks twice, and its pid stands in PIDFILE
 *
 * NAME.lock is the lock; NAME.log gets "start PID" or "twice PID".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

static void put(const char *path, int flags, const char *text, int length)
{
    int fd = open(path, flags | O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, length) != length)
        exit(1);
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
    char name[4096], text[64];
    if (argc < 2)
        return 2;
    if (argc > 2) {
        leave();
        setsid();
        leave();
    }
    snprintf(name, sizeof name, "%s.lock", argv[1]);
    int lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock < 0)
        return 1;
    int held = flock(lock, LOCK_EX | LOCK_NB);
    snprintf(name, sizeof name, "%s.log", argv[1]);
    put(name, O_APPEND, text, snprintf(text, sizeof text, "%s %d\n", held == 0 ? "start" : "twice", getpid()));
    if (argc > 2) {
        snprintf(name, sizeof name, "%s.%d", argv[2], getpid());
        put(name, O_TRUNC, text, snprintf(text, sizeof text, "%d\n", getpid()));
        if (rename(name, argv[2]) < 0)
            return 1;
    }
    for (;;)
        pause();
}
