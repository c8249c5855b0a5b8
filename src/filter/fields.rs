//! What a filter can look at: addresses and numbers of a flow, and the word for each.

use super::{
    AddressSet, Filter, NumberSet,
    expression::Term,
    number_set::{Number, sealed::Number as _},
};
use crate::{
    error::ParseError,
    model::{DccpRole, DccpState, Family, Protocol, SctpState, TcpState},
};

/// How the values of a field read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Style {
    /// As numbers and ranges: `sport 1024-65535`.
    Plain,
    /// As an amount to compare with: `timeout < 30`.
    Amount,
    /// As names where there are any: `proto tcp`.
    Named { name: fn(u64) -> Option<&'static str>, parse: fn(&str) -> Result<u64, ParseError> },
}

/// A type of values, and how they read.
trait Values: Number {
    const STYLE: Style = Style::Plain;
}

impl Values for u8 {}
impl Values for u16 {}
impl Values for u32 {}

macro_rules! named_values {
    ($($name:ident)*) => { $(
        impl Values for $name {
            const STYLE: Style = Style::Named {
                name: |value| u8::try_from(value).ok().and_then(|value| Self(value).name()),
                parse: |text| text.parse::<Self>().map(|value| value.value()),
            };
        }
    )* };
}

named_values!(Family Protocol TcpState SctpState DccpState DccpRole);

/// An amount, which one compares rather than lists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Amount<T>(T);

impl<T: Number> super::number_set::sealed::Number for Amount<T> {
    const LEAST: Self = Self(T::LEAST);
    const GREATEST: Self = Self(T::GREATEST);
    fn value(self) -> u64 {
        self.0.value()
    }
    fn predecessor(self) -> Option<Self> {
        self.0.predecessor().map(Self)
    }
}

impl<T: Number> Number for Amount<T> {}

impl<T: Number> Values for Amount<T> {
    const STYLE: Style = Style::Amount;
}

