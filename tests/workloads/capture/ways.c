/* An HTTP/1.1 server and client that move their bytes by one chosen way into the kernel, so that a
 * test can compare what each way looks like from outside. It checks what it receives and ends with
 * a message and status 1 where something is wrong; it understands no more HTTP than it speaks.
 *
 *   ways serve ADDRESS IN OUT            until it is killed; prints "ready PORT" when it listens
 *   ways fetch ADDRESS IN OUT REQUESTS…  one connection; REQUEST is METHOD:PATH:BODY_BYTES; begins
 *                                        when its standard input has a line or ends
 *
 * ADDRESS: PORT (127.0.0.1), [::1]:PORT, [::ffff]:PORT (::1 and IPv4 for a server), unix:PATH,
 * unix:@ABSTRACT. The server answers /bytes/N with N bytes of body, /close/N without a length and
 * closes, /chunked/N in chunks, anything else with 404 and "no\n".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define PIECE (16 * 1024)

static void die(const char *what) {
    fprintf(stderr, "ways: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long check(const char *what, long result) {
    if (result < 0) die(what);
    return result;
}

/* === addresses === */

static socklen_t address(const char *text, struct sockaddr_storage *out) {
    memset(out, 0, sizeof *out);
    if (!strncmp(text, "unix:", 5)) {
        struct sockaddr_un *to = (void *)out;
        size_t len = strlen(text + 5);
        to->sun_family = AF_UNIX;
        memcpy(to->sun_path, text + 5, len);
        if (to->sun_path[0] == '@') {
            to->sun_path[0] = 0;
            return offsetof(struct sockaddr_un, sun_path) + len;
        }
        return offsetof(struct sockaddr_un, sun_path) + len + 1;
    }
    if (text[0] == '[') {
        struct sockaddr_in6 *to = (void *)out;
        char host[64] = {0};
        memcpy(host, text + 1, strcspn(text + 1, "]"));
        to->sin6_family = AF_INET6;
        to->sin6_port = htons(atoi(strrchr(text, ':') + 1));
        inet_pton(AF_INET6, !strcmp(host, "::ffff") ? "::" : host, &to->sin6_addr);
        return sizeof *to;
    }
    struct sockaddr_in *to = (void *)out;
    to->sin_family = AF_INET;
    to->sin_port = htons(atoi(text));
    to->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sizeof *to;
}

static int port_of(int fd) {
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    check("getsockname", getsockname(fd, (void *)&own, &len));
    if (own.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&own)->sin_port);
    if (own.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&own)->sin6_port);
    return 0;
}

/* === ways in === */

static void wait_for(int fd, short events) {
    struct pollfd it = {.fd = fd, .events = events};
    check("poll", poll(&it, 1, -1));
}

static long receive_message(int fd, char *to, size_t len, int flags) {
    /* The first part is as small as they come: a head does not fit. */
    struct iovec parts[2] = {{to, len > 3 ? 3 : len}, {to + 3, len > 3 ? len - 3 : 0}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = len > 3 ? 2 : 1};
    return recvmsg(fd, &message, flags);
}

static long receive_messages(int fd, char *to, size_t len) {
    struct iovec parts[2] = {{to, len / 2}, {to + len / 2, len - len / 2}};
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = parts, .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = parts + 1, .msg_iovlen = 1}}};
    int count = recvmmsg(fd, messages, len > 1 ? 2 : 1, MSG_WAITFORONE, NULL);
    if (count <= 0) return count;
    if (count == 2) {
        memmove(to + messages[0].msg_len, parts[1].iov_base, messages[1].msg_len);
        return messages[0].msg_len + messages[1].msg_len;
    }
    return messages[0].msg_len;
}

static long receive_spliced(int fd, char *to, size_t len) {
    int pipes[2];
    check("pipe", pipe(pipes));
    long moved = splice(fd, NULL, pipes[1], NULL, len > 65536 ? 65536 : len, SPLICE_F_MOVE);
    for (long done = 0; done < moved;)
        done += check("read of pipe", read(pipes[0], to + done, moved - done));
    close(pipes[0]);
    close(pipes[1]);
    return moved;
}

/* At most `len` bytes, at least one unless the peer has ended. Heads are looked for byte by byte
 * nowhere, so a way may deliver more than a head. */
