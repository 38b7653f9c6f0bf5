//! Tables of configurations, and what was written by any keys is read by any others that have them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use store::{At, Backend, Durability, Embedded, EmbeddedOptions, Key, MemoryBackend, Store, StoreOptions};

use super::cipher::{Cipher, Means};
use super::rules::Rules;
use super::*;
use crate::entry::Objects;
use crate::registry::Registry;
use crate::resources::{Config, register_all};

const PLACE: &str = "/registry/core/secrets/default/a";

fn key(path: &str) -> Key {
    Key::new(path).unwrap()
}

/// A configuration of one line of resources and its providers, as JSON.
fn one(resources: &[&str], providers: serde_json::Value) -> String {
    list(json!([{"resources": resources, "providers": providers}]))
}

fn list(resources: serde_json::Value) -> String {
    json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": resources})
        .to_string()
}

fn provider(means: &str, keys: &[(&str, u8, usize)]) -> serde_json::Value {
    let keys =
        keys.iter().map(|(name, byte, size)| json!({"name": name, "secret": STANDARD.encode(vec![*byte; *size])}));
    json!({means: {"keys": keys.collect::<Vec<_>>()}})
}

fn rules(text: &str) -> Result<Rules, String> {
    Rules::new(&Configuration::parse(text)?, "sha256:test".to_owned())
}

/// Fails unless each of these texts is refused with these words, in which no secret is.
fn refuses(cases: &[(String, &str)]) {
    for (text, expected) in cases {
        let error = rules(text).err().unwrap_or_else(|| panic!("taken: {text}"));
        assert!(error.contains(expected), "{text}\n  says {error}\n  not {expected}");
        for hidden in ["tell nobody", "c2VjcmV0", "YWJj", "AAAAAAA"] {
            assert!(!error.contains(hidden), "{error}");
        }
    }
}

#[test]
fn what_is_no_configuration_is_refused() {
    let good = provider("aesgcm", &[("k", 1, 32)]);
    refuses(&[
        (String::new(), "it is empty"),
        ("a: [".to_owned(), "it is no YAML at line 1, column"),
        ("kind: x".to_owned(), "Object 'apiVersion' is missing"),
        ("{}".to_owned(), "Object 'Kind' is missing"),
        (
            "apiVersion: v1\nkind: EncryptionConfig".to_owned(),
            "no kind \"EncryptionConfig\" is registered for version \"v1\"",
        ),
        (list(json!([])), "resources: Required value: at least one resources is required"),
        (list(json!(null)), "resources: Required value: at least one resources is required"),
        (
            list(json!([{"resources": ["secrets"], "providers": [good], "more": 1}])),
            "strict decoding error: unknown field `more`",
        ),
        (
            one(&["secrets"], json!([{"rot13": {}}])),
            "strict decoding error: unknown field `rot13`, expected one of `aesgcm`",
        ),
        (
            one(&["secrets"], json!([{"aesgcm": "c2VjcmV0"}])),
            "a value is not of the right type, expected struct WrittenKeys",
        ),
    ]);
}

#[test]
fn providers_that_make_no_sense_are_refused() {
    let good = provider("aesgcm", &[("k", 1, 32)]);
    refuses(&[
        (
            one(&[], json!([good])),
            "resources[0].resources: Required value: at least one resources[0].resources is required",
        ),
        (
            one(&["secrets"], json!([])),
            "resources[0].providers: Required value: at least one resources[0].providers is required",
        ),
        (
            one(&["secrets"], json!([{}])),
            "resources[0].providers[0]: Invalid value: {}: provider does not contain any of the expected providers: KMS, AESGCM, \
             AESCBC, Secretbox, Identity",
        ),
        (
            one(&["secrets"], json!([{"identity": {}, "aesgcm": {}}])),
            "resources[0].providers[0]: Invalid value: \"REDACTED\": more than one provider specified in a single element, should \
             split into different list elements",
        ),
        (
            one(
                &["secrets"],
                json!([{"identity": {}}, {"kms": {"apiVersion": "v2", "name": "x", "endpoint": "unix:///x"}}]),
            ),
            "resources[0].providers[1].kms: Forbidden: this server calls no key management services: use aesgcm, aescbc, secretbox \
             or identity",
        ),
    ]);
}

