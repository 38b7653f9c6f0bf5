//! A kind that is known only at run time comes and goes while the server serves, and answers as the built-in ones do.

use std::borrow::Cow;
use std::sync::Arc;

use api::field::{Error, ErrorList, Path};
use api::status::Status;
use api::table::RowCondition;
use apiserver::discovery::{self, Addresses};
use apiserver::kind::{Kind, Scale};
use apiserver::object::{Dynamic, Object};
use apiserver::reservation::{Ledger, Reservation};
use apiserver::strategy::{AGE_COLUMN, Column, Companion, Context, Grace, NAME_COLUMN, Names, SelectableField};
use futures::StreamExt;
use futures::future::BoxFuture;
use http::HeaderMap;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Ask, JSON_PATCH, PARTIAL, PROTOBUF, STRATEGIC, Server, TABLE};

const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";
const GEAR: &str = "/apis/example.com/v1/namespaces/default/widgets/gear";

/// Widgets, with a size that may not be negative, a colour that may be selected by, and a status of their own.
struct Widgets {
    names: Names,
}

impl Widgets {
    fn new() -> Self {
        let names = Names {
            group: Cow::Owned("example.com".to_owned()),
            version: Cow::Owned("v1".to_owned()),
            kind: Cow::Owned("Widget".to_owned()),
            plural: Cow::Owned("widgets".to_owned()),
            singular: Cow::Owned("widget".to_owned()),
            short_names: vec![Cow::Owned("wd".to_owned())],
            categories: Vec::new(),
            namespaced: true,
        };
        Widgets { names }
    }
}

fn dynamic(object: &dyn Object) -> &Dynamic {
    object.as_any().downcast_ref().expect("a dynamic object")
}

fn dynamic_mut(object: &mut dyn Object) -> &mut Dynamic {
    object.as_any_mut().downcast_mut().expect("a dynamic object")
}

/// Takes the field `name` from `old`, or away where `old` has none.
fn keep(new: &mut dyn Object, old: &dyn Object, name: &str) {
    let fields = &mut dynamic_mut(new).fields;
    match dynamic(old).fields.get(name) {
        Some(value) => fields.insert(name.to_owned(), value.clone()),
        None => fields.remove(name),
    };
}

impl Kind for Widgets {
    fn names(&self) -> &Names {
        &self.names
    }

    fn decode(&self, value: Value) -> Result<Box<dyn Object>, serde_json::Error> {
        let object = Dynamic::from_json(value).map_err(<serde_json::Error as serde::de::Error>::custom)?;
        Ok(Box::new(object))
    }

    fn decode_stored(&self, json: &[u8]) -> Result<Box<dyn Object>, serde_json::Error> {
        self.decode(serde_json::from_slice(json)?)
    }

    fn default(&self, object: &mut dyn Object) {
        let spec = dynamic_mut(object).fields.entry("spec").or_insert_with(|| json!({}));
        if let Some(spec) = spec.as_object_mut() {
            spec.entry("size").or_insert_with(|| json!(1));
        }
    }

    fn prepare_create(&self, object: &mut dyn Object, _: Context<'_>) {
        dynamic_mut(object).fields.remove("status");
    }

    fn prepare_update(&self, new: &mut dyn Object, old: &dyn Object, _: Context<'_>) {
        keep(new, old, "status");
    }

    fn next_generation(&self, new: &dyn Object, old: Option<&dyn Object>) -> Option<i64> {
        let Some(old) = old else { return Some(1) };
        let changed = dynamic(new).fields.get("spec") != dynamic(old).fields.get("spec");
        Some(old.meta().generation.unwrap_or(0) + i64::from(changed))
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        api::names::object_dns_subdomain(name, prefix)
    }

    fn validate(&self, object: &dyn Object) -> ErrorList {
        let size = dynamic(object).fields.get("spec").map_or(&Value::Null, |spec| &spec["size"]);
        match size.as_i64() {
            Some(0..) => ErrorList::new(),
            _ => Error::invalid(&Path::new("spec").child("size"), size.to_string(), "must be natural").into(),
        }
    }

    fn validate_update(&self, new: &dyn Object, _: &dyn Object) -> ErrorList {
        self.validate(new)
    }

    fn warnings(&self, _: &dyn Object, _: Option<&dyn Object>) -> Vec<String> {
        Vec::new()
    }

