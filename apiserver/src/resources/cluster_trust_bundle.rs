//! ClusterTrustBundles: the root certificates by which what a signer issued is verified.

use std::collections::BTreeMap;

use api::field::{Error, ErrorList, Path};
use api::names::{object_dns_subdomain, object_path_segment};
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{pem, signer_name};
use crate::strategy::{Column, NAME_COLUMN, Names, SelectableField, Strategy};

const MAX_BYTES: usize = 1024 * 1024;

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new(
        "SignerName",
        "signerName indicates the associated signer, if any.\n\nIn order to create or update a ClusterTrustBundle that sets \
         signerName, you must have the following cluster-scoped permission: group=certificates.k8s.io resource=signers \
         resourceName=<the signer name> verb=attest.\n\nIf signerName is not empty, then the ClusterTrustBundle object \
         must be named with the signer name as a prefix (translating slashes to colons). For example, for the signer name \
         `example.com/foo`, valid ClusterTrustBundle object names include `example.com:foo:abc` and \
         `example.com:foo:v1`.\n\nIf signerName is empty, then the ClusterTrustBundle object's name must not have such a \
         prefix.\n\nList/watch requests for ClusterTrustBundles can filter on this field using a `spec.signerName=NAME` \
         field selector.",
    ),
];

pub(crate) struct ClusterTrustBundles;

impl Strategy for ClusterTrustBundles {
    type Object = ClusterTrustBundle;

    fn names(&self) -> Names {
        Names::of::<ClusterTrustBundle>("clustertrustbundle", false)
    }

    /// What the name must be depends on the signer: see [`validate_name`].
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        object_path_segment(name, prefix)
    }

    fn validate(&self, object: &ClusterTrustBundle) -> ErrorList {
        validate(object, None)
    }

    fn validate_update(&self, new: &ClusterTrustBundle, old: &ClusterTrustBundle) -> ErrorList {
        let mut errors = validate(new, Some(old));
        if signer(new) != signer(old) {
            let path = Path::new("spec").child("signerName");
            errors.push(Error::invalid(&path, signer(new), FIELD_IMMUTABLE));
        }
        errors
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &ClusterTrustBundle, _: Timestamp) -> Vec<Value> {
        let signer = Some(signer(object)).filter(|signer| !signer.is_empty());
        vec![object.metadata.name.clone().into(), signer.unwrap_or("<none>").into()]
    }

    fn selectable_fields(&self) -> &'static [SelectableField] {
        const { &[SelectableField::at("spec.signerName")] }
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

fn signer(bundle: &ClusterTrustBundle) -> &str {
    bundle.spec.signer_name.as_deref().unwrap_or_default()
}

fn validate(bundle: &ClusterTrustBundle, old: Option<&ClusterTrustBundle>) -> ErrorList {
    let mut errors = ErrorList::new();
    let meta_path = Path::new("metadata");
    if let Some(base) = bundle.metadata.generate_name.as_deref().filter(|base| !base.is_empty()) {
        errors.push_invalid(&meta_path.child("generateName"), base, validate_name(base, true, signer(bundle)));
    }
    let name = bundle.metadata.name.as_deref().unwrap_or_default();
    if !name.is_empty() {
        errors.push_invalid(&meta_path.child("name"), name, validate_name(name, false, signer(bundle)));
    }
    let path = Path::new("spec");
    if !signer(bundle).is_empty() {
        errors.extend(signer_name::validate(signer(bundle), &path.child("signerName")));
    }
    // What is stored was read once, and stays whatever becomes of the reader.
    if old.is_none_or(|old| old.spec.trust_bundle != bundle.spec.trust_bundle) {
        errors.extend(validate_certificates(&bundle.spec.trust_bundle, &path.child("trustBundle")));
    }
    errors
}

/// A bundle of a signer is named after it, and no other is.
fn validate_name(name: &str, prefix: bool, signer: &str) -> Vec<String> {
    if signer.is_empty() {
        if name.contains(':') {
            return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()];
        }
        return object_dns_subdomain(name, prefix);
    }
    let required = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&required) {
        Some(rest) => object_dns_subdomain(rest, prefix),
        None => vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {required}")],
    }
}

fn validate_certificates(text: &str, path: &Path) -> ErrorList {
    if text.len() > MAX_BYTES {
        return Error::too_long(path, MAX_BYTES).into();
    }
    let wrong = |detail: String| Error::invalid(path, "<value omitted>", detail);
    let mut errors = ErrorList::new();
    let mut places: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (i, block) in pem::blocks(text.as_bytes()).enumerate() {
        match check_block(&block) {
            Err(why) => errors.push(wrong(format!("entry {i} {why}"))),
            Ok(()) => places.entry(block.bytes).or_default().push(i),
        }
    }
    if !errors.is_empty() {
        return errors;
    }
    if places.is_empty() {
        errors.push(wrong("at least one trust anchor must be provided".to_owned()));
    }
    for places in places.values().filter(|places| places.len() > 1) {
        let places: Vec<String> = places.iter().map(usize::to_string).collect();
        errors.push(wrong(format!("duplicate trust anchor (indices [{}])", places.join(" "))));
    }
    errors
}

