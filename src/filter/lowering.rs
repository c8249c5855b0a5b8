//! Terms in the form in which the kernel and the socket compare them: one comparison of one attribute each, or unknown.

use core::net::IpAddr;
use std::borrow::Cow;

use super::{
    AddressSet, Translation,
    expression::{Masked, Side, Term},
    fields::{AddressField, NumberField},
    sets::{Ranges, TupleSet},
};
use crate::model::{GreKeys, Layer4, Tuple};

/// A condition that every flow satisfies that the term, or its negation, matches.
#[derive(Clone, Debug)]
pub(super) enum Lowered<'f> {
    All(Vec<Self>),
    Any(Vec<Self>),
    Leaf {
        leaf: Leaf<'f>,
        negated: bool,
    },
    /// True for every flow, since nothing narrower can be compared: the result is wider than the filter.
    Unknown,
}

/// One comparison with one attribute.
#[derive(Clone, Debug)]
pub(super) enum Leaf<'f> {
    /// Any field except [`AddressField::Any`].
    Address {
        field: AddressField,
        set: Cow<'f, AddressSet>,
    },
    /// Any field except [`NumberField::Port`].
    Number {
        field: NumberField,
        values: Cow<'f, Ranges<u64>>,
    },
    Status(Masked),
    Mark(Masked),
}

/// The tuples of a set up to this size are compared one by one. In a larger set, each part of a tuple is only compared
/// with the same parts of all of them.
const TUPLES: usize = 64;

impl<'f> Lowered<'f> {
    pub(super) fn new(term: &'f Term, negated: bool) -> Self {
        let leaf = |leaf| Self::Leaf { leaf, negated };
        match term {
            Term::Address { field: AddressField::Any, set } => {
                let fields = AddressField::ALL.into_iter().filter(|field| *field != AddressField::Any);
                Self::list(fields.map(|field| leaf(Leaf::Address { field, set: Cow::Borrowed(set) })), negated)
            }
            Term::Address { field, set } => leaf(Leaf::Address { field: *field, set: Cow::Borrowed(set) }),
            Term::Number { field: NumberField::Port, values } => Self::list(
                PORTS.into_iter().map(|field| leaf(Leaf::Number { field, values: Cow::Borrowed(values) })),
                negated,
            ),
            Term::Number { field, values } => leaf(Leaf::Number { field: *field, values: Cow::Borrowed(values) }),
            Term::Status(bits) => leaf(Leaf::Status(*bits)),
            Term::Mark(bits) => leaf(Leaf::Mark(*bits)),
            Term::Nat { side, to } if !negated => Self::translation(*side, to),
            Term::Tuple(set) if set.len() <= TUPLES => {
                Self::list(set.iter().map(|tuple| Self::tuple(&tuple, negated)), negated)
            }
            Term::Tuple(set) if !negated => Self::projection(set),
            Term::AllLabels(_) | Term::AnyLabel(_) | Term::Helper(_) | Term::Nat { .. } | Term::Tuple(_) => {
                Self::Unknown
            }
        }
    }

    fn list(parts: impl Iterator<Item = Self>, all: bool) -> Self {
        if all { Self::All(parts.collect()) } else { Self::Any(parts.collect()) }
    }

    fn address(field: AddressField, set: Cow<'f, AddressSet>) -> Self {
        Self::Leaf { leaf: Leaf::Address { field, set }, negated: false }
    }

    /// Compares the address and port after the translation. Whether there is a translation is unknown.
    fn translation(side: Side, to: &'f Translation) -> Self {
        let end = |field, port, key| {
            let addresses = to.addresses.as_ref().map(|set| Self::address(field, Cow::Borrowed(set)));
            let ports = to.ports.as_ref().map(|values| {
                let leaf = |field| Leaf::Number { field, values: Cow::Borrowed(values) };
                Self::Any([port, key].map(|field| Self::Leaf { leaf: leaf(field), negated: false }).into())
            });
            Self::All(addresses.into_iter().chain(ports).chain([Self::Unknown]).collect())
        };
        let source =
            || end(AddressField::ReplyDestination, NumberField::ReplyDestinationPort, NumberField::ReplyDestinationKey);
        let destination = || end(AddressField::ReplySource, NumberField::ReplySourcePort, NumberField::ReplySourceKey);
        match side {
            Side::Source => source(),
            Side::Destination => destination(),
            Side::Either => Self::Any(vec![source(), destination()]),
        }
    }

    /// The original tuple is, or is not, this one.
    fn tuple(tuple: &Tuple, negated: bool) -> Self {
        let number = |(field, value): (NumberField, u64)| Leaf::Number {
            field,
            values: Cow::Owned(Ranges::new([(value, value)])),
        };
        let address = |field, address: IpAddr| Leaf::Address { field, set: Cow::Owned(address.into()) };
        let addresses =
            [address(AddressField::Source, tuple.source), address(AddressField::Destination, tuple.destination)];
        let mut numbers = vec![(NumberField::Protocol, u64::from(tuple.protocol.0))];
        let mut unknown = None;
        match tuple.layer4 {
            Layer4::Ports { source, destination } => {
                numbers.extend([
                    (NumberField::SourcePort, source.into()),
                    (NumberField::DestinationPort, destination.into()),
                ]);
            }
            Layer4::Gre(GreKeys { source, destination }) => {
                numbers.extend([
                    (NumberField::SourceKey, source.into()),
                    (NumberField::DestinationKey, destination.into()),
                ]);
            }
            Layer4::Icmp { icmp_type, code, id } => {
                numbers.extend([
                    (NumberField::IcmpType, icmp_type.into()),
                    (NumberField::IcmpCode, code.into()),
                    (NumberField::IcmpId, id.into()),
                ]);
            }
            // No comparison finds out that a tuple has nothing else.
            Layer4::None => unknown = Some(Self::Unknown),
        }
        let leaves = addresses.into_iter().chain(numbers.into_iter().map(number));
        Self::list(leaves.map(|leaf| Self::Leaf { leaf, negated }).chain(unknown), !negated)
    }

    /// Each part of the original tuple is equal to that of some tuple in the set.
    fn projection(set: &TupleSet) -> Self {
        let address = |field, of: fn(Tuple) -> IpAddr| Self::address(field, Cow::Owned(set.iter().map(of).collect()));
        let number = |field, numbers: &mut dyn Iterator<Item = u16>| {
            let values = Ranges::new(numbers.map(|number| (number.into(), number.into())));
            Self::Leaf { leaf: Leaf::Number { field, values: Cow::Owned(values) }, negated: false }
        };
        let mut parts = vec![
            Self::Unknown,
            address(AddressField::Source, |tuple| tuple.source),
            address(AddressField::Destination, |tuple| tuple.destination),
            number(NumberField::Protocol, &mut set.iter().map(|tuple| tuple.protocol.0.into())),
        ];
        if set.iter().all(|tuple| tuple.source_port().is_some()) {
            parts.push(number(NumberField::SourcePort, &mut set.iter().filter_map(|tuple| tuple.source_port())));
            parts.push(number(
                NumberField::DestinationPort,
                &mut set.iter().filter_map(|tuple| tuple.destination_port()),
            ));
        }
        Self::All(parts)
    }
}

/// The ports of [`NumberField::Port`].
const PORTS: [NumberField; 4] = [
    NumberField::SourcePort,
    NumberField::DestinationPort,
    NumberField::ReplySourcePort,
    NumberField::ReplyDestinationPort,
];
