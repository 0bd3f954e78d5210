//! What hostile peers and processes make the pipeline remember, compared with what is really
//! allocated: an allocator that counts, by thread, is what makes this a test binary of its own.

#[path = "memory/loads.rs"]
mod loads;
#[path = "support/records.rs"]
mod records;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use loads::{LOADS, Load, healthy};
use records::{MS, Recorder};
use wirespan::config::MemoryConfig;
use wirespan::discover::Process;
use wirespan::health::{Health, Loss};
use wirespan::memory::{Holder, Ledger};
use wirespan::pipeline::{Pipeline, PipelineConfig};
use wirespan::span::{Span, Value};
use wirespan_common::record::{Record, Stage};

thread_local! {
    static ALLOCATED: Cell<isize> = const { Cell::new(0) };
}

/// Counts bytes that a thread has allocated and not freed: each test is a thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: isize) {
    // A thread that ends may free after its variables are gone.
    let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get() + bytes));
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

fn is_healthy(span: &Span) -> bool {
    let status = ("http.response.status_code", Value::Int(204));
    span.attributes.contains(&status)
}

/// A pipeline, and what it has really allocated.
struct Bench {
    recorder: Recorder,
    pipeline: Pipeline,
    health: Arc<Health>,
    memory: Ledger,
    spans: usize,
    /// Of exchanges on the connection that behaves.
    healthy: usize,
    /// Most that was counted at any time.
    peak: usize,
    allocated: isize,
}

impl Bench {
    fn new(limit: usize) -> Self {
        let health = Arc::new(Health::default());
        let memory = Ledger::new(limit);
        let recorder = Recorder::new(0);
        let before = ALLOCATED.get();
        let pipeline = Pipeline::new(
            PipelineConfig {
                seed: Some(1),
                memory: memory.clone(),
                ..PipelineConfig::default()
            },
            Arc::clone(&health),
        );
        Self {
            recorder,
            pipeline,
            health,
            memory,
            spans: 0,
            healthy: 0,
            peak: 0,
            allocated: ALLOCATED.get() - before,
        }
    }

    /// Feeds what was recorded. What that allocates and does not free is the pipeline's, because
    /// spans and records are gone afterwards.
    fn feed(&mut self) {
        let records = std::mem::take(&mut self.recorder.records);
        let before = ALLOCATED.get();
        let mut spans = Vec::new();
        for bytes in &records {
            let (record, _) = Record::decode(bytes).expect("a record");
            self.pipeline.record(&record, &mut spans);
            self.spans += spans.len();
            self.healthy += spans.iter().filter(|span| is_healthy(span)).count();
            spans.clear();
            self.peak = self.peak.max(self.pipeline.memory_bytes());
        }
        self.pipeline.drain_to_kernel();
        drop(spans);
        self.allocated += ALLOCATED.get() - before;
    }

    fn put(&mut self, load: &Load, count: u64) {
        for number in 0..count {
            self.recorder.at(self.recorder.now_ns + MS);
            (load.each)(&mut self.recorder, number);
            self.feed();
        }
    }
}

#[test]
fn what_is_counted_is_what_is_allocated() {
    for load in LOADS {
        let mut bench = Bench::new(4 << 30);
        bench.put(load, load.count / 4);
        let (counted, allocated) = (bench.pipeline.memory_bytes(), bench.allocated as usize);
        let ratio = counted as f64 / allocated as f64;
        println!(
            "{}: {counted} of {allocated} counted, {ratio:.2}",
            load.name
        );
        assert!((0.8..1.5).contains(&ratio), "{}: {ratio:.2}", load.name);
    }
}

