/* A FUSE file system that greets the kernel and then never answers anything: what a dead network server looks like.
 *
 *   mute DIRECTORY PROGRAM ARGUMENT...
 *
 * mounts itself on DIRECTORY in a mount namespace of its own and becomes PROGRAM; the server goes on in a child, which ends when
 * it is killed. Exit status 77: there is no FUSE here.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static char request[1 << 18];

static void greet(int fuse, const struct fuse_in_header *head)
{
    const struct fuse_init_in *in = (const void *)(head + 1);
    struct {
        struct fuse_out_header head;
        struct fuse_init_out init;
    } out;
    memset(&out, 0, sizeof out);
    out.head.len = sizeof out;
    out.head.unique = head->unique;
    out.init.major = FUSE_KERNEL_VERSION;
    out.init.minor = in->minor < FUSE_KERNEL_MINOR_VERSION ? in->minor : FUSE_KERNEL_MINOR_VERSION;
    out.init.max_write = 4096;
    if (write(fuse, &out, sizeof out) < 0)
        perror("mute: greet");
}

int main(int argc, char **argv)
{
    char options[64];
    int fuse = open("/dev/fuse", O_RDWR);
    if (argc < 3 || fuse < 0 || unshare(CLONE_NEWNS) < 0 || mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) < 0)
        return 77;
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
    if (mount("mute", argv[1], "fuse.mute", MS_NOSUID | MS_NODEV, options) < 0)
        return 77;
    if (fork() == 0) {
        while (read(fuse, request, sizeof request) > 0) {
            const struct fuse_in_header *head = (const void *)request;
            if (head->opcode == FUSE_INIT)
                greet(fuse, head);
        }
        _exit(0);
    }
    close(fuse);
    execv(argv[2], argv + 2);
    return 1;
}
