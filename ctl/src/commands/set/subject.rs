//! `gantry set subject`.

use clap::{ArgMatches, Args, FromArgMatches};
use serde_json::{Value, json};

use super::Which;
use crate::command::Verb;
use crate::{Error, Session};

/// The group that users and groups are of.
const GROUP: &str = "rbac.authorization.k8s.io";

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// The users to add: what `--user` says, which is not whom to be here.
    #[arg(skip)]
    users: Vec<String>,
    /// A group to add; can be given more than once.
    #[arg(long = "group", value_name = "NAME", value_delimiter = ',')]
    groups: Vec<String>,
    /// A service account to add; can be given more than once.
    #[arg(long = "serviceaccount", value_name = "NAMESPACE:NAME", value_delimiter = ',')]
    service_accounts: Vec<String>,
}

/// The verb: its `--user` is a subject, and not a user of the kubeconfig.
#[derive(Clone, Debug)]
pub struct Subject(pub(super) Verb<Arguments>);

impl Args for Subject {
    fn augment_args(command: clap::Command) -> clap::Command {
        Verb::<Arguments>::augment_args(command)
            .mut_arg("user", |user| user.help("Users to add, with commas between them").value_name("NAMES"))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Subject::augment_args(command)
    }
}

impl FromArgMatches for Subject {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Subject, clap::Error> {
        let mut verb = Verb::<Arguments>::from_arg_matches(matches)?;
        let users = verb.connection.user.take().unwrap_or_default();
        verb.arguments.users = users.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Ok(Subject(verb))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Subject::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Adds subjects to bindings.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let added = arguments.subjects().map_err(Error::said)?;
    let which = &arguments.which;
    which
        .change(&which.what, "subjects updated", session, |target, object| {
            if !matches!(target.resource.kind.as_str(), "ClusterRoleBinding" | "RoleBinding") {
                return Err(format!(
                    "{}/{} setting subjects is only supported for RoleBinding/ClusterRoleBinding",
                    target.resource.plural, target.name
                ));
            }
            let mut subjects = object["subjects"].as_array().cloned().unwrap_or_default();
            for subject in &added {
                if !subjects.contains(subject) {
                    subjects.push(subject.clone());
                }
            }
            object["subjects"] = Value::Array(subjects);
            Ok(())
        })
        .await
}

impl Arguments {
    fn subjects(&self) -> Result<Vec<Value>, String> {
        let named = |kind: &'static str| move |name: &String| json!({"apiGroup": GROUP, "kind": kind, "name": name});
        let mut subjects: Vec<Value> = self.users.iter().map(named("User")).collect();
        subjects.extend(self.groups.iter().map(named("Group")));
        for account in &self.service_accounts {
            match account.split_once(':') {
                Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                    subjects.push(json!({"kind": "ServiceAccount", "namespace": namespace, "name": name}));
                }
                _ => return Err("serviceaccount must be <namespace>:<name>".to_owned()),
            }
        }
        if subjects.is_empty() {
            return Err("you must specify at least one value of user, group or serviceaccount".to_owned());
        }
        Ok(subjects)
    }
}