#[test]
fn keys_that_make_no_sense_are_refused() {
    let secret =
        |means: &str, secret: &str| one(&["secrets"], json!([{means: {"keys": [{"name": "k", "secret": secret}]}}]));
    refuses(&[
        (
            one(&["secrets"], json!([{"aescbc": {}}])),
            "resources[0].providers[0].aescbc.keys: Required value: at least one keys is required",
        ),
        (
            one(&["secrets"], json!([{"aescbc": {"keys": [{"secret": "AAAAAAAAAAAAAAAAAAAAAA=="}]}}])),
            "resources[0].providers[0].aescbc.keys[0].name: Required value: name is a mandatory field for a key",
        ),
        (
            one(&["secrets"], json!([{"secretbox": {"keys": [{"name": "k"}]}}])),
            "resources[0].providers[0].secretbox.keys[0].secret: Required value: secret is a mandatory field for a key",
        ),
        (
            secret("aesgcm", "tell nobody"),
            "resources[0].providers[0].aesgcm.keys[0].secret: Invalid value: \"REDACTED\": secrets must be base64 encoded",
        ),
        (
            secret("aesgcm", "YWJj"),
            "resources[0].providers[0].aesgcm.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, \
             got 3, expected one of [16 24 32]",
        ),
        (
            secret("secretbox", "AAAAAAAAAAAAAAAAAAAAAA=="),
            "resources[0].providers[0].secretbox.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, \
             got 16, expected one of [32]",
        ),
    ]);
}

#[test]
fn resources_that_make_no_sense_are_refused() {
    let good = provider("aesgcm", &[("k", 1, 32)]);
    let resources = |names: &[&str]| one(names, json!([good]));
    refuses(&[
        (
            resources(&["secrets", "secrets"]),
            "resources[0].resources: Invalid value: [\"secrets\",\"secrets\"]: the same resource cannot be specified multiple times",
        ),
        (
            resources(&["secrets", "*."]),
            "resources[0].resources: Invalid value: [\"secrets\",\"*.\"]: using overlapping resources such as 'secrets' and '*.' in \
             the same resource list is not allowed as they will be masked",
        ),
        (resources(&["deployments.apps", "*.apps"]), "using overlapping resources"),
        (resources(&["deployments.apps", "*.*"]), "using overlapping resources"),
        (
            resources(&["Secrets"]),
            "resources[0].resources[0]: Invalid value: \"Secrets\": resource name should not contain capital letters",
        ),
        (
            resources(&["*"]),
            "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
        ),
        (resources(&["serviceipallocations"]), "resources which do not have REST API/s cannot be encrypted"),
        (resources(&["events.events.k8s.io"]), "Use 'events' instead in the config file"),
        (resources(&["*.extensions"]), "'extensions' group has been removed and cannot be used for encryption"),
        (resources(&["secrets.*"]), "encrypting the same resource across groups is not supported"),
        (
            list(json!([
                {"resources": ["*."], "providers": [good]},
                {"resources": ["secrets"], "providers": [good]},
            ])),
            "resource \"secrets\" is masked by earlier rule \"*.\"",
        ),
        (
            list(json!([
                {"resources": ["*.*"], "providers": [good]},
                {"resources": ["deployments.apps"], "providers": [good]},
            ])),
            "resource \"deployments.apps\" is masked by earlier rule \"*.*\"",
        ),
        (
            list(json!([{"resources": [], "providers": []}])),
            "[resources[0].resources: Required value: at least one resources[0].resources is required, resources[0].providers: \
             Required value: at least one resources[0].providers is required]",
        ),
    ]);
}

#[test]
fn resources_have_the_providers_that_are_named_first() {
    let by = |name: &str| json!([provider("aesgcm", &[(name, 1, 16)])]);
    let rules = rules(&list(json!([
        {"resources": ["secrets", "deployments.apps"], "providers": by("exact")},
        {"resources": ["*.apps", "*."], "providers": by("group")},
        {"resources": ["*.*"], "providers": by("all")},
    ])));
    let rules = rules.unwrap();
    for (resource, expected) in [
        ("core/secrets", "exact"),
        ("apps/deployments", "exact"),
        ("apps/daemonsets", "group"),
        ("core/configmaps", "group"),
        ("batch/jobs", "all"),
    ] {
        let sealed = rules.seal(resource, "/registry/x", b"value").unwrap().unwrap();
        assert!(sealed.starts_with(format!("k8s:enc:aesgcm:v1:{expected}:").as_bytes()), "{resource}");
    }
}

