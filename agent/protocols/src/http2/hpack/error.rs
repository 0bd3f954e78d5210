//! Why a header block could not be read to its end.

/// What is wrong with a header block. Fields that were reported before it stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpackError {
    /// The block ends within a representation.
    Truncated,
    /// An integer above [`INTEGER_MAX`](super::integer::INTEGER_MAX), or one with needlessly many
    /// octets (RFC 7541 §5.1).
    IntegerTooLarge,
    /// A Huffman code that is not one, the code of EOS, or padding that is not (§5.2).
    Huffman,
    /// An index that is 0 or beyond the table (§2.3.3).
    Index,
    /// A size update behind a field, or above what the receiver allowed (§4.2, §6.3).
    SizeUpdate,
    /// A string above [`STRING_LEN_MAX`](super::string::STRING_LEN_MAX).
    StringTooLong,
    /// Fields above [`LIST_SIZE_MAX`](super::decoder::LIST_SIZE_MAX) in all: the rest of the block
    /// is not expanded.
    ListTooLong,
}

impl std::fmt::Display for HpackError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Truncated => "header block ends early",
            Self::IntegerTooLarge => "integer too large",
            Self::Huffman => "not a Huffman code",
            Self::Index => "index beyond the table",
            Self::SizeUpdate => "size update out of place or too large",
            Self::StringTooLong => "string too long",
            Self::ListTooLong => "header list too long",
        })
    }
}

impl std::error::Error for HpackError {}
