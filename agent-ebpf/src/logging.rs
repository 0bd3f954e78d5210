//! The kernel side's log: nothing at all where there is no ring buffer to write it to.

#[cfg(not(legacy))]
pub use aya_log_ebpf::debug;

/// Says nothing.
#[cfg(legacy)]
macro_rules! debug {
    ($context:expr, $text:literal $(, $value:expr)* $(,)?) => {{
        let _ = (&$context, $(&$value,)*);
    }};
}
#[cfg(legacy)]
pub(crate) use debug;
