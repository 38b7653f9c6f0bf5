//! The `scale` subresource: an object's number of replicas as an `autoscaling/v1` `Scale`.

use api::field::{Error, ErrorList, Path};
use api::schema::{self, Schema};
use api::status::{GroupKind, Status};
use http::StatusCode;
use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec, ScaleStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use store::At;

use super::body::Body;
use super::patch::Patch;
use super::update::{self, Change, Changed, Current};
use super::{Answer, Call, answer, read};
use crate::object::Object;
use crate::request::{Form, WriteOptions, negotiate};
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN};

/// Answers a get of the scale.
pub(crate) async fn get(call: &Call<'_>) -> Result<Answer, Status> {
    let stored = read::current(call, &call.target.name, At::Latest).await?;
    let current = Current::new(call, &call.key(&call.target.name)?, &stored)?;
    reply_with(call, &*current.object)
}

/// Answers an update of the scale.
pub(crate) async fn update(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let options = WriteOptions::parse(call.query, "UpdateOptions")?;
    let scale = decode(&body.json()?)?;
    let change = SetScale::Replace(Box::new(scale));
    reply(call, update::change(call, &change, Some("scale"), &options).await?)
}

/// Answers a patch of the scale.
pub(crate) async fn patch(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let options = WriteOptions::parse(call.query, "PatchOptions")?;
    let (patch, _) = Patch::read(body, true)?;
    reply(call, update::change(call, &SetScale::Patch(patch), Some("scale"), &options).await?)
}

fn reply(call: &Call<'_>, changed: Changed) -> Result<Answer, Status> {
    let (Changed::Created(stored) | Changed::Updated(stored)) = changed;
    let json = read::served(call, &stored)?;
    let object = call.kind().decode_stored(&json).map_err(Status::internal_error)?;
    reply_with(call, &*object)
}

/// The columns of the table of a scale.
const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("Desired", "replicas is the desired number of instances for the scaled object.").of_type("integer"),
    Column::new("Available", "replicas is the actual number of observed instances of the scaled object.")
        .of_type("integer"),
    AGE_COLUMN,
];

fn reply_with(call: &Call<'_>, object: &dyn Object) -> Result<Answer, Status> {
    let json = scale_json(call, object)?;
    let (_, form) = negotiate(call.headers, false, true)?;
    match call.kind().scale(object) {
        Some(scale) if form == Form::Table => {
            let meta = object.meta();
            let age = api::duration::age(meta.creation_timestamp.as_ref(), call.now);
            let cells = vec![meta.name.clone().into(), scale.replicas.into(), scale.status_replicas.into(), age.into()];
            answer::table_of_one(call, COLUMNS, cells, &json)
        }
        _ => answer::other(call, StatusCode::OK, json),
    }
}

enum SetScale {
    Replace(Box<Scale>),
    Patch(Patch),
}

impl Change for SetScale {
    fn apply(&self, call: &Call<'_>, old: Option<&Current>) -> Result<Box<dyn Object>, Status> {
        let name = &call.target.name;
        let old = old.ok_or_else(|| Status::not_found(&call.group_resource(), name))?;
        let wanted = match self {
            SetScale::Replace(scale) => (**scale).clone(),
            SetScale::Patch(patch) => {
                let json = scale_json(call, &*old.object)?;
                let document = serde_json::from_slice(&json).map_err(Status::internal_error)?;
                decode(&to_json(&patch.apply(&document, ("autoscaling", "v1", "Scale"))?)?)?
            }
        };
        validate(name, &wanted)?;
        let mut object = old.object.copy();
        call.kind().set_replicas(&mut *object, wanted.spec.and_then(|spec| spec.replicas).unwrap_or(0));
        let meta = object.meta_mut();
        // The version and the identity that the client states are those of the object.
        meta.resource_version = wanted.metadata.resource_version;
        meta.uid = wanted.metadata.uid.or_else(|| meta.uid.take());
        Ok(object)
    }
}

fn to_json(value: &Value) -> Result<Vec<u8>, Status> {
    serde_json::to_vec(value).map_err(Status::internal_error)
}

fn decode(json: &[u8]) -> Result<Scale, Status> {
    let failed = |error: &dyn std::fmt::Display| {
        Status::bad_request(format!("Scale in version \"v1\" cannot be handled as a Scale: {error}"))
    };
    let of = Schema::of("autoscaling", "v1", "Scale");
    let value = match of {
        Some(of) => schema::decode(json, of).map_err(|error| failed(&error))?.0,
        None => serde_json::from_slice(json).map_err(|error| failed(&error))?,
    };
    serde_json::from_value(value).map_err(|error| failed(&error))
}

fn validate(name: &str, scale: &Scale) -> Result<(), Status> {
    let kind = GroupKind::new("autoscaling", "Scale");
    let mut errors = ErrorList::default();
    let stated = scale.metadata.name.as_deref().unwrap_or_default();
    if stated != name {
        let message = format!("the name of the object ({stated}) does not match the name on the URL ({name})");
        return Err(Status::bad_request(message));
    }
    let replicas = scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        errors.push(Error::invalid(&path, replicas, "must be greater than or equal to 0"));
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&kind, name, &errors)) }
}

/// The JSON of an object's scale.
fn scale_json(call: &Call<'_>, object: &dyn Object) -> Result<Vec<u8>, Status> {
    let scale =
        call.kind().scale(object).ok_or_else(|| Status::not_found(&call.group_resource(), &call.target.name))?;
    let meta = object.meta();
    let scale = Scale {
        metadata: ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            creation_timestamp: meta.creation_timestamp.clone(),
            ..ObjectMeta::default()
        },
        spec: Some(ScaleSpec { replicas: Some(scale.replicas) }),
        status: Some(ScaleStatus { replicas: scale.status_replicas, selector: Some(scale.selector) }),
    };
    scale.to_json().map_err(Status::internal_error)
}
