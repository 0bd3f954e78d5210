//! Every rule by which a service gets its name, as command lines.

use super::*;

/// The name of a process that runs `executable` with these words in `/srv/shop`.
fn name(executable: &str, line: &str) -> String {
    let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
    service_name(Path::new(executable), &args, || Some("/srv/shop".into()))
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
    assert_eq!(service_name(Path::new(""), &[], || None), "");
    assert_eq!(
        service_name(Path::new(""), &["worker: 1".into()], || None),
        "worker"
    );
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
            ("/usr/bin/python3 /usr/bin/gunicorn shop:app", "gunicorn"),
            (
                "python3 /usr/local/bin/uvicorn --reload shop:app",
                "uvicorn",
            ),
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
            ("python3", "python3"),
        ],
    );
    let title = ["gunicorn: master [shop]".to_owned()];
    assert_eq!(
        service_name(Path::new("/usr/bin/python3"), &title, || None),
        "gunicorn"
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
    let title = ["next-server (v14.2.3)".to_owned()];
    assert_eq!(
        service_name(Path::new("/usr/bin/node"), &title, || None),
        "next-server"
    );
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
    let puma = ["puma 6.4.0 (tcp://0.0.0.0:3000) [shop]".to_owned()];
    assert_eq!(
        service_name(Path::new("/usr/bin/ruby"), &puma, || None),
        "puma"
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
