//! What set-up is for. Names only.

/// What a task is going to do, and so what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Purpose {
    /// Compile both sides
    Build,
    /// Run the demo's servers
    Demo,
    /// Run end-to-end tests
    Test,
    /// Boot virtual machines
    Vm,
    /// Load servers for measuring
    Bench,
    /// Build fuzz targets
    Fuzz,
    /// Run soaks
    Soak,
    /// Make the static binary and the image
    Image,
    /// Make packages of them
    Package,
    /// Compile kernels for virtual machines
    Kernels,
    /// Compile for AArch64
    Cross,
    /// Boot virtual machines with such processors
    Arm,
}

impl Purpose {
    /// Every one.
    pub const ALL: [Self; 12] = [
        Self::Build,
        Self::Demo,
        Self::Test,
        Self::Vm,
        Self::Bench,
        Self::Fuzz,
        Self::Soak,
        Self::Image,
        Self::Package,
        Self::Kernels,
        Self::Cross,
        Self::Arm,
    ];
}
