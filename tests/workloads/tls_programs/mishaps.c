/* An HTTPS server on OpenSSL 3 that leaves its functions otherwise than by a return, or pulls away
 * what they were given. It stands between OpenSSL and the C library: what it does happens at one
 * known instruction within the call, without signals and without luck.
 *
 *     mishaps PORT CERT KEY MODE
 *
 * jump       SSL_read is left by longjmp a hundred times before each time that it may return
 * left       the thread within SSL_read ends there; another one goes on with the connection
 * unmapped   what was given to SSL_write is unmapped before SSL_write returns
 * sendfile   bodies go out by SSL_sendfile, or by SSL_write where the kernel knows no TLS
 */
#include "http.h"
#include "openssl.h"
#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/syscall.h>

ssize_t SSL_sendfile(SSL *, int, off_t, size_t, int);
unsigned long SSL_CTX_set_options(SSL_CTX *, unsigned long);
enum { OP_ENABLE_KTLS = 1 << 3 };

enum mode { JUMP, LEFT, UNMAPPED, SENDFILE };
static enum mode mode;
static SSL_CTX *context;

struct connection {
	int socket, file;
	SSL *ssl;
	struct stream stream;
};

/* What the next read(2) or write(2) of this thread does instead of, or after, what it is for. */
static __thread int jumps, leaves;
static __thread sigjmp_buf before;
static __thread struct connection *mine;
static __thread void *doomed;
static __thread size_t doomed_size;

static void *serve(void *);

ssize_t read(int fd, void *into, size_t size)
{
	if (jumps) {
		jumps--;
		siglongjmp(before, 1);
	}
	if (leaves) {
		pthread_t other;
		pthread_create(&other, NULL, serve, mine);
		pthread_detach(other);
		syscall(SYS_exit, 0);
	}
	return syscall(SYS_read, fd, into, size);
}

ssize_t write(int fd, const void *from, size_t size)
{
	ssize_t written = syscall(SYS_write, fd, from, size);
	if (doomed)
		munmap(doomed, doomed_size);
	doomed = NULL;
	return written;
}

static long receive(void *session, void *into, size_t size)
{
	struct connection *connection = session;
	if (mode == JUMP) {
		jumps = 100;
		sigsetjmp(before, 0);
	}
	int got = SSL_read(connection->ssl, into, size);
	jumps = leaves = 0;
	return got;
}

static int transmit(void *session, const void *from, size_t size)
{
	struct connection *connection = session;
	int is_body = *(const char *)from == 'x';
	if (mode == SENDFILE && is_body) {
		if (pwrite(connection->file, from, size, 0) != (ssize_t)size)
			return -1;
		ssize_t sent = SSL_sendfile(connection->ssl, connection->file, 0, size, 0);
		puts(sent < 0 ? "SSL_sendfile refused" : "SSL_sendfile sent");
		if (sent >= 0)
			return sent != (ssize_t)size;
	}
	if (mode == UNMAPPED) {
		/* Less than a record, which OpenSSL has encrypted when it writes. */
		void *copy = mmap(NULL, size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (copy == MAP_FAILED)
			return -1;
		from = memcpy(copy, from, size);
		doomed = copy;
		doomed_size = size;
	}
	return SSL_write(connection->ssl, from, size) != (int)size;
}

static void *serve(void *argument)
{
	struct connection *connection = mine = argument;
	int is_first = !connection->ssl;
	if (is_first) {
		connection->ssl = SSL_new(context);
		SSL_set_accept_state(connection->ssl);
		SSL_set_fd(connection->ssl, connection->socket);
		if (SSL_do_handshake(connection->ssl) != 1)
			goto over;
	}
	/* One thread for each request waits for it in vain. */
	leaves = mode == LEFT && is_first;
	while (serve_one(&connection->stream))
		leaves = mode == LEFT;
over:
	SSL_shutdown(connection->ssl);
	SSL_free(connection->ssl);
	close(connection->socket);
	if (mode == SENDFILE)
		close(connection->file);
	free(connection);
	return NULL;
}

int main(int count, char **arguments)
{
	static const char *modes[] = { "jump", "left", "unmapped", "sendfile" };
	if (count != 5)
		return 2;
	while (strcmp(modes[mode], arguments[4]))
		if (++mode > SENDFILE)
			return 2;
	context = SSL_CTX_new(TLS_server_method());
	if (mode == SENDFILE)
		SSL_CTX_set_options(context, OP_ENABLE_KTLS);
	if (SSL_CTX_use_certificate_chain_file(context, arguments[2]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, arguments[3], FILETYPE_PEM) != 1)
		return 1;
	int listener = listen_on(arguments[1]);
	puts("listening");
	for (;;) {
		struct connection *connection = calloc(1, sizeof *connection);
		connection->socket = accept_one(listener);
		connection->stream = (struct stream){ .receive = receive, .send = transmit,
						      .session = connection };
		if (mode == SENDFILE)
			connection->file = memfd_create("body", MFD_CLOEXEC);
		pthread_t thread;
		pthread_create(&thread, NULL, serve, connection);
		pthread_detach(thread);
	}
}
