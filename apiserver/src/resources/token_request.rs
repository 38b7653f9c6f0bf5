//! TokenRequests: what is asked for when a ServiceAccount's token is, without the signing.

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};

const SHORTEST: i64 = 10 * 60;
const LONGEST: i64 = 1 << 32;
const USUAL: i64 = 60 * 60;

/// What a kubelet asks for where a pod wants the usual hour: clients that never read their token again would fail then.
const KUBELET_ASKS: i64 = 60 * 60 + 7;
/// What they get for it instead.
const EXTENDED: i64 = 365 * 24 * 60 * 60;

const ATTESTED_GROUPS: &str = "authentication.k8s.io/admission-review-api-groups";

/// States what the client left out.
pub(crate) fn default(request: &mut TokenRequest, issuer: &str) {
    let spec = request.spec.get_or_insert_default();
    if spec.audiences.as_ref().is_none_or(Vec::is_empty) {
        spec.audiences = Some(vec![issuer.to_owned()]);
    }
    spec.expiration_seconds.get_or_insert(USUAL);
}

/// For how long a token is really good: longer than was asked for when a pod's kubelet asks for one for this server,
/// which then warns after the time that was asked for.
pub(crate) fn extension(spec: &TokenRequestSpec, of_pod: bool, issuer: &str) -> Option<i64> {
    let for_server = spec.audiences.iter().flatten().all(|audience| audience == issuer);
    (of_pod && for_server && spec.expiration_seconds == Some(KUBELET_ASKS)).then_some(EXTENDED)
}

/// What is wrong with the name that a request states of the ServiceAccount `name`.
pub(crate) fn validate_name(request: &TokenRequest, name: &str) -> ErrorList {
    let mut errors = ErrorList::new();
    let stated = request.metadata.name.as_deref().unwrap_or_default();
    if !stated.is_empty() && stated != name {
        let path = Path::new("metadata").child("name");
        errors.push(Error::invalid(&path, stated, "must match the service account name if specified"));
    }
    errors
}

/// What is wrong with a request, after its defaults.
pub(crate) fn validate(spec: &TokenRequestSpec) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("spec");
    let seconds = spec.expiration_seconds.unwrap_or_default();
    let mut refuse = |detail: &str| errors.push(Error::invalid(&path.child("expirationSeconds"), seconds, detail));
    if seconds < SHORTEST {
        refuse("may not specify a duration less than 10 minutes");
    }
    if seconds > LONGEST {
        refuse("may not specify a duration larger than 2^32 seconds");
    }
    errors.extend(validate_attestations(spec, &path.child("attestations")));
    errors
}

