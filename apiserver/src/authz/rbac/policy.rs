//! The roles and bindings of a cluster, by whom they are for.
//!
//! What always holds: a binding is found under every subject that it has, and under no other; roles are looked up at each
//! use, so that the order in which roles and bindings come and go makes no difference.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use api::field::go_quote;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};

use crate::authn::Identity;

/// What the names of the users begin with who are ServiceAccounts.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Everything that is bound, and the roles that it is bound to.
#[derive(Default)]
pub(super) struct Policy {
    cluster_roles: HashMap<String, Vec<PolicyRule>>,
    roles: HashMap<String, HashMap<String, Vec<PolicyRule>>>,
    everywhere: Bindings,
    within: HashMap<String, Bindings>,
}

/// A binding that applies to somebody, and what its role allows.
pub(super) struct Applies<'a> {
    bound: &'a Bound,
    subject: &'a Subject,
    /// The rules of the role, or that there is no such role.
    pub(super) rules: Result<&'a [PolicyRule], NoRole>,
}

impl Applies<'_> {
    /// Why somebody may, in upstream's words.
    pub(super) fn reason(&self) -> String {
        let Bound { name, namespace, role, .. } = self.bound;
        let by = match namespace.as_str() {
            "" => format!("ClusterRoleBinding {}", go_quote(name)),
            namespace => format!("RoleBinding {}", go_quote(&format!("{name}/{namespace}"))),
        };
        let subject = match &*self.subject.kind {
            "ServiceAccount" => {
                let account = self.subject.namespace.as_deref().filter(|stated| !stated.is_empty());
                go_quote(&format!("{}/{}", self.subject.name, account.unwrap_or(namespace)))
            }
            _ => go_quote(&self.subject.name),
        };
        let (kind, role) = (&role.kind, go_quote(&role.name));
        format!("RBAC: allowed by {by} of {kind} {role} to {} {subject}", self.subject.kind)
    }
}

/// A role that a binding names, and that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}.rbac.authorization.k8s.io {} not found", kind.to_lowercase(), go_quote(name))]
pub(crate) struct NoRole {
    /// `Role` or `ClusterRole`.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
}

/// A binding.
struct Bound {
    name: String,
    /// Empty for one of all namespaces.
    namespace: String,
    role: RoleRef,
    subjects: Vec<Subject>,
}

/// For each name of a subject, the names of bindings, and the subject's place among theirs.
type Index = HashMap<String, BTreeMap<String, usize>>;

/// The bindings of a namespace, or of all.
#[derive(Default)]
struct Bindings {
    by_name: BTreeMap<String, Bound>,
    users: Index,
    groups: Index,
}

impl Bindings {
    fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    fn put(&mut self, bound: Bound) {
        self.remove(&bound.name);
        // The first of several that apply is the one that is told, so it is put last.
        for (at, subject) in bound.subjects.iter().enumerate().rev() {
            if let Some((index, key)) = self.index(subject, &bound.namespace) {
                index.entry(key).or_default().insert(bound.name.clone(), at);
            }
        }
        self.by_name.insert(bound.name.clone(), bound);
    }

    fn remove(&mut self, name: &str) {
        let Some(bound) = self.by_name.remove(name) else { return };
        for subject in &bound.subjects {
            let Some((index, key)) = self.index(subject, &bound.namespace) else { continue };
            if let Some(names) = index.get_mut(&key) {
                names.remove(name);
                if names.is_empty() {
                    index.remove(&key);
                }
            }
        }
    }

    /// Where a subject is looked up, and under what. A ServiceAccount is in the binding's namespace unless it says otherwise.
    fn index(&mut self, subject: &Subject, namespace: &str) -> Option<(&mut Index, String)> {
        match &*subject.kind {
            "User" => Some((&mut self.users, subject.name.clone())),
            "Group" => Some((&mut self.groups, subject.name.clone())),
            "ServiceAccount" => {
                let stated = subject.namespace.as_deref().filter(|stated| !stated.is_empty());
                let namespace = stated.or((!namespace.is_empty()).then_some(namespace))?;
                Some((&mut self.users, format!("{SERVICE_ACCOUNT}{namespace}:{}", subject.name)))
            }
            _ => None,
        }
    }

