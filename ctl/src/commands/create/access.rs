//! Who may do what: service accounts and their tokens, roles and their bindings.

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::{Made, match_labels};
use crate::output::Printing;
use crate::session::Ask;
use crate::{Error, Session};

const GROUP: &str = "rbac.authorization.k8s.io";
/// The verbs that the server asks for. Others are no mistake, but seldom meant.
const VERBS: [&str; 16] = [
    "*",
    "approve",
    "bind",
    "create",
    "delete",
    "deletecollection",
    "escalate",
    "get",
    "impersonate",
    "list",
    "patch",
    "proxy",
    "sign",
    "update",
    "use",
    "watch",
];

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServiceAccount {
    /// Its name.
    name: String,
}

impl ServiceAccount {
    pub(super) fn make(&self) -> Made {
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": self.name}});
        Made::new(object, "failed to create serviceaccount:")
    }
}

/// What a rule allows.
#[derive(Clone, Debug, Args)]
struct Rule {
    /// What may be done: get, list, create and so on, or *.
    #[arg(long, value_name = "VERBS", value_delimiter = ',')]
    verb: Vec<String>,
    /// With which resources: RESOURCE[.GROUP][/SUBRESOURCE].
    #[arg(long, value_name = "RESOURCES", value_delimiter = ',')]
    resource: Vec<String>,
    /// Only with objects of this name; can be given more than once.
    #[arg(long, value_name = "NAME")]
    resource_name: Vec<String>,
}

impl Rule {
    /// What may be done, each once.
    fn verbs(&self) -> Vec<&str> {
        if self.verb.iter().any(|verb| verb == "*") {
            return vec!["*"];
        }
        distinct(self.verb.iter().map(String::as_str))
    }

    /// A rule for each API group.
    async fn rules(&self, session: &mut Session<'_>) -> Result<Vec<Value>, Error> {
        let verbs = self.verbs();
        for verb in verbs.iter().filter(|verb| !VERBS.contains(verb)) {
            session.remark(&format!("Warning: '{verb}' is not a standard resource verb"))?;
        }
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        let everything = ["*".to_owned()];
        let resources = if self.resource.contains(&everything[0]) { &everything[..] } else { &self.resource[..] };
        for text in resources {
            let (name, subresource) =
                text.split_once('/').map_or((text.as_str(), None), |(name, sub)| (name, Some(sub)));
            let (group, plural) = match name {
                "*" => (String::new(), "*".to_owned()),
                name => match session.catalog().await?.find(name) {
                    Ok(found) if found.len() == 1 => (found[0].group.clone(), found[0].plural.clone()),
                    Ok(_) => return Err(Error::said(format!("{name:?} stands for several resources"))),
                    Err(error) => return Err(error.unadorned()),
                },
            };
            let resource = subresource.map_or_else(|| plural.clone(), |subresource| format!("{plural}/{subresource}"));
            match groups.iter_mut().find(|(other, _)| *other == group) {
                Some((_, resources)) if resources.contains(&resource) => {}
                Some((_, resources)) => resources.push(resource),
                None => groups.push((group, vec![resource])),
            }
        }
        groups.sort();
        let rule = |(group, resources): (String, Vec<String>)| {
            let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
            if !self.resource_name.is_empty() {
                rule["resourceNames"] = json!(distinct(self.resource_name.iter().map(String::as_str)));
            }
            rule
        };
        Ok(groups.into_iter().map(rule).collect())
    }
}

/// Each of them once, in their order.
fn distinct<'a>(of: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for one in of {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Role {
    /// Its name.
    name: String,
    #[command(flatten)]
    rule: Rule,
}

