/* An HTTPS server straight on OpenSSL, of whichever version it is linked with: its functions are
 * declared in openssl.h, as 1.1 and 3 have them alike.
 *
 *     openssl PORT CERT KEY MODE
 *
 * plain    a thread for each connection, SSL_set_fd, SSL_read after SSL_peek, SSL_write
 * ex       the same with SSL_read_ex and SSL_write_ex
 * memory   the same with memory BIOs: the socket is read and written outside of OpenSSL
 * ahead    the same, and the socket is read by a thread of its own, ahead of OpenSSL
 * moving   one thread waits for all connections, four others answer a request each in turn
 *
 * On SIGUSR1 it writes the file $NEXT over the file $OVER and executes itself anew at once, without
 * a call of OpenSSL in between.
 */
#include "http.h"
#include "openssl.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

enum mode { PLAIN, EX, MEMORY, AHEAD, MOVING };
static enum mode mode;
static SSL_CTX *context;

struct connection {
	int socket;
	SSL *ssl;
	BIO *in, *out;
	int pipe[2];
	struct stream stream;
};

/* What OpenSSL wants sent leaves by a call of our own. */
static int flush(struct connection *connection)
{
	char record[1 << 15];
	int size;
	while ((size = BIO_read(connection->out, record, sizeof record)) > 0)
		for (int at = 0; at < size;) {
			long sent = write(connection->socket, record + at, size - at);
			if (sent <= 0)
				return -1;
			at += sent;
		}
	return 0;
}

/* What came for OpenSSL is given to it; negative at the end. */
static int fill(struct connection *connection)
{
	char record[1 << 15];
	int from = mode == AHEAD ? connection->pipe[0] : connection->socket;
	long got = read(from, record, sizeof record);
	return got > 0 && BIO_write(connection->in, record, got) == got ? 0 : -1;
}

static void *read_ahead(void *argument)
{
	int *ends = argument;
	char record[1 << 15];
	long got;
	while ((got = read(ends[0], record, sizeof record)) > 0)
		if (write(ends[1], record, got) != got)
			break;
	close(ends[1]);
	free(ends);
	return NULL;
}

static long receive(void *session, void *into, size_t size)
{
	struct connection *connection = session;
	if (mode == EX) {
		size_t got = 0;
		return SSL_read_ex(connection->ssl, into, size, &got) == 1 ? (long)got : -1;
	}
	if (mode == PLAIN && SSL_peek(connection->ssl, into, size) <= 0)
		return -1;
	for (;;) {
		int got = SSL_read(connection->ssl, into, size);
		if (got > 0 || !connection->in)
			return got;
		if (SSL_get_error(connection->ssl, got) != ERROR_WANT_READ)
			return -1;
		if (flush(connection) || fill(connection))
			return -1;
	}
}

static int transmit(void *session, const void *from, size_t size)
{
	struct connection *connection = session;
	if (mode == EX) {
		size_t sent = 0;
		return !(SSL_write_ex(connection->ssl, from, size, &sent) == 1 && sent == size);
	}
	if (SSL_write(connection->ssl, from, size) != (int)size)
		return -1;
	return connection->out ? flush(connection) : 0;
}

static struct connection *begin(int socket)
{
	struct connection *connection = calloc(1, sizeof *connection);
	connection->socket = socket;
	connection->ssl = SSL_new(context);
	connection->stream = (struct stream){ .receive = receive, .send = transmit,
					      .session = connection };
	SSL_set_accept_state(connection->ssl);
	if (mode == MEMORY || mode == AHEAD) {
		connection->in = BIO_new(BIO_s_mem());
		connection->out = BIO_new(BIO_s_mem());
		SSL_set_bio(connection->ssl, connection->in, connection->out);
	} else {
		SSL_set_fd(connection->ssl, socket);
	}
	if (mode == AHEAD && !pipe(connection->pipe)) {
		pthread_t reader;
		int *ends = malloc(2 * sizeof *ends);
		ends[0] = socket;
		ends[1] = connection->pipe[1];
		pthread_create(&reader, NULL, read_ahead, ends);
		pthread_detach(reader);
	}
	return connection;
}

