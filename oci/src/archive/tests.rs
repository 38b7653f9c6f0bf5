//! Archives as they should be, and each way in which they are not.

use std::io::{Read, Seek, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::*;
use crate::{Image, Layer, layout};

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn read(bytes: &[u8]) -> Result<Archive, ArchiveError> {
    Archive::read(file_of(bytes))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn sample_layer() -> Vec<u8> {
    let mut layer = Layer::default();
    layer.directory("bin", 0o755).unwrap();
    layer.file("bin/run", 0o755, b"#! here it is").unwrap();
    layer.symbolic_link("bin/sh", "run").unwrap();
    layer.finish().unwrap()
}

fn sample() -> Vec<u8> {
    let image = |name: &str, command: &str| Image {
        name: name.to_owned(),
        entrypoint: vec![command.to_owned()],
        layers: vec![sample_layer()],
        ..Image::default()
    };
    layout::write(&[image("gantry.local/a:1", "/a"), image("b", "/b")]).unwrap()
}

fn names(archive: &Archive) -> Vec<Vec<String>> {
    archive.images.iter().map(|image| image.names.iter().map(ToString::to_string).collect()).collect()
}

fn all_of(blob: &Blob) -> Vec<u8> {
    let mut bytes = Vec::new();
    blob.read().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_written_is_read() {
    for bytes in [sample(), gzip(&sample())] {
        let archive = read(&bytes).unwrap();
        assert_eq!(names(&archive), [["gantry.local/a:1"], ["docker.io/library/b:latest"]]);
        assert_eq!(all_of(&archive.images[1].layers[0]), sample_layer());
        let config: serde_json::Value = serde_json::from_slice(&all_of(&archive.images[1].config)).unwrap();
        assert_eq!(config["config"], json!({"Entrypoint": ["/b"]}));
    }
    assert_eq!(sample(), sample(), "the same images make the same bytes");
}

#[test]
fn a_pipe_is_read_as_well() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&sample()));
    let archive = Archive::read(File::from(std::os::fd::OwnedFd::from(reader))).unwrap();
    writing.join().unwrap().unwrap();
    assert_eq!(archive.images.len(), 2);
}

/// Files of an archive, by path.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Layer::default();
    for (path, content) in files {
        archive.file(path, 0o644, content).unwrap();
    }
    archive.finish().unwrap()
}

fn config_of(layers: &[&[u8]], architecture: &str) -> Vec<u8> {
    let digests: Vec<String> = layers.iter().map(|layer| Descriptor::of("", layer).digest).collect();
    json!({"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": digests}})
        .to_string()
        .into_bytes()
}

fn docker_manifest(config: &str, tags: &[&str], layers: &[&str]) -> Vec<u8> {
    json!([{"Config": config, "RepoTags": tags, "Layers": layers}]).to_string().into_bytes()
}

#[test]
fn what_docker_saved_is_read() {
    let layer = sample_layer();
    let config = config_of(&[&layer, &layer], crate::architecture());
    let config_name = format!("{}.json", &Descriptor::of("", &config).digest[7..]);
    let manifest = docker_manifest(&config_name, &["web:1", "team/web"], &["one/layer.tar", "two/layer.tar"]);
    let mut archive = Layer::default();
    archive.file("./manifest.json", 0o644, &manifest).unwrap();
    archive.file(&config_name, 0o644, &config).unwrap();
    archive.file("one/layer.tar", 0o644, &layer).unwrap();
    archive.symbolic_link("two/layer.tar", "../one/layer.tar").unwrap();
    let archive = read(&archive.finish().unwrap()).unwrap();
    assert_eq!(names(&archive), [["docker.io/library/web:1", "docker.io/team/web:latest"]]);
    let image = &archive.images[0];
    assert_eq!(image.layers.iter().map(all_of).collect::<Vec<_>>(), [layer.clone(), layer]);
    let manifest: Manifest = serde_json::from_slice(&all_of(&image.manifest)).unwrap();
    assert_eq!(manifest.config, image.config.descriptor);
    assert_eq!(all_of(&image.config), config);
}

#[test]
fn layers_that_other_tools_compress_are_read() {
    let layer = sample_layer();
    let compressed = gzip(&layer);
    let config = config_of(&[&layer], crate::architecture());
    let manifest = docker_manifest("config.json", &[], &["a.tar.gz"]);
    let archive = read(&tar(&[("manifest.json", &manifest), ("config.json", &config), ("a.tar.gz", &compressed)]));
    let layer = &archive.unwrap().images[0].layers[0].descriptor;
    assert_eq!(layer.media_type, "application/vnd.docker.image.rootfs.diff.tar.gzip");
    assert_eq!(layer.digest, Descriptor::of("", &compressed).digest);
}

fn check(bytes: &[u8], expected: &str) {
    let error = read(bytes).unwrap_err().to_string();
    assert!(error.contains(expected), "{error:?} should say {expected:?}");
}

#[test]
fn what_is_no_archive_of_images_is_told_so() {
    check(b"", "is empty");
    check(b"hello", "is not a tar archive");
    check(&[b'x'; 2048], "is not a tar archive");
    check(&tar(&[("hello", b"")]), "neither index.json");
    check(&sample()[..700], "");
    check(&gzip(&sample())[..300], "is damaged: it cannot be decompressed");
    let mut damaged = gzip(&sample());
    let last = damaged.len() - 5;
    damaged[last] ^= 1;
    check(&damaged, "is damaged: it cannot be decompressed");
    let directory = File::open("/").unwrap();
    assert!(Archive::read(directory).unwrap_err().to_string().starts_with("is a directory"));
}