/// The forms are those of the ciphers' other implementations: a nonce, the ciphertext, and behind it the tag; of a box, the tag
/// before it.
#[test]
fn what_others_have_sealed_is_opened() {
    let bytes = |range: std::ops::Range<u8>| range.collect::<Vec<u8>>();
    let plain = b"a value of 21 bytes..";
    // By OpenSSL, as Python's cryptography 48 uses it.
    let gcm = Cipher::new(Means::AesGcm, &bytes(0..32)).unwrap();
    let sealed = hex("d21547a1851a2f234555aede23b95c11e8423c79edf642d7c32e3d6cdd93de18ae99a1c56b");
    let sealed = [bytes(0x30..0x3c), sealed].concat();
    assert_eq!(gcm.open(PLACE.as_bytes(), &sealed).unwrap(), plain);
    assert_eq!(gcm.open(b"/registry/core/secrets/default/b", &sealed), Err("cipher: message authentication failed"));
    // By `openssl enc -aes-192-cbc`.
    let cbc = Cipher::new(Means::AesCbc, &bytes(0..24)).unwrap();
    let sealed = hex("8aca8f776ba625fc5d52f8210002d2ea7966182cc19ff30f1ab54a0f2681a637");
    assert_eq!(cbc.open(b"", &[bytes(0x20..0x30), sealed].concat()).unwrap(), plain);
    // The example of NaCl's own test, `tests/secretbox.out`.
    let key = hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
    let nonce = hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
    let boxed = hex(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f0\
         11ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01\
         b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5",
    );
    let plain = hex(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66c\
         ce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc7689\
         7040e082f937763848645e0705",
    );
    let opened = Cipher::new(Means::Secretbox, &key).unwrap().open(b"", &[nonce, boxed].concat());
    assert_eq!(opened.unwrap(), plain);
}

