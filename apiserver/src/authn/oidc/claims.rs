//! What a token of an OpenID Connect issuer says, and who that is.

use std::collections::BTreeMap;

use api::field::go_quote;
use serde::Deserialize;
use serde_json::Value;

use super::OidcOptions;
use crate::authn::Identity;

/// How far a token may begin in the future (the leeway of upstream's library).
const BEGINS_WITHIN: i64 = 5 * 60;

/// What stands in a token.
pub(super) type Claims = BTreeMap<String, Value>;

/// What every token has to have.
#[derive(Deserialize)]
struct Standard {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    aud: Audiences,
    /// Some issuers write times with a fraction.
    exp: Option<f64>,
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

impl Default for Audiences {
    fn default() -> Self {
        Audiences::Many(Vec::new())
    }
}

/// Who a token is of, whose signature is good. The error says why it is nobody.
pub(super) fn identity(options: &OidcOptions, claims: &Claims, now: i64) -> Result<Identity, String> {
    check_standard(options, claims, now).map_err(|why| format!("oidc: verify token: {why}"))?;
    let user = user(options, claims)?;
    let groups = groups(options, claims)?;
    for (claim, wanted) in &options.required_claims {
        match claims.get(claim) {
            None => return Err(format!("oidc: required claim {claim} not present in ID token")),
            Some(Value::String(found)) if found == wanted => {}
            Some(Value::String(found)) => {
                return Err(format!(
                    "oidc: required claim {claim} value does not match. Got = {found}, want = {wanted}"
                ));
            }
            Some(_) => return Err(format!("oidc: parse claim {claim}: it is no string")),
        }
    }
    Ok(Identity { user, groups, ..Identity::default() }.authenticated())
}

fn check_standard(options: &OidcOptions, claims: &Claims, now: i64) -> Result<(), String> {
    let all = claims.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let standard: Standard = serde_json::from_value(Value::Object(all)).map_err(|error| format!("oidc: {error}"))?;
    if standard.iss != options.issuer_url {
        let (wanted, found) = (go_quote(&options.issuer_url), go_quote(&standard.iss));
        return Err(format!("oidc: id token issued by a different provider, expected {wanted} got {found}"));
    }
    let audiences = match standard.aud {
        Audiences::One(audience) => vec![audience],
        Audiences::Many(audiences) => audiences,
    };
    if !audiences.contains(&options.client_id) {
        let found: Vec<_> = audiences.iter().map(|audience| go_quote(audience)).collect();
        return Err(format!("oidc: expected audience {} got [{}]", go_quote(&options.client_id), found.join(" ")));
    }
    let now = now as f64;
    if standard.exp.is_none_or(|exp| now > exp) {
        return Err("oidc: token is expired".to_owned());
    }
    if standard.nbf.is_some_and(|nbf| now + (BEGINS_WITHIN as f64) < nbf) {
        return Err("oidc: current time is before the nbf (not before) time".to_owned());
    }
    Ok(())
}

fn user(options: &OidcOptions, claims: &Claims) -> Result<String, String> {
    let claim = options.username_claim.as_str();
    let user = match claims.get(claim) {
        Some(Value::String(user)) => user,
        found => {
            let why = if found.is_none() { "claim not present" } else { "it is no string" };
            return Err(format!("oidc: parse username claims {}: {why}", go_quote(claim)));
        }
    };
    if claim == "email" {
        match claims.get("email_verified") {
            None | Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Err("oidc: email not verified".to_owned()),
            Some(_) => return Err("oidc: parse 'email_verified' claim: it is no boolean".to_owned()),
        }
    }
    if user.is_empty() {
        return Err(format!("oidc: parse username claims {}: it is empty", go_quote(claim)));
    }
    Ok(format!("{}{user}", options.prefix_of_users()))
}

/// One group may stand alone.
fn groups(options: &OidcOptions, claims: &Claims) -> Result<Vec<String>, String> {
    let Some(claim) = options.groups_claim.as_deref().filter(|claim| !claim.is_empty()) else { return Ok(Vec::new()) };
    let refused = || format!("oidc: parse groups claim {}: it is no list of strings", go_quote(claim));
    let groups = match claims.get(claim) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(group)) => vec![group.clone()],
        Some(Value::Array(groups)) => {
            let text = |group: &Value| group.as_str().map(str::to_owned).ok_or_else(refused);
            groups.iter().map(text).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(refused()),
    };
    Ok(groups.into_iter().map(|group| format!("{}{group}", options.groups_prefix)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn options() -> OidcOptions {
        OidcOptions::new("https://issuer", "us")
    }

    fn found(options: &OidcOptions, more: &Value) -> Result<(String, Vec<String>), String> {
        let mut claims: Claims =
            serde_json::from_value(json!({"iss": "https://issuer", "aud": "us", "exp": NOW + 60, "sub": "7"})).unwrap();
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => claims.remove(name),
                value => claims.insert(name.clone(), value.clone()),
            };
        }
        identity(options, &claims, NOW).map(|identity| (identity.user, identity.groups))
    }

