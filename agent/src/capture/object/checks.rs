//! What kernels from 4.18 on take of the legacy object, told from the object itself: each program
//! with all that it calls has so many instructions at most, no loop, nothing that is never reached,
//! and only helpers, maps and instructions that were there then. What those kernels themselves say
//! of it stands in no test, as long as none of them can be had.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use object::read::elf::ElfFile64;
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionKind,
    SymbolKind,
};

/// `BPF_MAXINSNS` (include/uapi/linux/bpf_common.h), for a program with all that it calls.
const INSTRUCTIONS_MAX: usize = 4096;
/// Helpers of 4.18 by number, of those that do no harm (include/uapi/linux/bpf.h): look up, update
/// and delete in maps, `probe_read`, the time, the processor, who runs, its name, perf events, the
/// task.
const HELPERS: [i32; 10] = [1, 2, 3, 4, 5, 8, 14, 16, 25, 35];
/// `perf_event_output`.
const OUTPUT: i32 = 25;
/// Hashes, arrays, perf events, arrays by processor, and hashes that forget.
const MAP_TYPES: [u32; 5] = [1, 2, 4, 6, 9];
/// `BPF_MAP_TYPE_PERCPU_ARRAY`.
const PER_PROCESSOR: u32 = 6;
/// `PCPU_MIN_UNIT_SIZE` (include/linux/percpu.h).
const PER_PROCESSOR_MAX: u32 = 32 * 1024;

/// Size of an instruction: `struct bpf_insn`.
const LEN: usize = 8;

/// Section and address.
type CodePlace = (usize, u64);

#[derive(Clone, Copy)]
struct ObjectInstruction {
    code: u8,
    from: u8,
    offset: i16,
    number: i32,
}

impl ObjectInstruction {
    fn read(bytes: &[u8]) -> Self {
        let [code, registers, a, b, c, d, e, f] = bytes.try_into().expect("eight bytes");
        Self {
            code,
            from: registers >> 4,
            offset: i16::from_le_bytes([a, b]),
            number: i32::from_le_bytes([c, d, e, f]),
        }
    }

    /// `BPF_LD | BPF_IMM | BPF_DW`, which takes two.
    fn is_wide(self) -> bool {
        self.code == 0x18
    }

    fn is_call(self) -> bool {
        self.code == 0x85
    }

    /// Where it may go on, counted in instructions from where it stands at `at`.
    fn successors(self, at: usize) -> Vec<usize> {
        let target = at.wrapping_add_signed(1 + isize::from(self.offset));
        match self.code {
            0x95 => vec![],
            0x05 => vec![target],
            _ if self.code & 7 == 5 && !self.is_call() => vec![at + 1, target],
            _ if self.is_wide() => vec![at + 2],
            _ => vec![at + 1],
        }
    }
}

struct CodeFunction {
    name: String,
    /// The section says what it is attached to; functions that are only called are in `.text`.
    section: String,
    instructions: Vec<ObjectInstruction>,
    calls: Vec<CodePlace>,
    helpers: BTreeSet<i32>,
}

impl CodeFunction {
    /// What old kernels refuse of it, in words.
    fn faults(&self) -> Vec<String> {
        let mut faults = self.odd_instructions();
        let (loops, reached) = self.walk();
        for at in loops {
            faults.push(format!("{}: a loop at {at}", self.name));
        }
        let mut at = 0;
        while at < self.instructions.len() {
            if !reached.contains(&at) {
                faults.push(format!("{}: {at} is never reached", self.name));
            }
            at += if self.instructions[at].is_wide() {
                2
            } else {
                1
            };
        }
        for helper in &self.helpers {
            if !HELPERS.contains(helper) {
                faults.push(format!("{}: helper {helper}", self.name));
            }
        }
        faults
    }

