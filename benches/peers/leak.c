/* A daemon that leaks: DATA is a file of 40 MiB that it makes and three processes of it read again and again, as databases do, and
 * while FLAG exists it grows by STEP KiB every 20 ms, up to MOST KiB. In a place with little memory its data is pushed out and read back ever more often:
 * work waits for memory long before there is none.
 *
 *     leak DATA FLAG STEP MOST */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static long millis(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
    static char page[1 << 16];
    if (argc != 5) return 2;
    int data = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (data < 0) return 1;
    unlink(argv[1]);
    memset(page, 7, sizeof page);
    for (int piece = 0; piece < 16 * 40; piece++)
        if (write(data, page, sizeof page) != sizeof page) return 1;
    fsync(data);
    pid_t self = getpid();
    for (int reader = 0; reader < 2; reader++)
        if (getpid() == self) fork();
    long step = atol(argv[3]), most = atol(argv[4]), held = 0, begun = millis();
    for (;;) {
        while (getpid() == self && held < most && held < step * ((millis() - begun) / 20) && access(argv[2], F_OK) == 0) {
            char *more = mmap(0, step << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (more == MAP_FAILED) break;
            memset(more, 1, step << 10);
            held += step;
        }
        for (off_t at = 0; pread(data, page, sizeof page, at) > 0; at += sizeof page) {}
        struct timespec pause = {0, 2000000};
        nanosleep(&pause, 0);
    }
}
