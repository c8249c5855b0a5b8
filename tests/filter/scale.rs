//! Filters with many levels or many terms, as programs build them.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{
    Filter, Flow, Helper, Tuple,
    filter::{Capabilities, SocketFilter},
};

use crate::bpf;

/// More levels than a stack has room for, if each level took a call.
const LEVELS: u32 = 100_000;

fn flow(mark: u32) -> Flow {
    let tuple = Tuple::tcp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let mut flow = Flow::new(tuple, tuple.inverted().unwrap());
    flow.mark = Some(mark);
    flow
}

fn nested_to_the_left() -> Filter {
    (0..LEVELS).fold(Filter::mark(u32::MAX), |inner, level| (inner | Filter::mark(level)) & Filter::source_port(1))
}

fn nested_to_the_right() -> Filter {
    (0..LEVELS).fold(Filter::mark(u32::MAX), |inner, level| Filter::source_port(1) & (Filter::mark(level) | inner))
}

fn nested_in_negations() -> Filter {
    (0..LEVELS).fold(Filter::mark(u32::MAX), |inner, level| !(inner & !Filter::mark(level)))
}

/// Runs the test with the default stack size of spawned threads.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(2 << 20).spawn(test).unwrap().join().unwrap();
}

#[test]
fn deep_filters_are_evaluated() {
    on_a_small_stack(|| {
        for filter in [nested_to_the_left(), nested_to_the_right()] {
            for mark in [0, 1, LEVELS / 2, LEVELS - 1, u32::MAX] {
                assert!(filter.matches(&flow(mark)), "{mark}");
            }
            assert!(!filter.matches(&flow(LEVELS)));
        }
        let negated = nested_in_negations();
        // The outermost level is `not (inner and not mark LEVELS-1)`.
        assert!(negated.matches(&flow(LEVELS - 1)));
        assert!(!negated.matches(&flow(LEVELS)));
        assert!(negated.matches(&flow(u32::MAX)));
    });
}

#[test]
fn deep_filters_are_planned() {
    on_a_small_stack(|| {
        let new = Capabilities::linux(6, 18);
        for filter in [nested_to_the_left(), nested_to_the_right()] {
            let plan = filter.plan(&new);
            assert!(!plan.is_exact());
            assert_eq!(plan.dumps().len(), 1);
        }
        let narrow = Filter::protocol(ctnetlink::Protocol::TCP) & (Filter::mark(7) | nested_to_the_right());
        assert!(narrow.plan(&new).dumps()[0].to_string().starts_with("ipv4, protocol tcp"));
    });
}

#[test]
fn deep_filters_are_compiled_for_sockets() {
    on_a_small_stack(|| {
        for filter in [nested_to_the_left(), nested_to_the_right(), nested_in_negations()] {
            let program = SocketFilter::new(&filter);
            bpf::check(program.instructions());
            assert!(!program.is_exact());
        }
    });
}

#[test]
fn deep_filters_are_compared_hashed_printed_and_dropped() {
    on_a_small_stack(|| {
        for build in [nested_to_the_left, nested_to_the_right, nested_in_negations] {
            let (one, other) = (build(), build());
            assert!(one == other && one == one.clone());
            assert!(one != !other.clone());
            assert_eq!(hash(&one), hash(&other));
            let (text, debug) = (one.to_string(), format!("{one:?}"));
            assert!(text.contains("mark 0xffffffff") && debug.contains("mark"));
            assert_eq!(text.matches('(').count(), text.matches(')').count());
            drop(one);
            assert_eq!(other.to_string(), text);
        }
    });
}

fn hash(filter: &Filter) -> u64 {
    let mut hasher = DefaultHasher::new();
    filter.hash(&mut hasher);
    hasher.finish()
}

/// Twenty thousand helpers took 56 s when each `|` visited all terms before it.
#[test]
fn adding_terms_one_by_one_is_not_quadratic() {
    let started = Instant::now();
    let name = |number: u32| format!("helper-{number}");
    let helpers = (0..20_000).map(|number| Filter::helper(&name(number))).reduce(|all, one| all | one).unwrap();
    let marks = (0..20_000).fold(Filter::nothing(), |all, number| all | Filter::mark(number));
    let both =
        (0..20_000).fold(marks.clone(), |all, number| all | Filter::id(3 * number) | Filter::timeout(3 * number));
    let required = (0..20_000).fold(Filter::everything(), |all, number| all & !Filter::mark(number));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let mut helped = flow(30_000);
    helped.helper = Some(Helper::new(&name(19_999)));
    helped.id = Some(3 * 19_999);
    assert!(helpers.matches(&helped) && both.matches(&helped) && required.matches(&helped));
    assert!(!marks.matches(&helped) && marks.matches(&flow(19_999)) && !required.matches(&flow(19_999)));
    assert_eq!(helpers, Filter::any_of((0..20_000).map(|number| Filter::helper(&name(number)))));
}
