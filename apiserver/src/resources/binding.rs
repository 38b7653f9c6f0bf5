//! Bindings that stand beside the pods that they name: the older form of the subresource `binding`.

use api::field::ErrorList;
use k8s_openapi::api::core::v1::Binding;

use crate::engine::bind_named;
use crate::strategy::{Names, Source, Strategy};

pub(crate) struct Bindings;

impl Strategy for Bindings {
    type Object = Binding;

    fn names(&self) -> Names {
        Names::of::<Binding>("binding", true)
    }

    fn source(&self) -> Source<Binding> {
        Source::Answered(bind_named)
    }

    fn validate(&self, _: &Binding) -> ErrorList {
        // What is wrong is said when it is answered.
        ErrorList::new()
    }

    fn validate_update(&self, _: &Binding, _: &Binding) -> ErrorList {
        ErrorList::new()
    }
}