/// One row for each number: its word, and the constructor of the filter that looks at it.
macro_rules! number_fields {
    ( $( $(#[$meta:meta])* $field:ident = $word:literal, $constructor:ident($type:ty as $values:ty); )* ) => {
        /// A number of a flow.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum NumberField { $( $field, )* }

        impl NumberField {
            pub(super) const ALL: &'static [Self] = &[ $( Self::$field, )* ];

            /// The word for it in the filter language.
            pub(crate) const fn word(self) -> &'static str {
                match self { $( Self::$field => $word, )* }
            }

            /// What its values are called.
            pub(super) const fn value_name(self) -> &'static str {
                match (self, self.style()) {
                    (Self::Family, _) => "a family",
                    (Self::Protocol, _) => "a protocol",
                    (Self::DccpRole, _) => "a role",
                    (_, Style::Named { .. }) => "a state",
                    _ => "a number",
                }
            }

            /// The greatest value it can have.
            pub(super) fn greatest(self) -> u64 {
                match self { $( Self::$field => <$values>::GREATEST.value(), )* }
            }

            pub(super) const fn style(self) -> Style {
                match self { $( Self::$field => <$values>::STYLE, )* }
            }
        }

        /// # Numbers
        impl Filter {
            $(
                $(#[$meta])*
                #[doc = ""]
                #[doc = concat!("In text `", $word, "`.")]
                #[must_use]
                pub fn $constructor(values: impl Into<NumberSet<$type>>) -> Self {
                    Self::from_term(Term::Number {
                        field: NumberField::$field,
                        values: values.into().into_ranges(),
                    })
                }
            )*
        }
    };
}

number_fields! {
    /// The layer 3 family.
    Family = "family", family(Family as Family);
    /// The layer 4 protocol.
    Protocol = "proto", protocol(Protocol as Protocol);
    /// The source port of the original direction.
    SourcePort = "sport", source_port(u16 as u16);
    /// The destination port of the original direction.
    DestinationPort = "dport", destination_port(u16 as u16);
    /// The source port of the reply direction: after destination NAT, the port that packets go to.
    ReplySourcePort = "reply-port-src", reply_source_port(u16 as u16);
    /// The destination port of the reply direction: after source NAT, the port that packets seem to come from.
    ReplyDestinationPort = "reply-port-dst", reply_destination_port(u16 as u16);
    /// Any of the four ports: source or destination, of either direction.
    Port = "port", port(u16 as u16);
    /// The source key of GRE, original direction.
    SourceKey = "srckey", source_key(u16 as u16);
    /// The destination key of GRE, original direction.
    DestinationKey = "dstkey", destination_key(u16 as u16);
    /// The source key of GRE, reply direction.
    ReplySourceKey = "reply-key-src", reply_source_key(u16 as u16);
    /// The destination key of GRE, reply direction.
    ReplyDestinationKey = "reply-key-dst", reply_destination_key(u16 as u16);
    /// The type of an ICMP or ICMPv6 query, as the request has it.
    IcmpType = "icmp-type", icmp_type(u8 as u8);
    /// The code of an ICMP or ICMPv6 query, as the request has it.
    IcmpCode = "icmp-code", icmp_code(u8 as u8);
    /// The identifier of an ICMP or ICMPv6 query, as the request has it.
    IcmpId = "icmp-id", icmp_id(u16 as u16);
    /// The state of a TCP connection.
    TcpState = "tcp-state", tcp_state(TcpState as TcpState);
    /// The state of an SCTP association.
    SctpState = "sctp-state", sctp_state(SctpState as SctpState);
    /// The state of a DCCP connection.
    DccpState = "dccp-state", dccp_state(DccpState as DccpState);
    /// The role of the initiator of a DCCP connection.
    DccpRole = "role", dccp_role(DccpRole as DccpRole);
    /// The SCTP verification tag of the original direction.
    TagOriginal = "orig-vtag", verification_tag_original(u32 as u32);
    /// The SCTP verification tag of the reply direction.
    TagReply = "reply-vtag", verification_tag_reply(u32 as u32);
    /// The zone, where it is the same in both directions; 0 is the default zone.
    Zone = "zone", zone(u16 as u16);
    /// The zone of the original direction, be it that of both or of this one only.
    ZoneOriginal = "orig-zone", zone_original(u16 as u16);
    /// The zone of the reply direction, be it that of both or of this one only.
    ZoneReply = "reply-zone", zone_reply(u16 as u16);
    /// The zone of one direction or the other.
    ZoneEither = "any-zone", zone_either(u16 as u16);
    /// The identifier.
    Id = "id", id(u32 as u32);
    /// Seconds until the flow ends unless a packet comes.
    Timeout = "timeout", timeout(u32 as Amount<u32>);
    /// Whole seconds since the flow began, or between its begin and end.
    Age = "age", age(u64 as Amount<u64>);
    /// Packets of both directions.
    Packets = "packets", packets(u64 as Amount<u64>);
    /// Bytes of both directions.
    Bytes = "bytes", bytes(u64 as Amount<u64>);
    /// Packets from the initiator.
    PacketsOriginal = "orig-packets", packets_original(u64 as Amount<u64>);
    /// Bytes from the initiator.
    BytesOriginal = "orig-bytes", bytes_original(u64 as Amount<u64>);
    /// Packets from the responder.
    PacketsReply = "reply-packets", packets_reply(u64 as Amount<u64>);
    /// Bytes from the responder.
    BytesReply = "reply-bytes", bytes_reply(u64 as Amount<u64>);
}

/// An address of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AddressField {
    Source,
    Destination,
    ReplySource,
    ReplyDestination,
    Any,
}

impl AddressField {
    pub(super) const ALL: [Self; 5] =
        [Self::Source, Self::Destination, Self::ReplySource, Self::ReplyDestination, Self::Any];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Source => "src",
            Self::Destination => "dst",
            Self::ReplySource => "reply-src",
            Self::ReplyDestination => "reply-dst",
            Self::Any => "addr",
        }
    }
}

/// # Addresses
impl Filter {
    /// The source address of the original direction.
    ///
    /// In text `src`.
    #[must_use]
    pub fn source(addresses: impl Into<AddressSet>) -> Self {
        Self::address_in(AddressField::Source, addresses.into())
    }

    /// The destination address of the original direction.
    ///
    /// In text `dst`.
    #[must_use]
    pub fn destination(addresses: impl Into<AddressSet>) -> Self {
        Self::address_in(AddressField::Destination, addresses.into())
    }

    /// The source address of the reply direction: after destination NAT, where packets go.
    ///
    /// In text `reply-src`.
    #[must_use]
    pub fn reply_source(addresses: impl Into<AddressSet>) -> Self {
        Self::address_in(AddressField::ReplySource, addresses.into())
    }

    /// The destination address of the reply direction: after source NAT, where packets seem to come from.
    ///
    /// In text `reply-dst`.
    #[must_use]
    pub fn reply_destination(addresses: impl Into<AddressSet>) -> Self {
        Self::address_in(AddressField::ReplyDestination, addresses.into())
    }

    /// Any of the four addresses: source or destination, of either direction.
    ///
    /// In text `addr`.
    #[must_use]
    pub fn address(addresses: impl Into<AddressSet>) -> Self {
        Self::address_in(AddressField::Any, addresses.into())
    }

    fn address_in(field: AddressField, set: AddressSet) -> Self {
        Self::from_term(Term::Address { field, set })
    }
}
