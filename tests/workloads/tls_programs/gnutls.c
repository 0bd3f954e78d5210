/* An HTTPS server on GnuTLS.
 *
 *     gnutls PORT CERT KEY MODE
 *
 * plain    gnutls_record_recv and gnutls_record_send, on a socket that it was given
 * cork     the parts of an answer are held back and sent by gnutls_record_uncork
 * early    what a client sends before the handshake is over is asked for first
 */
#include "http.h"
#include <gnutls/gnutls.h>
#include <pthread.h>

static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priorities;
static gnutls_anti_replay_t replays;
static gnutls_datum_t ticket_key;
static int early, cork;

static long receive(void *session, void *into, size_t size)
{
	gnutls_session_t tls = session;
	if (early && gnutls_session_get_flags(tls) & GNUTLS_SFLAGS_EARLY_DATA) {
		long got = gnutls_record_recv_early_data(tls, into, size);
		if (got > 0) {
			puts("early data");
			return got;
		}
	}
	for (;;) {
		long got = gnutls_record_recv(tls, into, size);
		if (got != GNUTLS_E_INTERRUPTED && got != GNUTLS_E_AGAIN)
			return got;
	}
}

static int transmit(void *session, const void *from, size_t size)
{
	for (const char *at = from; size;) {
		long sent = gnutls_record_send(session, at, size);
		if (sent < 0)
			return -1;
		at += sent;
		size -= sent;
	}
	return 0;
}

static void hold(void *session)
{
	gnutls_record_cork(session);
}

static void release(void *session)
{
	gnutls_record_uncork(session, GNUTLS_RECORD_WAIT);
}

static int any_ticket(void *into, time_t until, const gnutls_datum_t *key,
		      const gnutls_datum_t *data)
{
	/* Every first use is fresh: these clients replay nothing. */
	return (void)into, (void)until, (void)key, (void)data, 0;
}

static void *serve(void *argument)
{
	int socket = (int)(long)argument;
	gnutls_session_t session;
	gnutls_init(&session, GNUTLS_SERVER | (early ? GNUTLS_ENABLE_EARLY_DATA : 0));
	gnutls_priority_set(session, priorities);
	gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
	gnutls_session_ticket_enable_server(session, &ticket_key);
	if (early) {
		gnutls_anti_replay_enable(session, replays);
		gnutls_record_set_max_early_data_size(session, 16384);
	}
	gnutls_transport_set_int(session, socket);
	int status;
	do
		status = gnutls_handshake(session);
	while (status < 0 && !gnutls_error_is_fatal(status));
	if (status == 0) {
		struct stream stream = { .receive = receive, .send = transmit,
					 .session = session };
		if (cork) {
			stream.cork = hold;
			stream.uncork = release;
		}
		while (serve_one(&stream))
			;
		gnutls_bye(session, GNUTLS_SHUT_WR);
	}
	gnutls_deinit(session);
	close(socket);
	return NULL;
}

int main(int count, char **arguments)
{
	if (count != 5)
		return 2;
	cork = !strcmp(arguments[4], "cork");
	early = !strcmp(arguments[4], "early");
	gnutls_certificate_allocate_credentials(&credentials);
	if (gnutls_certificate_set_x509_key_file(credentials, arguments[2], arguments[3],
						 GNUTLS_X509_FMT_PEM) < 0)
		return 1;
	gnutls_priority_init(&priorities, NULL, NULL);
	gnutls_session_ticket_key_generate(&ticket_key);
	gnutls_anti_replay_init(&replays);
	gnutls_anti_replay_set_add_function(replays, any_ticket);
	int listener = listen_on(arguments[1]);
	puts("listening");
	for (;;) {
		pthread_t thread;
		pthread_create(&thread, NULL, serve, (void *)(long)accept_one(listener));
		pthread_detach(thread);
	}
}
