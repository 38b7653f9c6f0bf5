//! Quantities: the canonical form of one is the same quantity, and its own canonical form.

#![no_main]

use api::quantity::Quantity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(quantity) = Quantity::parse(text) {
        let canonical = quantity.canonical();
        let again = Quantity::parse(&canonical).unwrap_or_else(|error| panic!("{text} is {canonical}: {error:?}"));
        assert_eq!(again.canonical(), canonical, "{text}");
    }
});