impl Role {
    pub(super) async fn make(&self, session: &mut Session<'_>) -> Result<Made, Error> {
        if self.rule.verb.is_empty() {
            return Err(Error::said("at least one verb must be specified"));
        }
        if self.rule.resource.is_empty() {
            return Err(Error::said("at least one resource must be specified"));
        }
        let rules = self.rule.rules(session).await?;
        let object = json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "Role", "metadata": {"name": self.name}, "rules": rules,
        });
        Ok(Made::new(object, ""))
    }
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterRole {
    /// Its name.
    name: String,
    #[command(flatten)]
    rule: Rule,
    /// Paths of the server that are no resources.
    #[arg(long = "non-resource-url", value_name = "PATHS", value_delimiter = ',')]
    non_resource_urls: Vec<String>,
    /// Instead of a rule: those of all cluster roles with these labels.
    #[arg(long, value_name = "SELECTOR", default_value = "")]
    aggregation_rule: String,
}

impl ClusterRole {
    pub(super) async fn make(&self, session: &mut Session<'_>) -> Result<Made, Error> {
        let mut object =
            json!({"apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole", "metadata": {"name": self.name}});
        if !self.aggregation_rule.is_empty() {
            if !(self.rule.verb.is_empty() && self.rule.resource.is_empty() && self.non_resource_urls.is_empty()) {
                return Err(Error::said(
                    "aggregation rule must be specified without verbs, resources and non-resource URLs",
                ));
            }
            object["aggregationRule"] = json!({"clusterRoleSelectors": [match_labels(&self.aggregation_rule)?]});
            object["rules"] = Value::Null;
            return Ok(Made::new(object, ""));
        }
        if self.rule.verb.is_empty() {
            return Err(Error::said("at least one verb must be specified"));
        }
        if self.rule.resource.is_empty() && self.non_resource_urls.is_empty() {
            return Err(Error::said("one of resource or nonResourceURL must be specified"));
        }
        let mut rules = self.rule.rules(session).await?;
        if !self.non_resource_urls.is_empty() {
            let paths = distinct(self.non_resource_urls.iter().map(String::as_str));
            rules.push(json!({"nonResourceURLs": paths, "verbs": self.rule.verbs()}));
        }
        object["rules"] = json!(rules);
        Ok(Made::new(object, ""))
    }
}

/// Whom a role is bound to.
#[derive(Clone, Debug, Args)]
struct Subjects {
    /// A user; can be given more than once.
    #[arg(long = "user", id = "bound-user", value_name = "NAME")]
    user: Vec<String>,
    /// A group; can be given more than once.
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// A service account: NAMESPACE:NAME; can be given more than once.
    #[arg(long, value_name = "NAMESPACE:NAME")]
    serviceaccount: Vec<String>,
}

impl Subjects {
    fn list(&self) -> Result<Vec<Value>, Error> {
        let named = |kind: &str, names: &[String]| -> Vec<Value> {
            names.iter().map(|name| json!({"apiGroup": GROUP, "kind": kind, "name": name})).collect()
        };
        let mut list = named("User", &self.user);
        list.extend(named("Group", &self.group));
        for account in &self.serviceaccount {
            match account.split(':').collect::<Vec<_>>()[..] {
                [namespace, name] if !namespace.is_empty() && !name.is_empty() => {
                    list.push(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}));
                }
                _ => return Err(Error::said("serviceaccount must be <namespace>:<name>")),
            }
        }
        Ok(list)
    }
}

fn binding(kind: &str, name: &str, role: (&str, &str), subjects: &Subjects) -> Result<Value, Error> {
    let mut object = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": role.0, "name": role.1},
    });
    let subjects = subjects.list()?;
    if !subjects.is_empty() {
        object["subjects"] = json!(subjects);
    }
    Ok(object)
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct RoleBinding {
    /// Its name.
    name: String,
    /// The role of the namespace.
    #[arg(long, value_name = "NAME", default_value = "")]
    role: String,
    /// The cluster role, instead of a role.
    #[arg(long, value_name = "NAME", default_value = "")]
    clusterrole: String,
    #[command(flatten)]
    subjects: Subjects,
}

