//! An ELF file of somebody else, read piece by piece: tables of headers and what they point to, and
//! nothing that was not asked for, so that a browser's executable costs no more memory than a small
//! library. It believes no count and no length without a bound.
//!
//! Layouts: "Tool Interface Standard: ELF", and the 64-bit structures of `elf.h`. 32-bit and
//! big-endian files are refused.

/// BytesAt that can be read anywhere.
pub(crate) trait BytesAt {
    /// How many there are.
    fn len(&self) -> u64;
    /// Fills `into` from `offset` on; `None` if there are not that many, or they can't be read.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Option<()>;
}

/// BytesAt that are at hand.
pub(crate) struct InMemory<'a>(pub &'a [u8]);

impl BytesAt for InMemory<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Option<()> {
        let from = usize::try_from(offset).ok()?;
        into.copy_from_slice(self.0.get(from..from.checked_add(into.len())?)?);
        Some(())
    }
}

/// What is wrong with a file; completes the sentence "its file is damaged: …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged(pub &'static str);

/// What kind of file it is.
pub(crate) enum ImageKind<'a> {
    /// One that can be looked into.
    Image(Image<'a>),
    /// ELF, but of 32 bits or big-endian.
    OtherClass,
    /// No ELF file.
    NotElf,
}

/// Headers of an ELF file.
pub(crate) struct Image<'a> {
    bytes: &'a dyn BytesAt,
    /// `e_machine`.
    pub machine: u16,
    /// `e_type`.
    object_type: u16,
    segments: Vec<Segment>,
    sections: Vec<Section>,
}

/// `PT_LOAD`: a piece of the file that is mapped, or another program header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    kind: u32,
    flags: u32,
    pub place: FileRange,
    pub address: u64,
}

/// A section header.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    name: Vec<u8>,
    kind: u32,
    pub place: FileRange,
    pub address: u64,
    link: u32,
}

/// Where something lies in the file; always within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileRange {
    pub offset: u64,
    pub len: u64,
}

const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHT_NOBITS: u32 = 8;

const HEADER_LEN: usize = 64;
const SEGMENT_LEN: usize = 56;
const SECTION_LEN: usize = 64;
/// Linkers write a dozen; a kernel core dump would have more, and is no executable.
const SEGMENTS_MAX: u16 = 256;
/// Executables have some forty, libraries built with a section per function keep none of them.
const SECTIONS_MAX: u16 = 2048;
/// Names of sections, all together and each.
const NAMES_LEN_MAX: u64 = 256 * 1024;
const NAME_LEN_MAX: usize = 64;

impl<'a> Image<'a> {
    /// Reads the headers.
    pub fn parse(bytes: &'a dyn BytesAt) -> Result<ImageKind<'a>, Damaged> {
        let mut ident = [0; 16];
        if bytes.read_at(0, &mut ident).is_none() || ident[..4] != *b"\x7fELF" {
            return Ok(ImageKind::NotElf);
        }
        // ELFCLASS64, ELFDATA2LSB
        if ident[4] != 2 || ident[5] != 1 {
            return Ok(ImageKind::OtherClass);
        }
        let mut header = [0; HEADER_LEN];
        bytes
            .read_at(0, &mut header)
            .ok_or(Damaged("it ends within its header"))?;
        let mut image = Self {
            bytes,
            object_type: u16_at(&header, 16),
            machine: u16_at(&header, 18),
            segments: Vec::new(),
            sections: Vec::new(),
        };
        image.read_segments(
            u64_at(&header, 32),
            u16_at(&header, 54),
            u16_at(&header, 56),
        )?;
        image.read_sections(
            u64_at(&header, 40),
            u16_at(&header, 58),
            u16_at(&header, 60),
            u16_at(&header, 62),
        )?;
        Ok(ImageKind::Image(image))
    }

    fn read_segments(&mut self, offset: u64, len: u16, count: u16) -> Result<(), Damaged> {
        if count == 0 {
            return Ok(());
        }
        if usize::from(len) != SEGMENT_LEN || count > SEGMENTS_MAX {
            return Err(Damaged(
                "its program headers are not those of an executable",
            ));
        }
        let table = self
            .read(offset, usize::from(count) * SEGMENT_LEN)
            .ok_or(Damaged("its program headers lie outside of it"))?;
        for entry in table.chunks_exact(SEGMENT_LEN) {
            let kind = u32_at(entry, 0);
            let place = self.place(u64_at(entry, 8), u64_at(entry, 32));
            let Some(place) = place else {
                // Stacks, notes and the like may point anywhere; what is mapped may not.
                if kind == PT_LOAD {
                    return Err(Damaged("a segment lies outside of it"));
                }
                continue;
            };
            self.segments.push(Segment {
                kind,
                flags: u32_at(entry, 4),
                place,
                address: u64_at(entry, 16),
            });
        }
        Ok(())
    }

    fn read_sections(
        &mut self,
        offset: u64,
        len: u16,
        count: u16,
        names: u16,
    ) -> Result<(), Damaged> {
        // Stripped of them, or more than 65279, which are counted elsewhere (SHN_LORESERVE).
        if offset == 0 || count == 0 {
            return Ok(());
        }
        if usize::from(len) != SECTION_LEN || count > SECTIONS_MAX {
            return Err(Damaged(
                "its section headers are not those of an executable",
            ));
        }
        let table = self
            .read(offset, usize::from(count) * SECTION_LEN)
            .ok_or(Damaged("its section headers lie outside of it"))?;
        let entries = || table.chunks_exact(SECTION_LEN);
        let names = entries()
            .nth(usize::from(names))
            .and_then(|entry| self.place(u64_at(entry, 24), u64_at(entry, 32)))
            .filter(|place| place.len <= NAMES_LEN_MAX)
            .and_then(|place| self.read(place.offset, place.len as usize))
            .ok_or(Damaged("its section names lie outside of it"))?;
        for entry in entries() {
            let kind = u32_at(entry, 4);
            let nowhere = FileRange { offset: 0, len: 0 };
            let place = if kind == SHT_NOBITS {
                nowhere
            } else {
                let place = self.place(u64_at(entry, 24), u64_at(entry, 32));
                place.ok_or(Damaged("a section lies outside of it"))?
            };
            let name = names.get(u32_at(entry, 0) as usize..).unwrap_or_default();
            let name = &name[..name.len().min(NAME_LEN_MAX)];
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            self.sections.push(Section {
                name: name.to_vec(),
                kind,
                place,
                address: u64_at(entry, 16),
                link: u32_at(entry, 40),
            });
        }
        Ok(())
    }

    fn place(&self, offset: u64, len: u64) -> Option<FileRange> {
        (offset.checked_add(len)? <= self.bytes.len()).then_some(FileRange { offset, len })
    }

    /// The section of that name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| section.name == name.as_bytes())
    }

