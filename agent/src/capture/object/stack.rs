//! How much stack the kernel side's programs need, told from the object. A program has
//! `MAX_BPF_STACK` (include/linux/filter.h) for all functions that are under way at a time, of
//! which each counts in steps of 32 bytes (`check_max_stack_depth`, kernel/bpf/verifier.c). From
//! 6.13 on the kernel gives some programs a stack of their own, so that one who develops on such a
//! kernel would not notice; this test does.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use object::read::elf::{ElfFile64, ElfSection64};
use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionKind, SymbolKind,
};

use super::KernelSide;

/// `MAX_BPF_STACK`.
const STACK_MAX: usize = 512;
/// `MAX_CALL_FRAMES` (include/linux/bpf_verifier.h): functions under way at a time.
const FRAMES_MAX: usize = 8;
/// What a function's share is rounded up to.
const STEP: usize = 32;

/// Size of an instruction: `struct bpf_insn` (include/uapi/linux/bpf.h).
const INSTRUCTION_LEN: usize = 8;
/// The register that points behind a function's stack.
const FRAME_POINTER: u8 = 10;
/// `BPF_ALU64 | BPF_MOV | BPF_X`: one register becomes another.
const MOVE: u8 = 0xbf;
/// `BPF_ALU64 | BPF_ADD | BPF_K`: a register plus a number.
const ADD: u8 = 0x07;
/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_LD | BPF_IMM | BPF_DW`: an address.
const ADDRESS: u8 = 0x18;
/// `BPF_PSEUDO_CALL`: not a helper but a function of the program.
const OWN_FUNCTION: u8 = 1;

/// Section and address.
type CodeAddress = (usize, u64);

struct ProgramFunction {
    name: String,
    /// A program of its own, not only called by others.
    is_program: bool,
    /// Bytes of stack that it addresses.
    stack: usize,
    calls: Vec<CodeAddress>,
}

#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    to: u8,
    from: u8,
    offset: i16,
    number: i32,
}

impl Instruction {
    fn read(bytes: &[u8]) -> Self {
        let [code, registers, a, b, c, d, e, f] = bytes.try_into().expect("eight bytes");
        Self {
            code,
            to: registers & 0xf,
            from: registers >> 4,
            offset: i16::from_le_bytes([a, b]),
            number: i32::from_le_bytes([c, d, e, f]),
        }
    }

    /// How far below the frame pointer it reads or writes (`BPF_LDX`, `BPF_ST`, `BPF_STX`).
    fn depth(self) -> usize {
        let is_access = matches!(self.code & 7, 1..=3);
        let on_stack = match self.code & 7 {
            1 => self.from == FRAME_POINTER,
            _ => self.to == FRAME_POINTER,
        };
        if is_access && on_stack && self.offset < 0 {
            usize::from(self.offset.unsigned_abs())
        } else {
            0
        }
    }
}

/// Where the relocation of an instruction leads.
#[derive(Clone, Copy)]
enum RelocationTo {
    /// A function, or data, with a name.
    Symbol(CodeAddress),
    /// Somewhere in the section that begins there; the instruction says where.
    Section(CodeAddress),
}

/// Relocations of a section, by address.
fn relocations(file: &ElfFile64<'_>, section: &ElfSection64<'_, '_>) -> HashMap<u64, RelocationTo> {
    let target = |relocation: &object::Relocation| {
        let RelocationTarget::Symbol(index) = relocation.target() else {
            return None;
        };
        let symbol = file.symbol_by_index(index).ok()?;
        let place = (symbol.section_index()?.0, symbol.address());
        Some(match symbol.kind() {
            SymbolKind::Section => RelocationTo::Section(place),
            _ => RelocationTo::Symbol(place),
        })
    };
    section
        .relocations()
        .filter_map(|(at, relocation)| Some((at, target(&relocation)?)))
        .collect()
}

/// Every function of an object, by where it begins.
fn functions(object: &[u8]) -> BTreeMap<CodeAddress, ProgramFunction> {
    let file = ElfFile64::<object::Endianness>::parse(object).expect("an ELF file");
    let mut found = BTreeMap::new();
    for section in file.sections() {
        if section.kind() != SectionKind::Text {
            continue;
        }
        let code = section.data().expect("code");
        let relocations = relocations(&file, &section);
        let symbols = file.symbols().filter(|symbol| {
            symbol.kind() == SymbolKind::Text
                && symbol.section_index() == Some(section.index())
                && symbol.size() != 0
        });
        for symbol in symbols {
            let place = (section.index().0, symbol.address());
            let range = symbol.address()..symbol.address() + symbol.size();
            let (stack, calls) = read(code, range, place.0, &relocations);
            let function = ProgramFunction {
                name: symbol.name().expect("a name").to_owned(),
                is_program: section.name() != Ok(".text"),
                stack,
                calls,
            };
            found.insert(place, function);
        }
    }
    found
}

/// How much stack a function addresses, and where its calls and addresses lead.
fn read(
    code: &[u8],
    range: Range<u64>,
    section: usize,
    relocations: &HashMap<u64, RelocationTo>,
) -> (usize, Vec<CodeAddress>) {
    let (mut stack, mut calls) = (0, Vec::new());
    // The register that the frame pointer was copied to, until it is moved downwards.
    let mut copy = None;
    for at in range.step_by(INSTRUCTION_LEN) {
        let start = at as usize;
        let it = Instruction::read(&code[start..start + INSTRUCTION_LEN]);
        let mut depth = it.depth();
        match it.code {
            MOVE if it.from == FRAME_POINTER => copy = Some(it.to),
            ADD if copy == Some(it.to) && it.number < 0 => {
                depth = it.number.unsigned_abs() as usize;
                copy = None;
            }
            _ => {}
        }
        stack = stack.max(depth);
        // A call says its distance in instructions, from the one that follows.
        let distance = (i64::from(it.number) + 1) * INSTRUCTION_LEN as i64;
        calls.extend(match (it.code, relocations.get(&at)) {
            (CALL, _) if it.from != OWN_FUNCTION => None,
            (CALL | ADDRESS, Some(RelocationTo::Symbol(place))) => Some(*place),
            (CALL, Some(RelocationTo::Section((section, _)))) => Some((*section, distance as u64)),
            (ADDRESS, Some(RelocationTo::Section((section, address)))) => {
                Some((*section, address + it.number as u64))
            }
            (CALL, None) => Some((section, at.wrapping_add_signed(distance))),
            _ => None,
        });
    }
    (stack, calls)
}

/// The deepest stack from a function on, and the way there.
fn deepest(
    functions: &BTreeMap<CodeAddress, ProgramFunction>,
    place: CodeAddress,
    way: usize,
) -> (usize, Vec<String>) {
    // The kernel allows eight functions on the way; a circle would end here too.
    assert!(way < 16, "functions call one another in a circle");
    let function = &functions[&place];
    let below = function
        .calls
        .iter()
        // What else an address leads to is data.
        .filter(|place| functions.contains_key(place))
        .map(|place| deepest(functions, *place, way + 1))
        .max_by_key(|(stack, _)| *stack);
    let own = function.stack.max(1).next_multiple_of(STEP);
    let (stack, mut names) = below.unwrap_or_default();
    names.insert(0, format!("{} ({})", function.name, function.stack));
    (own + stack, names)
}

#[test]
fn no_program_needs_more_stack_than_a_kernel_gives() {
    need_no_more_stack(&KernelSide::Modern.object().expect("gzip"), 50);
    need_no_more_stack(&KernelSide::Legacy.object().expect("gzip"), 25);
}

/// So many programs at least were found.
fn need_no_more_stack(object: &[u8], programs_min: usize) {
    let functions = functions(object);
    let programs: Vec<_> = functions
        .iter()
        .filter(|(_, function)| function.is_program)
        .map(|(place, _)| deepest(&functions, *place, 0))
        .collect();
    let most = programs.iter().max_by_key(|(stack, _)| *stack);
    let (stack, way) = most.expect("the object has programs");
    assert!(*stack <= STACK_MAX, "{stack}: {}", way.join(" > "));
    // All of them were found, and what they call.
    assert!(programs.len() > programs_min, "{} programs", programs.len());
    assert!(way.len() > 4, "{stack}: {}", way.join(" > "));
}

/// The longest way of calls from a function on.
fn longest(functions: &BTreeMap<CodeAddress, ProgramFunction>, place: CodeAddress) -> Vec<&str> {
    let function = &functions[&place];
    let below = function
        .calls
        .iter()
        .filter(|place| functions.contains_key(place))
        .map(|place| longest(functions, *place))
        .max_by_key(Vec::len);
    let mut names = below.unwrap_or_default();
    names.insert(0, &function.name);
    names
}

#[test]
fn no_program_has_more_calls_under_way_than_a_kernel_follows() {
    have_no_more_calls_under_way(&KernelSide::Modern.object().expect("gzip"));
    have_no_more_calls_under_way(&KernelSide::Legacy.object().expect("gzip"));
}

fn have_no_more_calls_under_way(object: &[u8]) {
    let functions = functions(object);
    for (place, _) in functions.iter().filter(|(_, it)| it.is_program) {
        let way = longest(&functions, *place);
        assert!(
            way.len() <= FRAMES_MAX,
            "{}: {}",
            way.len(),
            way.join(" > ")
        );
    }
}
