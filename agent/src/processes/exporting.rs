//! Whether a process exports traces itself. It is known by doing it: an export of its own that was
//! accepted. A process that takes exports of others, as collectors and proxies do, passes them on,
//! and says nothing of itself by that.

use wirespan_protocols::exchange::Role;

/// What a process was seen to do with traces since it runs its executable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Exporting {
    /// Nothing.
    #[default]
    Nothing,
    /// It sends them: an SDK in it makes them.
    Itself,
    /// It receives them.
    ForOthers,
}

impl Exporting {
    /// What it is once an export was accepted that it sent, as a client, or took, as a server.
    pub(super) fn seen(self, role: Role) -> Self {
        match (self, role) {
            (_, Role::Server) | (Self::ForOthers, _) => Self::ForOthers,
            (Self::Nothing | Self::Itself, Role::Client) => Self::Itself,
        }
    }
}