    fn columns(&self) -> &[Column] {
        const { &[NAME_COLUMN, Column::new("Size", "How large it is.").of_type("integer"), AGE_COLUMN] }
    }

    fn row(&self, object: &dyn Object, now: Timestamp) -> Vec<Value> {
        let meta = object.meta();
        let age = api::duration::age(meta.creation_timestamp.as_ref(), now);
        vec![meta.name.clone().into(), dynamic(object).fields["spec"]["size"].clone(), age.into()]
    }

    fn row_conditions(&self, _: &dyn Object) -> Vec<RowCondition> {
        Vec::new()
    }

    fn selectable_fields(&self) -> &[SelectableField] {
        const { &[SelectableField::at("spec.color")] }
    }

    fn update_subresources(&self) -> Vec<&'static str> {
        vec!["status"]
    }

    fn prepare_subresource(&self, subresource: &str, new: &mut dyn Object, old: &dyn Object, _: Context<'_>) {
        if subresource == "status" {
            keep(new, old, "spec");
        }
    }

    fn validate_subresource(&self, _: &str, new: &dyn Object, _: &dyn Object) -> ErrorList {
        self.validate(new)
    }

    fn has_scale(&self) -> bool {
        true
    }

    fn scale(&self, object: &dyn Object) -> Option<Scale> {
        let replicas = dynamic(object).fields["spec"]["size"].as_i64().and_then(|size| i32::try_from(size).ok())?;
        Some(Scale { replicas, status_replicas: 0, selector: "a=b".to_owned() })
    }

    fn set_replicas(&self, object: &mut dyn Object, replicas: i32) {
        dynamic_mut(object).fields["spec"]["size"] = json!(replicas);
    }

    fn allow_create_on_update(&self) -> bool {
        false
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn returns_deleted_object(&self) -> bool {
        false
    }

    fn orphans_by_default(&self) -> Option<&'static str> {
        None
    }

    fn grace(&self, _: &dyn Object, _: Option<i64>) -> Grace {
        Grace::Immediate
    }

    fn reserve<'a>(
        &'a self,
        _: &'a Ledger,
        _: &'a mut dyn Object,
        _: Option<&'a dyn Object>,
        _: bool,
    ) -> BoxFuture<'a, Result<Reservation, Status>> {
        Box::pin(async { Ok(Reservation::none()) })
    }

    fn release<'a>(&'a self, _: &'a Ledger, _: &'a dyn Object) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    fn companions(&self) -> &'static [Companion] {
        &[]
    }
}

fn widget(name: &str, spec: Value) -> Value {
    let metadata = json!({"name": name, "namespace": "default", "labels": {"of": "brass"}});
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, "spec": spec})
}

/// A server that has begun to serve widgets.
async fn server() -> Server {
    let server = Server::start().await;
    server.registry().register(Arc::new(Widgets::new()));
    server
}

#[tokio::test]
async fn objects_are_written_as_any_others() {
    let server = server().await;
    let created = server.json(Ask::post(WIDGETS, &widget("gear", json!({"color": "red", "teeth": [1, 2]})))).await;
    assert_eq!(created["spec"], json!({"color": "red", "size": 1, "teeth": [1, 2]}), "with its default");
    assert_eq!(created["metadata"]["generation"], 1);
    assert_eq!(server.refusal(Ask::post(WIDGETS, &widget("gear", json!({})))).await.reason.as_str(), "AlreadyExists");

    let patched = server.json(Ask::patch(GEAR, &json!({"spec": {"teeth": [3]}}))).await;
    assert_eq!((&patched["spec"]["teeth"], &patched["metadata"]["generation"]), (&json!([3]), &json!(2)));
    let operations = json!([{"op": "replace", "path": "/spec/size", "value": -1}]);
    let refused = server.refusal(Ask { media_type: JSON_PATCH, ..Ask::patch(GEAR, &operations) }).await;
    let message = "Widget.example.com \"gear\" is invalid: spec.size: Invalid value: \"-1\": must be natural";
    assert_eq!((refused.code, refused.message.as_str()), (422, message));
    let strategic = Ask { media_type: STRATEGIC, ..Ask::patch(GEAR, &json!({"spec": {"teeth": []}})) };
    assert_eq!(server.refusal(strategic).await.code, 415, "nobody knows how its lists merge");

    let mut with_status = patched.clone();
    with_status["status"] = json!({"turning": true});
    let written = server.json(Ask::put(&format!("{GEAR}/status"), &with_status)).await;
    assert_eq!((&written["status"], &written["metadata"]["generation"]), (&json!({"turning": true}), &json!(2)));
    let scaled = server.json(Ask::patch(&format!("{GEAR}/scale"), &json!({"spec": {"replicas": 7}}))).await;
    assert_eq!((&scaled["kind"], &scaled["spec"]["replicas"]), (&json!("Scale"), &json!(7)));
    assert_eq!(server.json(Ask::get(GEAR)).await["spec"]["size"], 7);
    let stale = server.refusal(Ask::put(GEAR, &patched)).await;
    assert_eq!(stale.reason.as_str(), "Conflict");

    assert_eq!(server.json(Ask::delete(GEAR)).await["status"], "Success");
    assert_eq!(server.refusal(Ask::get(GEAR)).await.message, "widgets.example.com \"gear\" not found");
}