fn validate_attestations(spec: &TokenRequestSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(attestations) = spec.attestations.as_ref().filter(|all| !all.is_empty()) else { return errors };
    let kind = match &spec.bound_object_ref {
        Some(reference) => reference.kind.as_deref().unwrap_or_default(),
        None => {
            let detail = "attestations may not be specified without a bound object reference";
            errors.push(Error::invalid(path, "", detail));
            return errors;
        }
    };
    if !matches!(kind, "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") {
        let detail = format!("attestations may not be specified when bound object ref is of kind {kind}");
        errors.push(Error::invalid(path, kind, detail));
        return errors;
    }
    for (key, values) in attestations {
        let key = key.as_str();
        match (key, values.as_slice()) {
            (_, []) => errors.push(Error::invalid(path, key, "may not specify empty value")),
            (ATTESTED_GROUPS, [value]) if value.is_empty() => {
                errors.push(Error::invalid(&path.child(key), key, "may not be an empty string"));
            }
            (ATTESTED_GROUPS, [_]) => {}
            (ATTESTED_GROUPS, _) => errors.push(Error::invalid(&path.child(key), key, "must specify a single value")),
            _ => errors.push(Error::invalid(path, key, "may not specify an unknown key")),
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use api::field::go_quote;
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://issuer";

    fn request(spec: Value) -> TokenRequestSpec {
        let mut request: TokenRequest = serde_json::from_value(json!({"spec": spec})).unwrap();
        default(&mut request, ISSUER);
        request.spec.unwrap()
    }

    #[test]
    fn what_is_left_out_is_stated() {
        let check = |spec: Value, audiences: &[&str], seconds: i64| {
            let request = request(spec);
            assert_eq!(request.audiences.unwrap(), audiences);
            assert_eq!(request.expiration_seconds, Some(seconds));
        };
        check(json!({}), &[ISSUER], 3600);
        check(json!({"audiences": [], "expirationSeconds": 700}), &[ISSUER], 700);
        check(json!({"audiences": ["vault", "b"]}), &["vault", "b"], 3600);
        check(json!({"expirationSeconds": 0}), &[ISSUER], 0);
    }

    #[test]
    fn a_pods_kubelet_gets_a_year() {
        let check = |spec: Value, of_pod: bool, expected: Option<i64>| {
            assert_eq!(extension(&request(spec), of_pod, ISSUER), expected);
        };
        check(json!({"expirationSeconds": 3607}), true, Some(31_536_000));
        check(json!({"expirationSeconds": 3607}), false, None);
        check(json!({"expirationSeconds": 3600}), true, None);
        check(json!({"expirationSeconds": 3607, "audiences": [ISSUER]}), true, Some(31_536_000));
        check(json!({"expirationSeconds": 3607, "audiences": [ISSUER, "vault"]}), true, None);
    }

    #[test]
    fn times_have_bounds() {
        let check = |spec: Value, expected: &[&str]| {
            let found: Vec<String> = validate(&request(spec)).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
        };
        let webhook = json!({"kind": "ValidatingWebhookConfiguration", "name": "w"});
        let short = |seconds: i64| {
            format!("spec.expirationSeconds: Invalid value: {seconds}: may not specify a duration less than 10 minutes")
        };
        check(json!({}), &[]);
        check(json!({"expirationSeconds": 600}), &[]);
        check(json!({"expirationSeconds": 4_294_967_296_i64}), &[]);
        check(json!({"expirationSeconds": 599}), &[&short(599)]);
        check(json!({"expirationSeconds": 0}), &[&short(0)]);
        check(json!({"expirationSeconds": -1}), &[&short(-1)]);
        check(
            json!({"expirationSeconds": 4_294_967_297_i64}),
            &["spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds"],
        );
        check(
            json!({"attestations": {"a": ["b"]}}),
            &[
                "spec.attestations: Invalid value: \"\": attestations may not be specified without a bound object reference",
            ],
        );
        check(
            json!({"attestations": {"a": ["b"]}, "boundObjectRef": {"kind": "Pod"}}),
            &[
                "spec.attestations: Invalid value: \"Pod\": attestations may not be specified when bound object ref is of \
               kind Pod",
            ],
        );
        check(
            json!({"attestations": {"a": ["b"], "b": []}, "boundObjectRef": webhook}),
            &[
                "spec.attestations: Invalid value: \"a\": may not specify an unknown key",
                "spec.attestations: Invalid value: \"b\": may not specify empty value",
            ],
        );
        let groups = |values: Value| json!({"attestations": {ATTESTED_GROUPS: values}, "boundObjectRef": webhook});
        let at = format!("spec.attestations.{ATTESTED_GROUPS}: Invalid value: {}", go_quote(ATTESTED_GROUPS));
        check(groups(json!(["apps"])), &[]);
        check(groups(json!([""])), &[&format!("{at}: may not be an empty string")]);
        check(groups(json!(["a", "b"])), &[&format!("{at}: must specify a single value")]);
    }

    #[test]
    fn the_name_is_that_of_the_path() {
        let check = |name: Value, expected: &[&str]| {
            let request: TokenRequest =
                serde_json::from_value(json!({"metadata": {"name": name}, "spec": {}})).unwrap();
            let found: Vec<String> = validate_name(&request, "builder").iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
        };
        check(json!(null), &[]);
        check(json!("builder"), &[]);
        check(
            json!("other"),
            &["metadata.name: Invalid value: \"other\": must match the service account name if specified"],
        );
    }
}
