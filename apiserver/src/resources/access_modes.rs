//! How volumes can be mounted: the modes that volumes offer and claims ask for, and how tables show them.

use api::field::{Error, ErrorList, Path};

use super::pod_spec::rules::supported;

const SUPPORTED: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", EXCLUSIVE];
/// The mode of a volume that one pod has to itself.
const EXCLUSIVE: &str = "ReadWriteOncePod";
/// The modes as tables show them, in their order.
const SHORT: [(&str, &str); 4] =
    [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), (EXCLUSIVE, "RWOP")];

/// What is wrong with modes: those that there are not, and sharing what one pod is to have to itself.
pub(super) fn validate(modes: &[String], path: &Path) -> ErrorList {
    let mut errors: ErrorList = modes.iter().filter_map(|mode| supported(mode, SUPPORTED, path)).collect();
    let shares = modes.iter().any(|mode| mode != EXCLUSIVE && SUPPORTED.contains(&&**mode));
    if shares && modes.iter().any(|mode| mode == EXCLUSIVE) {
        errors.push(Error::forbidden(path, "may not use ReadWriteOncePod with other access modes"));
    }
    errors
}

/// The modes for a cell of a table, each once: `RWO,ROX`.
pub(super) fn shown(modes: Option<&Vec<String>>) -> String {
    let has = |mode: &str| modes.is_some_and(|modes| modes.iter().any(|stated| stated == mode));
    SHORT.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_known_and_not_contradictory() {
        let check = |modes: &[&str], short: &str, expected: &[&str]| {
            let modes: Vec<String> = modes.iter().map(|mode| (*mode).to_owned()).collect();
            let errors = validate(&modes, &Path::new("m"));
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
            assert_eq!(shown(Some(&modes)), short);
        };
        check(&[], "", &[]);
        check(&["ReadWriteMany", "ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"], "RWO,ROX,RWX", &[]);
        check(&["ReadWriteOncePod"], "RWOP", &[]);
        let unknown = "m: Unsupported value: \"Any\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \
                       \"ReadWriteOnce\", \"ReadWriteOncePod\"";
        check(&["Any"], "", &[unknown]);
        check(&["ReadWriteOncePod", "Any"], "RWOP", &[unknown]);
        let exclusive = "m: Forbidden: may not use ReadWriteOncePod with other access modes";
        check(&["ReadWriteOncePod", "ReadOnlyMany"], "ROX,RWOP", &[exclusive]);
        assert_eq!(shown(None), "");
    }
}
