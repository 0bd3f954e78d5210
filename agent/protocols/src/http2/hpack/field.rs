//! What a decoder reports: one field at a time, borrowed. It keeps nothing.

/// A name or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// As it was sent.
    Known(&'a [u8]),
    /// Stands in a part of the dynamic table that was not seen; all evidence of other connections
    /// says that it is this.
    Inferred(&'a [u8]),
    /// Stands in a part of the dynamic table that was not seen.
    Unknown,
}

impl<'a> Text<'a> {
    /// The bytes, whether sent or inferred.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Known(bytes) | Self::Inferred(bytes) => Some(bytes),
            Self::Unknown => None,
        }
    }

    /// Whether this is a conclusion from other connections.
    pub fn is_inferred(self) -> bool {
        matches!(self, Self::Inferred(_))
    }

    /// Whether nothing can be said about it.
    pub fn is_unknown(self) -> bool {
        matches!(self, Self::Unknown)
    }
}

/// One field of a header list, in the order in which it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// In lower case if the peer keeps to the standard; pseudo-header fields begin with a colon.
    pub name: Text<'a>,
    /// Any bytes.
    pub value: Text<'a>,
    /// The sender calls it secret: never to be indexed (RFC 7541 §6.2.3).
    pub never_indexed: bool,
}
