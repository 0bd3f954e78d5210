//! What connections between the same two programs have in common.

/// What is known of the header blocks that one program sends to another, from all connections
/// between them. The owner keeps one for each pair of programs and direction.
#[derive(Debug, Default)]
pub struct Lore {}

impl Lore {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}
