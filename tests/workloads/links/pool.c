/* pool PORT BACKEND WORKERS: one thread reads requests (epoll), WORKERS threads take them from a
 * queue; each asks BACKEND for /ID/back and /ID/again on a connection of its own and answers.
 * pool PORT BACKEND WORKERS staged: whoever has asked puts the request back into the queue, so that
 * somebody else goes on with it. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE 1024

struct job {
    int fd, stage;
    char id[32];
};

static struct job queue[QUEUE];
static unsigned head, tail;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static struct sockaddr_in backend;
static int is_staged;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void put(const struct job *job) {
    pthread_mutex_lock(&lock);
    if (tail - head == QUEUE) die("queue");
    queue[tail++ % QUEUE] = *job;
    pthread_cond_signal(&filled);
    pthread_mutex_unlock(&lock);
}

static struct job take(void) {
    pthread_mutex_lock(&lock);
    while (head == tail) pthread_cond_wait(&filled, &lock);
    struct job job = queue[head++ % QUEUE];
    pthread_mutex_unlock(&lock);
    return job;
}

static void ask(int fd, const char *id, const char *what) {
    char text[4096];
    int delay = atoi(id + 1) * 7 % 5;
    int len = snprintf(text, sizeof text, "GET /%s/%s?delay=%d&size=2 HTTP/1.1\r\nHost: b\r\n\r\n", id,
                       what, delay);
    if (write(fd, text, len) != len) die("write");
    for (len = 0;;) {
        ssize_t got = read(fd, text + len, sizeof text - 1 - len);
        if (got <= 0) die("read");
        text[len += got] = 0;
        char *end = strstr(text, "\r\n\r\n");
        if (end && end + 4 + 2 <= text + len) return;
    }
}

static void *work(void *unused) {
    (void)unused;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&backend, sizeof backend)) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (;;) {
        struct job job = take();
        if (job.stage < 2) {
            ask(fd, job.id, job.stage ? "again" : "back");
            job.stage++;
            if (!is_staged) ask(fd, job.id, "again");
            if (is_staged) {
                put(&job);
                continue;
            }
        }
        static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
        if (write(job.fd, answer, sizeof answer - 1) < 0) perror("answer");
    }
}

int main(int count, char **given) {
    if (count < 4) return 2;
    is_staged = count > 4;
    struct sockaddr_in own = {.sin_family = AF_INET};
    own.sin_addr.s_addr = backend.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    own.sin_port = htons(atoi(given[1]));
    backend.sin_family = AF_INET;
    backend.sin_port = htons(atoi(given[2]));
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&own, sizeof own) || listen(listener, 256)) die("listen");
    for (int workers = atoi(given[3]); workers > 0; workers--) {
        pthread_t thread;
        if (pthread_create(&thread, 0, work, 0)) die("thread");
    }
    int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
    puts("listening");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[64];
        int ready = epoll_wait(set, events, 64, -1);
        for (int at = 0; at < ready; at++) {
            int fd = events[at].data.fd;
            if (fd == listener) {
                event.data.fd = accept(listener, 0, 0);
                epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event);
                continue;
            }
            char text[4096];
            ssize_t len = read(fd, text, sizeof text - 1);
            if (len <= 0) {
                close(fd);
                continue;
            }
            text[len] = 0;
            struct job job = {.fd = fd};
            if (sscanf(text, "GET /%31[^/ ]", job.id) == 1) put(&job);
        }
    }
}