static void end(struct connection *connection)
{
	SSL_shutdown(connection->ssl);
	if (connection->out)
		flush(connection);
	SSL_free(connection->ssl);
	shutdown(connection->socket, SHUT_RDWR);
	close(connection->socket);
	if (mode == AHEAD)
		close(connection->pipe[0]);
	free(connection);
}

static void *serve(void *argument)
{
	struct connection *connection = begin((int)(long)argument);
	while (serve_one(&connection->stream))
		;
	end(connection);
	return NULL;
}

/* One request of a connection, on whichever thread; hands back what waits for the next. */
static int hands[4][2], back[2];

static void *hand(void *argument)
{
	struct connection *connection;
	int *mine = argument;
	while (read(mine[0], &connection, sizeof connection) == sizeof connection) {
		if (!serve_one(&connection->stream)) {
			end(connection);
			continue;
		}
		if (write(back[1], &connection, sizeof connection) < 0)
			break;
	}
	return NULL;
}

static void move(int listener)
{
	struct connection *waiting[256] = { 0 };
	struct pollfd polled[258];
	int count = 0, next = 0;
	if (pipe(back))
		exit(1);
	for (int n = 0; n < 4; n++) {
		pthread_t thread;
		if (pipe(hands[n]))
			exit(1);
		pthread_create(&thread, NULL, hand, hands[n]);
	}
	for (;;) {
		polled[0] = (struct pollfd){ .fd = listener, .events = POLLIN };
		polled[1] = (struct pollfd){ .fd = back[0], .events = POLLIN };
		int ready = 0;
		for (int n = 0; n < count; n++) {
			polled[n + 2] = (struct pollfd){ .fd = waiting[n]->socket, .events = POLLIN };
			ready |= waiting[n]->stream.held || SSL_pending(waiting[n]->ssl);
		}
		poll(polled, count + 2, ready ? 0 : -1);
		int before = count;
		if (polled[1].revents && count < 256 &&
		    read(back[0], &waiting[count], sizeof waiting[count]) > 0)
			count++;
		if (polled[0].revents && count < 256)
			waiting[count++] = begin(accept_one(listener));
		for (int n = before - 1; n >= 0; n--) {
			struct connection *connection = waiting[n];
			if (!polled[n + 2].revents && !connection->stream.held &&
			    !SSL_pending(connection->ssl))
				continue;
			if (write(hands[next++ % 4][1], &connection, sizeof connection) < 0)
				exit(1);
			waiting[n] = waiting[--count];
		}
	}
}

static char **again;

static void execute_anew(int signal)
{
	static char piece[1 << 16];
	int from = open(getenv("NEXT"), O_RDONLY), to = open(getenv("OVER"), O_WRONLY | O_TRUNC);
	long got;
	(void)signal;
	while ((got = read(from, piece, sizeof piece)) > 0)
		if (write(to, piece, got) != got)
			_exit(1);
	for (int open = 3; open < 256; open++)
		close(open);
	execv(again[0], again);
	_exit(1);
}

int main(int count, char **arguments)
{
	struct sigaction anew = { .sa_handler = execute_anew, .sa_flags = SA_NODEFER };
	again = arguments;
	sigaction(SIGUSR1, &anew, NULL);
	static const char *modes[] = { "plain", "ex", "memory", "ahead", "moving" };
	if (count != 5)
		return 2;
	while (strcmp(modes[mode], arguments[4]))
		if (++mode > MOVING)
			return 2;
	context = SSL_CTX_new(TLS_server_method());
	if (SSL_CTX_use_certificate_chain_file(context, arguments[2]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, arguments[3], FILETYPE_PEM) != 1)
		return 1;
	int listener = listen_on(arguments[1]);
	puts("listening");
	if (mode == MOVING)
		move(listener);
	for (;;) {
		pthread_t thread;
		pthread_create(&thread, NULL, serve, (void *)(long)accept_one(listener));
		pthread_detach(thread);
	}
}