static long receive_some(int fd, const char *way, char *to, size_t len, int is_body) {
    struct iovec parts[3] = {{to, 1}, {to + 1, 0}, {to + 1, len - 1}};
    if (!strcmp(way, "read")) return read(fd, to, len);
    if (!strcmp(way, "readv")) return readv(fd, parts, len > 1 ? 3 : 1);
    if (!strcmp(way, "preadv2")) return preadv2(fd, parts, len > 1 ? 3 : 1, -1, 0);
    if (!strcmp(way, "recv")) return recv(fd, to, len, 0);
    if (!strcmp(way, "recvfrom")) {
        struct sockaddr_storage from;
        socklen_t from_len = sizeof from;
        return recvfrom(fd, to, len, 0, (void *)&from, &from_len);
    }
    if (!strcmp(way, "recvmsg")) return receive_message(fd, to, len, 0);
    if (!strcmp(way, "recvmmsg")) return receive_messages(fd, to, len);
    /* Whatever there is: no peer of ours sends more than there is room for. */
    if (!strcmp(way, "boundless")) return syscall(SYS_recvfrom, fd, to, SIZE_MAX, 0, NULL, NULL);
    if (!strcmp(way, "waitall")) return recv(fd, to, len, is_body ? MSG_WAITALL : 0);
    if (!strcmp(way, "trunc")) {
        if (!is_body) return recv(fd, to, len, 0);
        long moved = recv(fd, NULL, len, MSG_TRUNC);
        if (moved > 0) memset(to, 'x', moved);
        return moved;
    }
    if (!strcmp(way, "splice")) return is_body ? receive_spliced(fd, to, len) : read(fd, to, len);
    if (!strcmp(way, "splice-all")) return receive_spliced(fd, to, len);
    if (!strcmp(way, "peek")) {
        long peeked = recv(fd, to, len, MSG_PEEK);
        if (peeked <= 0) return peeked;
        receive_message(fd, to, peeked, MSG_PEEK);
        return read(fd, to, peeked);
    }
    if (!strcmp(way, "zero")) {
        struct iovec none = {to, 0};
        struct msghdr message = {.msg_iov = &none, .msg_iovlen = 1};
        if (is_body) {
            check("empty read", read(fd, to, 0));
            check("empty readv", readv(fd, &none, 1));
            check("empty recvmsg", recvmsg(fd, &message, MSG_DONTWAIT) + (errno == EAGAIN));
        }
        return read(fd, to, len);
    }
    if (!strcmp(way, "nonblock")) {
        for (;;) {
            long moved = recv(fd, to, len > 1000 ? 1000 : len, MSG_DONTWAIT);
            if (moved >= 0 || errno != EAGAIN) return moved;
            wait_for(fd, POLLIN);
        }
    }
    fprintf(stderr, "ways: no way in is called %s\n", way);
    exit(2);
}

/* === ways out === */

static long send_scattered(int fd, const char *way, const char *from, size_t len) {
    /* Sixteen parts, the first of one byte, some of none. */
    struct iovec parts[16];
    size_t at = 0;
    for (int i = 0; i < 16; i++) {
        size_t part = i == 0 ? 1 : i == 5 ? 0 : i == 15 ? len - at : (len / 20);
        if (part > len - at) part = len - at;
        parts[i] = (struct iovec){(char *)from + at, part};
        at += part;
    }
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 16};
    if (!strcmp(way, "writev")) return writev(fd, parts, 16);
    if (!strcmp(way, "pwritev2")) return pwritev2(fd, parts, 16, -1, 0);
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static long send_messages(int fd, const char *from, size_t len) {
    struct iovec parts[6];
    struct mmsghdr messages[6];
    size_t at = 0;
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < 6; i++) {
        size_t part = i == 5 ? len - at : len / 6 > 300 && i < 2 ? 200 : len / 6;
        parts[i] = (struct iovec){(char *)from + at, part};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = parts + i, .msg_iovlen = 1};
        at += part;
    }
    int count = len < 6 ? 1 : 6;
    if (count == 1) parts[0].iov_len = len;
    count = sendmmsg(fd, messages, count, MSG_NOSIGNAL);
    if (count < 0) return count;
    long sent = 0;
    for (int i = 0; i < count; i++) sent += messages[i].msg_len;
    return sent;
}

static long send_spliced(int fd, const char *from, size_t len) {
    int pipes[2];
    check("pipe", pipe(pipes));
    long put = check("write to pipe", write(pipes[1], from, len > 65536 ? 65536 : len));
    for (long done = 0; done < put;)
        done += check("splice", splice(pipes[0], NULL, fd, NULL, put - done, SPLICE_F_MORE));
    close(pipes[0]);
    close(pipes[1]);
    return put;
}

