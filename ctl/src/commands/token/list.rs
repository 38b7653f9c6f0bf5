//! `gantry token list`.

use api::bootstrap_token::{
    DESCRIPTION, EXPIRATION, EXTRA_GROUPS, ID, NAME_PREFIX, SECRET, SECRET_TYPE, Token, USAGE_PREFIX, data, time,
};
use api::duration::short_human;
use clap::Args;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::SECRETS;
use crate::output::Printing;
use crate::session::Ask;
use crate::{Error, Session};

/// The least width of a column, and the space behind its widest cell, as kubeadm has them.
const LEAST: usize = 10;
const SPACE: usize = 3;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    output: Printing,
}

/// A token, as its Secret says.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    token: Token,
    expires: Option<(String, Timestamp)>,
    usages: Vec<String>,
    description: String,
    groups: Vec<String>,
}

impl Listed {
    fn of(secret: &Secret) -> Result<Listed, String> {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        let text = |key: &str| String::from_utf8_lossy(data(secret, key)).into_owned();
        let (id, key) = (text(ID), text(SECRET));
        if name.strip_prefix(NAME_PREFIX) != Some(id.as_str()) {
            return Err(format!("Secret {name} is not named after the ID of its token"));
        }
        let token =
            format!("{id}.{key}").parse::<Token>().map_err(|error| format!("Secret {name} has no token: {error}"))?;
        let expires = match text(EXPIRATION) {
            stated if stated.is_empty() => None,
            stated => {
                let end =
                    time(&stated).ok_or_else(|| format!("Secret {name} says no time at which its token expires"))?;
                Some((stated, end))
            }
        };
        let values = secret.data.iter().flatten().filter(|(_, value)| value.0 == b"true");
        let usages = values.filter_map(|(key, _)| key.strip_prefix(USAGE_PREFIX)).map(str::to_owned).collect();
        let groups = text(EXTRA_GROUPS).split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect();
        Ok(Listed { token, expires, usages, description: text(DESCRIPTION), groups })
    }

    fn line(&self, now: Timestamp) -> Vec<String> {
        let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
        let (ttl, expires) = match &self.expires {
            Some((stated, end)) => (short_human(end.duration_since(now).as_secs()), stated.clone()),
            None => ("<forever>".to_owned(), "<never>".to_owned()),
        };
        let (usages, groups) = (or_none(self.usages.join(",")), or_none(self.groups.join(",")));
        vec![self.token.reveal(), ttl, expires, usages, or_none(self.description.clone()), groups]
    }

    /// As kubeadm shows it to programs.
    fn object(&self) -> Value {
        let mut object = json!({
            "apiVersion": "output.kubeadm.k8s.io/v1alpha3", "kind": "BootstrapToken", "token": self.token.reveal(),
        });
        if !self.description.is_empty() {
            object["description"] = json!(self.description);
        }
        if let Some((stated, _)) = &self.expires {
            object["expires"] = json!(stated);
        }
        for (field, list) in [("usages", &self.usages), ("groups", &self.groups)] {
            if !list.is_empty() {
                object[field] = json!(list);
            }
        }
        object
    }
}

/// Shows the tokens. Those that cannot be read are only remarked upon.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let format = arguments.output.of_objects()?;
    let selector = format!("type={SECRET_TYPE}");
    let mut list = session.json(Ask::get(SECRETS).query("fieldSelector", selector)).await?;
    let secrets: Vec<Secret> = serde_json::from_value(list["items"].take())
        .map_err(|error| Error::said(format!("the server's answer is no list of Secrets: {error}")))?;
    let mut tokens = Vec::new();
    for secret in &secrets {
        match Listed::of(secret) {
            Ok(token) => tokens.push(token),
            Err(why) => session.remark(&why)?,
        }
    }
    if let Some(format) = format {
        let name = |object: &Value| format!("bootstraptoken/{}", object["token"].as_str().unwrap_or_default());
        for token in &tokens {
            format.write(session, &token.object(), &name)?;
        }
        return Ok(());
    }
    let header = ["TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"].map(str::to_owned).to_vec();
    let now = Timestamp::now();
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(tokens.iter().map(|token| token.line(now))).collect();
    session.write(&table(&lines))
}

fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count() + SPACE).max().unwrap_or_default().max(LEAST)
    };
    let widths: Vec<usize> = (0..columns.saturating_sub(1)).map(width).chain([0]).collect();
    let cells = |line: &Vec<String>| {
        line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect::<String>() + "\n"
    };
    lines.iter().map(cells).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(data: &[(&str, &str)]) -> Secret {
        let value = |(key, text): &(&str, &str)| ((*key).to_owned(), k8s_openapi::ByteString(text.as_bytes().to_vec()));
        let mut secret = Secret { data: Some(data.iter().map(value).collect()), ..Secret::default() };
        secret.metadata.name = Some("bootstrap-token-abcdef".to_owned());
        secret
    }

    const GOOD: [(&str, &str); 2] = [("token-id", "abcdef"), ("token-secret", "0123456789abcdef")];

    #[test]
    fn tokens_are_listed_as_by_kubeadm() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let line = |more: &[(&str, &str)]| Listed::of(&secret(&[&GOOD, more].concat())).unwrap().line(now);
        let plain = line(&[]);
        let expected = ["abcdef.0123456789abcdef", "<forever>", "<never>", "<none>", "<none>", "<none>"];
        assert_eq!(plain, expected);
        let full = line(&[
            ("expiration", "2026-03-02T11:00:00Z"),
            ("usage-bootstrap-signing", "true"),
            ("usage-bootstrap-authentication", "true"),
            ("usage-bootstrap-other", "false"),
            ("description", "mine"),
            ("auth-extra-groups", "system:bootstrappers:a,system:bootstrappers:b"),
        ]);
        let expected = [
            "abcdef.0123456789abcdef",
            "23h",
            "2026-03-02T11:00:00Z",
            "authentication,signing",
            "mine",
            "system:bootstrappers:a,system:bootstrappers:b",
        ];
        assert_eq!(full, expected);
        assert_eq!(line(&[("expiration", "2026-03-01T11:00:00Z")])[1], "<invalid>");
        let header = ["TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"].map(str::to_owned).to_vec();
        assert_eq!(
            table(&[header, plain]),
            "TOKEN                     TTL         EXPIRES   USAGES    DESCRIPTION   EXTRA GROUPS\n\
             abcdef.0123456789abcdef   <forever>   <never>   <none>    <none>        <none>\n"
        );
    }

    #[test]
    fn programs_are_told_the_same() {
        let more = [("expiration", "2026-03-02T11:00:00Z"), ("usage-bootstrap-signing", "true"), ("description", "x")];
        let listed = Listed::of(&secret(&[&GOOD, &more[..]].concat())).unwrap();
        let expected = json!({
            "apiVersion": "output.kubeadm.k8s.io/v1alpha3", "kind": "BootstrapToken",
            "token": "abcdef.0123456789abcdef", "expires": "2026-03-02T11:00:00Z", "usages": ["signing"],
            "description": "x",
        });
        assert_eq!(listed.object(), expected);
    }

    #[test]
    fn what_is_no_token_is_said_to_be_none() {
        let check = |data: &[(&str, &str)], expected: &str| {
            let error = Listed::of(&secret(data)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(&[], "is not named after");
        check(&[("token-id", "abcdeg")], "is not named after");
        check(&[("token-id", "abcdef"), ("token-secret", "short")], "has no token");
        check(&[GOOD[0], GOOD[1], ("expiration", "soon")], "says no time");
    }
}