fn hex(digits: &str) -> Vec<u8> {
    digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn what_is_no_sealed_value_is_refused_with_the_reason() {
    let text = one(
        &["secrets"],
        json!([
            provider("aesgcm", &[("a", 1, 32), ("b", 2, 16)]),
            provider("aescbc", &[("c", 3, 24)]),
            provider("secretbox", &[("d", 4, 32)]),
        ]),
    );
    let ours = rules(&text).unwrap();
    let check = |resource: &str, stored: &[u8], expected: &str| {
        let (value, kept) = ours.open(resource, PLACE, stored);
        assert_eq!(value, None);
        assert_eq!(kept, Kept::Unreadable(expected.into()), "{}", String::from_utf8_lossy(stored));
    };
    let short = "the stored data was shorter than the required size";
    check("core/secrets", b"{}", "no matching prefix found");
    check("core/secrets", b"k8s:enc:kms:v2:x:1", "no matching prefix found");
    check("core/secrets", b"k8s:enc:aesgcm:v1:z:12", "no matching key was found for the provided AES transformer");
    check(
        "core/secrets",
        b"k8s:enc:secretbox:v1:z:12",
        "no matching key was found for the provided Secretbox transformer",
    );
    check("core/secrets", b"k8s:enc:aesgcm:v1:a:12", short);
    check("core/secrets", b"k8s:enc:secretbox:v1:d:12", short);
    check("core/secrets", b"k8s:enc:aescbc:v1:c:12", short);
    check("core/secrets", b"k8s:enc:aescbc:v1:c:0123456789abcdef", "invalid PKCS7 data (empty or not padded)");
    check(
        "core/secrets",
        b"k8s:enc:aescbc:v1:c:0123456789abcdef0",
        "the stored data is not a multiple of the block size",
    );
    let forged = [b"k8s:enc:aesgcm:v1:a:".as_slice(), &[7; 40]].concat();
    check("core/secrets", &forged, "cipher: message authentication failed");
    check("core/pods", &forged, "identity transformer tried to read encrypted data");

    // A value is read where it was written, and nowhere else.
    let sealed = ours.seal("core/secrets", PLACE, b"value").unwrap().unwrap();
    assert_eq!(ours.open("core/secrets", PLACE, &sealed).0.unwrap(), b"value");
    let elsewhere = ours.open("core/secrets", "/registry/core/secrets/default/b", &sealed);
    assert_eq!(elsewhere, (None, Kept::Unreadable("cipher: message authentication failed".into())));
}

/// One step of a key's life: which keys there are, by number, and whether there may be plain values.
fn key_sets() -> impl Strategy<Value = Vec<(Means, Vec<u8>)>> {
    let means = prop_oneof![Just(Means::AesGcm), Just(Means::AesCbc), Just(Means::Secretbox)];
    prop::collection::vec((means, prop::collection::vec(0_u8..6, 1..4)), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever keys came and went: what was written is read as long as a configuration has the key that wrote it, and is then
    /// stale exactly if that is not the one that writes.
    #[test]
    fn what_was_written_is_read(steps in key_sets(), value in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = |(means, numbers): &(Means, Vec<u8>)| {
            let names: Vec<String> = numbers.iter().map(|number| format!("key{number}")).collect();
            let keys: Vec<_> = names.iter().zip(numbers).map(|(name, number)| (name.as_str(), *number, 32)).collect();
            one(&["secrets"], json!([provider(means.name(), &keys)]))
        };
        let configurations: Vec<_> = steps.iter().map(|step| rules(&text(step)).unwrap()).collect();
        for (written, by) in steps.iter().zip(&configurations) {
            let sealed = by.seal("core/secrets", PLACE, &value).unwrap().unwrap();
            prop_assert!(value.len() < 4 || !sealed.windows(value.len()).any(|window| window == value));
            for (reading, with) in steps.iter().zip(&configurations) {
                let (opened, kept) = with.open("core/secrets", PLACE, &sealed);
                let has_key = reading.0 == written.0 && reading.1.contains(&written.1[0]);
                prop_assert_eq!(opened.as_deref(), has_key.then_some(&*value));
                let current = with.of("core/secrets").unwrap().current();
                prop_assert_eq!(kept == current, has_key && reading.1[0] == written.1[0]);
            }
        }
    }

    /// A bit that was flipped anywhere is noticed by what authenticates.
    #[test]
    fn a_flipped_bit_is_refused(
        value in prop::collection::vec(any::<u8>(), 0..60),
        secretbox in any::<bool>(),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let name = if secretbox { "secretbox" } else { "aesgcm" };
        let rules = rules(&one(&["secrets"], json!([provider(name, &[("k", 9, 32)])]))).unwrap();
        let mut sealed = rules.seal("core/secrets", PLACE, &value).unwrap().unwrap();
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        let (opened, kept) = rules.open("core/secrets", PLACE, &sealed);
        prop_assert_eq!(opened, None);
        prop_assert!(matches!(kept, Kept::Unreadable(_)));
    }
}

#[test]
fn a_configuration_is_written_as_it_is_read() {
    let text = list(json!([
        {"resources": ["secrets", "tokens.example.com"], "providers": [provider("secretbox", &[("a: b\"", 1, 32)]), {"identity": {}}]},
        {"resources": ["*.*"], "providers": [{"identity": {}}, provider("aescbc", &[("x", 2, 16), ("y", 3, 24)])]},
    ]));
    let mut configuration = Configuration::parse(&text).unwrap();
    assert_eq!(Configuration::parse(&configuration.to_yaml("A comment.\n\nOf some lines.")).unwrap(), configuration);
    let printed = format!("{configuration:?}");
    assert!(printed.contains("\"x\"") && !printed.contains("1, 1, 1"), "{printed}");

    assert_eq!(configuration.most_keys(), 1);
    add_keys(&mut configuration).unwrap();
    // Where nothing is encrypted first, nothing is added.
    assert_eq!(
        (configuration.most_keys(), configuration.resources[1].clone()),
        (2, Configuration::parse(&text).unwrap().resources[1].clone())
    );
    let before = configuration.clone();
    configuration.drop_old_keys();
    assert_eq!(configuration.most_keys(), 1);
    assert_ne!(configuration, before);
    assert!(!configuration.to_yaml("").contains("a: b"));
}

#[test]
fn the_key_of_a_cluster_is_made_once() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let first = open_own(directory.path()).unwrap();
    let path = directory.path().join(OWN_FILE);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let sealed = first.seal("core/secrets", PLACE, b"value").unwrap().unwrap();
    let second = open_own(directory.path()).unwrap();
    assert_eq!(second.hash(), first.hash());
    assert_eq!(second.open("core/secrets", PLACE, &sealed).0.unwrap(), b"value");
    assert_eq!(second.open("core/secrets", PLACE, b"{}"), (None, Kept::Plain));
    // What is not understood is never replaced.
    std::fs::write(&path, "nothing").unwrap();
    let error = open_own(directory.path()).err().unwrap().to_string();
    assert!(error.contains("encryption.yaml is not a usable EncryptionConfiguration: "), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "nothing");
}

/// A store of Secrets that are encrypted by the file at `path`.
async fn open_store(backend: Arc<dyn Backend>, path: &Path) -> (Store<Objects>, Encryption) {
    let encryption = Encryption::new(Arc::new(load(path).unwrap().rules), Some(path.to_owned()));
    let registry = Arc::new(Registry::new());
    register_all(&registry, Config::default());
    let objects = Objects::new(registry).with_encryption(encryption.clone());
    (Store::open(backend, objects, StoreOptions::default()).await.unwrap(), encryption)
}

fn secret(name: &str) -> Bytes {
    let object = json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name, "uid": "u"}, "data": {"a": "dmFsdWU="}});
    object.to_string().into()
}

