//! Who is watched, and by which name, once that is set otherwise.

use wirespan::config::{DiscoverConfig, ServiceOverride};

use crate::fake_proc::Fake;
use crate::targets;
use crate::watching::{Bench, NGINX, NOTHING, PORT};

fn selecting(environment: &[(&str, &str)]) -> DiscoverConfig {
    DiscoverConfig {
        targets: targets(environment),
        ..DiscoverConfig::default()
    }
}

#[test]
fn who_is_selected_now_is_watched_and_who_is_no_longer_is_not() {
    let mut bench = Bench::new(&[NGINX]);
    bench.proc.run(&Fake::new(7, "/usr/sbin/nginx"));
    bench.proc.run(&Fake::new(8, "/usr/bin/caddy"));
    assert_eq!(bench.scan(), ["watch 7", "7 is nginx"]);

    let both = selecting(&[("BEYLA_AUTO_TARGET_EXE", "*/nginx,*/caddy")]);
    assert_eq!(bench.reconfigure(&both), ["watch 8", "8 is caddy"]);
    assert_eq!(bench.reconfigure(&both), NOTHING);

    let other = selecting(&[("BEYLA_AUTO_TARGET_EXE", "*/caddy")]);
    assert_eq!(bench.reconfigure(&other), ["unwatch 7"]);
    assert_eq!(bench.exec(7, 0), NOTHING);
    bench.proc.run(&Fake::new(9, "/usr/bin/caddy"));
    assert_eq!(bench.exec(9, 0), ["watch 9", "9 is caddy"]);
    assert_eq!(bench.watcher.watched(), 2);
}

#[test]
fn workers_stay_and_go_with_those_that_they_are_like() {
    let mut bench = Bench::new(&[NGINX]);
    bench.proc.run(&Fake::new(7, "/usr/sbin/nginx"));
    bench.scan();
    bench.proc.run(&Fake {
        parent: 7,
        ..Fake::new(8, "/usr/sbin/nginx")
    });
    assert_eq!(bench.fork(7, 8, 1), ["8 is nginx"]);
    // The master by its pid, and its worker with it.
    let master = selecting(&[("BEYLA_TARGET_PID", "7")]);
    assert_eq!(bench.reconfigure(&master), NOTHING);
    let none = selecting(&[("BEYLA_TARGET_PID", "9")]);
    let mut left = bench.reconfigure(&none);
    left.sort();
    assert_eq!(left, ["unwatch 7", "unwatch 8"]);
}

#[test]
fn who_serves_by_anothers_socket_stays_unless_ports_are_taken_away() {
    let mut bench = Bench::new(&[PORT]);
    bench.proc.run(&Fake::new(8, "/opt/till"));
    assert_eq!(bench.serve(8, 8080), ["watch 8", "8 is till"]);
    let more = selecting(&[("BEYLA_OPEN_PORT", "8000-9000")]);
    assert_eq!(bench.reconfigure(&more), NOTHING);
    let fewer = selecting(&[("BEYLA_OPEN_PORT", "8080")]);
    assert_eq!(bench.reconfigure(&fewer), ["unwatch 8"]);
    assert_eq!(bench.serve(8, 8080), ["watch 8", "8 is till"]);
}

#[test]
fn other_names_are_given_to_those_that_are_watched_already() {
    let mut bench = Bench::new(&[NGINX]);
    bench.proc.run(&Fake::new(7, "/usr/sbin/nginx"));
    bench.scan();
    let mut config = selecting(&[NGINX]);
    config.service = ServiceOverride {
        name: Some("shop".into()),
        ..ServiceOverride::default()
    };
    assert_eq!(bench.reconfigure(&config), ["7 is shop"]);
    bench.proc.run(&Fake::new(8, "/usr/sbin/nginx"));
    assert_eq!(bench.exec(8, 0), ["watch 8", "8 is shop"]);
    config.service.name = None;
    assert_eq!(
        bench.reconfigure(&config),
        ["7 is nginx", "8 is nginx"],
        "what was found counts again"
    );
}

#[test]
fn a_look_that_was_under_way_says_nothing_of_the_new_name() {
    let mut bench = Bench::new(&[NGINX]);
    bench.proc.run(&Fake::new(7, "/usr/sbin/nginx"));
    bench.hangs = true;
    assert_eq!(bench.scan(), ["watch 7"]);
    let former = std::mem::take(&mut bench.looks);
    let mut config = selecting(&[NGINX]);
    config.service.name = Some("shop".into());
    assert_eq!(bench.reconfigure(&config), NOTHING);
    assert_eq!(bench.found(former), NOTHING);
    let looks = std::mem::take(&mut bench.looks);
    assert_eq!(bench.found(looks), ["7 is shop"]);
}

#[test]
fn a_cloud_is_told_of_all_and_says_nothing_that_the_user_says() {
    let mut bench = Bench::new(&[NGINX]);
    bench.proc.run(&Fake::new(7, "/usr/sbin/nginx"));
    bench.scan();
    let cloud = [("cloud.region", "eu-west-1"), ("host.id", "i-1")];
    assert_eq!(bench.hear_of_host(&cloud), ["7 is nginx"]);
    let said = |bench: &Bench, pid: u32| format!("{:?}", bench.known[&pid].resource_attributes);
    assert_eq!(
        said(&bench, 7),
        r#"{"cloud.region": "eu-west-1", "host.id": "i-1"}"#
    );
    let mut config = selecting(&[NGINX]);
    let attributes = [("host.id".to_owned(), "mine".to_owned())];
    config.service.resource_attributes = attributes.into();
    assert_eq!(bench.reconfigure(&config), ["7 is nginx"]);
    bench.proc.run(&Fake::new(8, "/usr/sbin/nginx"));
    bench.exec(8, 0);
    for pid in [7, 8] {
        assert_eq!(
            said(&bench, pid),
            r#"{"cloud.region": "eu-west-1", "host.id": "mine"}"#
        );
    }
    assert_eq!(bench.reconfigure(&config), NOTHING);
}