    /// The bindings that apply to somebody, in the order of their names.
    fn of<'a>(&'a self, identity: &Identity) -> Vec<(&'a Bound, &'a Subject)> {
        let mut found: Vec<(&str, usize)> = Vec::new();
        let groups = identity.groups.iter().filter_map(|group| self.groups.get(group));
        for names in self.users.get(&identity.user).into_iter().chain(groups) {
            found.extend(names.iter().map(|(name, at)| (name.as_str(), *at)));
        }
        found.sort_unstable();
        found.dedup_by_key(|(name, _)| *name);
        let bound = |(name, at): (&str, usize)| {
            let bound = self.by_name.get(name)?;
            Some((bound, bound.subjects.get(at)?))
        };
        found.into_iter().filter_map(bound).collect()
    }
}

impl Policy {
    pub(super) fn put_cluster_role(&mut self, role: ClusterRole) {
        self.cluster_roles.insert(role.metadata.name.unwrap_or_default(), role.rules.unwrap_or_default());
    }

    pub(super) fn remove_cluster_role(&mut self, name: &str) {
        self.cluster_roles.remove(name);
    }

    pub(super) fn put_role(&mut self, namespace: &str, role: Role) {
        let roles = self.roles.entry(namespace.to_owned()).or_default();
        roles.insert(role.metadata.name.unwrap_or_default(), role.rules.unwrap_or_default());
    }

    pub(super) fn remove_role(&mut self, namespace: &str, name: &str) {
        if let Some(roles) = self.roles.get_mut(namespace) {
            roles.remove(name);
            if roles.is_empty() {
                self.roles.remove(namespace);
            }
        }
    }

    pub(super) fn put_cluster_role_binding(&mut self, binding: ClusterRoleBinding) {
        self.everywhere.put(Bound {
            name: binding.metadata.name.unwrap_or_default(),
            namespace: String::new(),
            role: binding.role_ref,
            subjects: binding.subjects.unwrap_or_default(),
        });
    }

    pub(super) fn remove_cluster_role_binding(&mut self, name: &str) {
        self.everywhere.remove(name);
    }

    pub(super) fn put_role_binding(&mut self, namespace: &str, binding: RoleBinding) {
        self.within.entry(namespace.to_owned()).or_default().put(Bound {
            name: binding.metadata.name.unwrap_or_default(),
            namespace: namespace.to_owned(),
            role: binding.role_ref,
            subjects: binding.subjects.unwrap_or_default(),
        });
    }

    pub(super) fn remove_role_binding(&mut self, namespace: &str, name: &str) {
        if let Some(bindings) = self.within.get_mut(namespace) {
            bindings.remove(name);
            if bindings.is_empty() {
                self.within.remove(namespace);
            }
        }
    }

    /// The rules of a role, as a binding in `namespace` sees them.
    pub(super) fn rules_of(&self, role: &RoleRef, namespace: &str) -> Result<&[PolicyRule], NoRole> {
        let rules = match &*role.kind {
            "ClusterRole" => self.cluster_roles.get(&role.name),
            _ => self.roles.get(namespace).and_then(|roles| roles.get(&role.name)),
        };
        rules.map(Vec::as_slice).ok_or_else(|| NoRole { kind: role.kind.clone(), name: role.name.clone() })
    }

    /// Shows every binding that applies to somebody in `namespace` (those of all namespaces first, and only those if it is
    /// empty) until `show` has seen enough.
    pub(super) fn visit<'a>(
        &'a self,
        identity: &Identity,
        namespace: &str,
        mut show: impl FnMut(&Applies<'a>) -> ControlFlow<()>,
    ) {
        let within = self.within.get(namespace).map(|bindings| bindings.of(identity));
        let everywhere = self.everywhere.of(identity);
        for (bound, subject) in everywhere.into_iter().chain(within.into_iter().flatten()) {
            let rules = self.rules_of(&bound.role, &bound.namespace);
            if show(&Applies { bound, subject, rules }).is_break() {
                return;
            }
        }
    }
}
