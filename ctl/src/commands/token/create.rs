//! `gantry token create`.

use api::bootstrap_token::{
    AUTHENTICATION, DESCRIPTION, EXPIRATION, EXTRA_GROUPS, ID, JOINING, NAME_PREFIX, NAMESPACE, SECRET, SECRET_TYPE,
    SIGNING, Token, USAGE_PREFIX, is_group,
};
use clap::Args;
use http::Method;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::{SECRETS, generated, join_line};
use crate::session::{Ask, duration};
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The token, ID.SECRET; one that nobody can guess if none is given.
    #[arg(value_name = "TOKEN")]
    wanted: Option<String>,
    /// For how long machines can join by it, such as 24h or 30m; 0 is for ever.
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    ttl: String,
    /// What it is for, in words for people.
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// What it may be used for, with commas in between: `signing`, so that whoever joins knows the cluster by it, and
    /// `authentication`, so that the cluster knows them.
    #[arg(long, value_name = "USAGES", value_delimiter = ',', default_value = "signing,authentication")]
    usages: Vec<String>,
    /// The groups that whoever has it is in, with commas in between; their names begin with system:bootstrappers: [default:
    /// system:bootstrappers:kubeadm:default-node-token, whose members may join].
    #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
    groups: Option<Vec<String>>,
    /// Print the command by which a machine joins, and not the token alone.
    #[arg(long)]
    print_join_command: bool,
}

/// What is to be made.
#[derive(Debug)]
struct Wanted {
    token: Token,
    seconds: Option<i64>,
    description: String,
    usages: Vec<String>,
    groups: Vec<String>,
}

