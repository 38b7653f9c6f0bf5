//! Names that follow what they are names of: when an object has got another name, fields of others that had the old one get
//! the new one.
//!
//! A field may be the name of several objects, as several bases may have one of that name. Which one is meant is decided by
//! the namespace, and then by the prefixes and suffixes that both have got on their way.

use serde_json::{Value, json};

use crate::Error;
use crate::defaults::NameReference;
use crate::id::{Gvk, Id};
use crate::resource::Resource;
use crate::set::Set;
use crate::spec::{FieldSpec, Made, walk};
use crate::transform::in_words;
use crate::yaml::is_null;

/// What is known of an object that may be meant. Names do not change any more, so it stays true.
struct Candidate {
    id: Id,
    previous: Vec<Id>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

impl Candidate {
    fn of(resource: &Resource) -> Candidate {
        Candidate {
            id: resource.id(),
            previous: resource.previous_ids(),
            prefixes: resource.prefixes.clone(),
            suffixes: resource.suffixes.clone(),
        }
    }

    fn original(&self) -> &Id {
        self.previous.first().unwrap_or(&self.id)
    }

    /// Whether both have got the same prefixes and suffixes in the end.
    fn same_ends(&self, other: &Candidate, nothing_fits_all: bool) -> bool {
        let same = |left: &[String], right: &[String]| {
            let shorter = left.len().min(right.len());
            match shorter {
                0 => nothing_fits_all || left.len() == right.len(),
                _ => left[left.len() - shorter..] == right[right.len() - shorter..],
            }
        };
        same(&self.prefixes, &other.prefixes) && same(&self.suffixes, &other.suffixes)
    }
}

/// Has all names follow.
pub(crate) fn follow(set: &mut Set, references: &[NameReference]) -> Result<(), Error> {
    let candidates: Vec<Candidate> = set.list.iter().map(Candidate::of).collect();
    for (index, resource) in set.list.iter_mut().enumerate() {
        let referrer = &candidates[index];
        let mut near: Option<Vec<&Candidate>> = None;
        for reference in references {
            let target = reference.gvk();
            for field in &reference.fields {
                if !referrer.original().gvk.is_selected(&field.gvk()) {
                    continue;
                }
                let near = near.get_or_insert_with(|| reachable(resource, referrer, &candidates));
                let role = role(field, &resource.object);
                let search = Search { referrer, target: &target, role, candidates: near };
                let mut set = |value: &mut Value| search.set(value);
                walk(&mut resource.object, &field.steps(), Made::Never, &mut set).map_err(|error| {
                    let (path, id) = (&field.path, &referrer.id);
                    error
                        .doing(format!("considering field '{path}' of object {id}"))
                        .doing(format!("updating name reference in '{path}' field of '{id}'"))
                })?;
            }
        }
    }
    Ok(())
}

/// Those that the object may name: in its namespace or in none; a binding names accounts of others, too.
fn reachable<'c>(resource: &Resource, referrer: &Candidate, candidates: &'c [Candidate]) -> Vec<&'c Candidate> {
    let mut others = Vec::new();
    if resource.kind() == "RoleBinding" {
        let accounts = resource.object["subjects"].as_array().into_iter().flatten();
        let accounts = accounts.filter(|subject| subject["kind"] == "ServiceAccount");
        others.extend(accounts.filter_map(|subject| subject["namespace"].as_str()));
    }
    let is_near = |candidate: &&Candidate| {
        referrer.id.is_cluster_scoped()
            || candidate.id.is_cluster_scoped()
            || candidate.id.effective_namespace() == referrer.id.effective_namespace()
            || others.contains(&candidate.id.namespace.as_str())
    };
    candidates.iter().filter(is_near).collect()
}

/// The kind of role that a binding says, if the field is the role's name.
fn role(field: &FieldSpec, object: &Value) -> Option<Gvk> {
    let text = |name: &str| object["roleRef"][name].as_str().map(str::to_owned);
    field.path.ends_with("roleRef/name").then_some(())?;
    Some(Gvk { group: text("apiGroup")?, version: String::new(), kind: text("kind")? })
}