#[test]
fn any_byte_that_differs_in_a_piece_is_noticed() {
    let good = sample();
    for needle in [b"#! here it is".as_slice(), b"\"diff_ids\"", b"/b\""] {
        let at = good.windows(needle.len()).position(|window| window == needle).unwrap();
        let mut damaged = good.clone();
        damaged[at] ^= 1;
        check(&damaged, "is damaged: blobs/sha256/");
    }
}

#[test]
fn an_archive_that_ends_early_is_noticed_wherever_it_ends() {
    let good = sample();
    // What comes behind the last file only marks the end.
    let last = br#"{"imageLayoutVersion":"1.0.0"}"#;
    let end = good.windows(last.len()).position(|window| window == last).unwrap() + last.len();
    for length in (0..end).rev().step_by(100) {
        assert!(read(&good[..length]).is_err(), "{length} of {} bytes", good.len());
    }
}

fn in_layout(manifests: serde_json::Value, blobs: &[&[u8]]) -> Vec<u8> {
    let index = json!({"schemaVersion": 2, "manifests": manifests}).to_string().into_bytes();
    let paths: Vec<String> =
        blobs.iter().map(|blob| format!("blobs/{}", Descriptor::of("", blob).digest.replace(':', "/"))).collect();
    let mut files: Vec<(&str, &[u8])> =
        vec![("index.json", &index), ("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#)];
    files.extend(paths.iter().map(String::as_str).zip(blobs.iter().copied()));
    tar(&files)
}

/// A manifest and a configuration without layers.
fn bare(architecture: &str) -> (Vec<u8>, Vec<u8>) {
    let config = config_of(&[], architecture);
    let manifest = Manifest {
        schema_version: 2,
        media_type: descriptor::MANIFEST.to_owned(),
        config: Descriptor::of(descriptor::CONFIG, &config),
        layers: Vec::new(),
    };
    (serde_json::to_vec(&manifest).unwrap(), config)
}

#[test]
fn the_image_for_this_machine_is_chosen() {
    let (foreign, foreign_config) = bare("sparc");
    let (ours, our_config) = bare(crate::architecture());
    let mut first = Descriptor::of(descriptor::MANIFEST, &foreign);
    first.platform = Some(Platform { architecture: "sparc".into(), os: "linux".into() });
    let second = Descriptor::of(descriptor::MANIFEST, &ours);
    let index = json!({"schemaVersion": 2, "manifests": [first, second]}).to_string().into_bytes();
    let outer = |content: &[u8], media_type: &str| {
        let mut descriptor = Descriptor::of(media_type, content);
        descriptor.annotations = Some([(OCI_NAME.to_owned(), "a.b/c".to_owned())].into());
        json!([descriptor])
    };
    // What is for others need not be there.
    let bytes = in_layout(outer(&index, descriptor::INDEX), &[&index, &ours, &our_config]);
    let archive = read(&bytes).unwrap();
    assert_eq!(names(&archive), [["a.b/c:latest"]]);
    assert_eq!(all_of(&archive.images[0].manifest), ours);

    let only = in_layout(outer(&foreign, descriptor::MANIFEST), &[&foreign, &foreign_config]);
    check(&only, "but for: linux/sparc");
    check(&in_layout(json!([]), &[]), "has no images");
    check(&in_layout(outer(&index, descriptor::INDEX), &[&index]), "is missing");
}

#[test]
fn pieces_that_do_not_fit_together_are_noticed() {
    let layer = sample_layer();
    let architecture = crate::architecture();
    let saved = |config: &[u8], layers: &[&str], content: &[u8]| {
        let manifest = docker_manifest("c", &[], layers);
        tar(&[("manifest.json", &manifest), ("c", config), ("l", content)])
    };
    check(&saved(&config_of(&[&layer], architecture), &["l"], b"other"), "is damaged: l has the digest");
    check(&saved(&config_of(&[&layer], architecture), &["missing"], b""), "missing is missing");
    check(&saved(&config_of(&[&layer], architecture), &[], b""), "c has 1 layers, its image 0");
    check(&saved(&config_of(&[&layer], architecture), &["l"], &gzip(b"other")), "l has the digest");
    check(&saved(&config_of(&[&layer], architecture), &["l"], &gzip(b"other")[..12]), "l cannot be unpacked");
    check(&saved(b"{", &[], b""), "c does not parse");
    check(&saved(&config_of(&[], "sparc"), &[], b""), "linux/sparc");
    let manifest = docker_manifest(&format!("{}.json", "0".repeat(64)), &[], &[]);
    let config = config_of(&[], architecture);
    check(&tar(&[("manifest.json", &manifest), (&format!("{}.json", "0".repeat(64)), &config)]), "not sha256:000");
    let manifest = docker_manifest("c", &["Web:1"], &[]);
    check(&tar(&[("manifest.json", &manifest), ("c", &config)]), "names an image \"Web:1\"");
}

#[test]
fn links_that_lead_nowhere_end() {
    let mut archive = Layer::default();
    archive.symbolic_link("manifest.json", "manifest.json").unwrap();
    check(&archive.finish().unwrap(), "manifest.json is missing");
    let mut archive = Layer::default();
    archive.symbolic_link("manifest.json", "../../etc/passwd").unwrap();
    check(&archive.finish().unwrap(), "manifest.json is missing");
}
