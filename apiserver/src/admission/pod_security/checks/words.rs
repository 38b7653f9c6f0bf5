//! How checks say what they have found.

/// The names in quotes, with commas.
pub(super) fn quoted<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let quoted = names.into_iter().map(|name| format!("\"{}\"", name.as_ref()));
    quoted.collect::<Vec<_>>().join(", ")
}

/// `one` or `many`, as the number of things wants it.
pub(super) fn plural<'a>(one: &'a str, many: &'a str, number: usize) -> &'a str {
    if number == 1 { one } else { many }
}

/// The containers of these names, such as `container "a"`.
pub(super) fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// Who has set something: the pod, containers, or both; nobody, if it is empty.
pub(super) fn setters(pod: bool, names: &[&str]) -> String {
    let pod = pod.then(|| "pod".to_owned());
    let containers = (!names.is_empty()).then(|| containers(names));
    pod.into_iter().chain(containers).collect::<Vec<_>>().join(" and ")
}
