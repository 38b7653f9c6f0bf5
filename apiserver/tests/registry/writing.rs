//! Creating, changing and pretending to.

use api::schema::{Schema, Shape};
use serde_json::{Value, json};

use crate::harness::{Ask, Server, Subject};

/// The created object is kept beside this file: what a kind's defaults are shows in the difference to its example.
#[tokio::test]
async fn create_answers_with_the_object_and_its_defaults() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    for subject in Subject::all() {
        let (title, server) = (subject.title(), Server::ready_for(&subject).await);
        let created = server.ask(Ask::post(&subject.collection, &subject.example)).await;
        let created = created.unwrap_or_else(|status| panic!("{title}: {}", status.message));
        assert_eq!(created.code, 201, "{title}");
        let start = format!(r#"{{"kind":"{}","apiVersion":"#, subject.names().kind);
        assert!(created.bytes.starts_with(start.as_bytes()), "{title}: clients look for the kind first");
        insta::assert_snapshot!(title.as_str(), serde_saphyr::to_string(&created.json()).unwrap());

        let again = server.refusal(Ask::post(&subject.collection, &subject.example)).await;
        // A Service that asks for an address is refused that first, here as upstream.
        let expected = if title == "services" { (422, "Invalid") } else { (409, "AlreadyExists") };
        assert_eq!((again.code, again.reason.as_str()), expected, "{title}: {}", again.message);
    }
}

#[tokio::test]
async fn what_changes_nothing_is_not_written() {
    for subject in Subject::all() {
        let (title, path) = (subject.title(), subject.path());
        let (server, created) = Server::with(&subject).await;
        let revision = server.revision();
        assert_eq!(server.json(Ask::put(&path, &created)).await, created, "{title}");
        assert_eq!(server.json(Ask::patch(&path, &json!({}))).await, created, "{title}");
        // Who leaves a finalizer out that was added takes it off.
        let mut again = subject.example.clone();
        if created["metadata"]["finalizers"].is_array() {
            again["metadata"]["finalizers"] = created["metadata"]["finalizers"].clone();
        }
        if subject.resource.kind.allow_unconditional_update() {
            assert_eq!(server.json(Ask::put(&path, &again)).await, created, "{title}: the example again");
        } else {
            let refusal = server.refusal(Ask::put(&path, &again)).await;
            assert!(refusal.message.contains("must be specified for an update"), "{title}: {}", refusal.message);
        }
        assert_eq!(server.revision(), revision, "{title}");
    }
}

#[tokio::test]
async fn a_job_is_told_from_others_by_what_it_is_given() {
    const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
    let server = Server::start().await;
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    let job = json!({"metadata": {"generateName": "j-"}, "spec": {"template": template}});
    let created = server.json(Ask::post(JOBS, &job)).await;
    let (name, uid) = (&created["metadata"]["name"], &created["metadata"]["uid"]);
    let labels = json!({
        "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name, "controller-uid": uid,
        "job-name": name,
    });
    assert_eq!(created["metadata"]["labels"], labels);
    assert_eq!(created["spec"]["template"]["metadata"]["labels"], labels);
    let selector = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    assert_eq!(created["spec"]["selector"], selector);
    let path = format!("{JOBS}/{}", name.as_str().unwrap());
    assert_eq!(server.json(Ask::put(&path, &created)).await, created);

    // As it was posted, it would be another one.
    let mut posted = job.clone();
    posted["metadata"]["name"] = name.clone();
    let refusal = server.refusal(Ask::put(&path, &posted)).await;
    assert_eq!((refusal.code, refusal.reason.as_str()), (422, "Invalid"));
    assert!(refusal.message.contains("spec.selector: Required value"), "{}", refusal.message);
}

