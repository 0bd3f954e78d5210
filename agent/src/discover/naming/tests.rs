//! Every rule by which a service gets its name, as command lines.

use super::*;

#[path = "tests/launched.rs"]
mod launched;

/// In `/srv/shop`, under systemd as `unit`, started by `parent`, with one variable.
#[derive(Default)]
struct There {
    folder: Option<&'static str>,
    unit: Option<&'static str>,
    parent: Option<&'static str>,
    variable: Option<(&'static str, &'static str)>,
}

impl Around for There {
    fn working_directory(&self) -> Option<PathBuf> {
        self.folder.map(PathBuf::from)
    }

    fn unit(&self) -> Option<String> {
        self.unit.map(str::to_owned)
    }

    fn parent(&self) -> Option<String> {
        self.parent.map(str::to_owned)
    }

    fn variable(&self, name: &str) -> Option<String> {
        let (_, value) = self.variable.filter(|(of, _)| *of == name)?;
        Some(value.to_owned())
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// The name of a process that runs `executable` with these words in `/srv/shop`.
fn name(executable: &str, line: &str) -> String {
    let around = There {
        folder: Some("/srv/shop"),
        ..There::default()
    };
    service_name(Path::new(executable), &words(line), "", &around)
}

/// The same with a title in place of words.
#[track_caller]
fn check_titles(executable: &str, cases: &[(&str, &str)]) {
    let around = There {
        folder: Some("/srv/shop"),
        ..There::default()
    };
    for (title, expected) in cases {
        let args = [(*title).to_owned()];
        let name = service_name(Path::new(executable), &args, "", &around);
        assert_eq!(name, *expected, "{title}");
    }
}

#[track_caller]
fn check(executable: &str, cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        assert_eq!(name(executable, line), *expected, "{line}");
    }
}

#[test]
fn a_program_is_named_by_its_executable() {
    check(
        "/usr/sbin/nginx",
        &[
            ("nginx -g daemon off;", "nginx"),
            ("nginx: master process nginx", "nginx"),
        ],
    );
    check(
        "/memfd:sealed-1",
        &[("/usr/lib/tool/backend --uid 0", "backend")],
    );
    check("/opt/shop-api.v2", &[("./x", "shop-api.v2")]);
    assert_eq!(service_name(Path::new(""), &[], "", &()), "");
    check_titles("", &[("worker: 1", "worker")]);
}

#[test]
fn python_is_named_by_its_script_or_module() {
    check(
        "/usr/bin/python3.11",
        &[
            ("python3 -u app.py", "app"),
            ("python3 /srv/till/server.py --port 80", "server"),
            ("python3 -m http.server 8000", "http.server"),
            ("python3 -um http.server 8000", "http.server"),
            ("python3 -mhttp.server", "http.server"),
            ("python3 -X dev -W ignore -OO app.py", "app"),
            ("python3 -Wignore -Xdev app.py", "app"),
            ("python3 manage.py runserver 8000", "shop"),
            ("python3 /srv/till/__main__.py", "till"),
            ("python3 /srv/till/src/main.py", "till"),
            ("python3 main.py", "shop"),
            ("python3 .", "shop"),
            ("python3 till/", "till"),
            ("python3 till.pyz", "till"),
            ("python3 -c code", "python3.11"),
            ("python3 -Ic code", "python3.11"),
            ("python3 -u -", "python3.11"),
            ("python3 -Im http.server", "http.server"),
            ("python3", "python3.11"),
        ],
    );
}

#[test]
fn node_deno_and_bun_are_named_by_their_script_or_its_folder() {
    check(
        "/usr/bin/node",
        &[
            ("node server.js", "server"),
            (
                "node --inspect -r dotenv/config --import ./x.mjs server.mjs",
                "server",
            ),
            ("node --max-old-space-size=100 server.js", "server"),
            ("node /srv/till/index.js", "till"),
            ("node /srv/till/dist/main.js", "till"),
            ("node index.js", "shop"),
            ("node ./dist/app.js", "shop"),
            ("node ../till/index.js", "till"),
            ("node .", "shop"),
            ("node /index.js", "index"),
            ("node /usr/bin/npm start", "npm"),
            ("node -e code", "node"),
            ("node -- server.js", "server"),
        ],
    );
    check(
        "/usr/bin/deno",
        &[
            ("deno run --allow-net till.ts", "till"),
            ("deno run -c deno.json /srv/till/main.ts", "till"),
        ],
    );
    check(
        "/root/.bun/bin/bun",
        &[
            ("bun run till.ts", "till"),
            ("bun --hot till.tsx", "till"),
            ("bun run", "bun"),
        ],
    );
    check_titles(
        "/usr/bin/node",
        &[
            ("next-server (v14.2.3)", "next-server"),
            // pm2, and whoever writes all arguments into one.
            ("node /srv/till/server.js", "server"),
            ("node /srv/till/index.js", "till"),
            ("/usr/bin/node --inspect server.js --port 80", "server"),
            ("node index.js", "shop"),
        ],
    );
    // pm2 before that.
    let pm2 = There {
        variable: Some(("pm_exec_path", "/srv/till/server.js")),
        ..There::default()
    };
    let line = "node /usr/lib/node_modules/pm2/lib/ProcessContainerFork.js";
    let node = Path::new("/usr/bin/node");
    assert_eq!(service_name(node, &words(line), "", &pm2), "server");
}

#[test]
fn java_is_named_by_its_archive_or_class() {
    check(
        "/usr/lib/jvm/jdk/bin/java",
        &[
            ("java -Xmx1g -Da=b -jar /opt/till.jar --port 80", "till"),
            ("java -cp /a:/b -ea org.example.Till x", "Till"),
            (
                "java --add-opens java.base/java.lang=ALL-UNNAMED org.example.Till",
                "Till",
            ),
            ("java -p mods -m org.example/org.example.Till", "Till"),
            ("java --module=org.example/org.example.Till", "Till"),
            ("java @args org.example.Till", "Till"),
            ("java Till.java", "Till"),
            ("java -version", "java"),
            // Options may stand behind it; none is ever a name.
            ("java -jar -Xmx64m /opt/till.jar", "till"),
            ("java -Xmx64m -jar /opt/till.jar", "till"),
            ("java -jar -cp /a:/b -Da=b till.jar -Xmx1g", "till"),
            ("java -jar", "java"),
            ("java -jar -Xmx64m", "java"),
            ("java -m -Xmx64m", "java"),
            ("java @args", "java"),
        ],
    );
}

#[test]
fn other_interpreters_are_named_by_their_script() {
    check(
        "/usr/bin/ruby3.1",
        &[
            ("ruby -I lib -r json till.rb", "till"),
            ("ruby bin/rails server", "rails"),
            ("ruby -e code", "ruby3.1"),
        ],
    );
    check_titles(
        "/usr/bin/ruby",
        &[
            ("puma 6.4.0 (tcp://0.0.0.0:3000) [till]", "till"),
            ("puma: cluster worker 0: 4711 [till]", "till"),
            ("sidekiq 7.2.0 till [0 of 5 busy]", "till"),
            ("puma 6.4.0 (tcp://0.0.0.0:3000)", "puma"),
        ],
    );
    check(
        "/usr/bin/perl",
        &[("perl -w -Ilib till.pl", "till"), ("perl -ne code", "perl")],
    );
    check(
        "/usr/bin/php8.2",
        &[
            ("php -d a=b till.php", "till"),
            ("php -S 127.0.0.1:80 router.php", "router"),
            ("php -f till.php", "till"),
            ("php /srv/till/index.php", "till"),
            ("php -r code", "php8.2"),
        ],
    );
    check(
        "/usr/sbin/php-fpm8.2",
        &[("php-fpm: master process", "php-fpm8.2")],
    );
    check_titles(
        "/usr/sbin/php-fpm8.2",
        &[
            (
                "php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)",
                "php-fpm8.2",
            ),
            ("php-fpm: pool till", "till"),
            // Every installation has it.
            ("php-fpm: pool www", "php-fpm8.2"),
        ],
    );
    check(
        "/usr/bin/bash",
        &[
            ("bash -e -o pipefail ./till.sh", "till"),
            (
                "/bin/sh /usr/local/bin/docker-entrypoint.sh x",
                "docker-entrypoint",
            ),
            ("bash /dev/fd/3 x", "bash"),
            ("bash -lc code", "bash"),
            ("-bash", "bash"),
        ],
    );
    check(
        "/usr/share/dotnet/dotnet",
        &[
            ("dotnet Till.dll", "Till"),
            (
                "dotnet exec --runtimeconfig x.json /app/Till.Api.dll",
                "Till.Api",
            ),
        ],
    );
}
