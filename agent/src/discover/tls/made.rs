//! Executables made of as little as an analysis looks at, for tests.

/// An ELF file to be: code at [`BASE`], functions, sections.
pub struct Made {
    /// `e_type`: 2 is a program, 3 a library.
    pub object_type: u16,
    /// Name of the table of symbols.
    pub table: &'static str,
    /// Names and code.
    pub functions: Vec<(&'static str, Vec<u8>)>,
    /// Names and bytes of further sections.
    pub sections: Vec<(&'static str, Vec<u8>)>,
}

/// Where the file is mapped to, all of it executable.
pub const BASE: u64 = 0x40_0000;
/// Where code begins in the file: behind the header and one program header.
pub const TEXT: u64 = 64 + 56;
/// Functions begin at multiples of this.
const ALIGNMENT: usize = 16;

/// `push %rbp; mov %rsp,%rbp; xor %eax,%eax; pop %rbp; ret`: returns in its eighth byte.
pub const PLAIN: &[u8] = &[0x55, 0x48, 0x89, 0xe5, 0x31, 0xc0, 0x5d, 0xc3];

impl Made {
    /// A program that has these functions.
    pub fn program(functions: &[(&'static str, &[u8])]) -> Self {
        let functions = functions.iter().map(|(name, code)| (*name, code.to_vec()));
        Self {
            object_type: 2,
            table: ".symtab",
            functions: functions.collect(),
            sections: Vec::new(),
        }
    }

    /// A library that exports these functions.
    pub fn library(functions: &[(&'static str, &[u8])]) -> Self {
        Self {
            object_type: 3,
            table: ".dynsym",
            ..Self::program(functions)
        }
    }

    /// With one more section.
    pub fn with(mut self, name: &'static str, bytes: &[u8]) -> Self {
        self.sections.push((name, bytes.to_vec()));
        self
    }

    /// Where the function of that index begins in the file.
    pub fn place(&self, index: usize) -> u64 {
        let before = self.functions[..index].iter();
        let len: usize = before
            .map(|(_, code)| code.len().next_multiple_of(ALIGNMENT))
            .sum();
        TEXT + len as u64
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut strings = vec![0];
        let mut symbols = vec![0; 24];
        for (index, (name, code)) in self.functions.iter().enumerate() {
            symbols.extend((strings.len() as u32).to_le_bytes());
            symbols.extend([0x12, 0]); // STB_GLOBAL, STT_FUNC
            symbols.extend(1_u16.to_le_bytes());
            symbols.extend((BASE + self.place(index)).to_le_bytes());
            symbols.extend((code.len() as u64).to_le_bytes());
            strings.extend(name.bytes().chain([0]));
            text.extend(code);
            text.resize(text.len().next_multiple_of(ALIGNMENT), 0xcc);
        }
        // Name, type, link, bytes; the table of symbols is named by the section before it.
        let mut sections = vec![
            (".text", 1, 0, text),
            (".strings", 3, 0, strings),
            (self.table, 2, 2, symbols),
        ];
        for (name, bytes) in &self.sections {
            sections.push((*name, 1, 0, bytes.clone()));
        }
        file(self.object_type, sections)
    }
}

fn file(object_type: u16, mut sections: Vec<(&'static str, u32, u32, Vec<u8>)>) -> Vec<u8> {
    let mut names = vec![0];
    let mut starts = Vec::new();
    for (name, ..) in sections.iter().chain([&(".shstrtab", 3, 0, Vec::new())]) {
        starts.push(names.len() as u32);
        names.extend(name.bytes().chain([0]));
    }
    sections.push((".shstrtab", 3, 0, names));
    let mut body = Vec::new();
    let mut headers = vec![0; 64];
    for ((_, kind, link, bytes), name) in sections.iter().zip(starts) {
        let offset = TEXT + body.len() as u64;
        headers.extend(name.to_le_bytes());
        headers.extend(kind.to_le_bytes());
        for word in [0, BASE + offset, offset, bytes.len() as u64] {
            headers.extend(word.to_le_bytes());
        }
        headers.extend(link.to_le_bytes());
        headers.extend(0_u32.to_le_bytes());
        headers.extend([0; 16]);
        body.extend(bytes);
        body.resize(body.len().next_multiple_of(16), 0);
    }
    let table = TEXT + body.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for half in [object_type, 62] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for word in [BASE + TEXT, 64, table] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    let count = sections.len() as u16 + 1;
    for half in [64, 56, 1, 64, count, count - 1] {
        file.extend(half.to_le_bytes());
    }
    // PT_LOAD, readable and executable, all of the file.
    let len = table + headers.len() as u64;
    file.extend(1_u32.to_le_bytes());
    file.extend(5_u32.to_le_bytes());
    for word in [0, BASE, BASE, len, len, 4096] {
        file.extend(word.to_le_bytes());
    }
    file.extend(body);
    file.extend(headers);
    file
}