#[tokio::test]
async fn a_stale_version_is_a_conflict() {
    for subject in Subject::all() {
        let (title, path) = (subject.title(), subject.path());
        let (server, created) = Server::with(&subject).await;
        server.json(Ask::patch(&path, &json!({"metadata": {"labels": {"example.com/changed": "yes"}}}))).await;
        let refusal = server.refusal(Ask::put(&path, &created)).await;
        assert_eq!((refusal.code, refusal.reason.as_str()), (409, "Conflict"), "{title}: {}", refusal.message);
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    const DRY: &str = "dryRun=All";
    for subject in Subject::all() {
        let (title, path, server) = (subject.title(), subject.path(), Server::ready_for(&subject).await);
        let untouched = server.revision();
        let would_be = server.ask(Ask::post(&subject.collection, &subject.example).query(DRY)).await;
        let would_be = would_be.unwrap_or_else(|status| panic!("{title}: {}", status.message));
        assert_eq!(would_be.code, 201, "{title}");
        assert_eq!(server.refusal(Ask::get(&path)).await.code, 404, "{title}");
        assert_eq!(server.revision(), untouched, "{title}");

        let created = server.json(Ask::post(&subject.collection, &subject.example)).await;
        let written = server.revision();
        for part in ["spec", "data", "status", "subsets", "endpoints"] {
            assert_eq!(would_be.json()[part], created[part], "{title}: a dry run shows what would be");
        }
        let labels = json!({"metadata": {"labels": {"example.com/changed": "yes"}}});
        let patched = server.json(Ask::patch(&path, &labels).query(DRY)).await;
        assert_eq!(patched["metadata"]["labels"]["example.com/changed"], "yes", "{title}");
        let replaced = server.json(Ask::put(&path, &patched).query(DRY)).await;
        assert_eq!(replaced["metadata"]["labels"]["example.com/changed"], "yes", "{title}");
        server.json(Ask::delete(&path).query(DRY)).await;
        server.json(Ask::delete(&subject.collection).query(&format!("{DRY}&labelSelector=example.com/none"))).await;
        assert_eq!(server.json(Ask::get(&path)).await, created, "{title}");
        assert_eq!(server.revision(), written, "{title}");
    }
}

#[tokio::test]
async fn status_and_the_rest_are_written_apart() {
    let mut checked = 0;
    for subject in Subject::all().iter().filter(|subject| subject.has_status()) {
        let (title, path) = (subject.title(), subject.path());
        let (server, created) = Server::with(subject).await;
        // Statuses without conditions, and requests that may only end.
        let (field, value) = match title.as_str() {
            "cronjobs.batch" => ("lastScheduleTime", json!("2026-03-01T11:00:00Z")),
            "csinodes.storage.k8s.io" => ("storageHealth", json!([{"name": "disk.example.com"}])),
            "horizontalpodautoscalers.v1.autoscaling" => ("desiredReplicas", json!(3)),
            "ingresses.networking.k8s.io" => ("loadBalancer", json!({"ingress": [{"ip": "192.0.2.1"}]})),
            "persistentvolumes" => ("reason", json!("Seen")),
            "podcertificaterequests.certificates.k8s.io" => ("conditions", json!([condition("Denied")])),
            "resourceclaims.resource.k8s.io" => ("allocation", json!({"allocationTimestamp": "2026-03-01T11:00:00Z"})),
            "resourcequotas" => ("used", json!({"pods": "3"})),
            "storageversionmigrations.storagemigration.k8s.io" => ("resourceVersion", json!("7")),
            "volumeattachments.storage.k8s.io" => ("attachmentMetadata", json!({"device": "/dev/sdb"})),
            _ => ("conditions", json!([condition("example.com/Seen")])),
        };
        assert!(has_status_field(subject, field), "{title}: its status has no {field}; write another field here");

        // Through the object the status stays as it is, and so nothing is left to write.
        let mut with_status = created.clone();
        add_to_status(&mut with_status, field, &value);
        assert_eq!(server.json(Ask::put(&path, &with_status)).await, created, "{title}");
        let mut without_status = created.clone();
        without_status.as_object_mut().unwrap().remove("status");
        assert_eq!(server.json(Ask::put(&path, &without_status)).await, created, "{title}");

        // Through the status everything else stays.
        let mut other = with_status.clone();
        let changed = other.get_mut("spec").is_some_and(change_scalar);
        assert!(changed, "{title}: its spec has something to change: {created}");
        let written = server.json(Ask::put(&format!("{path}/status"), &other)).await;
        assert_eq!(written["spec"], created["spec"], "{title}");
        // What upstream has behind a closed gate is not taken.
        let expected = if field == "storageHealth" { Value::Null } else { value };
        assert!(shows(&written["status"][field], &expected), "{title}: {written}");
        assert_eq!(written["metadata"]["generation"], created["metadata"]["generation"], "{title}");
        assert_eq!(server.json(Ask::get(&format!("{path}/status"))).await, written, "{title}");
        checked += 1;
    }
    assert!(checked > 0);
}

fn condition(kind: &str) -> Value {
    json!({
        "type": kind, "status": "True", "reason": "Test", "message": "seen",
        "lastTransitionTime": "2026-03-01T11:00:00Z",
    })
}

fn has_status_field(subject: &Subject, field: &str) -> bool {
    let names = subject.names();
    let of = Schema::of(&names.group, &names.version, &names.kind);
    let status = of.and_then(|of| of.field("status")).map(|field| field.shape());
    matches!(status, Some(Shape::Object(status)) if status.field(field).is_some())
}

/// Sets a field of the status; a list gets more elements.
fn add_to_status(object: &mut Value, field: &str, value: &Value) {
    let status = object.as_object_mut().unwrap().entry("status").or_insert_with(|| json!({}));
    let before = status.as_object_mut().unwrap().entry(field).or_insert_with(|| json!(null));
    match (before, value) {
        (Value::Array(before), Value::Array(more)) => before.extend(more.iter().cloned()),
        (before, value) => *before = value.clone(),
    }
}

/// Whether `value` says all that `wanted` does, and maybe more.
fn shows(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Object(value), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| value.get(name).is_some_and(|value| shows(value, wanted)))
        }
        (Value::Array(value), Value::Array(wanted)) => {
            wanted.iter().all(|wanted| value.iter().any(|value| shows(value, wanted)))
        }
        _ => value == wanted,
    }
}

/// Changes the first text or number that is found in `value`. `false` if there is none.
fn change_scalar(value: &mut Value) -> bool {
    match value {
        Value::String(text) => text.push('1'),
        Value::Number(number) => *value = json!(number.as_i64().unwrap_or_default() + 1),
        Value::Array(list) => return list.iter_mut().any(change_scalar),
        Value::Object(fields) => return fields.values_mut().any(change_scalar),
        Value::Bool(_) | Value::Null => return false,
    }
    true
}