/// What a name in a field of an object is looked up with.
struct Search<'c> {
    referrer: &'c Candidate,
    target: &'c Gvk,
    role: Option<Gvk>,
    candidates: &'c [&'c Candidate],
}

impl Search<'_> {
    fn set(&self, value: &mut Value) -> Result<(), Error> {
        if is_null(value) {
            return Ok(());
        }
        match value {
            Value::Array(elements) => elements.iter_mut().try_for_each(|element| match element {
                Value::Array(_) => {
                    Err(Error::said("node is expected to be either a string or a slice of string or a map of string"))
                }
                other => self.set(other),
            }),
            Value::Object(_) => self.set_map(value),
            other => {
                let name = in_words(other)?;
                let same_name = |found: &[&Candidate]| found.iter().all(|other| other.id.name == found[0].id.name);
                if let Some(found) = self.find(&name, self.candidates.to_vec(), same_name)?
                    && found.id.name != name
                {
                    *other = json!(found.id.name);
                }
                Ok(())
            }
        }
    }

    /// A map with a name and, perhaps, a namespace, which is followed, too.
    fn set_map(&self, value: &mut Value) -> Result<(), Error> {
        let Some(name) = value.get("name") else {
            return Err(Error::said("path config error; no 'name' field in node"));
        };
        let name = in_words(name)?;
        let mut candidates = self.candidates.to_vec();
        if let Some(namespace) = value.get("namespace").filter(|namespace| !is_null(namespace)) {
            let namespace = in_words(namespace)?;
            let original: Vec<&Candidate> = candidates
                .iter()
                .filter(|candidate| candidate.original().effective_namespace() == namespace)
                .copied()
                .collect();
            candidates = match original.is_empty() {
                false => original,
                true => {
                    candidates.retain(|candidate| candidate.id.effective_namespace() == namespace);
                    candidates
                }
            };
        }
        let same = |found: &[&Candidate]| {
            let first = &found[0].id;
            found.iter().all(|other| other.id.name == first.name && other.id.namespace == first.namespace)
        };
        let Some(found) = self.find(&name, candidates, same)? else { return Ok(()) };
        if found.id.name == name && found.id.namespace.is_empty() {
            return Ok(());
        }
        value["name"] = json!(found.id.name);
        if !found.id.namespace.is_empty() {
            value["namespace"] = json!(found.id.namespace);
        }
        Ok(())
    }

    /// The object that is meant by an old name.
    fn find<'c>(
        &self,
        name: &str,
        mut candidates: Vec<&'c Candidate>,
        are_the_same: impl Fn(&[&Candidate]) -> bool,
    ) -> Result<Option<&'c Candidate>, Error> {
        let was = |candidate: &Candidate, gvk: &Gvk| candidate.previous.iter().any(|id| id.gvk.is_selected(gvk));
        candidates.retain(|candidate| candidate.previous.iter().any(|id| id.name == name));
        candidates.retain(|candidate| was(candidate, self.target));
        candidates.retain(|candidate| self.role.as_ref().is_none_or(|role| was(candidate, role)));
        candidates.retain(|candidate| {
            self.referrer.id.is_cluster_scoped()
                || candidate.id.is_cluster_scoped()
                || candidate.id.gvk.kind == "ServiceAccount"
                || candidate.id.effective_namespace() == self.referrer.id.effective_namespace()
        });
        for nothing_fits_all in [true, false] {
            if candidates.len() > 1 {
                candidates.retain(|candidate| candidate.same_ends(self.referrer, nothing_fits_all));
            }
        }
        match candidates[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ if are_the_same(&candidates) => Ok(Some(candidates[0])),
            _ => {
                let ids: Vec<String> = candidates.iter().map(|candidate| candidate.id.to_string()).collect();
                Err(Error::said(format!("found multiple possible referrals: {}", ids.join(", "))))
            }
        }
    }
}
