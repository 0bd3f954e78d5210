//! What a probe stands on, where one program serves the beginnings of many functions: the cookie
//! that user space attaches it with. No policy.

/// `SSL_read`
pub const SSL_READ: u64 = 1;
/// `SSL_read_ex`
pub const SSL_READ_EX: u64 = 2;
/// What OpenSSL has both of them call.
pub const SSL_READ_INNER: u64 = 3;
/// `SSL_write`
pub const SSL_WRITE: u64 = 4;
/// `SSL_write_ex`, and what OpenSSL has it and `SSL_write` call.
pub const SSL_WRITE_EX: u64 = 5;
/// `SSL_sendfile`
pub const SSL_SENDFILE: u64 = 6;
/// `SSL_do_handshake`, `gnutls_handshake`
pub const HANDSHAKE: u64 = 7;
/// `SSL_set_fd`
pub const SSL_SET_FD: u64 = 8;
/// `SSL_free`, `gnutls_deinit`
pub const FREE: u64 = 9;
/// `gnutls_record_recv`, and the same for early data.
pub const GNUTLS_RECV: u64 = 10;
/// `gnutls_record_send` and its siblings.
pub const GNUTLS_SEND: u64 = 11;
/// `gnutls_record_uncork`
pub const GNUTLS_UNCORK: u64 = 12;
/// No library's: the function of the daemon's own that probes are tried on.
pub const TRIED: u64 = 13;
