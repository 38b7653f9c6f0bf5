//! Label and field selectors: what is read is written as text that reads the same.

#![no_main]

use api::selector::{field, label};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(selector) = label::Selector::parse(text) {
        let shown = selector.to_string();
        assert_eq!(label::Selector::parse(&shown).map(|again| again.to_string()).ok(), Some(shown), "{text}");
    }
    if let Ok(selector) = field::Selector::parse(text) {
        let shown = selector.to_string();
        assert_eq!(field::Selector::parse(&shown).map(|again| again.to_string()).ok(), Some(shown), "{text}");
    }
});
