//! Continue tokens: none leads out of its collection, and what is read is written the same.

#![no_main]

use apiserver::request::Continuation;
use libfuzzer_sys::fuzz_target;
use store::Prefix;

fuzz_target!(|token: &str| {
    let prefix = Prefix::new("/registry/core/pods/default/").expect("a prefix");
    if let Ok(continuation) = Continuation::decode(token, &prefix) {
        assert!(continuation.after.as_str().starts_with(prefix.as_str()), "{continuation:?}");
        let again = Continuation::decode(&continuation.encode(&prefix), &prefix).expect("our own token");
        assert_eq!(again, continuation);
    }
});
