//! The controller, fed with what a daemon might spend: it settles, recovers and never jumps.

use proptest::prelude::*;

use super::*;

const TICK: Duration = Duration::from_millis(500);

/// A daemon that takes so many cores whatever it follows, and so many for all connections.
struct World {
    base: f64,
    load: f64,
    records_per_second: f64,
    at: Duration,
    spent: Spending,
    controller: ShareController,
    changes: Vec<ShareChange>,
}

impl World {
    fn new(limit: f64, base: f64, load: f64) -> Self {
        Self {
            base,
            load,
            records_per_second: 100_000.0,
            at: Duration::ZERO,
            spent: Spending::default(),
            controller: ShareController::new(CpuLimit::from_cores(limit)),
            changes: Vec::new(),
        }
    }

    fn cores(&self) -> f64 {
        self.base + self.load * self.controller.share().part()
    }

    /// Time goes by, and each tick takes `noise` times what it should.
    fn run(&mut self, ticks: usize, mut noise: impl FnMut() -> f64) {
        for _ in 0..ticks {
            self.at += TICK;
            self.spent.cpu += TICK.mul_f64(self.cores() * noise());
            self.spent.records += (self.records_per_second * TICK.as_secs_f64()) as u64;
            self.changes
                .extend(self.controller.observe(self.at, self.spent));
        }
    }

    fn run_quietly(&mut self, ticks: usize) {
        self.run(ticks, || 1.0);
    }
}

#[test]
fn what_stays_below_the_limit_is_followed_whole() {
    let mut world = World::new(0.5, 0.05, 0.4);
    world.run_quietly(1000);
    assert_eq!(world.changes, []);
    assert_eq!(Share::ALL.left_out_below(), 0);
    assert!((world.controller.cores().expect("seen") - 0.45).abs() < 1e-6);
}

#[test]
fn a_burst_shorter_than_the_window_changes_nothing() {
    let mut world = World::new(0.5, 0.0, 0.1);
    world.run_quietly(20);
    world.load = 1.6;
    world.run_quietly(1);
    world.load = 0.1;
    world.run_quietly(20);
    assert_eq!(world.changes, []);
}

#[test]
fn what_records_do_not_take_is_not_saved_by_leaving_connections_out() {
    let mut world = World::new(0.5, 2.0, 0.0);
    world.records_per_second = 10.0;
    world.run_quietly(100);
    assert_eq!(world.changes, []);
}

#[test]
fn an_overload_is_answered_within_two_windows_and_forgotten_after_it() {
    let mut world = World::new(0.5, 0.02, 1.9);
    world.run_quietly(9);
    assert!(world.cores() <= 0.5, "{:?}", world.changes);
    let first = world.changes[0];
    assert_eq!(first.from, Share::ALL);
    assert!((first.cores - 1.92).abs() < 1e-6);
    world.run_quietly(200);
    let under_load = world.changes.len();
    world.load = 0.05;
    world.run_quietly(60);
    assert_eq!(world.controller.share(), Share::ALL);
    let after = &world.changes[under_load..];
    assert!(!after.is_empty() && after.iter().all(|change| change.to > change.from));
    assert_eq!(after.last().expect("some").to, Share::ALL);
}

#[test]
fn without_a_limit_nothing_is_left_out_any_longer() {
    let mut world = World::new(0.5, 0.0, 2.0);
    world.run_quietly(20);
    assert!(world.controller.share().leaves_out());
    world.controller.set_limit(None);
    world.run_quietly(1);
    assert_eq!(world.controller.share(), Share::ALL);
    let changes = world.changes.len();
    world.run_quietly(100);
    assert_eq!(world.changes.len(), changes);
}

proptest! {
    /// At a load that stays the same the share goes one way, and then nowhere.
    #[test]
    fn a_steady_load_is_settled_once(
        limit in 0.01..4.0f64,
        base in 0.0..3.0f64,
        load in 0.0..40.0f64,
        before in 0.0..40.0f64,
    ) {
        let mut world = World::new(limit, base, before);
        world.run_quietly(100);
        world.changes.clear();
        world.load = load;
        world.run_quietly(300);
        let first = world.changes.first().copied();
        if let Some(first) = first {
            let falls = first.to < first.from;
            // The first may still be of a window in which the load changed.
            for change in world.changes.iter().skip(1) {
                prop_assert_eq!(change.to < change.from, falls, "{:?}", world.changes);
            }
        }
        world.changes.clear();
        world.run_quietly(300);
        prop_assert_eq!(&world.changes, &[]);
        let share = world.controller.share();
        prop_assert!(world.cores() <= limit * 1.000_001 || share == Share(SHARE_MIN));
        prop_assert!(!share.leaves_out() || world.cores() >= CALM * limit * 0.999_999);
    }

    /// The same with noise: it does not swing.
    #[test]
    fn noise_of_a_tenth_makes_nothing_swing(
        limit in 0.1..2.0f64,
        load in 0.0..20.0f64,
        seed in any::<u64>(),
    ) {
        let mut world = World::new(limit, 0.0, load);
        let mut state = seed | 1;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            0.9 + 0.2 * ((state >> 33) as f64 / 2f64.powi(31))
        };
        world.run(200, &mut noise);
        world.changes.clear();
        world.run(2000, &mut noise);
        prop_assert!(world.changes.len() <= 1, "{:?}", world.changes);
    }

    /// Whatever it is told, each step is bounded and the share stays a share.
    #[test]
    fn steps_are_bounded_whatever_is_observed(
        observed in prop::collection::vec((0..5_000u64, 0..20_000u64, 0..1_000_000u64), 0..200),
        limit in 0.001..8.0f64,
    ) {
        let mut controller = ShareController::new(CpuLimit::from_cores(limit));
        let (mut at, mut spent) = (Duration::ZERO, Spending::default());
        for (passed, cpu, records) in observed {
            at += Duration::from_millis(passed);
            spent.cpu += Duration::from_millis(cpu);
            spent.records += records;
            let before = controller.share();
            let change = controller.observe(at, spent);
            let share = controller.share();
            prop_assert_eq!(change.map_or(before, |change| change.to), share);
            prop_assert!(share.part() >= SHARE_MIN && share.part() <= 1.0);
            let factor = share.part() / before.part();
            prop_assert!((0.249..=4.001).contains(&factor), "{}", factor);
            prop_assert_eq!(share.left_out_below() == 0, !share.leaves_out());
        }
    }
}