    fn odd_instructions(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut at = 0;
        while at < self.instructions.len() {
            let it = self.instructions[at];
            let what = match it.code {
                // JMP32 (5.1).
                code if code & 7 == 6 => Some("a jump on half a register"),
                // Atomics but for the addition (5.12).
                0xc3 | 0xdb if it.number != 0 => Some("an atomic"),
                // Loads that extend the sign (6.6).
                code if code & 0xe7 == 0x81 => Some("a load that extends the sign"),
                // A function of the kernel (5.13).
                0x85 if it.from > 1 => Some("a call of the kernel"),
                // The address of a function (5.13).
                0x18 if it.from == 4 => Some("the address of a function"),
                _ => None,
            };
            faults.extend(what.map(|what| format!("{}: {what} at {at}", self.name)));
            at += if it.is_wide() { 2 } else { 1 };
        }
        faults
    }

    /// Where jumps lead back to what leads to them, as `check_cfg` found it before 5.3
    /// (kernel/bpf/verifier.c), and what was reached.
    fn walk(&self) -> (Vec<usize>, BTreeSet<usize>) {
        let mut loops = Vec::new();
        let mut seen = BTreeSet::from([0]);
        let mut done = BTreeSet::new();
        let mut path = vec![(0, self.successors(0))];
        while let Some((at, rest)) = path.last_mut() {
            let at = *at;
            match rest.pop() {
                Some(next) if seen.insert(next) => path.push((next, self.successors(next))),
                Some(next) if !done.contains(&next) => loops.push(at),
                Some(_) => {}
                None => {
                    done.insert(at);
                    path.pop();
                }
            }
        }
        (loops, seen)
    }

    fn successors(&self, at: usize) -> Vec<usize> {
        let instruction = self.instructions.get(at);
        instruction.map_or_else(Vec::new, |it| it.successors(at))
    }
}

struct Code {
    functions: BTreeMap<CodePlace, CodeFunction>,
    /// Sections that programs refer to and that are neither code nor maps.
    data: BTreeSet<String>,
}

fn code_of(object: &[u8]) -> Code {
    let file = ElfFile64::<Endianness>::parse(object).expect("an ELF file");
    let mut code = Code {
        functions: BTreeMap::new(),
        data: BTreeSet::new(),
    };
    for section in file.sections() {
        if section.kind() != SectionKind::Text {
            continue;
        }
        let relocations = relocations(&file, &section, &mut code.data);
        let bytes = section.data().expect("its bytes");
        let functions = file.symbols().filter(|symbol| {
            let is_here = symbol.section_index() == Some(section.index());
            is_here && symbol.kind() == SymbolKind::Text && symbol.size() > 0
        });
        for symbol in functions {
            let begin = symbol.address() as usize;
            let body = &bytes[begin..begin + symbol.size() as usize];
            let instructions: Vec<_> = body
                .chunks_exact(LEN)
                .map(ObjectInstruction::read)
                .collect();
            let name = symbol.name().expect("a name").to_owned();
            let section_name = section.name().expect("a name").to_owned();
            let mut function = CodeFunction {
                name,
                section: section_name,
                instructions,
                calls: Vec::new(),
                helpers: BTreeSet::new(),
            };
            note_calls(&mut function, section.index().0, begin, &relocations);
            let at = (section.index().0, symbol.address());
            code.functions.insert(at, function);
        }
    }
    code
}

/// Where relocations of calls lead, by where they stand: a function, or, with `true`, the section
/// in which the instruction says where.
type CallTargets = HashMap<u64, (CodePlace, bool)>;

fn relocations(
    file: &ElfFile64<'_>,
    section: &object::read::elf::ElfSection64<'_, '_>,
    data: &mut BTreeSet<String>,
) -> CallTargets {
    let mut calls = HashMap::new();
    for (at, relocation) in section.relocations() {
        let RelocationTarget::Symbol(index) = relocation.target() else {
            continue;
        };
        let symbol = file.symbol_by_index(index).expect("a symbol");
        let Some(index) = symbol.section_index() else {
            continue;
        };
        let target = file.section_by_index(index).expect("a section");
        let name = target.name().expect("a name");
        if [".rodata", ".bss", ".data"]
            .iter()
            .any(|it| name.starts_with(it))
        {
            data.insert(name.to_owned());
        }
        let is_section = symbol.kind() == SymbolKind::Section;
        calls.insert(at, ((index.0, symbol.address()), is_section));
    }
    calls
}

