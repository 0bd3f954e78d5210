//! Who is watched, as processes come, change and go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use wirespan::config::DiscoverConfig;
use wirespan::discover::{Action, Look, Process, Watcher};
use wirespan::kubernetes::PodNews;
use wirespan_common::record::{Life, LifeEvent};

use crate::fake_proc::{Fake, FakeProc};
use crate::targets;

/// A watcher and what it said, in short: `watch 7`, `unwatch 7`, `7 is nginx`. What is to be looked
/// at is looked at once it is asked for, unless it `hangs`.
pub struct Bench {
    pub proc: FakeProc,
    pub watcher: Watcher,
    /// What is known of processes.
    pub known: HashMap<u32, Arc<Process>>,
    pub hangs: bool,
    pub looks: Vec<Look>,
}

impl Bench {
    pub fn new(environment: &[(&str, &str)]) -> Self {
        let proc = FakeProc::new();
        let watcher = Watcher::new(
            proc.root(),
            DiscoverConfig {
                targets: targets(environment),
                ..DiscoverConfig::default()
            },
        );
        Self {
            proc,
            watcher,
            known: HashMap::new(),
            hangs: false,
            looks: Vec::new(),
        }
    }

    /// Ends looks that hung, in this order.
    pub fn found(&mut self, looks: impl IntoIterator<Item = Look>) -> Vec<String> {
        self.hangs = false;
        let actions = looks.into_iter().map(Action::Look).collect();
        self.short(actions)
    }

    /// Process 7 begins to be watched, and runs another program before anybody could look at it;
    /// what came of that.
    fn runs_another_while_looked_at(
        &mut self,
        first: &'static str,
        second: &'static str,
        args: &'static str,
    ) -> Vec<String> {
        self.hangs = true;
        let first = Fake::new(7, first);
        self.proc.run(&first);
        assert_eq!(self.exec(7, 0), ["watch 7"]);
        self.proc.run(&Fake {
            executable: Some(second),
            args,
            ..first
        });
        self.exec(7, 1)
    }

    /// What a look finds, and what comes of that; further looks are kept.
    fn look_at(&mut self, look: &Look) -> Vec<String> {
        let found = self.watcher.describer().describe(look.pid);
        let mut actions = Vec::new();
        self.watcher.looked(look, found, &mut actions);
        self.short(actions)
    }

    fn short(&mut self, actions: Vec<Action>) -> Vec<String> {
        let mut said = Vec::new();
        for action in actions {
            match action {
                Action::Watch(pid) => said.push(format!("watch {pid}")),
                Action::Unwatch(pid) => said.push(format!("unwatch {pid}")),
                Action::Refuse(pid) => said.push(format!("refuse {pid}")),
                Action::ForgetRefusals | Action::Began(_) => {}
                Action::Look(look) if self.hangs => self.looks.push(look),
                Action::Look(look) => {
                    let found = self.watcher.describer().describe(look.pid);
                    let mut more = Vec::new();
                    self.watcher.looked(&look, found, &mut more);
                    said.extend(self.short(more));
                }
                Action::Placed(process) => {
                    said.push(format!("{} is elsewhere", process.pid));
                    self.known.insert(process.pid, process);
                }
                Action::Described(process) => {
                    said.push(format!("{} is {}", process.pid, process.service_name));
                    self.known.insert(process.pid, process);
                }
            }
        }
        said
    }

    pub fn scan(&mut self) -> Vec<String> {
        let mut actions = Vec::new();
        self.watcher.scan(&mut actions);
        self.short(actions)
    }

    pub fn reconfigure(&mut self, config: &DiscoverConfig) -> Vec<String> {
        let mut actions = Vec::new();
        self.watcher.reconfigure(config, &mut actions);
        self.short(actions)
    }

    /// What its cloud says of the host.
    pub fn hear_of_host(&mut self, cloud: &[(&str, &str)]) -> Vec<String> {
        let cloud = cloud.iter();
        let cloud = cloud.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut actions = Vec::new();
        self.watcher.hear_of_host(cloud.collect(), &mut actions);
        self.short(actions)
    }

    fn sweep(&mut self) -> Vec<String> {
        let mut actions = Vec::new();
        self.watcher.sweep(&mut actions);
        self.short(actions)
    }

