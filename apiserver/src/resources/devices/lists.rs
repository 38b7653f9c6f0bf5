//! Lists, sets and maps with a limit: one that is too long is not looked into.

use std::collections::{BTreeMap, HashSet};

use api::field::{BadValue, Error, ErrorList, Path};

/// Shortest that a key is cut to in a path.
const MIN_SHOWN_BYTES: usize = 16;

/// What is wrong with a list of at most `max` elements.
pub(crate) fn validate_list<T>(
    items: &[T],
    max: usize,
    path: &Path,
    mut validate: impl FnMut(&T, &Path) -> ErrorList,
) -> ErrorList {
    if items.len() > max {
        return Error::too_many(path, items.len(), max).into();
    }
    items.iter().enumerate().flat_map(|(i, item)| validate(item, &path.index(i))).collect()
}

/// What is wrong with a list of at most `max` elements of which no two have the same key.
pub(crate) fn validate_set<T>(
    items: &[T],
    max: usize,
    path: &Path,
    validate: impl FnMut(&T, &Path) -> ErrorList,
    key: impl Fn(&T) -> BadValue,
) -> ErrorList {
    let mut errors = validate_list(items, max, path, validate);
    if items.len() > max {
        return errors;
    }
    let mut seen = HashSet::new();
    for (i, item) in items.iter().enumerate() {
        let key = key(item);
        let text = match &key {
            BadValue::Text(text) | BadValue::Json(text) => text.clone(),
            BadValue::Omitted => String::new(),
        };
        if !seen.insert(text) {
            errors.push(Error::duplicate(&path.index(i), key));
        }
    }
    errors
}

/// What is wrong with a map of at most `max` entries. Keys are errors of the map, values of the key, which is cut to
/// `shown` bytes.
pub(crate) fn validate_map<T>(
    map: Option<&BTreeMap<String, T>>,
    max: Option<usize>,
    shown: usize,
    path: &Path,
    validate_key: impl Fn(&str, &Path) -> ErrorList,
    validate: impl Fn(&T, &Path) -> ErrorList,
) -> ErrorList {
    let count = map.map_or(0, BTreeMap::len);
    if let Some(max) = max.filter(|max| count > *max) {
        return Error::too_many(path, count, max).into();
    }
    let mut errors = ErrorList::new();
    for (key, value) in map.into_iter().flatten() {
        errors.extend(validate_key(key, path));
        errors.extend(validate(value, &path.key(&shortened(key, shown))));
    }
    errors
}

/// The text without its middle if it has more than `max` bytes.
fn shortened(text: &str, max: usize) -> String {
    const DOTS: &str = "...";
    let max = max.max(MIN_SHOWN_BYTES);
    if text.len() <= max {
        return text.to_owned();
    }
    let left = max - DOTS.len();
    let (start, end) = (left.div_ceil(2), text.len() - left / 2);
    let (start, end) = (text.floor_char_boundary(start), text.ceil_char_boundary(end));
    format!("{}{DOTS}{}", &text[..start], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_lose_their_middle() {
        for (text, max, expected) in [
            ("abc", 16, "abc"),
            ("abcdefghijklmnop", 16, "abcdefghijklmnop"),
            ("abcdefghijklmnopq", 16, "abcdefg...lmnopq"),
            ("abcdefghijklmnopq", 1, "abcdefg...lmnopq"),
            ("äbcdefäghijklmnopq", 17, "äbcdef...klmnopq"),
        ] {
            assert_eq!(shortened(text, max), expected, "{text}");
        }
    }

    #[test]
    fn limits_come_first() {
        let wrong = |item: &&str, path: &Path| Error::invalid(path, *item, "wrong").into();
        let set = |max| validate_set(&["a", "b", "a"], max, &Path::new("s"), wrong, |item| (*item).into()).to_string();
        assert_eq!(set(2), "s: Too many: 3: must have at most 2 items");
        let expected = "[s[0]: Invalid value: \"a\": wrong, s[1]: Invalid value: \"b\": wrong, s[2]: Invalid value: \"a\": \
                        wrong, s[2]: Duplicate value: \"a\"]";
        assert_eq!(set(3), expected);
        let map = [("a".to_owned(), 1), ("b".to_owned(), 2)].into();
        let check = |max| {
            let key = |key: &str, path: &Path| Error::invalid(path, key, "key").into();
            let value = |value: &i32, path: &Path| Error::invalid(path, *value, "value").into();
            validate_map(Some(&map), max, 8, &Path::new("m"), key, value).to_string()
        };
        assert_eq!(check(Some(1)), "m: Too many: 2: must have at most 1 item");
        let expected = "[m: Invalid value: \"a\": key, m[a]: Invalid value: 1: value, m: Invalid value: \"b\": key, \
                        m[b]: Invalid value: 2: value]";
        assert_eq!(check(None), expected);
    }
}
