//! Patches of the three kinds to documents of every shape. The input is a byte for the kind, and document and patch with a
//! NUL between them.

#![no_main]

use api::patch::{json, merge, strategic};
use api::schema::{Schema, decode_untyped};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let [choice, rest @ ..] = data else { return };
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let (Some(document), Some(patch)) = (parts.next(), parts.next()) else { return };
    let Ok((document, _)) = decode_untyped(document) else { return };
    if choice % 3 == 0 {
        if let Ok((patch, _)) = json::Patch::decode(patch) {
            let _ = patch.apply(&document);
        }
        return;
    }
    let Ok((patch, _)) = decode_untyped(patch) else { return };
    match (choice % 3, document, patch) {
        (1, document, patch) => {
            // A merge patch that has been applied changes nothing more.
            if let Ok(merged) = merge::apply(&document, patch.clone()) {
                assert_eq!(merge::apply(&merged, patch).ok(), Some(merged));
            }
        }
        (_, Value::Object(document), Value::Object(patch)) => {
            let of = Schema::of("", "v1", "Pod").expect("the schema of pods");
            let _ = strategic::apply(&document, patch, of);
        }
        _ => {}
    }
});
