/* hostile PORT BACKEND: serves like a proxy, and lies about it like none. Run under the name of nginx it
 * gives epoll addresses of what looks like nginx's connections, and a thread writes over all of that all the
 * time: requests that are others', circles, addresses of nothing, of the kernel and of the end of a page. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 256
#define REQUESTS 64
#define WORDS 512

/* As ngx_connection_t begins. */
struct connection {
    uint64_t data, read, write;
    uint32_t fd, padding;
    uint64_t rest[4];
};

static struct connection *connections;
static uint64_t (*requests)[WORDS];
static char *edge;
/* What is true. */
static int descriptors[CONNECTIONS];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t mixed(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static uint64_t anything(uint64_t *state) {
    uint64_t random = mixed(state);
    switch (random >> 8 & 7) {
    case 0: return random;
    case 1: return 0xffff888000000000 | (random & 0xffffffff);
    case 2: return (uint64_t)edge - (random & 15);
    case 3: return (uint64_t)&connections[random >> 16 & (CONNECTIONS - 1)];
    case 4: return 0;
    default: return (uint64_t)requests[random >> 16 & (REQUESTS - 1)];
    }
}

static void *lie(void *unused) {
    uint64_t state = 88172645463325252u;
    for (;;) {
        struct connection *one = &connections[mixed(&state) & (CONNECTIONS - 1)];
        one->data = anything(&state);
        one->fd = mixed(&state) & 7 ? (uint32_t)descriptors[one - connections] : (uint32_t)mixed(&state);
        uint64_t *request = requests[mixed(&state) & (REQUESTS - 1)];
        for (int count = 0; count < 16; count++) request[mixed(&state) % WORDS] = anything(&state);
        if (mixed(&state) & 7) request[0] = 0x50545448; /* "HTTP" */
        request[1] = anything(&state);
        if ((mixed(&state) & 0xffff) == 0)
            madvise(requests, sizeof *requests * REQUESTS, MADV_DONTNEED);
    }
    return unused;
}

static int add(int epoll, int fd, uint32_t events) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fd >= CONNECTIONS) die("too many");
    descriptors[fd] = fd;
    connections[fd].fd = fd;
    struct epoll_event event = {.events = events, .data.ptr = &connections[fd]};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
    return fd;
}

/* Reads to the end of a head; the body that follows is in the same segment. */
static int take(int fd, char *text, int room) {
    for (int len = 0;;) {
        ssize_t got = read(fd, text + len, room - 1 - len);
        if (got <= 0) return 0;
        text[len += got] = 0;
        if (strstr(text, "\r\n\r\n")) return len;
    }
}

int main(int count, char **given) {
    if (count != 3) return 2;
    size_t size = sizeof *requests * REQUESTS;
    requests = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    connections = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *two = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(two + 4096, 4096);
    edge = two + 4096;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(given[1]))};
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(atoi(given[2]))};
    here.sin_addr.s_addr = there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&here, sizeof here) < 0 || listen(listener, 128) < 0) die("listen");
    int upstream = add(epoll, socket(AF_INET, SOCK_STREAM, 0), 0);
    if (connect(upstream, (void *)&there, sizeof there) < 0) die("connect");
    add(epoll, listener, EPOLLIN);
    pthread_t liar;
    pthread_create(&liar, 0, lie, 0);
    for (;;) {
        struct epoll_event event;
        if (epoll_wait(epoll, &event, 1, -1) < 1) continue;
        int fd = descriptors[(struct connection *)event.data.ptr - connections];
        if (fd == listener) {
            add(epoll, accept(listener, 0, 0), EPOLLIN);
            continue;
        }
        char asked[4096], answer[4096], line[4096];
        if (!take(fd, asked, sizeof asked)) {
            if (fd == upstream) die("upstream");
            close(fd);
            continue;
        }
        char *path = strchr(asked, ' ') + 1;
        int len = snprintf(line, sizeof line, "GET %.*s HTTP/1.1\r\nHost: b\r\n\r\n", (int)strcspn(path, " "), path);
        if (write(upstream, line, len) != len || !take(upstream, answer, sizeof answer)) die("upstream");
        static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
        if (write(fd, ok, sizeof ok - 1) < 0) die("answer");
    }
}
