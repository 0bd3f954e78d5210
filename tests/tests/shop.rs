//! The shop in six languages: each order is one trace, as far as the runtimes are linked by now.

use wirespan_tests::daemon::Daemon;
use wirespan_tests::links::requests;
use wirespan_tests::shop::{Shop, Sight};

/// Orders before those that count, by which the daemon learns which programs go by threads.
const FIRST: usize = 100;

#[test]
fn each_order_is_told_as_it_was_served() {
    let shop = Shop::open();
    // What is loaded late is there when the daemon comes.
    shop.order(1, FIRST);
    let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &shop.ports())]);
    daemon.wait_until_following();
    shop.order(2, FIRST);
    shop.order(3, requests());
    let finished = daemon.stop();
    Sight::of(&finished.spans, 3).assert(requests());
}