    pub fn exec(&mut self, pid: u32, watched: u8) -> Vec<String> {
        self.observe(pid, LifeEvent::Exec, watched, 0, 0)
    }

    pub fn fork(&mut self, pid: u32, child: u32, watched: u8) -> Vec<String> {
        self.observe(pid, LifeEvent::Fork, watched, 0, child)
    }

    pub fn listen(&mut self, pid: u32, port: u16, watched: u8) -> Vec<String> {
        self.observe(pid, LifeEvent::Listen, watched, port, 0)
    }

    pub fn serve(&mut self, pid: u32, port: u16) -> Vec<String> {
        self.observe(pid, LifeEvent::Serve, 1, port, 0)
    }

    fn exit(&mut self, pid: u32) -> Vec<String> {
        self.observe(pid, LifeEvent::Exit, 1, 0, 0)
    }

    fn observe(
        &mut self,
        pid: u32,
        event: LifeEvent,
        watched: u8,
        port: u16,
        other: u32,
    ) -> Vec<String> {
        let life = Life {
            event: event as u8,
            watched,
            port,
            other,
            comm: *b"comm\0\0\0\0\0\0\0\0\0\0\0\0",
        };
        let mut actions = Vec::new();
        self.watcher.observe(pid, event, &life, &mut actions);
        self.short(actions)
    }

    /// Somebody will tell it of pods.
    pub fn awaits_pods(&mut self, environment: &[(&str, &str)]) {
        let targets = targets(environment);
        let config = DiscoverConfig {
            targets,
            ..DiscoverConfig::default()
        };
        self.watcher = Watcher::new(self.proc.root(), config).awaiting_pods();
    }

    pub fn hear_of_pods(&mut self, news: PodNews) -> Vec<String> {
        let mut actions = Vec::new();
        self.watcher.hear_of_pods(news, &mut actions);
        self.short(actions)
    }

    /// What was told of a process last.
    pub fn known(&self, pid: u32) -> &Process {
        &self.known[&pid]
    }

    fn name(&self, pid: u32) -> Option<&str> {
        Some(self.known.get(&pid)?.service_name.as_str())
    }
}

pub const NGINX: (&str, &str) = ("BEYLA_AUTO_TARGET_EXE", "*/nginx");
pub const PORT: (&str, &str) = ("BEYLA_OPEN_PORT", "8080");
pub const NOTHING: [&str; 0] = [];

#[test]
fn what_runs_already_is_watched_and_described_once() {
    let mut bench = Bench::new(&[NGINX]);
    bench.proc.run(&Fake::new(7, "/usr/sbin/nginx"));
    bench.proc.run(&Fake::new(8, "/bin/sh"));
    assert_eq!(bench.scan(), ["watch 7", "7 is nginx"]);
    assert_eq!(bench.scan(), NOTHING);
    assert_eq!(bench.watcher.watched(), 1);
}

#[test]
fn nothing_selected_is_nothing_watched() {
    let mut bench = Bench::new(&[NGINX]);
    bench.proc.run(&Fake::new(8, "/bin/sh"));
    assert_eq!(bench.scan(), NOTHING);
    assert_eq!(bench.exec(8, 0), NOTHING);
    assert_eq!(bench.fork(8, 9, 0), NOTHING);
    assert_eq!(bench.listen(8, 80, 0), NOTHING);
    assert_eq!(bench.exit(8), NOTHING);
    assert_eq!(bench.name(8), None);
}

#[test]
fn a_process_that_starts_later_is_watched_from_its_exec() {
    let mut bench = Bench::new(&[NGINX]);
    bench.proc.run(&Fake::new(7, "/usr/sbin/nginx"));
    assert_eq!(bench.exec(7, 0), ["watch 7", "7 is nginx"]);
    assert_eq!(bench.scan(), NOTHING);
}

#[test]
fn a_late_listener_is_watched_from_its_listen() {
    let mut bench = Bench::new(&[PORT]);
    bench.proc.run(&Fake::new(7, "/opt/till"));
    assert_eq!(bench.exec(7, 0), NOTHING);
    assert_eq!(bench.listen(7, 80, 0), NOTHING);
    // The kernel side has begun by itself.
    assert_eq!(bench.listen(7, 8080, 1), ["7 is till"]);
    assert_eq!(bench.listen(7, 8080, 1), NOTHING);
}

