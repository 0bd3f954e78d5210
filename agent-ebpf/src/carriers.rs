//! Trace context, carried to other nodes: where user space asked for it, and on connections that
//! watched processes open. Two programs do it, which are attached to a control group and to the
//! connections that were enrolled, by links that end with the daemon.
//!
//! A socket is marked when a watched process connects it ([`enrolment`]), and enrolled once the
//! connection stands. Its messages are looked at from then on ([`headers`], [`http1`]). One that
//! existed before is never enrolled.

mod enrolment;
mod field;
mod headers;
mod http1;

pub use enrolment::socket_event;
pub use headers::message_sent;