#[tokio::test]
async fn a_changed_file_is_taken_over_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("e.json");
    let write = |keys: &[(&str, u8, usize)]| {
        std::fs::write(&path, one(&["secrets"], json!([provider("aesgcm", keys)]))).unwrap();
    };
    write(&[("one", 1, 32)]);
    let (store, encryption) = open_store(Arc::new(MemoryBackend::new()), &path).await;
    let place = key(PLACE);
    store.create(place.clone(), secret("a"), Durability::Flushed).await.unwrap();
    let counted = |all| -> Vec<(String, State, usize)> {
        let counts = encryption.census(&store, all);
        counts.into_iter().map(|count| (count.key, count.state, count.objects)).collect()
    };
    assert_eq!(counted(false), [("one".to_owned(), State::Current, 1)]);
    let first = encryption.loaded();
    let mut refused = String::new();

    std::fs::write(&path, "nothing").unwrap();
    for _ in 0..2 {
        encryption.look(&path, &store, &mut refused).await;
    }
    assert_eq!((encryption.loaded(), encryption.reloads()), (first.clone(), (0, 1)));

    write(&[("two", 2, 32), ("one", 1, 32)]);
    encryption.look(&path, &store, &mut refused).await;
    assert_ne!(encryption.loaded(), first);
    assert_eq!(counted(false), [("one".to_owned(), State::Stale, 1)]);
    let stored = store.get(&place, At::Latest).await.unwrap().unwrap();
    assert!(store.codec().is_stale(&place, &stored.entry));

    // Without the key that it was written by, this process still has it.
    write(&[("two", 2, 32)]);
    encryption.look(&path, &store, &mut refused).await;
    assert_eq!(counted(true), [("one".to_owned(), State::Lost, 1)]);

    store.update(place, stored.revision, secret("a"), Durability::Flushed).await.unwrap();
    assert_eq!(counted(true), [("two".to_owned(), State::Current, 1)]);
    assert_eq!(encryption.reloads(), (2, 1));
}

#[tokio::test]
async fn a_configuration_is_loaded_when_the_last_write_by_another_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("e.json");
    let text = |name: &str| one(&["secrets"], json!([provider("aesgcm", &[(name, 1, 32)])]));
    std::fs::write(&path, text("one")).unwrap();
    let (store, encryption) = open_store(Arc::new(MemoryBackend::new()), &path).await;
    let under_way = encryption.seal(Some("core/secrets"), &key(PLACE), secret("a")).unwrap();
    std::fs::write(&path, text("two")).unwrap();
    let before = encryption.loaded();
    let looking = tokio::spawn({
        let (encryption, path) = (encryption.clone(), path.clone());
        async move { encryption.look(&path, &store, &mut String::new()).await }
    });
    while encryption.rules().hash() == before {
        tokio::task::yield_now().await;
    }
    assert!(!looking.is_finished());
    assert_eq!(encryption.loaded(), before);
    drop(under_way);
    looking.await.unwrap();
    assert_eq!(encryption.loaded(), encryption.rules().hash());
}

#[tokio::test]
async fn what_has_its_key_again_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("e.json");
    let write = |keys: &[(&str, u8, usize)]| {
        std::fs::write(&path, one(&["secrets"], json!([provider("aesgcm", keys)]))).unwrap();
    };
    let backend = || Arc::new(Embedded::open(directory.path(), EmbeddedOptions::default()).unwrap());
    let place = key(PLACE);
    write(&[("one", 1, 32)]);
    let (store, _) = open_store(backend(), &path).await;
    store.create(place.clone(), secret("a"), Durability::Flushed).await.unwrap();
    store.close().await;

    write(&[("two", 2, 32)]);
    let (store, encryption) = open_store(backend(), &path).await;
    let lost = store.known(&place).unwrap();
    assert_eq!(lost.entry.unreadable(), Some("no matching key was found for the provided AES transformer"));
    assert!(lost.entry.bytes().starts_with(b"k8s:enc:aesgcm:v1:one:"));
    assert_eq!(encryption.census(&store, true)[0].state, State::Unreadable);

    write(&[("two", 2, 32), ("one", 1, 32)]);
    encryption.look(&path, &store, &mut String::new()).await;
    let found = store.known(&place).unwrap();
    assert_eq!((found.entry.unreadable(), found.revision), (None, lost.revision));
    assert!(found.entry.bytes().starts_with(b"{"));
    assert_eq!(encryption.census(&store, true)[0].state, State::Stale);
    store.close().await;
}
