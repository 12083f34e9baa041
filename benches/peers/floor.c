/* The least that a supervisor can be: one epoll over pidfds. Keeps N programs running and does nothing else.
 *
 *   floor COUNT PROGRAM DIRECTORY
 *
 * Program number i is run as `PROGRAM DIRECTORY/i`. A death is seen through its pidfd, reaped, and answered by fork and exec.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64 };

static struct {
    int pidfd;
    char path[4096];
} child[MOST];

static void start(int poller, int place, char *program)
{
    pid_t parent = getpid();
    pid_t pid = vfork();
    if (pid == 0) {
        char *args[] = {program, child[place].path, NULL};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        execv(program, args);
        _exit(127);
    }
    if (pid < 0)
        exit(1);
    child[place].pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)place};
    if (child[place].pidfd < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, child[place].pidfd, &event) < 0)
        exit(1);
}

int main(int argc, char **argv)
{
    int count = argc > 3 ? atoi(argv[1]) : 0;
    if (count < 1 || count > MOST)
        return 2;
    int poller = epoll_create1(EPOLL_CLOEXEC);
    for (int place = 0; place < count; place++) {
        snprintf(child[place].path, sizeof child[place].path, "%s/%d", argv[3], place);
        start(poller, place, argv[2]);
    }
    for (;;) {
        struct epoll_event event[MOST];
        int ready = epoll_wait(poller, event, MOST, -1);
        for (int at = 0; at < ready; at++) {
            int place = (int)event[at].data.u32;
            siginfo_t info;
            waitid(P_PIDFD, (id_t)child[place].pidfd, &info, WEXITED);
            close(child[place].pidfd);
            start(poller, place, argv[2]);
        }
    }
}