#[tokio::test]
async fn objects_are_read_as_any_others() {
    let server = server().await;
    let version = server.revision();
    for (name, color) in [("gear", "red"), ("lever", "blue")] {
        server.json(Ask::post(WIDGETS, &widget(name, json!({"color": color})))).await;
    }
    let list = server.json(Ask::get(WIDGETS)).await;
    assert_eq!((&list["kind"], list["items"].as_array().map(Vec::len)), (&json!("WidgetList"), Some(2)));
    let red = server.json(Ask::get(WIDGETS).query("fieldSelector=spec.color%3Dred&labelSelector=of%3Dbrass")).await;
    assert_eq!(red["items"].as_array().map(|items| items[0]["metadata"]["name"].clone()), Some(json!("gear")));
    let table = server.json(Ask::get(WIDGETS).accept(TABLE)).await;
    assert_eq!(table["rows"][1]["cells"], json!(["lever", 1, "0s"]));
    const PREFERS_PROTOBUF: &str = "application/vnd.kubernetes.protobuf,application/json";
    assert_eq!(server.json(Ask::get(WIDGETS).accept(PREFERS_PROTOBUF)).await, list, "it has no form in protobuf");
    assert_eq!(server.refusal(Ask::get(WIDGETS).accept(PROTOBUF)).await.code, 406);
    let partial = server.json(Ask::get(GEAR).accept(PARTIAL)).await;
    assert_eq!((&partial["kind"], partial.get("spec")), (&json!("PartialObjectMetadata"), None));

    let mut frames = server.watch(WIDGETS, &format!("resourceVersion={version}")).await;
    let mut events = Vec::new();
    while events.len() < 2 {
        let frame = frames.next().await.unwrap();
        let read = |event: &[u8]| serde_json::from_slice::<Value>(event).unwrap();
        events.extend(frame.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(read));
    }
    for (event, name) in events.iter().zip(["gear", "lever"]) {
        assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("ADDED"), &json!(name)));
    }
}

#[tokio::test]
async fn discovery_shows_a_kind_while_it_is_served() {
    let server = server().await;
    let addresses = Addresses { client_cidr: String::new(), server_address: String::new() };
    let shown = |path: &str| {
        let resources = server.registry().resources();
        let answer = discovery::respond(&resources, &addresses, path, &HeaderMap::new())?;
        serde_json::from_slice::<Value>(answer.body()).ok()
    };
    let resources = shown("/apis/example.com/v1").expect("it is served");
    let names: Vec<_> = resources["resources"].as_array().unwrap().iter().map(|shown| shown["name"].clone()).collect();
    assert_eq!(names, ["widgets", "widgets/scale", "widgets/status"]);
    assert_eq!(resources["resources"][0]["shortNames"], json!(["wd"]));

    server.json(Ask::post(WIDGETS, &widget("gear", json!({})))).await;
    server.registry().unregister("example.com", "v1", "widgets");
    assert!(shown("/apis/example.com/v1").is_none());
    // What is stored is there when it is served again.
    server.registry().register(Arc::new(Widgets::new()));
    assert_eq!(server.json(Ask::get(GEAR)).await["kind"], "Widget");
}
