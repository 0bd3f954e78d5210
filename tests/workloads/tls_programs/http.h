/* HTTP/1.1 for the servers in C of these tests, over whatever receives and sends. It tells each
 * request that it answered as a line of JSON, and knows the query parameters of server.py. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct stream {
	/* Like read(2): 0 at the end, negative on errors. */
	long (*receive)(void *session, void *into, size_t size);
	/* Sends all of it; 0 is success. */
	int (*send)(void *session, const void *from, size_t size);
	/* Around the parts of one answer, where the library can hold them back; may be null. */
	void (*cork)(void *session);
	void (*uncork)(void *session);
	void *session;
	char ahead[1 << 16];
	size_t held;
};

/* Fills until `end` is within what is held; returns where it ends, or 0 at the end of the stream. */
static size_t until(struct stream *stream, const char *end)
{
	for (;;) {
		char *found = memmem(stream->ahead, stream->held, end, strlen(end));
		if (found)
			return found - stream->ahead + strlen(end);
		if (stream->held == sizeof stream->ahead)
			return 0;
		long got = stream->receive(stream->session, stream->ahead + stream->held,
					   sizeof stream->ahead - stream->held);
		if (got <= 0)
			return 0;
		stream->held += got;
	}
}

static void discard(struct stream *stream, size_t size)
{
	memmove(stream->ahead, stream->ahead + size, stream->held - size);
	stream->held -= size;
}

/* Reads that many bytes; 0 is success. */
static int skip(struct stream *stream, size_t size)
{
	while (size > stream->held) {
		size -= stream->held;
		stream->held = 0;
		long got = stream->receive(stream->session, stream->ahead, sizeof stream->ahead);
		if (got <= 0)
			return -1;
		stream->held = got;
	}
	discard(stream, size);
	return 0;
}

/* The value of a field, or null. `head` ends with a zero. */
static const char *field(const char *head, const char *name)
{
	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if (!strncasecmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			return line + strlen(name) + 1 + strspn(line + strlen(name) + 1, " ");
	}
	return NULL;
}

static long parameter(const char *target, const char *name, long otherwise)
{
	const char *at = strchr(target, '?');
	while (at) {
		at++;
		if (!strncmp(at, name, strlen(name)) && at[strlen(name)] == '=')
			return atol(at + strlen(name) + 1);
		at = strchr(at, '&');
	}
	return otherwise;
}

/* Reads the request's body; returns its size, negative if it did not come. */
static long body(struct stream *stream, const char *head)
{
	const char *length = field(head, "Content-Length");
	if (length) {
		long size = atol(length);
		return skip(stream, size) ? -1 : size;
	}
	if (!field(head, "Transfer-Encoding"))
		return 0;
	long total = 0, size;
	do {
		size_t line = until(stream, "\r\n");
		if (!line)
			return -1;
		size = strtol(stream->ahead, NULL, 16);
		discard(stream, line);
		total += size;
		if (size && skip(stream, size + 2))
			return -1;
	} while (size);
	for (;;) {
		size_t line = until(stream, "\r\n");
		if (!line)
			return -1;
		discard(stream, line);
		if (line == 2)
			return total;
	}
}

/* Sends a body of `size` bytes, in chunks or not; 0 is success. */
static int content(struct stream *stream, long size, int chunked)
{
	char piece[8192], line[32];
	memset(piece, 'x', sizeof piece);
	while (size > 0) {
		long part = size < (long)sizeof piece ? size : (long)sizeof piece;
		if (chunked) {
			int width = sprintf(line, "%lx\r\n", part);
			if (stream->send(stream->session, line, width))
				return -1;
		}
		if (stream->send(stream->session, piece, part))
			return -1;
		if (chunked && stream->send(stream->session, "\r\n", 2))
			return -1;
		size -= part;
	}
	return chunked ? stream->send(stream->session, "0\r\n\r\n", 5) : 0;
}

/* Answers one request; returns whether the connection goes on. */
static int serve_one(struct stream *stream)
{
	size_t size = until(stream, "\r\n\r\n");
	if (!size)
		return 0;
	char head[sizeof stream->ahead];
	memcpy(head, stream->ahead, size);
	head[size - 2] = 0;
	discard(stream, size);
	char method[32], target[4096], version[16];
	if (sscanf(head, "%31s %4095s %15s", method, target, version) != 3)
		return 0;
	const char *expect = field(head, "Expect");
	const char *interim = "HTTP/1.1 100 Continue\r\n\r\n";
	if (expect && stream->send(stream->session, interim, strlen(interim)))
		return 0;
	long received = body(stream, head);
	if (received < 0)
		return 0;
	long status = parameter(target, "status", 200);
	long length = parameter(target, "size", 5);
	int chunked = parameter(target, "chunked", 0) != 0;
	int bodiless = status == 204 || status == 304;
	long sent = bodiless || !strcmp(method, "HEAD") ? 0 : length;
	const char *connection = field(head, "Connection");
	int keep = !strcmp(version, "HTTP/1.1") &&
		   !(connection && !strncasecmp(connection, "close", 5));
	char answer[256];
	int width = sprintf(answer, "HTTP/1.1 %ld Truth\r\n", status);
	if (!bodiless && chunked)
		width += sprintf(answer + width, "Transfer-Encoding: chunked\r\n");
	else if (!bodiless)
		width += sprintf(answer + width, "Content-Length: %ld\r\n", length);
	width += sprintf(answer + width, "%s\r\n", keep ? "" : "Connection: close\r\n");
	if (stream->cork)
		stream->cork(stream->session);
	int failed = stream->send(stream->session, answer, width) ||
		     (sent && content(stream, sent, chunked));
	if (stream->uncork)
		stream->uncork(stream->session);
	if (failed)
		return 0;
	printf("{\"method\":\"%s\",\"target\":\"%s\",\"status\":%ld,\"request_body\":%ld,"
	       "\"response_body\":%ld}\n",
	       method, target, status, received, sent);
	return keep;
}

/* A listening socket on 127.0.0.1. Ends the program if there can be none. */
static int listen_on(const char *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(atoi(port)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 128)) {
		perror("listen");
		exit(1);
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	return listener;
}

/* The next connection, without delays for small segments. */
static int accept_one(int listener)
{
	int connection = accept(listener, NULL, NULL), yes = 1;
	setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	return connection;
}