static long send_file(int fd, const char *from, size_t len) {
    int file = check("memfd", memfd_create("body", 0));
    for (size_t at = 0; at < len;) at += check("fill", write(file, from + at, len - at));
    off_t offset = 0;
    while ((size_t)offset < len) check("sendfile", sendfile(fd, file, &offset, len - offset));
    close(file);
    return len;
}

static long send_some(int fd, const char *way, const char *from, size_t len, int is_body) {
    size_t piece = len > PIECE ? PIECE : len;
    if (!strcmp(way, "write")) return write(fd, from, piece);
    if (!strcmp(way, "whole")) return write(fd, from, len);
    if (!strcmp(way, "writev") || !strcmp(way, "pwritev2") || !strcmp(way, "sendmsg"))
        return send_scattered(fd, way, from, piece);
    if (!strcmp(way, "send")) return send(fd, from, piece, MSG_NOSIGNAL);
    if (!strcmp(way, "sendto")) return sendto(fd, from, piece, MSG_NOSIGNAL, NULL, 0);
    if (!strcmp(way, "more"))
        return send(fd, from, piece, MSG_NOSIGNAL | (is_body ? 0 : MSG_MORE));
    if (!strcmp(way, "sendmmsg")) return send_messages(fd, from, piece);
    if (!strcmp(way, "sendfile"))
        return is_body ? send_file(fd, from, len) : write(fd, from, piece);
    if (!strcmp(way, "splice"))
        return is_body ? send_spliced(fd, from, len) : write(fd, from, piece);
    if (!strcmp(way, "tiny")) return write(fd, from, piece > 7 && !is_body ? 7 : piece);
    if (!strcmp(way, "nonblock")) {
        for (;;) {
            long moved = send(fd, from, len, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (moved >= 0 || errno != EAGAIN) return moved;
            wait_for(fd, POLLOUT);
        }
    }
    fprintf(stderr, "ways: no way out is called %s\n", way);
    exit(2);
}

static void send_all(int fd, const char *way, const char *from, size_t len, int is_body) {
    while (len > 0) {
        long moved = check("send", send_some(fd, way, from, len, is_body));
        from += moved;
        len -= moved;
    }
}

/* === HTTP === */

struct peer {
    int fd;
    const char *in, *out;
    char *buffer; /* what was received and not yet used */
    size_t held, room;
};

static struct peer peer_of(int fd, const char *in, const char *out) {
    if (!strcmp(out, "nonblock")) {
        int small = 4096;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    }
    size_t room = 1 << 20;
    return (struct peer){fd, in, out, malloc(room), 0, room};
}

static long fill(struct peer *peer, size_t most, int is_body) {
    if (most > peer->room - peer->held - 1) most = peer->room - peer->held - 1;
    long got = check("receive", receive_some(peer->fd, peer->in, peer->buffer + peer->held, most, is_body));
    peer->held += got;
    return got;
}

static void use(struct peer *peer, size_t len) {
    memmove(peer->buffer, peer->buffer + len, peer->held - len);
    peer->held -= len;
}

/* Receives a head into `head`; 0 if the peer has ended. */
static int receive_head(struct peer *peer, char *head, size_t room) {
    for (;;) {
        peer->buffer[peer->held] = 0;
        char *end = peer->held ? memmem(peer->buffer, peer->held, "\r\n\r\n", 4) : NULL;
        if (end) {
            size_t len = end + 4 - peer->buffer;
            if (len >= room) exit(3);
            memcpy(head, peer->buffer, len);
            head[len] = 0;
            use(peer, len);
            return 1;
        }
        if (fill(peer, 65536, 0) == 0) return 0;
    }
}

static long length_in(const char *head) {
    const char *found = strcasestr(head, "\r\ncontent-length:");
    return found ? atol(found + 17) : 0;
}

static void receive_body(struct peer *peer, long left, int until_end) {
    while (left > 0 || until_end) {
        if (peer->held == 0) {
            size_t most = until_end || left > 262144 ? 262144 : left;
            if (fill(peer, most, 1) == 0) {
                if (until_end) return;
                fprintf(stderr, "ways: %ld bytes of a body are missing\n", left);
                exit(1);
            }
        }
        size_t part = until_end || peer->held < (size_t)left ? peer->held : (size_t)left;
        use(peer, part);
        left -= part;
    }
}

static void send_bytes(struct peer *peer, long left) {
    static char piece[1 << 20];
    memset(piece, 'x', sizeof piece);
    while (left > 0) {
        size_t part = (size_t)left > sizeof piece ? sizeof piece : (size_t)left;
        send_all(peer->fd, peer->out, piece, part, 1);
        left -= part;
    }
}

static void respond(struct peer *peer, const char *head) {
    char out[512];
    long bytes;
    int is_head = !strncmp(head, "HEAD ", 5);
    const char *path = strchr(head, ' ') + 1;
    if (sscanf(path, "/bytes/%ld", &bytes) == 1) {
        snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %ld\r\n\r\n", bytes);
        send_all(peer->fd, peer->out, out, strlen(out), 0);
        if (!is_head) send_bytes(peer, bytes);
    } else if (sscanf(path, "/close/%ld", &bytes) == 1) {
        snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        send_all(peer->fd, peer->out, out, strlen(out), 0);
        send_bytes(peer, bytes);
    } else if (sscanf(path, "/chunked/%ld", &bytes) == 1) {
        snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        send_all(peer->fd, peer->out, out, strlen(out), 0);
        while (bytes > 0) {
            long chunk = bytes > 10000 ? 10000 : bytes;
            snprintf(out, sizeof out, "%lx\r\n", chunk);
            send_all(peer->fd, peer->out, out, strlen(out), 0);
            send_bytes(peer, chunk);
            send_all(peer->fd, peer->out, "\r\n", 2, 0);
            bytes -= chunk;
        }
        send_all(peer->fd, peer->out, "0\r\n\r\n", 5, 0);
    } else {
        const char *none = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n";
        send_all(peer->fd, peer->out, none, strlen(none), 0);
    }
}

static void converse(int fd, const char *in, const char *out) {
    struct peer peer = peer_of(fd, in, out);
    static char head[65536];
    while (receive_head(&peer, head, sizeof head)) {
        receive_body(&peer, length_in(head), 0);
        respond(&peer, head);
        if (strstr(head, " /close/")) break;
    }
    free(peer.buffer);
    close(fd);
}

static void serve(const char *where, const char *in, const char *out) {
    struct sockaddr_storage to;
    socklen_t len = address(where, &to);
    int one = 1, listener = check("socket", socket(to.ss_family, SOCK_STREAM, 0));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    check("bind", bind(listener, (void *)&to, len));
    check("listen", listen(listener, 128));
    printf("ready %d\n", port_of(listener));
    fflush(stdout);
    for (;;) converse(check("accept", accept(listener, NULL, NULL)), in, out);
}

static void fetch(const char *where, const char *in, const char *out, char **requests) {
    struct sockaddr_storage to;
    socklen_t len = address(where, &to);
    getchar();
    int fd = check("socket", socket(to.ss_family, SOCK_STREAM, 0));
    check("connect", connect(fd, (void *)&to, len));
    struct peer peer = peer_of(fd, in, out);
    static char head[65536];
    for (; *requests; requests++) {
        char method[16], path[4096];
        long body;
        if (sscanf(*requests, "%15[^:]:%4095[^:]:%ld", method, path, &body) != 3) exit(2);
        snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: ways\r\nContent-Length: %ld\r\n\r\n", method, path, body);
        send_all(fd, out, head, strlen(head), 0);
        send_bytes(&peer, body);
        if (!receive_head(&peer, head, sizeof head)) {
            fprintf(stderr, "ways: no answer to %s\n", *requests);
            exit(1);
        }
        if (strstr(head, "chunked")) {
            char *last;
            while (!(last = peer.held >= 5 ? memmem(peer.buffer + peer.held - 5, 5, "0\r\n\r\n", 5) : NULL)) {
                if (peer.held > 16384) use(&peer, peer.held - 5);
                if (fill(&peer, 65536, 0) == 0) exit(1);
            }
            use(&peer, peer.held);
        } else if (strcmp(method, "HEAD")) {
            receive_body(&peer, length_in(head), strstr(head, "Connection: close") != NULL);
        }
    }
    close(fd);
}

int main(int argc, char **argv) {
    if (argc >= 5 && !strcmp(argv[1], "serve")) serve(argv[2], argv[3], argv[4]);
    else if (argc >= 6 && !strcmp(argv[1], "fetch")) fetch(argv[2], argv[3], argv[4], argv + 5);
    else return fprintf(stderr, "usage: see the top of ways.c\n"), 2;
    return 0;
}