#[test]
fn a_listener_that_the_kernel_side_could_not_take_up_is_watched_on_request() {
    let mut bench = Bench::new(&[PORT]);
    bench.proc.run(&Fake::new(7, "/opt/till"));
    assert_eq!(bench.listen(7, 8080, 0), ["watch 7", "7 is till"]);
}

#[test]
fn who_serves_a_connection_that_others_accepted_is_watched() {
    let mut bench = Bench::new(&[PORT]);
    bench.proc.run(&Fake::new(8, "/opt/till"));
    assert_eq!(bench.serve(8, 8080), ["watch 8", "8 is till"]);
    assert_eq!(bench.serve(8, 8080), ["watch 8"], "it may be told again");
    assert_eq!(bench.exit(8), ["unwatch 8"]);
}

#[test]
fn who_serves_after_an_exec_that_unselected_it_is_watched_under_its_new_name() {
    let mut bench = Bench::new(&[PORT]);
    bench.proc.run(&Fake::new(7, "/usr/sbin/inetd"));
    assert_eq!(bench.listen(7, 8080, 1), ["7 is inetd"]);
    bench.proc.run(&Fake::new(8, "/usr/sbin/inetd"));
    assert_eq!(bench.fork(7, 8, 1), ["8 is inetd"]);
    bench.proc.run(&Fake::new(8, "/opt/till"));
    assert_eq!(bench.exec(8, 1), ["unwatch 8"]);
    assert_eq!(bench.serve(8, 8080), ["watch 8", "8 is till"]);
}

#[test]
fn wirespan_itself_never_serves() {
    let mut bench = Bench::new(&[PORT]);
    let own = bench.proc.root().own_pid();
    assert_eq!(bench.serve(own, 8080), [format!("unwatch {own}")]);
    assert_eq!(bench.watcher.watched(), 0);
}

#[test]
fn children_stay_watched_until_they_run_something_else() {
    let mut bench = Bench::new(&[NGINX]);
    bench.proc.run(&Fake::new(7, "/usr/sbin/nginx"));
    bench.scan();
    bench.proc.run(&Fake::new(8, "/usr/sbin/nginx"));
    assert_eq!(bench.fork(7, 8, 1), ["8 is nginx"]);
    bench.proc.run(&Fake::new(9, "/usr/sbin/nginx"));
    assert_eq!(bench.fork(8, 9, 0), ["watch 9", "9 is nginx"]);

    bench.proc.run(&Fake::new(9, "/bin/sh"));
    assert_eq!(bench.exec(9, 1), ["unwatch 9"]);
    assert_eq!(bench.name(9), Some("nginx"), "for what it said until now");
    assert_eq!(bench.watcher.watched(), 2);
}

/// A child of php-fpm's master, process 7, was forked; what came of that.
fn forked_pool(bench: &mut Bench) -> Vec<String> {
    let master = Fake {
        args: "php-fpm: master process (/etc/php/php-fpm.conf)",
        ..Fake::new(7, "/usr/sbin/php-fpm8.2")
    };
    bench.proc.run(&master);
    bench.scan();
    bench.proc.run(&Fake {
        pid: 8,
        parent: 7,
        ..master
    });
    bench.hangs = true;
    bench.fork(7, 8, 1)
}

#[test]
fn a_child_that_is_about_to_name_itself_is_looked_at_until_it_has() {
    let mut bench = Bench::new(&[("BEYLA_AUTO_TARGET_EXE", "*/php-fpm*")]);
    assert_eq!(forked_pool(&mut bench), NOTHING);
    let first = bench.looks.pop().expect("a look");
    assert!(first.after > Duration::ZERO);
    // It has not by then.
    assert_eq!(bench.look_at(&first), NOTHING);
    let second = bench.looks.pop().expect("another one");
    assert!(second.after > first.after);
    let cmdline = bench.proc.path(8).join("cmdline");
    std::fs::write(cmdline, "php-fpm: pool shop\0\0\0").expect("written");
    assert_eq!(bench.look_at(&second), ["8 is shop"]);
    assert!(bench.looks.is_empty(), "it has its name");
}