fn check_block(block: &pem::Block) -> Result<(), String> {
    if block.label != pem::CERTIFICATE {
        return Err(format!("has bad block type: {}", block.label));
    }
    if block.has_headers {
        return Err("has PEM block headers".to_owned());
    }
    let Ok(([], certificate)) = X509Certificate::from_der(&block.bytes) else {
        return Err("does not parse as X.509".to_owned());
    };
    let constraints = certificate.basic_constraints().ok().flatten();
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Ok(());
    }
    Err("does not have the CA bit set".to_owned())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use serde_json::json;

    use super::*;

    fn certificate(is_authority: bool) -> String {
        let mut params = CertificateParams::new(vec!["edge.example.com".to_owned()]).unwrap();
        if is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn bundle(name: &str, signer: &str, text: &str) -> ClusterTrustBundle {
        let spec = json!({"signerName": signer, "trustBundle": text});
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
    }

    fn shown(errors: &ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_follow_signers() {
        let root = certificate(true);
        let check = |name: &str, signer: &str, expected: &[&str]| {
            let errors = shown(&ClusterTrustBundles.validate(&bundle(name, signer, &root)));
            assert_eq!(errors.len(), expected.len(), "{name} {signer}: {errors:?}");
            assert!(errors.iter().zip(expected).all(|(shown, start)| shown.starts_with(start)), "{errors:?}");
        };
        check("roots", "", &[]);
        check("example.com:edge:v1", "example.com/edge", &[]);
        check(
            "a:b",
            "",
            &[
                "metadata.name: Invalid value: \"a:b\": ClusterTrustBundle without signer name must not have \":\" in its \
               name",
            ],
        );
        check("A", "", &["metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist"]);
        check(
            "roots",
            "example.com/edge",
            &[
                "metadata.name: Invalid value: \"roots\": ClusterTrustBundle for signerName example.com/edge must be named \
               with prefix example.com:edge:",
            ],
        );
        check(
            "example.com:edge:V",
            "example.com/edge",
            &["metadata.name: Invalid value: \"example.com:edge:V\": a lowercase RFC 1123 subdomain must consist"],
        );
        check(
            "edge:v1",
            "edge",
            &["spec.signerName: Invalid value: \"edge\": must be a fully qualified domain and path of the form \
               'example.com/signer-name'"],
        );
        let generated = json!({"metadata": {"generateName": "x:"}, "spec": {"trustBundle": root}});
        let errors = shown(&ClusterTrustBundles.validate(&serde_json::from_value(generated).unwrap()));
        assert!(errors[0].starts_with("metadata.generateName: Invalid value: \"x:\": ClusterTrustBundle without"));
        assert_eq!(ClusterTrustBundles.validate_name("a/b", false), ["may not contain '/'"]);
    }

    #[test]
    fn bundles_are_roots() {
        let (root, other, leaf) = (certificate(true), certificate(true), certificate(false));
        let check = |text: &str, expected: &[&str]| {
            let path = "spec.trustBundle: Invalid value: \"<value omitted>\": ";
            let expected: Vec<String> = expected.iter().map(|detail| format!("{path}{detail}")).collect();
            assert_eq!(shown(&ClusterTrustBundles.validate(&bundle("roots", "", text))), expected);
        };
        check(&format!("Root:\n{root}and another:\n{other}"), &[]);
        check("", &["at least one trust anchor must be provided"]);
        check("text", &["at least one trust anchor must be provided"]);
        check(&leaf, &["entry 0 does not have the CA bit set"]);
        check(&format!("{root}{leaf}"), &["entry 1 does not have the CA bit set"]);
        check(&root.replace("CERTIFICATE", "KEY"), &["entry 0 has bad block type: KEY"]);
        check(&root.replacen("\n", "\na: b\n\n", 1), &["entry 0 has PEM block headers"]);
        let garbled = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";
        check(garbled, &["entry 0 does not parse as X.509"]);
        check(&format!("{root}{other}{root}{root}"), &["duplicate trust anchor (indices [0 2 3])"]);
        check(&format!("{garbled}{root}{root}"), &["entry 0 does not parse as X.509"]);
        let long = bundle("roots", "", &"x".repeat(MAX_BYTES + 1));
        let expected = "spec.trustBundle: Too long: may not be more than 1048576 bytes";
        assert_eq!(shown(&ClusterTrustBundles.validate(&long)), [expected]);
    }

    #[test]
    fn the_signer_stays_and_what_is_stored_is_not_read_again() {
        let root = certificate(true);
        let stored = bundle("roots", "", "not what it was");
        assert!(ClusterTrustBundles.validate_update(&stored, &stored).is_empty());
        let errors = ClusterTrustBundles.validate_update(&bundle("roots", "", "worse"), &stored);
        assert_eq!(errors.len(), 1);
        let (new, old) = (bundle("example.com:a:b", "example.com/a", &root), bundle("example.com:a:b", "", &root));
        let errors = shown(&ClusterTrustBundles.validate_update(&new, &old));
        assert_eq!(errors, ["spec.signerName: Invalid value: \"example.com/a\": field is immutable"]);
    }

    #[test]
    fn rows() {
        let row = |signer: &str| ClusterTrustBundles.row(&bundle("b", signer, ""), Timestamp::UNIX_EPOCH);
        assert_eq!(row("example.com/a"), ["b", "example.com/a"].map(Value::from));
        assert_eq!(row(""), ["b", "<none>"].map(Value::from));
    }
}
