//! What the documents of a small registry say, and how they are served.

use std::collections::BTreeSet;

use http::header::{ACCEPT, ACCEPT_ENCODING};
use prost::Message as _;
use serde_json::Value;

use super::*;
use crate::discovery::tests::{register_custom, sample, sample_registry};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

struct Served {
    openapi: OpenApi,
    resources: Arc<Resources>,
}

impl Served {
    fn new() -> Served {
        Served { openapi: OpenApi::default(), resources: sample() }
    }

    fn ask(&self, target: &str, headers: &[(http::HeaderName, &str)]) -> Response<Bytes> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        let answer = self.openapi.respond(&self.resources, path, &Query::parse(query), &headers.collect(), NOW);
        answer.expect("a path of OpenAPI")
    }

    fn json(&self, target: &str) -> Value {
        let answer = self.ask(target, &[]);
        assert_eq!(answer.status(), StatusCode::OK, "{target}");
        serde_json::from_slice(answer.body()).expect("JSON")
    }
}

fn operation_ids(document: &Value) -> Vec<String> {
    let items = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap());
    let mut found: Vec<String> =
        items.filter_map(|(_, operation)| operation["operationId"].as_str().map(str::to_owned)).collect();
    found.sort();
    found
}

#[test]
fn operations_are_named_as_upstream_names_them() {
    let served = Served::new();
    let expected = [
        "createAppsV1NamespacedDeployment",
        "deleteAppsV1CollectionNamespacedDeployment",
        "deleteAppsV1NamespacedDeployment",
        "getAppsV1APIResources",
        "listAppsV1DeploymentForAllNamespaces",
        "listAppsV1NamespacedDeployment",
        "patchAppsV1NamespacedDeployment",
        "patchAppsV1NamespacedDeploymentScale",
        "patchAppsV1NamespacedDeploymentStatus",
        "readAppsV1NamespacedDeployment",
        "readAppsV1NamespacedDeploymentScale",
        "readAppsV1NamespacedDeploymentStatus",
        "replaceAppsV1NamespacedDeployment",
        "replaceAppsV1NamespacedDeploymentScale",
        "replaceAppsV1NamespacedDeploymentStatus",
    ];
    assert_eq!(operation_ids(&served.json("/openapi/v3/apis/apps/v1")), expected);
    let core = operation_ids(&served.json("/openapi/v3/api/v1"));
    let has = |id: &str| core.iter().any(|known| known == id);
    for id in [
        "createCoreV1Namespace",
        "createCoreV1NamespacedPodBinding",
        "createCoreV1NamespacedPodEviction",
        "listCoreV1Namespace",
        "listCoreV1NamespacedConfigMap",
        "listCoreV1PodForAllNamespaces",
        "patchCoreV1NamespacedPodEphemeralcontainers",
        "replaceCoreV1NamespaceFinalize",
    ] {
        assert!(has(id), "{id}");
    }
    for id in ["deleteCoreV1CollectionNamespace", "readCoreV1NamespaceFinalize", "listCoreV1NamespaceForAllNamespaces"]
    {
        assert!(!has(id), "{id}");
    }
    let mut both = operation_ids(&served.json("/openapi/v3/apis/apps/v1"));
    both.extend(core);
    both.sort();
    assert_eq!(operation_ids(&served.json("/openapi/v2")), both);
    assert_eq!(both.iter().collect::<BTreeSet<_>>().len(), both.len(), "identifiers are unique");
}

#[test]
fn operations_say_what_they_are_about() {
    let document = Served::new().json("/openapi/v3/apis/apps/v1");
    let item = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
    let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    let actions = [("get", "get"), ("put", "put"), ("patch", "patch"), ("delete", "delete")];
    for (method, action) in actions {
        assert_eq!(item[method]["x-kubernetes-action"], action);
        assert_eq!(item[method]["x-kubernetes-group-version-kind"], kind);
        assert_eq!(item[method]["responses"]["401"], json!({"description": "Unauthorized"}));
    }
    let names = |parameters: &Value| {
        let list = parameters.as_array().unwrap();
        list.iter().map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&item["parameters"]), ["name", "namespace", "pretty"]);
    // kubectl looks here for whether the server validates fields.
    assert_eq!(names(&item["patch"]["parameters"]), ["dryRun", "fieldManager", "fieldValidation", "force"]);
    assert_eq!(item["patch"]["requestBody"]["content"].as_object().unwrap().len(), 4);
    let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"];
    assert_eq!(
        scale["x-kubernetes-group-version-kind"],
        json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}),
    );
    assert_eq!(
        scale["responses"]["200"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/io.k8s.api.autoscaling.v1.Scale",
    );
}

