//! Metadata services stood in for by a server of the test, because the real ones are in their
//! clouds alone: the values are of the shapes that their documentation shows.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;

use super::*;

/// What a service answers to a request: its line, and the header that it demands.
type Answers = &'static [(&'static str, &'static str, &'static str)];

const AWS: Answers = &[
    (
        "PUT /latest/api/token",
        "x-aws-ec2-metadata-token-ttl-seconds: 60",
        "TOKEN",
    ),
    (
        "GET /latest/dynamic/instance-identity/document",
        "x-aws-ec2-metadata-token: TOKEN",
        r#"{"accountId": "123456789012", "architecture": "x86_64", "region": "eu-west-1",
            "availabilityZone": "eu-west-1b", "instanceId": "i-0123456789abcdef0",
            "instanceType": "t3.micro", "imageId": "ami-0123", "devpayProductCodes": null}"#,
    ),
];

const GCP: Answers = &[
    (
        "GET /computeMetadata/v1/project/project-id",
        "metadata-flavor: Google",
        "shop",
    ),
    (
        "GET /computeMetadata/v1/instance/id",
        "metadata-flavor: Google",
        "42",
    ),
    (
        "GET /computeMetadata/v1/instance/machine-type",
        "metadata-flavor: Google",
        "projects/1/machineTypes/e2-medium",
    ),
    (
        "GET /computeMetadata/v1/instance/zone",
        "metadata-flavor: Google",
        "projects/1/zones/europe-west1-b",
    ),
    (
        "GET /computeMetadata/v1/instance/attributes/cluster-name",
        "metadata-flavor: Google",
        "prod",
    ),
];

const AZURE: Answers = &[(
    "GET /metadata/instance/compute?api-version=2021-12-13&format=json",
    "metadata: true",
    r#"{"location": "westeurope", "resourceGroupName": "MC_shop_prod_westeurope", "zone": "",
        "subscriptionId": "s-1", "vmId": "v-1", "vmSize": "Standard_D2s_v3",
        "resourceId": "/subscriptions/s-1/vm"}"#,
)];

/// Serves these answers on a port of its own for as long as the test runs; its URL.
fn serve(answers: Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
            let lines = lines.map(|line| line.expect("text"));
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let answer = answers.iter().find(|(line, header, _)| {
                head[0] == format!("{line} HTTP/1.1") && head.iter().any(|it| it == header)
            });
            let (status, body) = answer.map_or(("404 Not Found", ""), |it| ("200 OK", it.2));
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
        }
    });
    url
}

/// A host whose firmware has this table.
fn host(tables: &[(&str, &str)]) -> tempfile::TempDir {
    let sys = tempfile::tempdir().expect("a directory");
    let tables_at = sys.path().join("class/dmi/id");
    std::fs::create_dir_all(&tables_at).expect("a directory");
    for (name, text) in tables {
        std::fs::write(tables_at.join(name), format!("{text}\n")).expect("a file");
    }
    sys
}

fn told(sys: &Path, service: &str, is_node: bool) -> CloudAttributes {
    let setup = CloudSetup {
        sys: sys.to_owned(),
        service: service.to_owned(),
        is_node,
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    runtime.block_on(attributes(&setup))
}

fn expected(attributes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = attributes.iter();
    owned
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn each_cloud_tells_where_the_host_is() {
    let amazon = host(&[("sys_vendor", "Amazon EC2")]);
    assert_eq!(
        told(amazon.path(), &serve(AWS), false),
        expected(&[
            ("cloud.provider", "aws"),
            ("cloud.platform", "aws_ec2"),
            ("cloud.account.id", "123456789012"),
            ("cloud.region", "eu-west-1"),
            ("cloud.availability_zone", "eu-west-1b"),
            ("host.id", "i-0123456789abcdef0"),
            ("host.type", "t3.micro"),
            ("host.image.id", "ami-0123"),
        ])
    );
    let google = host(&[("product_name", "Google Compute Engine")]);
    let of_google = [
        ("cloud.provider", "gcp"),
        ("cloud.platform", "gcp_kubernetes_engine"),
        ("cloud.account.id", "shop"),
        ("cloud.region", "europe-west1"),
        ("cloud.availability_zone", "europe-west1-b"),
        ("host.id", "42"),
        ("host.type", "e2-medium"),
        ("k8s.cluster.name", "prod"),
    ];
    assert_eq!(told(google.path(), &serve(GCP), true), expected(&of_google));
    let microsoft = host(&[
        ("sys_vendor", "Microsoft Corporation"),
        ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77"),
    ]);
    assert_eq!(
        told(microsoft.path(), &serve(AZURE), true),
        expected(&[
            ("cloud.provider", "azure"),
            ("cloud.platform", "azure.aks"),
            ("cloud.account.id", "s-1"),
            ("cloud.region", "westeurope"),
            ("cloud.resource_id", "/subscriptions/s-1/vm"),
            ("host.id", "v-1"),
            ("host.type", "Standard_D2s_v3"),
            ("k8s.cluster.name", "prod"),
        ])
    );
}

#[test]
fn nobody_is_asked_outside_of_a_cloud() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    for tables in [
        &[][..],
        &[("sys_vendor", "Dell Inc."), ("product_name", "PowerEdge")],
        // Hyper-V that is not Azure's.
        &[
            ("sys_vendor", "Microsoft Corporation"),
            ("chassis_asset_tag", "None"),
        ],
    ] {
        assert!(told(host(tables).path(), &url, false).is_empty());
    }
    assert!(listener.accept().is_err(), "nobody connected");
}

#[test]
fn a_service_that_is_away_or_answers_otherwise_tells_nothing() {
    let amazon = host(&[("sys_vendor", "Amazon EC2")]);
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
    let away = format!("http://{}", gone.local_addr().expect("an address"));
    drop(gone);
    assert!(told(amazon.path(), &away, false).is_empty());
    // Google's: it does not know the paths.
    assert!(told(amazon.path(), &serve(GCP), false).is_empty());
    const GARBAGE: Answers = &[
        (AWS[0].0, AWS[0].1, "TOKEN"),
        (AWS[1].0, AWS[1].1, "<html>"),
    ];
    assert!(told(amazon.path(), &serve(GARBAGE), false).is_empty());
    // A token that is no header.
    const BROKEN: Answers = &[(AWS[0].0, AWS[0].1, "a\nb")];
    assert!(told(amazon.path(), &serve(BROKEN), false).is_empty());
    const NOWHERE: Answers = &[(
        AZURE[0].0,
        AZURE[0].1,
        r#"{"resourceGroupName": "MC_a_b_c_d", "location": ["x"]}"#,
    )];
    let microsoft = host(&[("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77")]);
    assert!(told(microsoft.path(), &serve(NOWHERE), true).is_empty());
}
