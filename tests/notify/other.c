/* A set-id program: becomes its owner altogether, says its pid in the file it is given, and stays. */
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 2 || setuid(geteuid())) return 3;
    FILE *file = fopen(argv[1], "w");
    if (!file || fprintf(file, "%d\n", (int)getpid()) < 0 || fclose(file)) return 4;
    for (;;) pause();
}
