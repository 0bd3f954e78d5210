//! The composition, and the configurations of other programs that it and the overlays mount: held
//! against schemas, and given to the programs themselves where they are at hand.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use wirespan_tests::container::{Container, Image, Node};
use wirespan_tests::daemon::run_to_end;
use wirespan_tests::deploy::{assert_kept, deploy, documents, validate_composition};
use wirespan_tests::process::tied;

fn yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut documents = documents(&text);
    assert_eq!(documents.len(), 1, "{}", path.display());
    documents.remove(0)
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let values = value.as_array().into_iter().flatten();
    values.map(|value| value.as_str().expect("text"))
}

#[test]
fn the_composition_is_valid_and_mounts_what_there_is() {
    let file = deploy("compose/compose.yaml");
    validate_composition(&file).expect("it is valid");
    let composition = yaml(&file);
    let services = composition["services"].as_object().expect("services");
    let mut mounted = BTreeSet::new();
    for (name, service) in services {
        for volume in texts(&service["volumes"]) {
            let from = volume.split(':').next().expect("a source");
            if from.starts_with('.') {
                assert!(deploy("compose").join(from).exists(), "{name}: {from}");
                assert!(volume.ends_with(":ro"), "{name}: {volume}");
                mounted.insert(from.to_owned());
            } else {
                assert!(composition["volumes"].get(from).is_some(), "{name}: {from}");
            }
        }
        for other in texts(&service["depends_on"]) {
            assert!(services.contains_key(other), "{name}: {other}");
        }
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port} is for all");
        }
        let image = service["image"].as_str().expect("an image");
        assert!(
            image.contains(':') && !image.ends_with(":latest"),
            "{image}"
        );
    }
    assert!(
        mounted.contains("../otel-collector/config.yaml"),
        "{mounted:?}"
    );
    // What is wrong is seen.
    let text = std::fs::read_to_string(&file).expect("a file");
    let broken = tempfile::Builder::new()
        .suffix(".yaml")
        .tempfile()
        .expect("a file");
    std::fs::write(broken.path(), text.replace("cap_drop:", "capdrop:")).expect("a file");
    validate_composition(broken.path()).expect_err("no such key");
}

#[test]
fn the_agent_of_the_composition_starts_as_it_says() {
    let composition = yaml(&deploy("compose/compose.yaml"));
    let agent = &composition["services"]["wirespan"];
    let options: Vec<_> = texts(&agent["security_opt"]).collect();
    assert!(options.contains(&"no-new-privileges:true"), "{options:?}");
    let profile = options
        .iter()
        .find_map(|option| option.strip_prefix("seccomp:../seccomp/"));
    let pod = json!({
        "hostPID": agent["pid"] == "host",
        "containers": [{"securityContext": {
            "readOnlyRootFilesystem": agent["read_only"],
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": agent["cap_drop"], "add": agent["cap_add"]},
            "seccompProfile": {"type": "Localhost", "localhostProfile": profile},
        }}],
    });
    let environment = agent["environment"].as_object().expect("variables");
    let mut node = Node::default();
    for (name, value) in environment {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        node.environment.push((name.clone(), value));
    }
    node.arguments = vec!["processes".to_owned()];
    let image = Image::packed();
    let (code, _, log) = run_to_end(&mut Container::new(&pod, &image, &node).command());
    assert_eq!(code, Some(0), "{log:?}");
}

#[test]
fn the_collector_refuses_first_hides_then_and_keeps_what_failed() {
    let file = deploy("otel-collector/config.yaml");
    let text = std::fs::read_to_string(&file).expect("a file");
    assert_kept(
        &deploy("kubernetes/components/collector/config.yaml"),
        &text,
    );
    let configuration = yaml(&file);
    let pipeline = &configuration["service"]["pipelines"]["traces"];
    let order = json!([
        "memory_limiter",
        "attributes/secrets",
        "tail_sampling",
        "batch"
    ]);
    assert_eq!(pipeline["processors"], order);
    let policies = &configuration["processors"]["tail_sampling"]["policies"];
    let kinds: Vec<_> = policies.as_array().expect("policies").iter().collect();
    let kinds: Vec<_> = kinds.iter().map(|policy| policy["type"].as_str()).collect();
    assert_eq!(
        kinds,
        [Some("status_code"), Some("latency"), Some("probabilistic")]
    );
}

#[test]
fn nginx_takes_the_configuration_of_the_shop() {
    let directory = tempfile::tempdir().expect("a directory");
    let include = deploy("compose/shop/nginx.conf");
    let configuration = format!(
        "events {{}} pid {0}/pid; error_log stderr;
        http {{ access_log off; client_body_temp_path {0}/a; proxy_temp_path {0}/b;
        fastcgi_temp_path {0}/c; uwsgi_temp_path {0}/d; scgi_temp_path {0}/e;
        include {1}; }}",
        directory.path().display(),
        include.display()
    );
    let file = directory.path().join("nginx.conf");
    std::fs::write(&file, configuration).expect("a file");
    let mut nginx: Command = tied("nginx");
    let (code, _, log) = run_to_end(nginx.arg("-t").arg("-c").arg(file));
    assert_eq!(code, Some(0), "{log:?}");
}

#[test]
fn the_dashboard_asks_a_data_source_that_is_provisioned() {
    let components = deploy("kubernetes/components/tempo-grafana");
    let dashboard = std::fs::read(components.join("wirespan.json")).expect("a dashboard");
    let dashboard: Value = serde_json::from_slice(&dashboard).expect("it is JSON");
    for provisioned in [
        components.join("datasources.yaml"),
        deploy("compose/datasources.yaml"),
    ] {
        let sources = yaml(&provisioned);
        let sources = sources["datasources"].as_array().expect("a list");
        let known = |uid: &Value| sources.iter().any(|source| source["uid"] == *uid);
        let panels = dashboard["panels"].as_array().expect("panels");
        assert!(!panels.is_empty());
        for panel in panels {
            assert!(known(&panel["datasource"]["uid"]), "{panel}");
            for target in panel["targets"].as_array().expect("targets") {
                assert!(known(&target["datasource"]["uid"]), "{target}");
            }
        }
        let variables = dashboard["templating"]["list"].as_array().expect("a list");
        assert!(
            variables
                .iter()
                .all(|variable| known(&variable["datasource"]["uid"]))
        );
    }
}