#[test]
fn schemas_carry_the_facts_of_kubernetes() {
    let served = Served::new();
    let (v2, v3) = (served.json("/openapi/v2"), served.json("/openapi/v3/api/v1"));
    let check = |name: &str, path: &str, expected: Value| {
        let schema = &v3["components"]["schemas"][name];
        assert!(schema.is_object(), "{name}");
        assert_eq!(schema.pointer(path), Some(&expected), "{name}{path} in version 3");
        let schema = &v2["definitions"][name];
        assert_eq!(schema.pointer(path), Some(&expected), "{name}{path} in version 2");
    };
    let spec = "io.k8s.api.core.v1.PodSpec";
    check(spec, "/properties/containers/x-kubernetes-patch-merge-key", "name".into());
    check(spec, "/properties/containers/x-kubernetes-patch-strategy", "merge".into());
    check(spec, "/properties/containers/x-kubernetes-list-type", "map".into());
    check(spec, "/properties/containers/x-kubernetes-list-map-keys", json!(["name"]));
    check(spec, "/properties/volumes/x-kubernetes-patch-strategy", "merge,retainKeys".into());
    check(spec, "/properties/nodeSelector/x-kubernetes-map-type", "atomic".into());
    check(spec, "/required", json!(["containers"]));
    check(spec, "/properties/activeDeadlineSeconds/format", "int64".into());
    check(
        "io.k8s.api.core.v1.Container",
        "/properties/ports/x-kubernetes-list-map-keys",
        json!(["containerPort", "protocol"]),
    );
    check("io.k8s.api.core.v1.SecretKeySelector", "/x-kubernetes-map-type", "atomic".into());
    let pod = "io.k8s.api.core.v1.Pod";
    check(pod, "/x-kubernetes-group-version-kind", json!([{"group": "", "version": "v1", "kind": "Pod"}]));
    check(pod, "/properties/kind/type", "string".into());
    check("io.k8s.api.core.v1.PodList", "/required", json!(["items"]));
    check("io.k8s.api.core.v1.ConfigMap", "/properties/binaryData/additionalProperties/format", "byte".into());
    check("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "/format", "date-time".into());
    check("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "/format", "int-or-string".into());
    let optional = v3["components"]["schemas"][pod].get("required");
    assert_eq!(optional, None, "metadata is not required");
    let quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity";
    assert_eq!(v2["definitions"][quantity]["type"], "string");
    assert_eq!(v3["components"]["schemas"][quantity]["oneOf"], json!([{"type": "string"}, {"type": "number"}]),);
    let delete = &v2["definitions"]["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"];
    assert!(delete["x-kubernetes-group-version-kind"].as_array().unwrap().len() > 50);
    // A reference stands alone in version 3, and beside its description in version 2.
    let port = "/properties/httpGet";
    let probe = v3["components"]["schemas"]["io.k8s.api.core.v1.Probe"].pointer(port).unwrap();
    assert_eq!(probe["allOf"][0]["$ref"], "#/components/schemas/io.k8s.api.core.v1.HTTPGetAction");
    let probe = v2["definitions"]["io.k8s.api.core.v1.Probe"].pointer(port).unwrap();
    assert_eq!(probe["$ref"], "#/definitions/io.k8s.api.core.v1.HTTPGetAction");
    assert!(probe["description"].is_string());
}

fn each_reference(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| each_reference(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| each_reference(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_nothing_is_idle() {
    let registry = sample_registry();
    register_custom(&registry);
    let served = Served { openapi: OpenApi::default(), resources: registry.resources() };
    for (target, root) in [
        ("/openapi/v2", "/definitions"),
        ("/openapi/v3/api/v1", "/components/schemas"),
        ("/openapi/v3/apis/apps/v1", "/components/schemas"),
        ("/openapi/v3/apis/stable.example.com/v1", "/components/schemas"),
    ] {
        let document = served.json(target);
        let mut references = BTreeSet::new();
        each_reference(&document, &mut references);
        let schemas = document.pointer(root).and_then(Value::as_object).unwrap();
        let defined: BTreeSet<String> = schemas.keys().map(|name| format!("#{root}/{name}")).collect();
        assert_eq!(references, defined, "{target}");
        assert!(schemas.len() > 10, "{target}");
    }
}

struct Schemas;

impl SchemaSource for Schemas {
    fn schema(&self, names: &Names) -> Option<Value> {
        assert_eq!(names.kind, "CronTab");
        Some(json!({
            "type": "object",
            "description": "CronTab says when.",
            "properties": {"spec": {"type": "object", "nullable": true, "properties": {"cron": {"type": "string"}}}},
        }))
    }
}

#[test]
fn kinds_bring_their_own_schemas() {
    let registry = sample_registry();
    register_custom(&registry);
    let openapi = OpenApi::new(Some(Arc::new(Schemas)));
    let served = Served { openapi, resources: registry.resources() };
    let name = "com.example.stable.v1.CronTab";
    let document = served.json("/openapi/v3/apis/stable.example.com/v1");
    let schema = &document["components"]["schemas"][name];
    assert_eq!(schema["description"], "CronTab says when.");
    assert_eq!(schema["properties"]["spec"]["nullable"], true);
    assert_eq!(
        schema["properties"]["metadata"]["$ref"],
        "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    );
    assert_eq!(
        schema["x-kubernetes-group-version-kind"],
        json!([{"group": "stable.example.com", "version": "v1", "kind": "CronTab"}]),
    );
    assert!(operation_ids(&document).iter().any(|id| id == "readStableExampleComV1NamespacedCronTabStatus"));
    let older = served.json("/openapi/v2");
    let schema = &older["definitions"][name];
    assert_eq!(schema["properties"]["spec"]["properties"]["cron"]["type"], "string");
    assert_eq!(schema["properties"]["spec"].get("nullable"), None);
    assert_eq!(
        schema["properties"]["metadata"]["$ref"],
        "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    );
}

#[test]
fn the_index_names_documents_by_their_hash() {
    let served = Served::new();
    let index = served.json("/openapi/v3");
    let names: Vec<&String> = index["paths"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["api/v1", "apis/apps/v1"]);
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let answer = served.ask(url, &[]);
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[CACHE_CONTROL], "public, immutable");
    assert_eq!(answer.headers()[EXPIRES], "Fri, 01 Jan 1971 00:00:00 GMT");
    let hash = url.split_once("hash=").unwrap().1;
    assert_eq!(answer.headers()[ETAG], format!("\"{hash}\""));
    assert_eq!(answer.headers()[ETAG], crate::discovery::etag(answer.body()));

    let unhashed = served.ask("/openapi/v3/apis/apps/v1", &[]);
    assert!(!unhashed.headers().contains_key(CACHE_CONTROL));
    let stale = served.ask("/openapi/v3/apis/apps/v1?hash=0", &[]);
    assert_eq!(stale.status(), StatusCode::MOVED_PERMANENTLY);
    assert_eq!(stale.headers()[LOCATION], url);
    assert_eq!(served.ask("/openapi/v3/apis/batch/v1", &[]).status(), StatusCode::NOT_FOUND);
    let (query, none) = (Query::parse(""), HeaderMap::new());
    for path in ["/openapi", "/openapi/v4", "/api/v1", "/openapi/v2/x"] {
        assert!(served.openapi.respond(&served.resources, path, &query, &none, NOW).is_none(), "{path}");
    }
}

#[test]
fn documents_are_negotiated_and_not_sent_again() {
    let served = Served::new();
    for target in ["/openapi/v2", "/openapi/v3", "/openapi/v3/apis/apps/v1"] {
        let plain = served.ask(target, &[]);
        assert_eq!(plain.headers()[CONTENT_TYPE], "application/json", "{target}");
        let zipped = served.ask(target, &[(ACCEPT_ENCODING, "gzip")]);
        assert_eq!(zipped.headers()[CONTENT_ENCODING], "gzip", "{target}");
        let mut text = Vec::new();
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&**zipped.body()), &mut text).unwrap();
        assert_eq!(text, *plain.body(), "{target}");
        let tag = plain.headers()[ETAG].to_str().unwrap();
        let again = served.ask(target, &[(IF_NONE_MATCH, tag)]);
        assert_eq!((again.status(), again.body().len()), (StatusCode::NOT_MODIFIED, 0), "{target}");
    }
    for target in ["/openapi/v2", "/openapi/v3/apis/apps/v1"] {
        assert_eq!(served.ask(target, &[(ACCEPT, "text/html")]).status(), StatusCode::NOT_ACCEPTABLE, "{target}");
    }
}

#[test]
fn documents_follow_what_is_served() {
    let registry = sample_registry();
    let mut served = Served { openapi: OpenApi::default(), resources: registry.resources() };
    let before = served.json("/openapi/v3");
    registry.unregister("apps", "v1", "deployments");
    served.resources = registry.resources();
    let after = served.json("/openapi/v3");
    assert!(after["paths"].get("apis/apps/v1").is_none());
    assert_eq!(after["paths"]["api/v1"], before["paths"]["api/v1"]);
    assert!(served.json("/openapi/v2")["definitions"].get("io.k8s.api.apps.v1.Deployment").is_none());
}

/// The messages of `OpenAPIv2.proto`, as far as they are looked at here.
mod proto {
    macro_rules! message {
        ($($name:ident { $($(#[$field:meta])* $member:ident: $kind:ty,)* })*) => { $(
            #[derive(Clone, PartialEq, prost::Message)]
            pub(super) struct $name { $($(#[$field])* pub(super) $member: $kind,)* }
        )* };
    }
    message! {
        Document {
            #[prost(string, tag = "1")] swagger: String,
            #[prost(message, optional, tag = "8")] paths: Option<Paths>,
            #[prost(message, optional, tag = "9")] definitions: Option<Properties>,
            #[prost(message, optional, tag = "13")] security: Option<Security>,
        }
        Paths { #[prost(message, repeated, tag = "2")] path: Vec<NamedPathItem>, }
        NamedPathItem {
            #[prost(string, tag = "1")] name: String,
            #[prost(message, optional, tag = "2")] value: Option<PathItem>,
        }
        PathItem {
            #[prost(message, optional, tag = "2")] get: Option<Operation>,
            #[prost(message, optional, tag = "8")] patch: Option<Operation>,
            #[prost(message, repeated, tag = "9")] parameters: Vec<ParametersItem>,
        }
        Operation {
            #[prost(string, tag = "5")] operation_id: String,
            #[prost(message, repeated, tag = "8")] parameters: Vec<ParametersItem>,
            #[prost(message, optional, tag = "9")] responses: Option<Responses>,
            #[prost(message, repeated, tag = "13")] extensions: Vec<NamedAny>,
        }
        ParametersItem { #[prost(message, optional, tag = "1")] parameter: Option<Parameter>, }
        Parameter {
            #[prost(message, optional, tag = "1")] body: Option<Body>,
            #[prost(message, optional, tag = "2")] other: Option<NonBody>,
        }
        Body {
            #[prost(string, tag = "2")] name: String,
            #[prost(bool, tag = "4")] required: bool,
            #[prost(message, optional, tag = "5")] schema: Option<Schema>,
        }
        NonBody {
            #[prost(message, optional, tag = "3")] query: Option<Query>,
            #[prost(message, optional, tag = "4")] path: Option<Path>,
        }
        Query {
            #[prost(string, tag = "2")] place: String,
            #[prost(string, tag = "4")] name: String,
            #[prost(string, tag = "6")] kind: String,
            #[prost(bool, tag = "20")] unique_items: bool,
        }
        Path {
            #[prost(bool, tag = "1")] required: bool,
            #[prost(string, tag = "4")] name: String,
            #[prost(string, tag = "5")] kind: String,
            #[prost(bool, tag = "19")] unique_items: bool,
        }
        Responses { #[prost(message, repeated, tag = "1")] code: Vec<NamedResponseValue>, }
        NamedResponseValue {
            #[prost(string, tag = "1")] name: String,
            #[prost(message, optional, tag = "2")] value: Option<ResponseValue>,
        }
        ResponseValue { #[prost(message, optional, tag = "1")] response: Option<Response>, }
        Response {
            #[prost(string, tag = "1")] description: String,
            #[prost(message, optional, tag = "2")] schema: Option<SchemaItem>,
        }
        SchemaItem { #[prost(message, optional, tag = "1")] schema: Option<Schema>, }
        Properties { #[prost(message, repeated, tag = "1")] properties: Vec<NamedSchema>, }
        NamedSchema {
            #[prost(string, tag = "1")] name: String,
            #[prost(message, optional, tag = "2")] value: Option<Schema>,
        }
        Schema {
            #[prost(string, tag = "1")] reference: String,
            #[prost(string, tag = "2")] format: String,
            #[prost(string, tag = "4")] description: String,
            #[prost(string, repeated, tag = "19")] required: Vec<String>,
            #[prost(message, optional, boxed, tag = "21")] additional: Option<Box<SchemaItemBox>>,
            #[prost(message, optional, tag = "22")] kind: Option<Texts>,
            #[prost(message, optional, tag = "23")] items: Option<Items>,
            #[prost(message, optional, tag = "25")] properties: Option<Properties>,
            #[prost(message, repeated, tag = "31")] extensions: Vec<NamedAny>,
        }
        SchemaItemBox { #[prost(message, optional, boxed, tag = "1")] schema: Option<Box<Schema>>, }
        Items { #[prost(message, repeated, tag = "1")] schema: Vec<Schema>, }
        Texts { #[prost(string, repeated, tag = "1")] value: Vec<String>, }
        NamedAny {
            #[prost(string, tag = "1")] name: String,
            #[prost(message, optional, tag = "2")] value: Option<Any>,
        }
        Any { #[prost(string, tag = "2")] yaml: String, }
        Security { #[prost(message, repeated, tag = "1")] definitions: Vec<NamedSecurity>, }
        NamedSecurity { #[prost(string, tag = "1")] name: String, }
    }
}

/// A schema as JSON again, as far as the messages go.
fn json_of(schema: &proto::Schema) -> Value {
    let mut map = Map::new();
    let texts = [("$ref", &schema.reference), ("format", &schema.format), ("description", &schema.description)];
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        map.insert(name.to_owned(), text.as_str().into());
    }
    if !schema.required.is_empty() {
        map.insert("required".to_owned(), schema.required.clone().into());
    }
    if let Some(kind) = &schema.kind {
        map.insert("type".to_owned(), kind.value[0].as_str().into());
    }
    if let Some(additional) = &schema.additional {
        map.insert("additionalProperties".to_owned(), json_of(additional.schema.as_ref().unwrap()));
    }
    if let Some(items) = &schema.items {
        map.insert("items".to_owned(), json_of(&items.schema[0]));
    }
    if let Some(properties) = &schema.properties {
        let of = |named: &proto::NamedSchema| (named.name.clone(), json_of(named.value.as_ref().unwrap()));
        map.insert("properties".to_owned(), properties.properties.iter().map(of).collect::<Map<_, _>>().into());
    }
    for extension in &schema.extensions {
        let value = serde_json::from_str(&extension.value.as_ref().unwrap().yaml).unwrap();
        map.insert(extension.name.clone(), value);
    }
    Value::Object(map)
}

#[test]
fn the_protobuf_of_version_2_says_what_its_json_says() {
    let served = Served::new();
    let json = served.json("/openapi/v2");
    let answer = served.ask("/openapi/v2", &[(ACCEPT, V2_PROTOBUF[1])]);
    assert_eq!(answer.headers()[CONTENT_TYPE], V2_PROTOBUF[0]);
    let document = proto::Document::decode(answer.body().clone()).unwrap();
    assert_eq!(document.swagger, "2.0");
    assert_eq!(document.security.unwrap().definitions[0].name, "BearerToken");

    let definitions = document.definitions.unwrap().properties;
    assert_eq!(definitions.len(), json["definitions"].as_object().unwrap().len());
    for named in &definitions {
        assert_eq!(json_of(named.value.as_ref().unwrap()), json["definitions"][&named.name], "{}", named.name);
    }
    let paths = document.paths.unwrap().path;
    assert_eq!(paths.len(), json["paths"].as_object().unwrap().len());
    let path = "/api/v1/namespaces/{namespace}/pods/{name}";
    let item = paths.iter().find(|named| named.name == path).unwrap().value.as_ref().unwrap();
    let parameters: Vec<&proto::NonBody> =
        item.parameters.iter().filter_map(|item| item.parameter.as_ref()?.other.as_ref()).collect();
    let name = proto::Path { required: true, name: "name".into(), kind: "string".into(), unique_items: true };
    assert_eq!(parameters[0].path, Some(name));
    let pretty =
        proto::Query { place: "query".into(), name: "pretty".into(), kind: "string".into(), unique_items: true };
    assert_eq!(parameters[2].query, Some(pretty));
    let patch = item.patch.as_ref().unwrap();
    let body = patch.parameters[0].parameter.as_ref().unwrap().body.as_ref().unwrap();
    assert_eq!((body.name.as_str(), body.required), ("body", true));
    assert_eq!(body.schema.as_ref().unwrap().reference, format!("#/definitions/{}", definitions::PATCH));
    assert_eq!(patch.extensions[0].name, "x-kubernetes-action");
    let get = item.get.as_ref().unwrap();
    assert_eq!(get.operation_id, "readCoreV1NamespacedPod");
    let responses = &get.responses.as_ref().unwrap().code;
    let response = |at: usize| responses[at].value.as_ref().unwrap().response.as_ref().unwrap();
    assert_eq!(responses.iter().map(|named| &*named.name).collect::<Vec<_>>(), ["200", "401"]);
    let schema = response(0).schema.as_ref().unwrap().schema.as_ref().unwrap();
    assert_eq!(schema.reference, "#/definitions/io.k8s.api.core.v1.Pod");
    assert_eq!(response(1).description, "Unauthorized");
}