#[test]
fn a_child_that_never_names_itself_is_like_its_parent() {
    let mut bench = Bench::new(&[("BEYLA_AUTO_TARGET_EXE", "*/php-fpm*")]);
    assert_eq!(forked_pool(&mut bench), NOTHING);
    let mut said = Vec::new();
    let mut looks = 0;
    while let Some(look) = bench.looks.pop() {
        looks += 1;
        said.extend(bench.look_at(&look));
    }
    assert_eq!((looks, said), (3, vec!["8 is php-fpm8.2".to_owned()]));

    // It had gone before.
    let mut bench = Bench::new(&[("BEYLA_AUTO_TARGET_EXE", "*/php-fpm*")]);
    assert_eq!(forked_pool(&mut bench), NOTHING);
    let look = bench.looks.pop().expect("a look");
    bench.proc.end(8);
    assert_eq!(bench.exit(8), ["unwatch 8"]);
    assert_eq!(bench.look_at(&look), ["8 is php-fpm8.2"]);
    assert_eq!(bench.watcher.watched(), 1);
}

#[test]
fn a_child_of_a_parent_that_nobody_knows_is_described_by_itself() {
    let mut bench = Bench::new(&[NGINX]);
    bench.proc.run(&Fake::new(8, "/usr/sbin/nginx"));
    assert_eq!(bench.fork(7, 8, 1), ["8 is nginx"]);
}

#[test]
fn whoever_runs_its_parents_executable_anew_stays_watched() {
    let mut bench = Bench::new(&[PORT]);
    bench.proc.sockets(1, &[("tcp", "0A", 8080, 10)]);
    bench.proc.run(&Fake {
        args: "node /srv/till/server.js",
        sockets: &[10],
        ..Fake::new(7, "/usr/bin/node")
    });
    assert_eq!(bench.scan(), ["watch 7", "7 is server"]);
    bench.proc.run(&Fake::new(8, "/usr/bin/node"));
    assert_eq!(bench.fork(7, 8, 1), ["8 is server"]);
    bench.proc.run(&Fake {
        args: "node /srv/till/worker.js",
        ..Fake::new(8, "/usr/bin/node")
    });
    assert_eq!(bench.exec(8, 1), ["watch 8", "8 is worker"]);
}

#[test]
fn a_listening_socket_that_survives_an_exec_keeps_the_process_watched() {
    let mut bench = Bench::new(&[PORT]);
    bench.proc.sockets(1, &[("tcp", "0A", 8080, 10)]);
    let starter = Fake {
        sockets: &[10],
        ..Fake::new(7, "/opt/starter")
    };
    bench.proc.run(&starter);
    assert_eq!(bench.scan(), ["watch 7", "7 is starter"]);
    bench.proc.run(&Fake {
        executable: Some("/opt/till"),
        ..starter.clone()
    });
    assert_eq!(bench.exec(7, 1), ["watch 7", "7 is till"]);
    bench.proc.run(&Fake {
        executable: Some("/opt/other"),
        sockets: &[],
        ..starter
    });
    assert_eq!(bench.exec(7, 1), ["unwatch 7"]);
}

#[test]
fn a_socket_that_began_to_listen_later_is_recognised_after_an_exec_too() {
    let mut bench = Bench::new(&[PORT]);
    let starter = Fake {
        sockets: &[10],
        namespace: 2,
        ..Fake::new(7, "/opt/starter")
    };
    bench.proc.run(&starter);
    bench.scan();
    bench.proc.sockets(2, &[("tcp6", "0A", 8080, 10)]);
    assert_eq!(bench.listen(7, 8080, 1), ["7 is starter"]);

    // Another namespace, with sockets of its own, is looked at in between.
    bench.proc.run(&Fake {
        sockets: &[20],
        ..Fake::new(9, "/opt/other")
    });
    assert_eq!(bench.exec(9, 0), NOTHING);

    bench.proc.run(&Fake {
        executable: Some("/opt/till"),
        ..starter
    });
    assert_eq!(bench.exec(7, 1), ["watch 7", "7 is till"]);
}

#[test]
fn a_reused_pid_inherits_nothing() {
    let mut bench = Bench::new(&[PORT]);
    bench.proc.sockets(1, &[("tcp", "0A", 8080, 10)]);
    bench.proc.run(&Fake {
        sockets: &[10],
        ..Fake::new(7, "/opt/till")
    });
    bench.scan();
    // Its exit was never reported; the same executable runs again, without the socket.
    let later = Fake {
        started_s: 500,
        ..Fake::new(7, "/opt/till")
    };
    bench.proc.run(&later);
    assert_eq!(bench.exec(7, 1), ["unwatch 7"]);

    bench.proc.run(&Fake {
        started_s: 600,
        args: "till --again",
        ..later
    });
    assert_eq!(bench.listen(7, 8080, 1), ["7 is till"]);
    let process = bench.known.get(&7).expect("it is watched");
    assert_eq!(process.start_ns, 600_000_000_000);
}

