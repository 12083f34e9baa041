/* A service that speaks: what stands in the file `say` of the directory it is given goes to NOTIFY_SOCKET as one datagram, and the
 * file away. As long as there is no file `mute`, it says that it lives, twice as often as WATCHDOG_USEC asks. The file `flood`
 * makes it say so a thousand times. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_un to = { .sun_family = AF_UNIX };
static int voice;

static void say(const char *text, size_t len) {
    sendto(voice, text, len, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
}

int main(int argc, char **argv) {
    const char *socket_name = getenv("NOTIFY_SOCKET"), *micros = getenv("WATCHDOG_USEC");
    if (argc < 2 || !socket_name || strlen(socket_name) >= sizeof to.sun_path || chdir(argv[1])) return 3;
    strcpy(to.sun_path, socket_name);
    voice = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    long period = micros ? atol(micros) / 2000 : 0, due = 0;
    for (;;) {
        char text[4096];
        int file = open("say", O_RDONLY);
        if (file >= 0) {
            ssize_t len = read(file, text, sizeof text);
            close(file);
            unlink("say");
            if (len > 0) say(text, len);
        }
        if (unlink("flood") == 0)
            for (int i = 0; i < 1000; i++) say("STATUS=flood", 12);
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        long ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
        if (period && ms >= due && access("mute", F_OK) != 0) {
            say("WATCHDOG=1", 10);
            due = ms + period;
        }
        poll(NULL, 0, 5);
    }
}
