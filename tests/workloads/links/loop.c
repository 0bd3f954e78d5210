/* loop PORT BACKEND: one thread and poll(2). For each request it asks BACKEND twice, each time on a
 * new connection, and lets each third request wait before its answer until others were answered. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM 4096

/* A connection to a client, or one to the backend for its sake. */
struct side {
    int client, asked, waits;
    char id[32];
};

static struct pollfd polled[ROOM];
static struct side sides[ROOM];
static int count;
static struct sockaddr_in backend;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void add(int fd, struct side side) {
    if (count == ROOM) die("room");
    polled[count] = (struct pollfd){.fd = fd, .events = POLLIN};
    sides[count++] = side;
}

static void answer(int fd) {
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
    if (write(fd, text, sizeof text - 1) < 0) perror("answer");
}

static void ask(struct side side) {
    char text[256];
    int fd = socket(AF_INET, SOCK_STREAM, 0), number = atoi(side.id + 1);
    if (connect(fd, (struct sockaddr *)&backend, sizeof backend)) die("connect");
    int len = snprintf(text, sizeof text,
                       "GET /%s/%s?delay=%d HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n", side.id,
                       side.asked ? "again" : "back", number * 7 % 5);
    side.asked++;
    if (write(fd, text, len) != len) die("ask");
    add(fd, side);
}

/* Whoever waited for a while is answered, for no reason that anybody sees. */
static void pass_time(void) {
    for (int at = 0; at < count; at++)
        if (sides[at].waits && --sides[at].waits == 0) answer(polled[at].fd);
}

int main(int given, char **arguments) {
    if (given != 3) return 2;
    struct sockaddr_in own = {.sin_family = AF_INET};
    own.sin_addr.s_addr = backend.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    own.sin_port = htons(atoi(arguments[1]));
    backend.sin_family = AF_INET;
    backend.sin_port = htons(atoi(arguments[2]));
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&own, sizeof own) || listen(listener, 256)) die("listen");
    add(listener, (struct side){.client = -1});
    puts("listening");
    fflush(stdout);
    for (;;) {
        poll(polled, count, 2);
        pass_time();
        for (int at = count - 1; at >= 0; at--) {
            if (!polled[at].revents) continue;
            int fd = polled[at].fd;
            if (fd == listener) {
                add(accept(fd, 0, 0), (struct side){.client = -1});
                continue;
            }
            char text[4096];
            struct side side = sides[at];
            ssize_t len = read(fd, text, sizeof text - 1);
            if (side.asked) {
                /* The backend's answers come whole. */
                close(fd);
                polled[at] = polled[--count];
                sides[at] = sides[count];
                if (side.asked == 1) {
                    ask(side);
                } else if (atoi(side.id + 1) % 3) {
                    answer(side.client);
                } else {
                    for (int other = 0; other < count; other++)
                        if (polled[other].fd == side.client) sides[other].waits = 3;
                }
            } else if (len <= 0) {
                close(fd);
                polled[at] = polled[--count];
                sides[at] = sides[count];
            } else {
                text[len] = 0;
                side = (struct side){.client = fd};
                if (sscanf(text, "GET /%31[^/ ]", side.id) == 1) ask(side);
            }
        }
    }
}
