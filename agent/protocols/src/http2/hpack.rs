//! HPACK (RFC 7541) for somebody who listens: decodes the header blocks of one direction of a
//! connection, from its start or from anywhere. It encodes nothing, checks nothing that HTTP asks
//! of fields, and never guesses: what is not known is said to be unknown, and what
//! [`LearntHeaders`] tells from other connections is marked.

pub mod decoder;
pub mod error;
pub mod field;
mod huffman;
pub mod integer;
pub mod learnt;
mod listener;
mod slots;
mod static_table;
pub mod string;
pub mod table;

pub use decoder::Decoder;
pub use error::HpackError;
pub use field::{Field, Text};
pub use learnt::LearntHeaders;
