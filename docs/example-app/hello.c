// Answers every request over HTTP at port 8080 with a greeting and the name of the machine, which is the pod's. Ends when it
// is asked to, so that a pod that is replaced does not have to be killed.
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char GREETING[] = "Hello";

static void end(int signal) {
    (void)signal;
    _exit(0);
}

static void answer(int connection, const char *name) {
    char request[4096], body[512], head[256];
    if (read(connection, request, sizeof request) <= 0)
        return;
    int length = snprintf(body, sizeof body, "%s from %s\n", GREETING, name);
    int begin = snprintf(head, sizeof head, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", length);
    if (write(connection, head, (size_t)begin) == begin && write(connection, body, (size_t)length) != length)
        perror("write");
}

int main(void) {
    signal(SIGTERM, end);
    signal(SIGINT, end);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    // Of IPv6, and of IPv4 by mapped addresses.
    int one = 1, listener = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(8080), .sin6_addr = in6addr_any};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 128) != 0) {
        perror("port 8080");
        return EXIT_FAILURE;
    }
    printf("listens at port 8080\n");
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0)
            continue;
        answer(connection, name);
        close(connection);
    }
}
