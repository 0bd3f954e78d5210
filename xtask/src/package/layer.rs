//! Archives whose bytes follow from what is put in: everything is root's, has one time, and comes
//! in the order in which it is put.

use std::io::Write;

use anyhow::Result;
use tar::{Builder, EntryType, Header, HeaderMode};

/// An archive in the making.
pub struct Layer<W: Write> {
    archive: Builder<W>,
    time: u64,
}

impl<W: Write> Layer<W> {
    /// `time` is that of all entries, in seconds since 1970.
    pub fn new(to: W, time: u64) -> Self {
        let mut archive = Builder::new(to);
        archive.mode(HeaderMode::Deterministic);
        Self { archive, time }
    }

    pub fn directory(&mut self, path: &str) -> Result<()> {
        self.entry(EntryType::Directory, path, 0o755, &[])
    }

    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.entry(EntryType::Regular, path, mode, content)
    }

    fn entry(&mut self, kind: EntryType, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.time);
        header.set_size(content.len() as u64);
        self.archive.append_data(&mut header, path, content)?;
        Ok(())
    }

    /// Its end; returns where it was written to.
    pub fn finish(self) -> Result<W> {
        Ok(self.archive.into_inner()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_the_same_each_time_and_all_of_it_is_roots() {
        let write = || {
            let mut layer = Layer::new(Vec::new(), 1_700_000_000);
            layer.directory("etc/").expect("it fits");
            layer.file("etc/name", 0o644, b"wirespan").expect("it fits");
            layer.finish().expect("it ends")
        };
        let archive = write();
        assert_eq!(archive, write());
        let mut read = tar::Archive::new(&archive[..]);
        let entries = read.entries().expect("an archive");
        let mut told = Vec::new();
        for entry in entries {
            let entry = entry.expect("an entry");
            let header = entry.header();
            assert_eq!((header.uid().ok(), header.gid().ok()), (Some(0), Some(0)));
            assert_eq!(header.mtime().ok(), Some(1_700_000_000));
            let path = entry.path().expect("a path").into_owned();
            told.push((path, header.mode().expect("a mode")));
        }
        assert_eq!(told, [("etc/".into(), 0o755), ("etc/name".into(), 0o644)]);
    }
}
