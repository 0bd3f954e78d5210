//! Names of what something else starts: servers of applications, parents, systemd, links.

use super::*;

/// The same whether its title is set by then or not, and whichever process of it is asked.
#[test]
fn servers_of_python_applications_are_named_by_the_application() {
    check(
        "/usr/bin/python3.11",
        &[
            ("/usr/bin/python3 /usr/bin/gunicorn shop:app", "shop"),
            (
                "python3 /usr/bin/gunicorn -w 4 -b 127.0.0.1:80 till.wsgi:application",
                "till",
            ),
            ("python3 /usr/bin/gunicorn till:create(1) -w 4", "till"),
            ("python3 /usr/bin/gunicorn --name till shop:app", "till"),
            ("python3 /usr/bin/gunicorn -n till -c conf.py", "till"),
            ("python3 /usr/bin/gunicorn -c gunicorn.conf.py", "shop"),
            ("python3 /usr/local/bin/uvicorn --reload till:app", "till"),
            (
                "python3 -m uvicorn company.till.main:app --workers 3",
                "till",
            ),
            ("python3 -m uvicorn main:app", "shop"),
            ("python3 -m uvicorn app.main:app --port 80", "shop"),
            (
                "python3 /usr/bin/hypercorn -b localhost:80 till:app",
                "till",
            ),
            (
                "python3 /usr/bin/daphne -b 0.0.0.0 till.asgi:application",
                "till",
            ),
            ("python3 /usr/bin/flask --app till run", "till"),
            ("python3 /usr/bin/flask run", "shop"),
            ("python3 /usr/bin/fastapi run till/main.py", "till"),
            ("python3 /usr/bin/celery -A till worker", "till"),
        ],
    );
    check_titles(
        "/usr/bin/python3.11",
        &[
            ("gunicorn: master [till.wsgi:application]", "till"),
            ("gunicorn: worker [till:app]", "till"),
            ("gunicorn: worker [till]", "till"),
            ("gunicorn: master [app:app]", "shop"),
        ],
    );
    check(
        "/usr/bin/uwsgi-core",
        &[
            ("uwsgi --http :80 --module till:app", "till"),
            ("uwsgi --ini x.ini", "shop"),
        ],
    );
    // Nothing else is known.
    let unknown = service_name(
        Path::new("/usr/bin/python3"),
        &words("python3 /usr/bin/gunicorn -c x.py"),
        "",
        &(),
    );
    assert_eq!(unknown, "gunicorn");
}

#[test]
fn workers_that_multiprocessing_starts_are_named_by_their_parent() {
    let parent = There {
        folder: Some("/srv/shop"),
        parent: Some("till"),
        ..There::default()
    };
    for code in [
        "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)",
        "from multiprocessing.forkserver import main; main(5, 6, ['__main__'], **{})",
        "from multiprocessing.resource_tracker import main;main(5)",
    ] {
        let args = [
            "/usr/bin/python3.11",
            "-B",
            "-c",
            code,
            "--multiprocessing-fork",
        ];
        let args = args.map(str::to_owned);
        let executable = Path::new("/usr/bin/python3.11");
        assert_eq!(service_name(executable, &args, "", &parent), "till");
        assert_eq!(service_name(executable, &args, "", &()), "python3.11");
    }
}

#[test]
fn servers_and_starters_of_java_are_named_by_what_they_start() {
    check(
        "/usr/bin/java",
        &[
            (
                "java -Dcatalina.base=/srv/till -Dcatalina.home=/usr/share/tomcat10 \
                 -cp /usr/share/tomcat10/bin/bootstrap.jar org.apache.catalina.startup.Bootstrap \
                 start",
                "till",
            ),
            (
                "java -Dcatalina.home=/opt/tomcat org.apache.catalina.startup.Bootstrap start",
                "tomcat",
            ),
            (
                "java org.apache.catalina.startup.Bootstrap start",
                "Bootstrap",
            ),
            ("java -jar /srv/till/quarkus-app/quarkus-run.jar", "till"),
            ("java -jar target/quarkus-app/quarkus-run.jar", "shop"),
            ("java -jar /deployments/quarkus-run.jar", "quarkus-run"),
            (
                "java -Djetty.base=/srv/till -jar /opt/jetty/start.jar",
                "till",
            ),
            (
                "java -Djboss.home.dir=/opt/wildfly -jar /opt/wildfly/jboss-modules.jar",
                "wildfly",
            ),
            ("java -jar app.jar", "shop"),
            (
                "java -cp . org.springframework.boot.loader.launch.JarLauncher",
                "shop",
            ),
            ("java -cp . org.example.till.Main", "till"),
            ("java -cp . Main", "shop"),
        ],
    );
}

#[test]
fn a_unit_of_systemd_is_the_last_resort() {
    let under = There {
        unit: Some("till"),
        ..There::default()
    };
    for (executable, line, expected) in [
        ("/usr/bin/python3", "python3 -c code", "till"),
        (
            "/usr/bin/python3",
            "python3 /usr/bin/gunicorn -c x.py",
            "till",
        ),
        (
            "/usr/bin/java",
            "java -jar /deployments/quarkus-run.jar",
            "till",
        ),
        ("/usr/bin/node", "node", "till"),
        ("/usr/bin/node", "node server.js", "server"),
        ("/usr/sbin/nginx", "nginx", "nginx"),
    ] {
        let name = service_name(Path::new(executable), &words(line), "", &under);
        assert_eq!(name, expected, "{line}");
    }
}

#[test]
fn a_program_of_several_names_is_named_as_it_was_started() {
    for (executable, first, comm, expected) in [
        (
            "/usr/bin/redis-check-rdb",
            "/usr/bin/redis-server 127.0.0.1:6379",
            "redis-server",
            "redis-server",
        ),
        (
            "/usr/bin/redis-check-rdb",
            "redis-check-rdb",
            "redis-check-rdb",
            "redis-check-rdb",
        ),
        ("/bin/busybox", "httpd", "httpd", "httpd"),
        ("/bin/busybox", "sh", "sh", "sh"),
        (
            "/usr/bin/x",
            "a-name-that-is-cut",
            "a-name-that-is-",
            "a-name-that-is-cut",
        ),
        // It says so, but was not started so; or counts.
        ("/opt/till", "./x", "till", "till"),
        ("/opt/till", "request-4711", "request-4711", "till"),
        ("/usr/sbin/nginx", "nginx: worker process", "nginx", "nginx"),
        (
            "/usr/bin/a-name-that-is-long",
            "a-name-that-is-long",
            "a-name-that-is-",
            "a-name-that-is-long",
        ),
    ] {
        let args = [first.to_owned()];
        let name = service_name(Path::new(executable), &args, comm, &());
        assert_eq!(name, expected, "{first}");
    }
}