impl Wanted {
    fn of(arguments: &Arguments) -> Result<Wanted, Error> {
        let token = match &arguments.wanted {
            Some(text) => text.parse().map_err(|malformed| {
                Error::said(format!("TOKEN: {malformed}: leave it out, and one is made that nobody can guess"))
            })?,
            None => generated(),
        };
        let ttl = duration("--ttl", &arguments.ttl)?;
        if ttl.is_some_and(|ttl| ttl.as_secs() == 0) {
            return Err(Error::said(format!("--ttl {:?} is over at once: write it as 24h or 30m", arguments.ttl)));
        }
        let seconds = ttl.map(|ttl| i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
        let usages: Vec<String> = arguments.usages.iter().filter(|usage| !usage.is_empty()).cloned().collect();
        if let Some(usage) = usages.iter().find(|usage| ![SIGNING, AUTHENTICATION].contains(&usage.as_str())) {
            return Err(Error::said(format!(
                "--usages: {usage:?} is no usage: write signing, authentication, or both with a comma in between"
            )));
        }
        let authenticates = usages.iter().any(|usage| usage == AUTHENTICATION);
        let groups = match &arguments.groups {
            Some(groups) => groups.iter().filter(|group| !group.is_empty()).cloned().collect(),
            None if authenticates => vec![JOINING.to_owned()],
            None => Vec::new(),
        };
        if let Some(group) = groups.iter().find(|group| !is_group(group)) {
            return Err(Error::said(format!(
                "--groups: {group:?} is no group of tokens: write system:bootstrappers: and then lower-case letters, \
                 digits, colons and hyphens"
            )));
        }
        if !groups.is_empty() && !authenticates {
            return Err(Error::said(
                "--groups: only who is known by the token is in groups: add authentication to --usages",
            ));
        }
        let joins =
            authenticates && usages.iter().any(|usage| usage == SIGNING) && groups.iter().any(|it| it == JOINING);
        if arguments.print_join_command && !joins {
            return Err(Error::said(
                "--print-join-command: nobody can join by this token: leave --usages and --groups as they are",
            ));
        }
        Ok(Wanted { token, seconds, description: arguments.description.clone(), usages, groups })
    }

    /// The Secret that keeps it.
    fn secret(&self, now: Timestamp) -> Result<Value, Error> {
        let id = self.token.id();
        let mut data = json!({ID: id, SECRET: self.token.secret()});
        if let Some(seconds) = self.seconds {
            let end = now.as_second().checked_add(seconds).and_then(|end| Timestamp::from_second(end).ok());
            let end = end.ok_or_else(|| Error::said("--ttl is too long: write 0 for a token for ever"))?;
            data[EXPIRATION] = json!(end.to_string());
        }
        if !self.description.is_empty() {
            data[DESCRIPTION] = json!(self.description);
        }
        for usage in &self.usages {
            data[format!("{USAGE_PREFIX}{usage}")] = json!("true");
        }
        if !self.groups.is_empty() {
            data[EXTRA_GROUPS] = json!(self.groups.join(","));
        }
        Ok(json!({
            "apiVersion": "v1", "kind": "Secret", "type": SECRET_TYPE,
            "metadata": {"name": format!("{NAME_PREFIX}{id}"), "namespace": NAMESPACE},
            "stringData": data,
        }))
    }
}

/// Makes a token, and shows it, or the command by which a machine joins by it.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let wanted = Wanted::of(&arguments)?;
    // Before there is a token that nobody is told of.
    let place = if arguments.print_join_command { Some(join_line::find(session).await?) } else { None };
    let secret = wanted.secret(Timestamp::now())?;
    session.ask(Ask::with(Method::POST, SECRETS, &secret)).await.map_err(|error| match error.reason() {
        Some("AlreadyExists") => {
            let id = wanted.token.id();
            Error::said(format!(
                "TOKEN: there is a token {id} already: choose another one, or `gantry token delete {id}` first"
            ))
        }
        _ => error,
    })?;
    let token = wanted.token.reveal();
    session.say(&place.map_or_else(|| token.clone(), |place| place.line(&token)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn wanted(line: &str) -> Result<Wanted, String> {
        let words = std::iter::once("create").chain(line.split(' ').filter(|word| !word.is_empty()));
        Wanted::of(&Line::try_parse_from(words).unwrap().arguments).map_err(|error| error.to_string())
    }

    const NOON: Timestamp = Timestamp::constant(1_772_366_400, 0);
    const TOKEN: &str = "abcdef.0123456789abcdef";

    #[test]
    fn secrets_are_as_kubeadm_makes_them() {
        let check = |line: &str, data: Value| {
            let secret = wanted(&format!("{TOKEN} {line}")).unwrap().secret(NOON).unwrap();
            assert_eq!(secret["metadata"], json!({"name": "bootstrap-token-abcdef", "namespace": "kube-system"}));
            assert_eq!(secret["type"], "bootstrap.kubernetes.io/token");
            assert_eq!(secret["stringData"], data, "{line}");
        };
        check(
            "",
            json!({
                "token-id": "abcdef", "token-secret": "0123456789abcdef", "expiration": "2026-03-02T12:00:00Z",
                "usage-bootstrap-signing": "true", "usage-bootstrap-authentication": "true",
                "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
            }),
        );
        check(
            "--ttl 0 --usages signing --description mine",
            json!({
                "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true",
                "description": "mine",
            }),
        );
        check(
            "--ttl 90 --usages authentication --groups system:bootstrappers:a,system:bootstrappers:b",
            json!({
                "token-id": "abcdef", "token-secret": "0123456789abcdef", "expiration": "2026-03-01T12:01:30Z",
                "usage-bootstrap-authentication": "true",
                "auth-extra-groups": "system:bootstrappers:a,system:bootstrappers:b",
            }),
        );
    }

    #[test]
    fn tokens_differ() {
        let made = || wanted("").unwrap().token;
        assert_ne!(made(), made());
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let check = |line: &str, expected: &str| {
            let error = wanted(line).unwrap_err();
            assert!(error.starts_with(&format!("error: {expected}")), "{line}: {error}");
        };
        check("abcdef", "TOKEN: a token is six ");
        check("ABCDEF.0123456789abcdef", "TOKEN: ");
        check("--ttl soon", "--ttl \"soon\": ");
        check("--ttl=-1h", "--ttl \"-1h\": ");
        check("--ttl 1ms", "--ttl \"1ms\" is over at once");
        check("--usages reading", "--usages: \"reading\" is no usage");
        check("--groups system:masters", "--groups: \"system:masters\" is no group of tokens");
        check("--usages signing --groups system:bootstrappers:a", "--groups: only who ");
        check("--print-join-command --usages signing", "--print-join-command: ");
        check("--print-join-command --usages authentication", "--print-join-command: ");
        check("--print-join-command --groups system:bootstrappers:a", "--print-join-command: ");
        let error = wanted("abcdef.0123456789SECRETS").unwrap_err();
        assert!(!error.contains("SECRETS"), "{error}");
    }
}
