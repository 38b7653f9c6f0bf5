//! How requests share the server in a new cluster.
//!
//! Objects that nobody has changed follow what this version of the server thinks best; the annotation
//! `apf.kubernetes.io/autoupdate-spec` says which those are, and users can write it.

use api::status::Status;
use serde_json::{Value, json};

use super::ask::{Place, name, unless_conflict};
use crate::engine::Engine;
use crate::request::Verb;
use crate::resources::{born_flow_schemas, born_priority_levels, mandatory_flow_control};

const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
const SCHEMAS: Place = Place::of("flowcontrol.apiserver.k8s.io", "v1", "flowschemas");
const LEVELS: Place = Place::of("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations");

impl Engine {
    /// Makes the levels and schemas that are missing, and brings up to date those that nobody has changed.
    pub(super) async fn bootstrap_flow_control(&self) -> Result<(), Status> {
        let levels: Vec<Value> = born_priority_levels().iter().map(|level| json!(level)).collect();
        let schemas: Vec<Value> = born_flow_schemas().iter().map(|schema| json!(schema)).collect();
        for (resource, wanted) in [(LEVELS, &levels), (SCHEMAS, &schemas)] {
            for object in wanted {
                self.ensure(resource, object).await?;
            }
            self.remove_dangling(resource, wanted).await?;
        }
        Ok(())
    }

    /// Makes `wanted`, or changes what is there to what [`revise`] says.
    async fn ensure(&self, place: Place, wanted: &Value) -> Result<(), Status> {
        let name = name(wanted);
        let outcome = match self.ask(place, Verb::Get, name, None).await {
            Ok(current) => match revise(&current, wanted) {
                Some(revised) => self.ask(place, Verb::Update, name, Some(&revised)).await,
                None => return Ok(()),
            },
            Err(status) if status.code == 404 => self.ask(place, Verb::Create, "", Some(wanted)).await,
            Err(status) => Err(status),
        };
        unless_conflict(outcome)
    }

    /// Removes what earlier versions thought best and this one does not, unless somebody keeps it.
    async fn remove_dangling(&self, place: Place, wanted: &[Value]) -> Result<(), Status> {
        let list = self.ask(place, Verb::List, "", None).await?;
        for object in list["items"].as_array().into_iter().flatten() {
            let is_wanted = wanted.iter().any(|wanted| name(wanted) == name(object));
            if is_wanted || auto_update(object) != Some(true) {
                continue;
            }
            let (uid, version) = (&object["metadata"]["uid"], &object["metadata"]["resourceVersion"]);
            let options = json!({"preconditions": {"uid": uid, "resourceVersion": version}});
            match self.ask(place, Verb::Delete, name(object), Some(&options)).await {
                Err(status) if status.code == 404 => {}
                outcome => unless_conflict(outcome)?,
            }
        }
        Ok(())
    }
}

/// What the annotation says, in any of the ways that Go takes for a boolean.
fn auto_update(object: &Value) -> Option<bool> {
    match object["metadata"]["annotations"][AUTO_UPDATE].as_str()? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// What `current` becomes, if it does not stay as it is. Where nobody says whether it follows us, it does if it was never
/// changed; and then that is written down.
fn revise(current: &Value, wanted: &Value) -> Option<Value> {
    let stated = auto_update(current);
    let follows = mandatory_flow_control(name(wanted))
        || stated.unwrap_or_else(|| current["metadata"]["generation"].as_i64() == Some(1));
    let mut spec = wanted["spec"].clone();
    if let (Some(ours), Some(theirs)) = (spec.get_mut("exempt"), current["spec"].get("exempt")) {
        // What the exempt level lends is for users to say.
        ours.clone_from(theirs);
    }
    let mut revised = current.clone();
    if follows {
        revised["spec"] = spec;
    }
    if stated != Some(follows) {
        revised["metadata"]["annotations"][AUTO_UPDATE] = follows.to_string().into();
    }
    (revised != *current).then_some(revised)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, annotation: Option<&str>, generation: i64, spec: &Value) -> Value {
        let mut object = json!({"metadata": {"name": name, "generation": generation}, "spec": spec});
        if let Some(annotation) = annotation {
            object["metadata"]["annotations"] = json!({AUTO_UPDATE: annotation, "example.com/other": "kept"});
        }
        object
    }

    #[test]
    fn what_nobody_changed_follows() {
        let (old, new) = (json!({"type": "Limited"}), json!({"type": "Limited", "limited": {}}));
        let check = |name: &str, current: (Option<&str>, i64, &Value), expected: Option<(&str, &Value)>| {
            let (annotation, generation, spec) = current;
            let current = object(name, annotation, generation, spec);
            let revised = revise(&current, &object(name, Some("true"), 1, &new));
            let said = |revised: &Value| (auto_update(revised).unwrap().to_string(), revised["spec"].clone());
            let expected = expected.map(|(annotation, spec)| (annotation.to_owned(), spec.clone()));
            assert_eq!(revised.as_ref().map(said), expected, "{current}");
        };
        check("system", (Some("true"), 1, &new), None);
        check("system", (Some("T"), 9, &old), Some(("true", &new)));
        check("system", (Some("false"), 1, &old), None);
        check("system", (None, 1, &new), Some(("true", &new)));
        check("system", (None, 1, &old), Some(("true", &new)));
        check("system", (None, 2, &old), Some(("false", &old)));
        check("system", (Some("maybe"), 2, &old), Some(("false", &old)));
        // What is mandatory follows whatever anybody says.
        check("catch-all", (Some("false"), 3, &old), Some(("true", &new)));
        check("exempt", (None, 3, &new), Some(("true", &new)));
    }

    #[test]
    fn what_the_exempt_level_lends_stays() {
        let born = object("exempt", Some("true"), 1, &json!({"type": "Exempt", "exempt": {"lendablePercent": 0}}));
        let lent = json!({"type": "Exempt", "exempt": {"lendablePercent": 7}});
        assert_eq!(revise(&object("exempt", Some("true"), 2, &lent), &born), None);
        let none = object("exempt", Some("true"), 2, &json!({"type": "Exempt"}));
        assert_eq!(revise(&none, &born).map(|revised| revised["spec"].clone()), Some(born["spec"].clone()));
    }

    #[test]
    fn other_annotations_stay() {
        let current = object("system", Some("maybe"), 1, &json!({}));
        let revised = revise(&current, &object("system", None, 1, &json!({"type": "Limited"}))).unwrap();
        assert_eq!(revised["metadata"]["annotations"], json!({AUTO_UPDATE: "true", "example.com/other": "kept"}));
    }
}