fn note_calls(
    function: &mut CodeFunction,
    section: usize,
    begin: usize,
    relocations: &CallTargets,
) {
    for (index, it) in function.instructions.iter().enumerate() {
        let at = (begin + index * LEN) as u64;
        match (it.is_call(), it.from) {
            (true, 0) => {
                function.helpers.insert(it.number);
            }
            (true, 1) => {
                let behind = ((i64::from(it.number) + 1) * LEN as i64) as u64;
                function.calls.push(match relocations.get(&at) {
                    Some(((section, _), true)) => (*section, behind),
                    Some((target, false)) => *target,
                    None => (section, at.wrapping_add(behind)),
                });
            }
            _ => {}
        }
    }
}

impl Code {
    /// The program with all that it calls.
    fn with_callees(&self, at: CodePlace) -> BTreeSet<CodePlace> {
        let mut found = BTreeSet::from([at]);
        let mut waiting = vec![at];
        while let Some(at) = waiting.pop() {
            let function = &self.functions.get(&at).expect("a function");
            for &call in &function.calls {
                if found.insert(call) {
                    waiting.push(call);
                }
            }
        }
        found
    }

    fn programs(&self) -> impl Iterator<Item = (CodePlace, &CodeFunction)> {
        let functions = self.functions.iter();
        let functions = functions.filter(|(_, it)| it.section != ".text");
        functions.map(|(at, function)| (*at, function))
    }
}

fn legacy() -> Code {
    code_of(&super::KernelSide::Legacy.object().expect("gzip"))
}

#[test]
fn old_kernels_take_every_instruction_and_helper_of_the_legacy_object() {
    let code = legacy();
    assert_eq!(code.data, BTreeSet::new(), "global data");
    // What no program calls (`memcpy`, …) is loaded by nobody.
    let programs = code.programs();
    let called: BTreeSet<_> = programs.flat_map(|(at, _)| code.with_callees(at)).collect();
    let functions = called.iter().map(|at| &code.functions[at]);
    let faults: Vec<_> = functions.flat_map(CodeFunction::faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn no_program_of_the_legacy_object_is_too_long() {
    let code = legacy();
    let mut programs = 0;
    for (at, program) in code.programs() {
        let parts = code.with_callees(at);
        let len: usize = parts
            .iter()
            .map(|at| code.functions[at].instructions.len())
            .sum();
        assert!(len <= INSTRUCTIONS_MAX, "{} has {len}", program.name);
        programs += 1;
    }
    assert!(programs >= 25, "{programs} programs");
}

#[test]
fn what_may_run_in_an_interrupt_outputs_nothing() {
    let code = legacy();
    let outputs = |at: CodePlace| {
        let parts = code.with_callees(at);
        parts
            .iter()
            .any(|at| code.functions[at].helpers.contains(&OUTPUT))
    };
    let mut told = 0;
    for (at, program) in code.programs() {
        if program.name == "inet_sock_set_state" {
            assert!(
                !outputs(at),
                "it may interrupt another program that outputs"
            );
        } else if outputs(at) {
            told += 1;
        }
    }
    assert!(told >= 10, "{told} programs tell something");
}

#[test]
fn old_kernels_know_all_maps_of_the_legacy_object() {
    let object = super::KernelSide::Legacy.object().expect("gzip");
    let object = aya_obj::Object::parse(&object).expect("an object");
    assert!(
        object.btf.is_none(),
        "4.18 refuses a program that refers to types"
    );
    for (name, map) in &object.maps {
        assert!(
            MAP_TYPES.contains(&map.map_type()),
            "{name}: {}",
            map.map_type()
        );
        let value = map.value_size();
        assert!(
            map.map_type() != PER_PROCESSOR || value <= PER_PROCESSOR_MAX,
            "{name}: {value} bytes"
        );
    }
}
