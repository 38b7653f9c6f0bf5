//! CertificateSigningRequests: somebody asks a signer for a certificate, somebody else approves, and the signer issues.
//!
//! What is asked for, and who asks, never changes. Who may approve, sign or ask which signer is a matter of
//! authorization, which is decided before a request comes here.

mod conditions;
#[cfg(test)]
mod tests;
mod validation;

use api::field::ErrorList;
use api::names::object_path_segment;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestStatus};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, SelectableField, Strategy, UpdateSubresource};
use validation::Through;
pub(crate) use validation::{common_name, organizations};

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    AGE_COLUMN,
    Column::new(
        "SignerName",
        "Requested signer for the request. It is a qualified name in the form: `scope-hostname.io/name`. If empty, it will \
         be defaulted:\n 1. If it's a kubelet client certificate, it is assigned\n    \
         \"kubernetes.io/kube-apiserver-client-kubelet\".\n 2. If it's a kubelet serving certificate, it is assigned\n    \
         \"kubernetes.io/kubelet-serving\".\n 3. Otherwise, it is assigned \"kubernetes.io/legacy-unknown\". Distribution \
         of trust for signers happens out of band. You can select on this field using `spec.signerName`.",
    ),
    Column::new("Requestor", "Base64-encoded PKCS#10 CSR data"),
    Column::new(
        "RequestedDuration",
        "expirationSeconds is the requested duration of validity of the issued certificate. The certificate signer may \
         issue a certificate with a different validity duration so a client must check the delta between the notBefore and \
         and notAfter fields in the issued certificate to determine the actual duration.\n\nThe v1.22+ in-tree \
         implementations of the well-known Kubernetes signers will honor this field as long as the requested duration is \
         not greater than the maximum duration they will honor per the --cluster-signing-duration CLI flag to the \
         Kubernetes controller manager.\n\nCertificate signers may not honor this field for various reasons:\n\n  1. Old \
         signer that is unaware of the field (such as the in-tree\n     implementations prior to v1.22)\n  2. Signer whose \
         configured maximum is shorter than the requested duration\n  3. Signer whose configured minimum is longer than \
         the requested duration\n\nThe minimum valid value for expirationSeconds is 600, i.e. 10 minutes.",
    ),
    Column::new("Condition", "Conditions applied to the request, such as approval or denial."),
];

pub(crate) struct CertificateSigningRequests;

impl Strategy for CertificateSigningRequests {
    type Object = CertificateSigningRequest;

    fn names(&self) -> Names {
        Names::of::<CertificateSigningRequest>("certificatesigningrequest", false).short(&["csr"])
    }

    fn prepare_create(&self, object: &mut CertificateSigningRequest, context: Context<'_>) {
        let spec = &mut object.spec;
        (spec.username, spec.uid, spec.groups, spec.extra) = (None, None, None, None);
        if let Some(identity) = context.identity {
            let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
            spec.username = given(&identity.user);
            spec.uid = given(&identity.uid);
            spec.groups = Some(identity.groups.clone()).filter(|groups| !groups.is_empty());
            spec.extra = Some(identity.extra.clone()).filter(|extra| !extra.is_empty());
        }
        // Nobody is born approved.
        object.status = Some(CertificateSigningRequestStatus::default());
    }

    fn prepare_update(&self, new: &mut CertificateSigningRequest, old: &CertificateSigningRequest, _: Context<'_>) {
        new.spec = old.spec.clone();
        new.status = old.status.clone();
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        object_path_segment(name, prefix)
    }

    fn validate(&self, object: &CertificateSigningRequest) -> ErrorList {
        validation::validate(object)
    }

    fn validate_update(&self, new: &CertificateSigningRequest, old: &CertificateSigningRequest) -> ErrorList {
        validation::validate_update(new, old, Through::Object)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &CertificateSigningRequest, now: Timestamp) -> Vec<Value> {
        let spec = &object.spec;
        let duration = spec.expiration_seconds.map(|seconds| api::duration::human(seconds.into()));
        vec![
            object.metadata.name.clone().into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
            if spec.signer_name.is_empty() { "<none>" } else { &spec.signer_name }.into(),
            spec.username.clone().unwrap_or_default().into(),
            duration.unwrap_or_else(|| "<none>".to_owned()).into(),
            state(object).into(),
        ]
    }

    fn selectable_fields(&self) -> &'static [SelectableField] {
        const { &[SelectableField::at("spec.signerName")] }
    }

    fn updates(&self) -> Vec<UpdateSubresource<CertificateSigningRequest>> {
        vec![
            UpdateSubresource {
                name: "approval",
                prepare: |new, old, context| {
                    conditions::stamp(new, old, context.now);
                    let conditions = new.status.take().and_then(|status| status.conditions);
                    new.spec = old.spec.clone();
                    new.status = old.status.clone();
                    new.status.get_or_insert_default().conditions = conditions;
                },
                validate: |new, old| validation::validate_update(new, old, Through::Approval),
            },
            UpdateSubresource {
                name: "status",
                prepare: |new, old, context| {
                    new.spec = old.spec.clone();
                    // Signers cannot change what approvers said, only what they themselves say.
                    conditions::preserve(new, old, conditions::APPROVED);
                    conditions::preserve(new, old, conditions::DENIED);
                    conditions::stamp(new, old, context.now);
                },
                validate: |new, old| validation::validate_update(new, old, Through::Status),
            },
        ]
    }
}

/// What became of the request, in the words of its table.
fn state(request: &CertificateSigningRequest) -> String {
    let has = |kind: &str| !conditions::of_type(request, kind).is_empty();
    let mut state = match (has(conditions::DENIED), has(conditions::APPROVED)) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has(conditions::FAILED) {
        state.push_str(",Failed");
    }
    if request.status.as_ref().and_then(|status| status.certificate.as_ref()).is_some_and(|it| !it.0.is_empty()) {
        state.push_str(",Issued");
    }
    state
}