#[test]
fn nobody_takes_more_than_the_limit_and_all_is_given_back() {
    const LIMIT: usize = 24 << 20;
    for load in LOADS {
        let mut bench = Bench::new(LIMIT);
        bench.put(load, load.count);
        let name = load.name;
        println!("{name}: peak {}, allocated {}", bench.peak, bench.allocated);
        assert!(bench.peak <= LIMIT, "{name}: {}", bench.peak);
        assert!((bench.allocated as usize) < LIMIT / 4 * 5, "{name}");
        assert!(bench.health.losses(load.loss) > 0, "{name}: counted");

        healthy(&mut bench.recorder);
        bench.feed();
        assert_eq!(bench.healthy, 1, "{name}: a healthy exchange");

        for id in 0..load.count {
            bench.recorder.progress(id, Stage::Closed);
        }
        loads::end_processes(&mut bench.recorder);
        // Exchanges are remembered for a moment after they are over.
        bench
            .recorder
            .at(bench.recorder.now_ns + 1000 * MS)
            .clock(0);
        bench.feed();
        let (counted, allocated) = (bench.pipeline.memory_bytes(), bench.allocated);
        println!("{name}: {counted} counted, {allocated} allocated after");
        // Ended processes are remembered for exchanges that end late.
        let rest = if load.ends_empty { 1 << 20 } else { LIMIT / 8 };
        assert!(counted < rest, "{name}: {counted}");
        assert!((allocated as usize) < rest, "{name}: {allocated}");
    }
}

#[test]
fn who_was_silent_longest_goes_first_and_those_who_speak_stay() {
    let mut bench = Bench::new(8 << 20);
    let large = &LOADS[0];
    for number in 0..200 {
        bench.recorder.at(bench.recorder.now_ns + 100 * MS);
        (large.each)(&mut bench.recorder, number);
        // A small one that is in use all the time.
        healthy(&mut bench.recorder);
        bench.feed();
    }
    let shed = bench.health.losses(Loss::MemoryFull);
    assert!((100..200).contains(&shed), "{shed}");
    assert_eq!(bench.health.losses(Loss::UnmatchedResponse), 0);
    // Every healthy exchange, and those of the connections that were given up.
    assert_eq!(bench.spans as u64, 200 + shed * loads::STREAMS);
}

#[test]
fn what_others_hold_is_not_there_for_connections() {
    let mut bench = Bench::new(16 << 20);
    bench.memory.hold(Holder::Spans, 12 << 20);
    bench.put(&LOADS[0], 100);
    assert!(bench.peak <= 16 << 20);
    assert!(bench.allocated < 4 << 20, "{}", bench.allocated);
    bench.memory.release(Holder::Spans, 12 << 20);
    bench.put(&LOADS[0], 100);
    assert!(bench.allocated > 8 << 20, "{}", bench.allocated);
}

#[test]
fn another_limit_holds_from_the_next_look_on() {
    let limit = |limit| MemoryConfig { limit };
    let mut bench = Bench::new(32 << 20);
    bench.put(&LOADS[0], 40);
    let before = bench.pipeline.memory_bytes();
    assert!(before > 8 << 20, "{before}");
    assert_eq!(bench.health.losses(Loss::MemoryFull), 0);
    bench.memory.reconfigure(&limit(8 << 20));
    // One look comes in so many records.
    for _ in 0..64 {
        healthy(&mut bench.recorder);
    }
    bench.feed();
    assert!(bench.pipeline.memory_bytes() <= 8 << 20);
    assert!(bench.health.losses(Loss::MemoryFull) > 0);

    let shed = bench.health.losses(Loss::MemoryFull);
    bench.memory.reconfigure(&limit(128 << 20));
    bench.put(&LOADS[0], 100);
    assert!(bench.pipeline.memory_bytes() > before);
    assert_eq!(bench.health.losses(Loss::MemoryFull), shed);
}

#[test]
fn parts_of_the_whole_follow_another_limit_too() {
    // Less than the description of one process takes with its attributes.
    let mut bench = Bench::new(4 << 20);
    let process = Process {
        pid: records::PID,
        service_name: "shop".into(),
        resource_attributes: [("a".to_owned(), "x".repeat(1 << 20))].into(),
        ..Process::default()
    };
    bench.recorder.process(&process);
    bench.feed();
    assert_eq!(bench.health.losses(Loss::DescriptionCut), 1);
    bench.memory.reconfigure(&MemoryConfig { limit: 64 << 20 });
    for _ in 0..64 {
        healthy(&mut bench.recorder);
    }
    bench.recorder.process(&process);
    bench.feed();
    assert_eq!(bench.health.losses(Loss::DescriptionCut), 1);
}
