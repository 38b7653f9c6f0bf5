//! `audit.k8s.io/v1` Event, as it is written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use api::field::go_quote;
use serde::Serialize;
use serde_json::Value;

use super::policy::{Level, Stage};
use crate::authn::Identity;

/// The annotation of an event that says that something in it was too large.
pub(super) const TRUNCATED: &str = "audit.k8s.io/truncated";

/// Something that happened.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event<'a> {
    pub(super) kind: &'static str,
    pub(super) api_version: &'static str,
    pub(super) level: Level,
    #[serde(rename = "auditID")]
    pub(super) audit_id: &'a str,
    pub(super) stage: Stage,
    #[serde(rename = "requestURI")]
    pub(super) request_uri: &'a str,
    pub(super) verb: &'a str,
    pub(super) user: User<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) impersonated_user: Option<User<'a>>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[String]>::is_empty")]
    pub(super) source_ips: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object_ref: Option<&'a ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_status: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_object: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_object: Option<&'a Value>,
    pub(super) request_received_timestamp: &'a str,
    pub(super) stage_timestamp: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) annotations: Cow<'a, BTreeMap<String, String>>,
}

fn is_empty(annotations: &BTreeMap<String, String>) -> bool {
    annotations.is_empty()
}

impl Event<'_> {
    /// Leaves out what makes it large, and says so.
    pub(super) fn truncate(&mut self) {
        (self.request_object, self.response_object) = (None, None);
        self.annotations.to_mut().insert(TRUNCATED.to_owned(), "true".to_owned());
    }

    /// A line of JSON.
    pub(super) fn json(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Upstream's older format, a line of text with less in it.
    pub(super) fn text(&self) -> Vec<u8> {
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        let list = |groups: &[String]| groups.iter().map(|group| go_quote(group)).collect::<Vec<_>>().join(",");
        let known = !self.user.username.is_empty();
        let groups = if known { list(self.user.groups) } else { String::new() };
        let (as_user, as_groups) = match &self.impersonated_user {
            Some(user) => (user.username.to_owned(), or(&list(user.groups), "<lookup>")),
            None => ("<self>".to_owned(), "<lookup>".to_owned()),
        };
        let code = self.response_status.and_then(|status| status["code"].as_u64());
        // Go leaves out what is 0 at the end of a second's parts.
        let time = self.request_received_timestamp.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
        let line = format!(
            "{time}Z AUDIT: id={} stage={} ip={} method={} user={} groups={} as={} asgroups={} user-agent={} \
             namespace={} uri={} response=\"{}\"\n",
            go_quote(self.audit_id),
            go_quote(self.stage.as_str()),
            go_quote(self.source_ips.first().map_or("<unknown>", String::as_str)),
            go_quote(self.verb),
            go_quote(&or(self.user.username, "<none>")),
            go_quote(&or(&groups, "<none>")),
            go_quote(&as_user),
            go_quote(&as_groups),
            go_quote(self.user_agent),
            go_quote(&or(self.object_ref.map_or("", |object| &object.namespace), "<none>")),
            go_quote(self.request_uri),
            code.map_or_else(|| "<deferred>".to_owned(), |code| code.to_string()),
        );
        line.into_bytes()
    }
}

/// Somebody.
#[derive(Default, Serialize)]
pub(super) struct User<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a BTreeMap<String, Vec<String>>>,
}

impl<'a> From<&'a Identity> for User<'a> {
    fn from(identity: &'a Identity) -> User<'a> {
        let extra = Some(&identity.extra).filter(|extra| !extra.is_empty());
        User { username: &identity.user, uid: &identity.uid, groups: &identity.groups, extra }
    }
}

/// What was asked for.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectRef {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) api_group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) subresource: String,
}
