//! What several of these tests need: owned fields, and blocks from hexadecimal digits.

use wirespan_protocols::http2::hpack::{Decoder, HpackError, LearntHeaders, Text};

/// A text that is [`Text`] no longer borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owned {
    Known(Vec<u8>),
    Inferred(Vec<u8>),
    Unknown,
}

impl From<Text<'_>> for Owned {
    fn from(text: Text<'_>) -> Self {
        match text {
            Text::Known(bytes) => Self::Known(bytes.to_vec()),
            Text::Inferred(bytes) => Self::Inferred(bytes.to_vec()),
            Text::Unknown => Self::Unknown,
        }
    }
}

impl Owned {
    /// Whether nothing else was sent.
    pub fn agrees_with(&self, sent: &[u8]) -> bool {
        match self {
            Self::Known(bytes) | Self::Inferred(bytes) => bytes == sent,
            Self::Unknown => true,
        }
    }

    pub fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

/// Decodes a block with nothing learnt.
pub fn fields(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(Owned, Owned)>, HpackError> {
    fields_with(decoder, block, None)
}

/// Decodes a block.
pub fn fields_with(
    decoder: &mut Decoder,
    block: &[u8],
    learnt: Option<&mut LearntHeaders>,
) -> Result<Vec<(Owned, Owned)>, HpackError> {
    let mut fields = Vec::new();
    decoder.decode(block, learnt, &mut |field| {
        fields.push((field.name.into(), field.value.into()));
    })?;
    Ok(fields)
}

/// Fields as they are reported when everything is known.
pub fn texts(fields: &[(&str, &str)]) -> Vec<(Owned, Owned)> {
    let known = |text: &str| Owned::Known(text.as_bytes().to_vec());
    fields
        .iter()
        .map(|(name, value)| (known(name), known(value)))
        .collect()
}

/// The bytes that hexadecimal digits stand for.
pub fn block(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}
