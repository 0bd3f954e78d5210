//! Loads programs of the kernel side apart from the others: those for probes once more, for
//! uprobe_multi links, which take programs that were loaded for them; those that carry trace
//! context, which use maps of their own. aya (0.14) can't do either. They use the maps that they
//! are given. It attaches nothing.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use aya_obj::Object;

use super::bpf::{self, ProgramUse};
use super::object::KernelSide;
use super::reason::one_line;
use crate::visible::Visible;

/// Programs by name, and what it takes to load more.
pub struct Loader {
    maps: HashMap<String, OwnedFd>,
    btf: Option<OwnedFd>,
    programs: HashMap<&'static str, OwnedFd>,
}

impl Loader {
    /// Knows the maps that programs refer to.
    pub fn new(maps: HashMap<String, OwnedFd>) -> Self {
        Self {
            maps,
            btf: None,
            programs: HashMap::new(),
        }
    }

    /// Loads, for this use, those of `names` that were not loaded before. It takes tens of
    /// milliseconds for each, and some megabytes until it is done.
    ///
    /// # Errors
    /// Why one of them can't be loaded, in one line.
    pub fn load(&mut self, used: ProgramUse, names: &[&'static str]) -> Result<(), String> {
        if names.iter().all(|name| self.programs.contains_key(name)) {
            return Ok(());
        }
        let object = self.object(names)?;
        for name in names {
            if self.programs.contains_key(name) {
                continue;
            }
            let began = Instant::now();
            let missing = || format!("the object has no program {name}");
            let program = object.programs.get(*name).ok_or_else(missing)?;
            let function = object
                .functions
                .get(&program.function_key())
                .ok_or_else(missing)?;
            let btf = self.btf.as_ref().map(AsFd::as_fd);
            let loaded = bpf::load(name, program, function, btf, used)
                .map_err(|reason| format!("{name}: {reason}"))?;
            self.programs.insert(name, loaded);
            log::debug!(
                "loading {} took {} ms",
                Visible(name),
                began.elapsed().as_millis()
            );
        }
        Ok(())
    }

    /// A program that was loaded.
    pub fn program(&self, name: &str) -> Option<BorrowedFd<'_>> {
        self.programs.get(name).map(AsFd::as_fd)
    }

    /// The object, as aya reads it, with these programs alone: each has its own copy of all that it
    /// calls, and of where that stands in the source, which is more than ten megabytes for all.
    fn object(&mut self, names: &[&'static str]) -> Result<Object, String> {
        let bytes = KernelSide::Modern
            .object()
            .map_err(|error| one_line(&error))?;
        let mut object = Object::parse(&bytes).map_err(|error| one_line(&error))?;
        drop(bytes);
        object.programs.retain(|name, _| names.contains(&&**name));
        if let Some(features) = aya::features().btf() {
            let types = object
                .fixup_and_sanitize_btf(features)
                .map_err(|error| one_line(&error))?;
            if let (Some(types), None) = (types, &self.btf) {
                let loaded = bpf::load_btf(&types.to_bytes()).map_err(|error| one_line(&error))?;
                self.btf = Some(loaded);
            }
        }
        let sections: HashSet<usize> = object
            .functions
            .keys()
            .map(|(section, _)| *section)
            .collect();
        let described = std::mem::take(&mut object.maps);
        let maps = described.iter().filter_map(|(name, map)| {
            let descriptor = self.maps.get(name)?;
            Some((name.as_str(), descriptor.as_raw_fd(), map))
        });
        object
            .relocate_maps(maps, &sections)
            .map_err(|error| one_line(&error))?;
        object
            .relocate_calls(&sections)
            .map_err(|error| one_line(&error))?;
        object.sanitize_functions(aya::features());
        Ok(object)
    }
}