#[test]
fn a_reused_pid_that_nobody_watches_is_forgotten_without_a_word() {
    let mut bench = Bench::new(&[NGINX]);
    let nginx = Fake::new(7, "/usr/sbin/nginx");
    bench.proc.run(&nginx);
    bench.scan();
    bench.proc.run(&Fake {
        started_s: 500,
        executable: Some("/bin/sh"),
        ..nginx
    });
    assert_eq!(bench.exec(7, 0), NOTHING);
    assert_eq!(bench.watcher.watched(), 0);
}

#[test]
fn a_child_that_had_gone_before_it_was_looked_at_leaves_its_pid_to_others() {
    let mut bench = Bench::new(&[NGINX]);
    bench.proc.run(&Fake::new(7, "/usr/sbin/nginx"));
    bench.scan();
    assert_eq!(bench.fork(7, 8, 1), ["8 is nginx"]);
    bench.proc.run(&Fake::new(8, "/bin/sh"));
    assert_eq!(bench.sweep(), ["unwatch 8"]);
}

#[test]
fn a_late_exit_does_not_end_the_process_that_has_the_pid_now() {
    let mut bench = Bench::new(&[NGINX]);
    let nginx = Fake::new(7, "/usr/sbin/nginx");
    bench.proc.run(&nginx);
    bench.scan();
    bench.proc.run(&Fake {
        started_s: 500,
        ..nginx
    });
    assert_eq!(bench.exit(7), NOTHING);
    assert_eq!(bench.watcher.watched(), 0);
    assert_eq!(bench.exec(7, 1), ["watch 7", "7 is nginx"]);
}

#[test]
fn who_exits_is_watched_no_longer_and_that_is_said_once() {
    let mut bench = Bench::new(&[NGINX]);
    bench.proc.run(&Fake::new(7, "/usr/sbin/nginx"));
    bench.scan();
    bench.proc.end(7);
    assert_eq!(bench.exit(7), ["unwatch 7"]);
    assert_eq!(bench.exit(7), NOTHING);
    assert_eq!(bench.watcher.watched(), 0);
}

#[test]
fn a_process_is_watched_while_it_is_looked_at() {
    let mut bench = Bench::new(&[NGINX]);
    bench.hangs = true;
    bench.proc.run(&Fake::new(7, "/usr/sbin/nginx"));
    assert_eq!(bench.scan(), ["watch 7"]);
    assert_eq!(bench.scan(), NOTHING);
    // Its child can't take over what is not known yet.
    bench.proc.run(&Fake::new(8, "/usr/sbin/nginx"));
    assert_eq!(bench.fork(7, 8, 1), NOTHING);
    assert_eq!(bench.watcher.watched(), 2);
    let looks = std::mem::take(&mut bench.looks);
    assert_eq!(bench.found(looks), ["7 is nginx", "8 is nginx"]);
}

#[test]
fn what_a_look_at_an_earlier_program_finds_is_not_believed() {
    let mut bench = Bench::new(&[("BEYLA_AUTO_TARGET_EXE", "/opt/*")]);
    let said = bench.runs_another_while_looked_at("/opt/first", "/opt/second", "second");
    assert_eq!(said, ["watch 7"]);
    let looks = std::mem::take(&mut bench.looks);
    assert_eq!(bench.found(looks), ["7 is second"]);
}

#[test]
fn nor_is_it_when_the_process_has_ended_by_then() {
    let mut bench = Bench::new(&[("BEYLA_AUTO_TARGET_EXE", "/opt/*")]);
    let said = bench.runs_another_while_looked_at("/opt/first", "/opt/second", "second");
    assert_eq!(said, ["watch 7"]);
    assert_eq!(bench.exit(7), ["unwatch 7"]);
    let looks = std::mem::take(&mut bench.looks);
    assert_eq!(bench.found(looks), ["7 is second"]);
}

