/* What of OpenSSL the programs of these tests call, as its versions 1.1 and 3 have it alike: so that
 * they compile without the headers of either. */
#include <stddef.h>

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct bio_st BIO;
const void *TLS_server_method(void);
SSL_CTX *SSL_CTX_new(const void *);
int SSL_CTX_use_certificate_chain_file(SSL_CTX *, const char *);
int SSL_CTX_use_PrivateKey_file(SSL_CTX *, const char *, int);
SSL *SSL_new(SSL_CTX *);
void SSL_free(SSL *);
int SSL_set_fd(SSL *, int);
void SSL_set_bio(SSL *, BIO *, BIO *);
void SSL_set_accept_state(SSL *);
int SSL_do_handshake(SSL *);
int SSL_read(SSL *, void *, int);
int SSL_peek(SSL *, void *, int);
int SSL_write(SSL *, const void *, int);
int SSL_read_ex(SSL *, void *, size_t, size_t *);
int SSL_write_ex(SSL *, const void *, size_t, size_t *);
int SSL_get_error(const SSL *, int);
int SSL_pending(const SSL *);
int SSL_shutdown(SSL *);
const void *BIO_s_mem(void);
BIO *BIO_new(const void *);
int BIO_read(BIO *, void *, int);
int BIO_write(BIO *, const void *, int);
enum { ERROR_WANT_READ = 2, FILETYPE_PEM = 1 };
