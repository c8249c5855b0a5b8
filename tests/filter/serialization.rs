//! Filters and prefixes in serde's data formats.

use ctnetlink::{Filter, Prefix};
use proptest::prelude::*;

use crate::specs::specs;

#[test]
fn filters_and_prefixes_serialize_as_text() {
    let filter: Filter = "proto tcp and dport 22".parse().unwrap();
    assert_eq!(serde_json::to_string(&filter).unwrap(), "\"proto tcp and dport 22\"");
    let prefix: Prefix = "10.0.0.0/8".parse().unwrap();
    assert_eq!(serde_json::to_string(&[prefix]).unwrap(), "[\"10.0.0.0/8\"]");
    assert_eq!(serde_json::from_str::<Prefix>("\"10.1.2.3/8\"").unwrap(), prefix);
}

#[test]
fn text_that_is_not_a_filter_does_not_deserialize() {
    let error = serde_json::from_str::<Filter>("\"prot tcp\"").unwrap_err().to_string();
    assert!(error.contains("column 1: unknown keyword `prot`; did you mean `proto`?"), "{error}");
    assert!(serde_json::from_str::<Prefix>("\"10.0.0.0/33\"").is_err());
    assert!(serde_json::from_str::<Filter>("7").is_err());
}

/// A filter that is written has to read back, and text has at most 64 levels.
#[test]
fn filter_deeper_than_text_may_be_does_not_serialize() {
    let nested = |levels: u32| (0..levels).fold(Filter::mark(1), |inner, level| !(inner & Filter::mark(2 + level)));
    // Each level is a `not` and a parenthesis.
    let deepest = nested(32);
    let text = serde_json::to_string(&deepest).unwrap();
    assert_eq!(serde_json::from_str::<Filter>(&text).unwrap(), deepest);
    assert!(nested(33).to_string().parse::<Filter>().is_err());
    let error = serde_json::to_string(&nested(33)).unwrap_err();
    assert_eq!(error.to_string(), "the filter is nested more than 64 levels deep");
}

proptest! {
    #[test]
    fn serialized_filters_read_back_equal(spec in specs()) {
        let filter = spec.build();
        let text = serde_json::to_vec(&filter).unwrap();
        prop_assert_eq!(&serde_json::from_slice::<Filter>(&text).unwrap(), &filter);
        // A binary format that does not describe itself.
        let bytes = postcard::to_allocvec(&filter).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Filter>(&bytes).unwrap(), filter);
    }
}