#[test]
fn what_runs_something_else_is_not_named_by_a_look_at_what_it_was() {
    let mut bench = Bench::new(&[NGINX]);
    let said = bench.runs_another_while_looked_at("/usr/sbin/nginx", "/bin/sh", "sh");
    assert_eq!(said, ["unwatch 7"]);
    let looks = std::mem::take(&mut bench.looks);
    assert_eq!(bench.found(looks), [""; 0]);
}

#[test]
fn a_process_that_ended_while_it_was_looked_at_is_named_still() {
    let mut bench = Bench::new(&[NGINX]);
    bench.hangs = true;
    bench.proc.run(&Fake::new(7, "/usr/sbin/nginx"));
    bench.exec(7, 0);
    bench.proc.end(7);
    assert_eq!(bench.exit(7), ["unwatch 7"]);
    let looks = std::mem::take(&mut bench.looks);
    assert_eq!(bench.found(looks), ["7 is comm"]);
    assert_eq!(bench.watcher.watched(), 0);
}

#[test]
fn a_look_that_is_given_up_leaves_the_name_of_the_executable_until_it_ends() {
    let mut bench = Bench::new(&[NGINX]);
    bench.hangs = true;
    bench.proc.run(&Fake {
        environment: &["OTEL_SERVICE_NAME=till"],
        ..Fake::new(7, "/usr/sbin/nginx")
    });
    assert_eq!(bench.scan(), ["watch 7"]);
    let look = bench.looks.pop().expect("a look");
    let mut actions = Vec::new();
    bench.watcher.given_up(&look, &mut actions);
    assert_eq!(bench.short(actions), ["7 is nginx"]);
    assert_eq!(
        bench.known[&7].start_ns,
        Fake::new(7, "").started_s * 1_000_000_000
    );
    assert_eq!(bench.found([look]), ["7 is till"]);
}

#[test]
fn a_watched_process_that_has_gone_before_it_was_looked_at_is_named_by_the_kernel() {
    let mut bench = Bench::new(&[PORT]);
    assert_eq!(bench.exec(7, 0), NOTHING);
    assert_eq!(bench.exec(7, 1), ["7 is comm"]);
    assert_eq!(bench.listen(8, 8080, 1), ["8 is comm"]);
    assert_eq!(bench.fork(9, 10, 1), ["10 is comm"]);
}

#[test]
fn wirespan_is_never_watched_even_as_a_child_of_a_target() {
    let mut bench = Bench::new(&[("BEYLA_AUTO_TARGET_EXE", "*"), PORT]);
    assert_eq!(bench.scan(), NOTHING);
    assert_eq!(bench.exec(1, 0), NOTHING);
    assert_eq!(bench.exec(1, 1), ["unwatch 1"]);
    assert_eq!(bench.listen(1, 8080, 1), ["unwatch 1"]);
    assert_eq!(bench.fork(7, 1, 1), ["unwatch 1"]);
    assert_eq!(bench.watcher.watched(), 0);
}

#[test]
fn a_process_whose_end_was_not_reported_is_swept_out() {
    let mut bench = Bench::new(&[NGINX]);
    for pid in [7, 8, 9] {
        bench.proc.run(&Fake::new(pid, "/usr/sbin/nginx"));
    }
    bench.scan();
    bench.proc.end(7);
    bench.proc.run(&Fake {
        started_s: 500,
        ..Fake::new(8, "/bin/sh")
    });
    let mut swept = bench.sweep();
    swept.sort();
    assert_eq!(swept, ["unwatch 7", "unwatch 8"]);
    assert_eq!(bench.sweep(), NOTHING);
    assert_eq!(bench.watcher.watched(), 1);
}

#[test]
fn a_scan_finds_what_lost_records_hid() {
    let mut bench = Bench::new(&[NGINX]);
    let first = Fake::new(7, "/usr/sbin/nginx");
    bench.proc.run(&first);
    bench.scan();
    bench.proc.run(&Fake {
        started_s: 500,
        ..first
    });
    bench.proc.run(&Fake::new(8, "/usr/sbin/nginx"));
    let mut found = bench.scan();
    found.sort();
    assert_eq!(
        found,
        [
            "7 is nginx",
            "8 is nginx",
            "unwatch 7",
            "watch 7",
            "watch 8"
        ]
    );
}