impl RoleBinding {
    pub(super) fn make(&self) -> Result<Made, Error> {
        let role = match (self.role.as_str(), self.clusterrole.as_str()) {
            (role, "") if !role.is_empty() => ("Role", role),
            ("", role) if !role.is_empty() => ("ClusterRole", role),
            _ => return Err(Error::said("exactly one of clusterrole or role must be specified")),
        };
        let object = binding("RoleBinding", &self.name, role, &self.subjects)?;
        Ok(Made::new(object, "failed to create rolebinding:"))
    }
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterRoleBinding {
    /// Its name.
    name: String,
    /// The cluster role.
    #[arg(long, value_name = "NAME", required = true)]
    clusterrole: String,
    #[command(flatten)]
    subjects: Subjects,
}

impl ClusterRoleBinding {
    pub(super) fn make(&self) -> Result<Made, Error> {
        let object = binding("ClusterRoleBinding", &self.name, ("ClusterRole", &self.clusterrole), &self.subjects)?;
        Ok(Made::new(object, "failed to create clusterrolebinding:"))
    }
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Token {
    /// The service account.
    name: String,
    /// Who is to accept it; can be given more than once [default: the API server].
    #[arg(long, value_name = "NAME")]
    audience: Vec<String>,
    /// For how long it is good, such as 1h; 0 leaves it to the server.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    duration: String,
    /// The kind of the object that it is good with: Pod, Secret or Node.
    #[arg(long, value_name = "KIND", default_value = "")]
    bound_object_kind: String,
    /// The name of the object that it is good with.
    #[arg(long, value_name = "NAME", default_value = "")]
    bound_object_name: String,
    /// The UID of the object that it is good with.
    #[arg(long, value_name = "UID", default_value = "")]
    bound_object_uid: String,
    #[command(flatten)]
    output: Printing,
}

impl Token {
    /// What the server is asked for.
    fn request(&self) -> Result<Value, Error> {
        let mut spec = json!({"audiences": self.audience});
        if let Some(duration) = crate::session::duration("--duration", &self.duration)? {
            if duration.subsec_nanos() > 0 {
                return Err(Error::said("--duration cannot be expressed in units less than seconds"));
            }
            spec["expirationSeconds"] = json!(duration.as_secs());
        }
        if self.bound_object_kind.is_empty() {
            if !(self.bound_object_name.is_empty() && self.bound_object_uid.is_empty()) {
                return Err(Error::said("--bound-object-name and --bound-object-uid need --bound-object-kind"));
            }
        } else {
            if !matches!(self.bound_object_kind.as_str(), "Pod" | "Secret" | "Node") {
                return Err(Error::said(format!(
                    "supported --bound-object-kind values are Node, Pod, Secret: not {}",
                    self.bound_object_kind
                )));
            }
            if self.bound_object_name.is_empty() {
                return Err(Error::said("--bound-object-name is required if --bound-object-kind is provided"));
            }
            spec["boundObjectRef"] =
                json!({"apiVersion": "v1", "kind": self.bound_object_kind, "name": self.bound_object_name});
            if !self.bound_object_uid.is_empty() {
                spec["boundObjectRef"]["uid"] = json!(self.bound_object_uid);
            }
        }
        Ok(json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}))
    }

    pub(super) async fn run(&self, session: &mut Session<'_>) -> Result<(), Error> {
        let request = self.request()?;
        let accounts = session.catalog().await?.of_kind("v1", "ServiceAccount")?.clone();
        let namespace = session.namespace().await?;
        let path = format!("{}/token", accounts.object_path(&namespace, &self.name));
        let answer = session.json(Ask::with(Method::POST, &path, &request)).await.map_err(|error| match &error {
            Error::Server(status) => {
                Error::said(format!("failed to create token: {}", status["message"].as_str().unwrap_or_default()))
            }
            _ => error,
        })?;
        let token = answer["status"]["token"].as_str().unwrap_or_default();
        if token.is_empty() {
            return Err(Error::said("failed to create token: no token in server response"));
        }
        let Some(format) = self.output.of_objects()? else {
            // Who looks at it has a line; a script has the token and nothing else.
            return if session.is_terminal() { session.say(token) } else { session.write(token) };
        };
        format.write(session, &answer, &|_| format!("tokenrequest.authentication.k8s.io/{}", self.name))
    }
}