    #[test]
    fn who_it_is_follows_from_the_options() {
        let check = |options: OidcOptions, claims: Value, user: &str, groups: &[&str]| {
            let mut expected: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            expected.push("system:authenticated".to_owned());
            assert_eq!(found(&options, &claims), Ok((user.to_owned(), expected)), "{claims}");
        };
        let with = |change: fn(&mut OidcOptions)| {
            let mut options = options();
            change(&mut options);
            options
        };
        check(options(), json!({}), "https://issuer#7", &[]);
        check(options(), json!({"aud": ["x", "us"], "groups": ["g"]}), "https://issuer#7", &[]);
        check(with(|options| options.username_prefix = Some("-".to_owned())), json!({}), "7", &[]);
        check(with(|options| options.username_prefix = Some("oidc:".to_owned())), json!({}), "oidc:7", &[]);
        let by_mail = || with(|options| options.username_claim = "email".to_owned());
        check(by_mail(), json!({"email": "a@b"}), "a@b", &[]);
        check(by_mail(), json!({"email": "a@b", "email_verified": true}), "a@b", &[]);
        let by_groups = || {
            with(|options| {
                options.groups_claim = Some("groups".to_owned());
                options.groups_prefix = "oidc:".to_owned();
            })
        };
        check(by_groups(), json!({"groups": ["g", "h"]}), "https://issuer#7", &["oidc:g", "oidc:h"]);
        check(by_groups(), json!({"groups": "g"}), "https://issuer#7", &["oidc:g"]);
        check(by_groups(), json!({}), "https://issuer#7", &[]);
        let requires = || with(|options| options.required_claims = vec![("hd".to_owned(), "acme".to_owned())]);
        check(requires(), json!({"hd": "acme"}), "https://issuer#7", &[]);
        check(options(), json!({"exp": 1_700_000_000.5, "nbf": NOW + 299}), "https://issuer#7", &[]);
    }

    #[test]
    fn what_does_not_hold_is_told() {
        let check = |options: &OidcOptions, claims: Value, expected: &str| {
            let error = found(options, &claims).unwrap_err();
            assert!(error.starts_with(expected), "{claims}: {error}");
        };
        let plain = options();
        check(&plain, json!({"iss": "https://other"}), "oidc: verify token: oidc: id token issued by a different");
        check(&plain, json!({"iss": "https://issuer/"}), "oidc: verify token: oidc: id token issued by a different");
        check(&plain, json!({"aud": ["x"]}), "oidc: verify token: oidc: expected audience \"us\" got [\"x\"]");
        check(&plain, json!({"aud": null}), "oidc: verify token: oidc: expected audience \"us\" got []");
        check(&plain, json!({"exp": NOW - 1}), "oidc: verify token: oidc: token is expired");
        check(&plain, json!({"exp": null}), "oidc: verify token: oidc: token is expired");
        check(&plain, json!({"nbf": NOW + 301}), "oidc: verify token: oidc: current time is before the nbf");
        check(&plain, json!({"sub": null}), "oidc: parse username claims \"sub\": claim not present");
        check(&plain, json!({"sub": 7}), "oidc: parse username claims \"sub\"");
        check(&plain, json!({"sub": ""}), "oidc: parse username claims \"sub\"");
        let by_mail = OidcOptions { username_claim: "email".to_owned(), ..options() };
        check(&by_mail, json!({"email": "a@b", "email_verified": false}), "oidc: email not verified");
        check(&by_mail, json!({"email": "a@b", "email_verified": "true"}), "oidc: parse 'email_verified' claim");
        let by_groups = OidcOptions { groups_claim: Some("groups".to_owned()), ..options() };
        check(&by_groups, json!({"groups": [7]}), "oidc: parse groups claim \"groups\"");
        let requires = OidcOptions { required_claims: vec![("hd".to_owned(), "acme".to_owned())], ..options() };
        check(&requires, json!({}), "oidc: required claim hd not present in ID token");
        check(&requires, json!({"hd": "x"}), "oidc: required claim hd value does not match. Got = x, want = acme");
        check(&requires, json!({"hd": ["acme"]}), "oidc: parse claim hd");
    }
}
