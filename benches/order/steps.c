/* Steps through a process, one instruction at a time, and prints the offsets into its program of all that it ran.
 *
 *     steps SECONDS PID              a process that runs
 *     steps SECONDS PROGRAM ARG...   from its first instruction on
 *
 * Offsets are those of the file's addresses (a position-independent program, x86-64), in hexadecimal, each once. Only this process is
 * stepped through, not its children. It ends after so many seconds; a program it has started goes on. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t is_over;

static void over(int signal)
{
    (void)signal;
    is_over = 1;
}

static unsigned long base(pid_t pid)
{
    char path[64], line[512], program[256];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t length = readlink(path, program, sizeof program - 1);
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "r");
    if (!maps || length < 0)
        return 0;
    program[length] = 0;
    unsigned long start = 0;
    while (!start && fgets(line, sizeof line, maps))
        if (strstr(line, program))
            start = strtoul(line, 0, 16);
    fclose(maps);
    return start;
}

int main(int count, char **words)
{
    enum { MOST = 64 << 20 };
    if (count < 3)
        return fprintf(stderr, "usage: steps SECONDS PID | PROGRAM ARG...\n"), 2;
    unsigned char *seen = calloc(MOST, 1);
    pid_t pid = atoi(words[2]);
    int is_own = pid <= 0, status;
    if (is_own && !(pid = fork())) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(words[2], words + 2);
        _exit(127);
    }
    if (!is_own && ptrace(PTRACE_ATTACH, pid, 0, 0))
        return perror("attach"), 1;
    struct sigaction action = {.sa_handler = over};
    sigaction(SIGALRM, &action, 0);
    if (waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status) || !seen)
        return perror("wait"), 1;
    unsigned long start = base(pid);
    alarm((unsigned)atoi(words[1]));
    unsigned long signal = 0;
    int is_stopped = 1;
    while (!is_over) {
        struct user_regs_struct registers;
        if (ptrace(PTRACE_GETREGS, pid, 0, &registers))
            break;
        unsigned long offset = registers.rip - start;
        if (offset < MOST)
            seen[offset] = 1;
        if (ptrace(PTRACE_SINGLESTEP, pid, 0, signal))
            break;
        is_stopped = 0;
        while (!is_stopped && !is_over)
            is_stopped = waitpid(pid, &status, 0) == pid;
        if (!is_stopped || !WIFSTOPPED(status))
            break;
        signal = WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSTOP ? 0 : (unsigned long)WSTOPSIG(status);
    }
    /* It may be waiting in the kernel, and only what is stopped can be left. */
    if (!is_stopped) {
        kill(pid, SIGSTOP);
        waitpid(pid, &status, 0);
    }
    ptrace(PTRACE_DETACH, pid, 0, 0);
    kill(pid, SIGCONT);
    for (unsigned long offset = 0; offset < MOST; offset++)
        if (seen[offset])
            printf("%lx\n", offset);
    return 0;
}
