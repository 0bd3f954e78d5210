//! What a command says once, on standard output. Whoever closes its other end has seen enough, as
//! with `head`: that is no failure, and nothing more is written.

use std::io::{self, ErrorKind, StdoutLock, Write};

/// Whether anybody still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// What was written has arrived.
    Reads,
    /// The other end is closed.
    Left,
}

/// Writes to standard output, and waits until it is there.
///
/// # Errors
/// It can't be written to, for another reason than that nobody reads any more.
pub fn say(write: impl FnOnce(&mut StdoutLock<'static>) -> io::Result<()>) -> io::Result<Readers> {
    say_to(&mut io::stdout().lock(), write)
}

fn say_to<W: Write>(
    output: &mut W,
    write: impl FnOnce(&mut W) -> io::Result<()>,
) -> io::Result<Readers> {
    match write(output).and_then(|()| output.flush()) {
        Ok(()) => Ok(Readers::Reads),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Readers::Left),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what it is given until it is flushed, which fails.
    struct Closed(ErrorKind);

    impl Write for Closed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn who_has_seen_enough_is_no_failure_and_a_full_disk_is_one() {
        fn say(output: &mut impl Write) -> io::Result<Readers> {
            say_to(output, |page| page.write_all(b"it\n"))
        }
        let mut page = Vec::new();
        assert_eq!(say(&mut page).expect("memory"), Readers::Reads);
        assert_eq!(page, b"it\n");
        let left = say(&mut Closed(ErrorKind::BrokenPipe));
        assert_eq!(left.expect("no failure"), Readers::Left);
        let full = say(&mut Closed(ErrorKind::StorageFull)).expect_err("a failure");
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }
}
