//! Continue tokens: where the next page of a list begins, and at which revision.
//!
//! The form is upstream's (base64url of `{"v","rv","start"}`), so that a token means the same to tools that look inside.

use api::status::Status;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use base64::{DecodeError, Engine};
use serde::{Deserialize, Serialize};
use store::{Key, Prefix, Revision};

const VERSION: &str = "meta.k8s.io/v1";

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continuation {
    /// The state that the list is of; `None` goes on in the newest, which is then not the same list.
    pub revision: Option<Revision>,
    /// The last key of the page before.
    pub after: Key,
}

#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(rename = "v", default)]
    version: String,
    #[serde(rename = "rv", default)]
    revision: i64,
    #[serde(rename = "start", default)]
    start: String,
}

impl Continuation {
    /// Reads a token for a list under `prefix`. What is wrong with it is said in upstream's words; a token can never
    /// lead outside of the prefix.
    pub fn decode(token: &str, prefix: &Prefix) -> Result<Continuation, Status> {
        Continuation::read(token, prefix)
            .map_err(|why| Status::bad_request(format!("invalid continue token: continue key is not valid{why}")))
    }

    /// The token for this list under `prefix`.
    #[must_use]
    pub fn encode(&self, prefix: &Prefix) -> String {
        let start = self.after.as_str().strip_prefix(prefix.as_str()).unwrap_or(self.after.as_str());
        let revision = self.revision.map_or(-1, |revision| i64::try_from(revision.0).unwrap_or(i64::MAX));
        // A page begins at its start: the first text after the last key of the page before.
        let token = Token { version: VERSION.to_owned(), revision, start: format!("{start}\0") };
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    fn read(token: &str, prefix: &Prefix) -> Result<Continuation, String> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|error| {
            let at = match error {
                DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
                DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => token.len(),
            };
            format!(": illegal base64 data at input byte {at}")
        })?;
        let (json, _) = api::schema::decode_untyped(&json).map_err(|error| format!(": {error}"))?;
        let token: Token = serde_json::from_value(json).map_err(|error| format!(": {error}"))?;
        if token.version != VERSION {
            return Err(format!(": server does not recognize this encoded version {}", token.version));
        }
        if token.revision == 0 {
            return Err(format!(": incorrect encoded start resourceVersion (version {VERSION})"));
        }
        if token.start.is_empty() {
            return Err(format!(": encoded start key empty (version {VERSION})"));
        }
        let start = token.start.strip_suffix('\0').unwrap_or(&token.start);
        let climbs = start.split('/').any(|segment| matches!(segment, "" | "." | ".."));
        let after = Key::new(&format!("{prefix}{start}")).ok().filter(|_| !climbs);
        let after = after.ok_or_else(|| format!(": {}", token.start.escape_default()))?;
        let revision = u64::try_from(token.revision).ok().map(Revision);
        Ok(Continuation { revision, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix() -> Prefix {
        Prefix::new("/registry/core/pods/").unwrap()
    }

    #[test]
    fn tokens_come_back_as_they_went() {
        for revision in [Some(Revision(1)), Some(Revision(u64::from(u32::MAX) + 7)), None] {
            let after = Key::new("/registry/core/pods/default/web-0").unwrap();
            let continuation = Continuation { revision, after };
            assert_eq!(Continuation::decode(&continuation.encode(&prefix()), &prefix()), Ok(continuation));
        }
    }

    #[test]
    fn forged_tokens_are_refused_and_lead_nowhere() {
        let encode = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
        let cases = [
            ("%%%".to_owned(), "continue key is not valid: "),
            (encode("nonsense"), "continue key is not valid: "),
            (encode(r#"{"v":"v2","rv":1,"start":"a"}"#), "server does not recognize this encoded version v2"),
            (encode(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#), "incorrect encoded start resourceVersion"),
            (encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":""}"#), "encoded start key empty"),
            (encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/a"}"#), "not valid: ../secrets/a"),
            (encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"a/../../secrets/a"}"#), "not valid: a/../../secrets/a"),
            (encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"a//b"}"#), "not valid: a//b"),
        ];
        for (token, message) in cases {
            let status = Continuation::decode(&token, &prefix()).expect_err("forged");
            assert!(status.message.contains(message), "{} for {token}", status.message);
            assert_eq!(status.code, 400);
        }
    }
}
