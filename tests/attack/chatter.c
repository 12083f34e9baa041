/* A daemon that talks: a line of 200 bytes every five milliseconds. */
#include <string.h>
#include <unistd.h>

int main(void)
{
    char line[200];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (;;) {
        if (write(1, line, sizeof line) < 0)
            return 1;
        usleep(5000);
    }
}
