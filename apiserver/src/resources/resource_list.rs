//! Quantities by the names of resources (`ResourceList`), which stand in many kinds.

use std::collections::BTreeMap;

use api::field::{Error, ErrorList, Path};
use api::quantity::Quantity;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

/// As objects hold it.
pub(super) type List = BTreeMap<String, ApiQuantity>;

/// Resources are counted in thousandths at the finest.
const MILLI: i8 = -3;

/// Rounds what is finer than can be counted up.
pub(super) fn set_defaults(list: Option<&mut List>) {
    for quantity in list.into_iter().flat_map(BTreeMap::values_mut) {
        if let Ok(mut parsed) = Quantity::try_from(&*quantity) {
            parsed.round_up(MILLI);
            *quantity = (&parsed).into();
        }
    }
}

/// The list with its quantities read; what is none is an error at its place.
pub(super) fn parse(list: Option<&List>, path: &Path, errors: &mut ErrorList) -> BTreeMap<String, Quantity> {
    let mut parsed = BTreeMap::new();
    for (name, quantity) in list.into_iter().flatten() {
        match Quantity::try_from(quantity) {
            Ok(quantity) => {
                parsed.insert(name.clone(), quantity);
            }
            Err(error) => errors.push(Error::invalid(&path.key(name), &*quantity.0, error.to_string())),
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn fine_quantities_are_rounded_up() {
        let check = |list: Value, expected: Value| {
            let mut list: List = serde_json::from_value(list).unwrap();
            set_defaults(Some(&mut list));
            assert_eq!(json!(list), expected);
        };
        check(
            json!({"cpu": "100.1m", "memory": "1Gi", "pods": "x"}),
            json!({"cpu": "101m", "memory": "1Gi", "pods": "x"}),
        );
        check(json!({"cpu": "0.5", "memory": "1n"}), json!({"cpu": "500m", "memory": "1m"}));
    }

    #[test]
    fn what_is_no_quantity_is_an_error() {
        let list: List = serde_json::from_value(json!({"cpu": "1", "memory": "much"})).unwrap();
        let mut errors = ErrorList::new();
        let parsed = parse(Some(&list), &Path::new("hard"), &mut errors);
        assert_eq!(parsed.keys().collect::<Vec<_>>(), ["cpu"]);
        assert!(errors.iter().all(|error| error.field == "hard[memory]"));
        assert_eq!(errors.len(), 1);
    }
}
