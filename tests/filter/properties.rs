//! Properties of every filter.

use ctnetlink::{
    Filter, FlowRef,
    wire::{Flags, MessageType},
};
use proptest::prelude::*;

use crate::{
    flows::{flows, tuples},
    messages::{NOW, encoded, message},
    specs::specs,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn filters_match_what_a_naive_evaluation_matches(spec in specs(), flow in flows()) {
        let filter = spec.build();
        prop_assert_eq!(filter.matches_at(&flow, NOW), spec.holds(&flow), "{}", filter);
    }

    #[test]
    fn flows_and_their_views_match_the_same_filters(spec in specs(), flow in flows()) {
        let filter = spec.build();
        let bytes = encoded(&flow, MessageType::FLOW_NEW, Flags::MULTI);
        let view = FlowRef::parse(&message(&bytes)).unwrap();
        prop_assert_eq!(filter.matches_at(&view, NOW), filter.matches_at(&flow, NOW), "{}", filter);
    }

    #[test]
    fn printed_filters_read_back_equal(spec in specs()) {
        let filter = spec.build();
        let text = filter.to_string();
        match text.parse::<Filter>() {
            Ok(read) => prop_assert_eq!(read, filter, "{}", text),
            Err(error) => prop_assert!(false, "{text}: {error}"),
        }
    }

    #[test]
    fn collected_sets_match_like_their_members(flow in flows(), tuples in prop::collection::vec(tuples(), 0..4)) {
        let singly = Filter::any_of(tuples.iter().map(|tuple| Filter::tuples([tuple])));
        prop_assert_eq!(&Filter::tuples(&tuples), &singly);
        prop_assert_eq!(singly.matches(&flow), tuples.iter().any(|tuple| Filter::tuples([*tuple]).matches(&flow)));
    }

    /// Filters share their trees, which are extended in place: no clone may change with them.
    #[test]
    fn combining_filters_leaves_clones_unchanged(one in specs(), other in specs(), flow in flows()) {
        let (one, other) = (one.build(), other.build());
        let text = one.to_string();
        let before = one.matches_at(&flow, NOW);
        let (mut all, mut any) = (one.clone(), one.clone());
        all &= &other;
        any |= &other;
        prop_assert_eq!(&all, &(&one & &other));
        prop_assert_eq!(&any, &(&one | &other));
        prop_assert_eq!(&any, &[one.clone(), other.clone()].into_iter().collect::<Filter>());
        prop_assert_eq!(&!!&one, &one);
        prop_assert_eq!(all.matches_at(&flow, NOW), before && other.matches_at(&flow, NOW));
        prop_assert_eq!(any.matches_at(&flow, NOW), before || other.matches_at(&flow, NOW));
        prop_assert_eq!((one.to_string(), one.matches_at(&flow, NOW)), (text, before));
    }

    #[test]
    fn de_morgan_holds(one in specs(), other in specs(), flow in flows()) {
        let (one, other) = (one.build(), other.build());
        let matches = |filter: Filter| filter.matches_at(&flow, NOW);
        prop_assert_eq!(matches(!(one.clone() & other.clone())), matches(!one.clone() | !other.clone()));
        prop_assert_eq!(matches(!(one.clone() | other.clone())), matches(!one & !other));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*") {
        let _ = text.parse::<Filter>();
    }

    #[test]
    fn no_list_of_keywords_makes_the_parser_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "not", "and", "or", "(", ")", ",", "<", "=", "src", "10.0.0.1", "dport", "22", "any", "src-nat", "port",
            "tuple", "tcp", "\"", "status", "!ASSURED", "mark", "1/2", "timeout", "5m", "state", "LAST_ACK",
        ]), 0..12),
    ) {
        if let Ok(filter) = words.join(" ").parse::<Filter>() {
            prop_assert_eq!(filter.to_string().parse::<Filter>().unwrap(), filter);
        }
    }
}
