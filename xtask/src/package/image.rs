//! An image with the daemon, certificates, and nothing else: as a layout that follows the image
//! specification of the Open Container Initiative (1.1), and the same as one file for `docker
//! load`, `podman load` and `skopeo`.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use oci_spec::image::{
    Arch, Config, ConfigBuilder, Descriptor, DescriptorBuilder, ImageConfigurationBuilder,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, Os, PlatformBuilder, RootFsBuilder,
};
use serde_json::json;

use super::layer::Layer;
use super::{Release, certificates, mebibytes, sha256};

/// More than this nobody should have to fetch for an agent.
const SIZE_MAX: usize = 15 << 20;

const MARK: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// What tools call the image, once it is loaded.
const NAME: &str = "wirespan";

/// Files of the layout by their paths.
type Files = BTreeMap<String, Vec<u8>>;

/// A release, and its daemon.
pub type Daemon<'a> = (&'a Release, Vec<u8>);

/// Writes the folder `image`, with an image for the processor of each of these.
pub fn write(daemons: &[Daemon<'_>], directory: &Path) -> Result<()> {
    for (path, content) in &layout(daemons)? {
        let path = directory.join("image").join(path);
        let parent = path.parent().context("it is in a folder")?;
        std::fs::create_dir_all(parent)?;
        std::fs::write(&path, content).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Writes one image as a file, of which it returns the path.
pub fn archive(release: &Release, daemon: &[u8], directory: &Path) -> Result<PathBuf> {
    let files = layout(&[(release, daemon.to_vec())])?;
    let archive = packed(release, &files)?;
    if archive.len() > SIZE_MAX {
        let (size, most) = (archive.len() as u64, SIZE_MAX as u64);
        bail!(
            "the image has {}; {} are allowed",
            mebibytes(size),
            mebibytes(most)
        );
    }
    let name = format!(
        "wirespan-{}-{}.image.tar",
        release.version,
        release.processor()
    );
    let path = directory.join(name);
    std::fs::write(&path, archive)?;
    Ok(path)
}

/// All files of a layout with these images: one by itself, several as one name that stands for what
/// fits a machine (an index within the layout's own).
fn layout(daemons: &[Daemon<'_>]) -> Result<Files> {
    let mut files = Files::new();
    let mut images = Vec::new();
    for (release, daemon) in daemons {
        images.push(image(&mut files, release, daemon)?);
    }
    let ([(release, _), ..], [first, rest @ ..]) = (daemons, &*images) else {
        bail!("no image");
    };
    let tag = format!("{NAME}:{}", release.version);
    let mut named = if rest.is_empty() {
        // What `docker load` read before it knew layouts, and names the image by.
        let legacy = json!([{
            "Config": blob(&first.configuration),
            "RepoTags": [tag],
            "Layers": [blob(&first.layer)],
        }]);
        files.insert("manifest.json".to_owned(), serde_json::to_vec(&legacy)?);
        first.manifest.clone()
    } else {
        let manifests = images.iter().map(|image| image.manifest.clone());
        let index = serde_json::to_vec(&index(manifests.collect())?)?;
        keep(&mut files, MediaType::ImageIndex, index)?
    };
    named.set_annotations(Some(HashMap::from([
        (
            "org.opencontainers.image.ref.name".to_owned(),
            release.version.to_owned(),
        ),
        (
            "io.containerd.image.name".to_owned(),
            format!("docker.io/library/{tag}"),
        ),
    ])));
    let index = serde_json::to_vec(&index(vec![named])?)?;
    files.insert("index.json".to_owned(), index);
    files.insert("oci-layout".to_owned(), MARK.as_bytes().to_vec());
    Ok(files)
}

fn index(manifests: Vec<Descriptor>) -> Result<serde_json::Value> {
    sorted(
        &ImageIndexBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageIndex)
            .manifests(manifests)
            .build()?,
    )
}

/// What names the parts of an image.
struct DescribedImage {
    configuration: Descriptor,
    layer: Descriptor,
    manifest: Descriptor,
}

/// Adds the files of an image.
fn image(files: &mut Files, release: &Release, daemon: &[u8]) -> Result<DescribedImage> {
    let layer = layer(release, daemon)?;
    let diff_id = format!("sha256:{}", sha256(&layer));
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&layer)?;
    let layer = keep(files, MediaType::ImageLayerGzip, packed.finish()?)?;
    let configuration = ImageConfigurationBuilder::default()
        .created(timestamp(release.time)?)
        .architecture(architecture(release)?)
        .os(Os::Linux)
        .config(config(release)?)
        .rootfs(
            RootFsBuilder::default()
                .typ("layers")
                .diff_ids(vec![diff_id])
                .build()?,
        )
        .history(Vec::new())
        .build()?;
    let configuration = serde_json::to_vec(&sorted(&configuration)?)?;
    let configuration = keep(files, MediaType::ImageConfig, configuration)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(configuration.clone())
        .layers(vec![layer.clone()])
        .build()?;
    let manifest = serde_json::to_vec(&sorted(&manifest)?)?;
    let mut manifest = keep(files, MediaType::ImageManifest, manifest)?;
    let platform = PlatformBuilder::default()
        .architecture(architecture(release)?)
        .os(Os::Linux);
    manifest.set_platform(Some(platform.build()?));
    Ok(DescribedImage {
        configuration,
        layer,
        manifest,
    })
}

/// The only layer.
fn layer(release: &Release, daemon: &[u8]) -> Result<Vec<u8>> {
    let mut layer = Layer::new(Vec::new(), release.time);
    for directory in ["etc/", "etc/ssl/", "etc/ssl/certs/"] {
        layer.directory(directory)?;
    }
    layer.file(certificates::PATH, 0o644, certificates::bundle().as_bytes())?;
    layer.file("wirespan", 0o755, daemon)?;
    layer.finish()
}

fn config(release: &Release) -> Result<Config> {
    let label =
        |name: &str, value: &str| (format!("org.opencontainers.image.{name}"), value.to_owned());
    Ok(ConfigBuilder::default()
        .user("0:0")
        .entrypoint(vec!["/wirespan".to_owned()])
        .working_dir("/")
        .labels(HashMap::from([
            label("title", NAME),
            label("version", release.version),
            label("revision", &release.revision),
            label("licenses", "Apache-2.0"),
        ]))
        .build()?)
}

/// As Go calls it.
fn architecture(release: &Release) -> Result<Arch> {
    match release.processor() {
        "x86_64" => Ok(Arch::Amd64),
        "aarch64" => Ok(Arch::ARM64),
        other => bail!("images for {other} have no name here"),
    }
}

/// Adds a blob; returns what names it.
fn keep(files: &mut Files, media_type: MediaType, content: Vec<u8>) -> Result<Descriptor> {
    let digest = format!("sha256:{}", sha256(&content));
    let descriptor = DescriptorBuilder::default()
        .media_type(media_type)
        .size(content.len() as u64)
        .digest(digest.parse::<oci_spec::image::Digest>()?)
        .build()?;
    files.insert(blob(&descriptor), content);
    Ok(descriptor)
}

fn blob(descriptor: &Descriptor) -> String {
    format!("blobs/sha256/{}", descriptor.digest().digest())
}

/// With keys in order, which those of hashed maps are not.
fn sorted(value: &impl serde::Serialize) -> Result<serde_json::Value> {
    Ok(serde_json::to_value(value)?)
}

/// The layout as one file.
fn packed(release: &Release, files: &Files) -> Result<Vec<u8>> {
    let mut archive = Layer::new(Vec::new(), release.time);
    for directory in ["blobs/", "blobs/sha256/"] {
        archive.directory(directory)?;
    }
    for (path, content) in files {
        archive.file(path, 0o644, content)?;
    }
    archive.finish()
}

/// As RFC 3339 has it, in UTC.
fn timestamp(seconds: u64) -> Result<String> {
    let time = jiff::Timestamp::from_second(seconds.try_into()?)?;
    Ok(time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(processor: &str) -> Release {
        Release {
            version: "1.2.3",
            target: format!("{processor}-unknown-linux-musl"),
            revision: "0a".repeat(20),
            time: 1_700_000_000,
        }
    }

    /// A layout with an image for each of these processors.
    fn layout(processors: &[&str]) -> Result<Files> {
        let releases: Vec<_> = processors.iter().map(|it| release(it)).collect();
        let daemons = releases.iter().map(|release| {
            let daemon = release.target.clone().into_bytes();
            (release, daemon)
        });
        super::layout(&daemons.collect::<Vec<_>>())
    }

    #[test]
    fn a_layout_is_the_same_each_time() {
        // Maps that are hashed have another order in each of them.
        let both = ["x86_64", "aarch64"];
        let written = layout(&both).expect("a layout");
        for _ in 0..8 {
            assert_eq!(layout(&both).expect("a layout"), written);
        }
    }

    #[test]
    fn each_blob_has_the_name_of_its_content_and_all_are_named() {
        let files = layout(&["x86_64"]).expect("a layout");
        let texts: String = files
            .iter()
            .filter(|(path, _)| !path.contains("blobs/") || files[*path].starts_with(b"{"))
            .map(|(_, content)| String::from_utf8_lossy(content))
            .collect();
        let mut blobs = 0;
        for (path, content) in &files {
            if let Some(digest) = path.strip_prefix("blobs/sha256/") {
                assert_eq!(digest, sha256(content));
                assert!(texts.contains(&format!("sha256:{digest}")), "{texts}");
                blobs += 1;
            }
        }
        assert_eq!(blobs, 3, "a layer, its configuration, and a manifest");
        assert!(texts.contains("2023-11-14T22:13:20Z"), "{texts}");
        assert!(texts.contains(r#""Entrypoint":["/wirespan"]"#), "{texts}");
    }

    #[test]
    fn one_name_stands_for_the_images_of_all_processors() {
        let files = layout(&["x86_64", "aarch64"]).expect("a layout");
        let json = |path: &str| -> serde_json::Value {
            serde_json::from_slice(&files[path]).expect("it is JSON")
        };
        let behind = |descriptor: &serde_json::Value| {
            let digest = descriptor["digest"].as_str().expect("a digest");
            json(&format!("blobs/{}", digest.replace(':', "/")))
        };
        let named = &json("index.json")["manifests"];
        assert_eq!(named.as_array().map(Vec::len), Some(1), "{named}");
        let index = behind(&named[0]);
        let found = index["manifests"].as_array().expect("images").iter();
        let found = found.map(|image| {
            let configuration = behind(&behind(image)["config"]);
            let architecture = &image["platform"]["architecture"];
            assert_eq!(*architecture, configuration["architecture"]);
            architecture.clone()
        });
        assert_eq!(found.collect::<Vec<_>>(), ["amd64", "arm64"]);
        assert!(
            !files.contains_key("manifest.json"),
            "docker load takes one"
        );
    }

    #[test]
    fn a_processor_without_a_name_is_refused() {
        layout(&["riscv64gc"]).expect_err("no name");
    }
}