    /// The strings that a table of symbols names them by.
    pub fn strings_of(&self, section: &Section) -> Option<&Section> {
        let strings = self.sections.get(section.link as usize)?;
        (strings.kind == SHT_STRTAB).then_some(strings)
    }

    /// BytesAt of the file; the caller bounds `len`.
    pub fn read(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        self.place(offset, len as u64)?;
        let mut bytes = vec![0; len];
        self.bytes.read_at(offset, &mut bytes)?;
        Some(bytes)
    }

    /// As [`Image::read`], into memory that there is.
    pub fn read_into(&self, offset: u64, into: &mut [u8]) -> Option<()> {
        self.bytes.read_at(offset, into)
    }

    /// BytesAt by the address that they are mapped to; the caller bounds `len`.
    pub fn read_address(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let offset = self.offset_in(self.mapped(), address, len as u64)?;
        self.read(offset, len)
    }

    /// Where code that is mapped begins: in the file, and as an address.
    pub fn code(&self) -> Option<(u64, u64)> {
        let mut executable = self.mapped().filter(|segment| segment.flags & PF_X != 0);
        let first = executable.next()?;
        Some((first.place.offset, first.address))
    }

    /// Where `len` bytes of code at an address lie in the file, if all of them are in one segment
    /// that is mapped executable.
    pub fn code_offset(&self, address: u64, len: u64) -> Option<u64> {
        let executable = self.mapped().filter(|segment| segment.flags & PF_X != 0);
        self.offset_in(executable, address, len)
    }

    fn offset_in<'s>(
        &self,
        segments: impl Iterator<Item = &'s Segment>,
        address: u64,
        len: u64,
    ) -> Option<u64> {
        let mut found = segments.filter_map(|segment| {
            let within = address.checked_sub(segment.address)?;
            (within.checked_add(len)? <= segment.place.len)
                .then_some(segment.place.offset.checked_add(within)?)
        });
        found.next()
    }

    /// What is mapped.
    fn mapped(&self) -> impl Iterator<Item = &Segment> {
        self.segments
            .iter()
            .filter(|segment| segment.kind == PT_LOAD)
    }

    /// What is mapped and not writable: code and constants.
    pub fn constants(&self) -> impl Iterator<Item = Segment> {
        self.mapped()
            .filter(|segment| segment.flags & PF_W == 0)
            .copied()
    }

    /// Whether it is a library rather than a program: position-independent and without an
    /// interpreter. A static-PIE executable looks the same, so that its name has to tell.
    pub fn may_be_library(&self) -> bool {
        self.object_type == ET_DYN && self.segments.iter().all(|it| it.kind != PT_INTERP)
    }
}

/// Little-endian; the caller knows that there are enough bytes.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

/// As [`u16_at`].
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

/// As [`u16_at`].
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
