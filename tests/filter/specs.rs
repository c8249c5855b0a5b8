//! Random filters of any shape, over the domains of the random flows.

use ctnetlink::{Family, Prefix};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::{
    flows::{addresses4, addresses6, bits, ports, protocols, tuples},
    spec::Spec,
};

fn prefixes() -> impl Strategy<Value = Vec<Prefix>> {
    let lengths4 = select(vec![0, 8, 24, 31, 32, 32, 32, 32]);
    let lengths6 = select(vec![0, 16, 63, 64, 128, 128, 128]);
    let prefix = prop_oneof![
        (addresses4(), lengths4).prop_map(|(address, length)| Prefix::new(address, length).unwrap()),
        (addresses6(), lengths6).prop_map(|(address, length)| Prefix::new(address, length).unwrap()),
    ];
    prop_oneof![3 => vec(prefix.clone(), 1..2), 1 => vec(prefix, 0..6)]
}

fn port_ranges() -> impl Strategy<Value = Vec<(u16, u16)>> {
    let range = prop_oneof![
        3 => ports().prop_map(|port| (port, port)),
        1 => (ports(), ports()),
    ];
    prop_oneof![3 => vec(range.clone(), 1..2), 1 => vec(range, 0..12)]
}

fn small_ranges<T: Copy + std::fmt::Debug + From<u8> + 'static>(greatest: T) -> impl Strategy<Value = Vec<(T, T)>> {
    let number = || prop_oneof![4 => (0_u8..6).prop_map(T::from), 1 => Just(greatest)];
    let range = prop_oneof![number().prop_map(|one| (one, one)), (number(), number())];
    vec(range, 0..3)
}

fn byte_ranges() -> impl Strategy<Value = Vec<(u8, u8)>> {
    let number = prop_oneof![0_u8..14, select(vec![128, 129, 139])];
    vec(number.prop_map(|one| (one, one)), 1..3)
}

fn terms() -> impl Strategy<Value = Spec> {
    let zones = vec((0_u16..3).prop_map(|zone| (zone, zone)), 1..3);
    let protocol = protocols().prop_map(|protocol| Spec::Byte(0, vec![(protocol.0, protocol.0)]));
    let masked = (bits(), bits()).prop_map(|(value, mask)| Spec::Mark(value & mask, mask));
    prop_oneof![
        4 => (0_usize..5, prefixes()).prop_map(|(which, prefixes)| Spec::Address(which, prefixes)),
        4 => (0_usize..10, port_ranges()).prop_map(|(which, ranges)| Spec::Port(which, ranges)),
        2 => (10_usize..14, zones).prop_map(|(which, ranges)| Spec::Port(which, ranges)),
        1 => (0_usize..4, small_ranges(u32::MAX)).prop_map(|(which, ranges)| Spec::Wide(which, ranges)),
        1 => (0_usize..7, small_ranges(u64::MAX)).prop_map(|(which, ranges)| Spec::Long(which, ranges)),
        3 => protocol,
        2 => (1_usize..7, byte_ranges()).prop_map(|(which, ranges)| Spec::Byte(which, ranges)),
        1 => select(vec![Family::IPV4, Family::IPV6]).prop_map(Spec::Family),
        2 => (bits(), any::<bool>()).prop_map(|(bits, set)| Spec::Status(bits, set)),
        1 => bits().prop_map(|mark| Spec::Mark(mark, u32::MAX)),
        1 => masked,
        1 => (bits(), bits()).prop_map(|(value, mask)| Spec::Mark(value, mask)),
        1 => any::<u8>().prop_map(Spec::AllLabels),
        1 => any::<u8>().prop_map(Spec::AnyLabel),
        1 => select(vec!["ftp", "and", "a \"b\" \\", "", "a,b", "é("]).prop_map(Spec::Helper),
        1 => (0_usize..3, option::of(prefixes()), option::of(port_ranges()))
            .prop_map(|(which, prefixes, ports)| Spec::Nat(which, prefixes, ports)),
        1 => vec(tuples(), 0..3).prop_map(Spec::Tuples),
        1 => Just(Spec::Offloaded),
    ]
}

/// Nested filters.
pub(crate) fn specs() -> impl Strategy<Value = Spec> {
    terms().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Spec::All),
            vec(inner.clone(), 0..4).prop_map(Spec::Any),
            inner.prop_map(|inner| Spec::Not(Box::new(inner))),
        ]
    })
}
