//! The fields of a flow that a filter compares, the keyword of each, and translations.

use super::{
    AddressSet, NumberSet,
    sets::{Number, Ranges, sealed::NumberValue},
};
use crate::{
    error::ParseError,
    model::{DccpRole, DccpState, Endpoint, Family, Protocol, SctpState, TcpState},
};

/// How the values of a field are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Style {
    /// As numbers and ranges: `sport 1024-65535`.
    Plain,
    /// As an amount that is compared: `timeout < 30`.
    Amount,
    /// As names, if the values have names: `proto tcp`.
    Named { name: fn(u64) -> Option<&'static str>, parse: fn(&str) -> Result<u64, ParseError> },
}

/// A type of values, and how they are written.
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

/// An amount, which is compared more often than it is listed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Amount<T>(T);

impl<T: Number> NumberValue for Amount<T> {
    const LEAST: Self = Self(T::LEAST);
    const GREATEST: Self = Self(T::GREATEST);
    fn value(self) -> u64 {
        self.0.value()
    }
}

impl<T: Number> Number for Amount<T> {}

impl<T: Number> Values for Amount<T> {
    const STYLE: Style = Style::Amount;
}

/// Gives one row for each number of a flow to a macro: the field, its keyword, its constructor with the type of its
/// argument and of its values, and an example of the argument and of the text for it.
macro_rules! number_fields {
    ($callback:ident) => {
        $callback! {
            /// Matches flows of this layer 3 protocol: IPv4 or IPv6.
            Family = "family", family(Family as Family), "ctnetlink::Family::IPV6" => "ipv6";
            /// Matches flows of this layer 4 protocol.
            Protocol = "proto", protocol(Protocol as Protocol), "[ctnetlink::Protocol::TCP, ctnetlink::Protocol::UDP]" => "tcp,udp";
            /// Matches flows by the source port of the original direction, the port of the initiator.
            ///
            /// Only flows of TCP, UDP, UDP-Lite, SCTP and DCCP have ports.
            SourcePort = "sport", source_port(u16 as u16), "1024.." => "1024-65535";
            /// Matches flows by the destination port of the original direction, before any translation.
            ///
            /// Only flows of TCP, UDP, UDP-Lite, SCTP and DCCP have ports.
            DestinationPort = "dport", destination_port(u16 as u16), "[80, 443]" => "80,443";
            /// Matches flows by the source port of the reply direction.
            ///
            /// After destination NAT, it is the port to which packets are sent.
            ReplySourcePort = "reply-port-src", reply_source_port(u16 as u16), "8080" => "8080";
            /// Matches flows by the destination port of the reply direction.
            ///
            /// After source NAT, it is the port from which packets seem to come.
            ReplyDestinationPort = "reply-port-dst", reply_destination_port(u16 as u16), "1024..=2047" => "1024-2047";
            /// Matches flows by any of their four ports: source or destination, of either direction.
            Port = "port", any_port(u16 as u16), "53" => "53";
            /// Matches GRE flows by the source key of the original direction.
            SourceKey = "srckey", source_key(u16 as u16), "1" => "1";
            /// Matches GRE flows by the destination key of the original direction.
            DestinationKey = "dstkey", destination_key(u16 as u16), "1" => "1";
            /// Matches GRE flows by the source key of the reply direction.
            ReplySourceKey = "reply-key-src", reply_source_key(u16 as u16), "1" => "1";
            /// Matches GRE flows by the destination key of the reply direction.
            ReplyDestinationKey = "reply-key-dst", reply_destination_key(u16 as u16), "1" => "1";
            /// Matches ICMP and ICMPv6 flows by the type of the request.
            IcmpType = "icmp-type", icmp_type(u8 as u8), "8" => "8";
            /// Matches ICMP and ICMPv6 flows by the code of the request.
            IcmpCode = "icmp-code", icmp_code(u8 as u8), "0" => "0";
            /// Matches ICMP and ICMPv6 flows by the identifier of the request.
            IcmpId = "icmp-id", icmp_id(u16 as u16), "77" => "77";
            /// Matches TCP flows by their state.
            TcpState = "tcp-state", tcp_state(TcpState as TcpState), "ctnetlink::TcpState::ESTABLISHED" => "ESTABLISHED";
            /// Matches SCTP flows by their state.
            SctpState = "sctp-state", sctp_state(SctpState as SctpState), "ctnetlink::SctpState::ESTABLISHED" => "ESTABLISHED";
            /// Matches DCCP flows by their state.
            DccpState = "dccp-state", dccp_state(DccpState as DccpState), "ctnetlink::DccpState::OPEN" => "OPEN";
            /// Matches DCCP flows by the role of their initiator.
            DccpRole = "role", dccp_role(DccpRole as DccpRole), "ctnetlink::DccpRole::CLIENT" => "client";
            /// Matches SCTP flows by the verification tag of the original direction.
            TagOriginal = "orig-vtag", verification_tag_original(u32 as u32), "7" => "7";
            /// Matches SCTP flows by the verification tag of the reply direction.
            TagReply = "reply-vtag", verification_tag_reply(u32 as u32), "7" => "7";
            /// Matches flows that are in the same zone in both directions, by that zone.
            ///
            /// A flow outside any zone is in zone 0.
            Zone = "zone", zone(u16 as u16), "7" => "7";
            /// Matches flows by the zone of the original direction, which may be that of both directions.
            ZoneOriginal = "orig-zone", zone_original(u16 as u16), "7" => "7";
            /// Matches flows by the zone of the reply direction, which may be that of both directions.
            ZoneReply = "reply-zone", zone_reply(u16 as u16), "7" => "7";
            /// Matches flows by the zone of either direction.
            ZoneEither = "any-zone", zone_either(u16 as u16), "1..=9" => "1-9";
            /// Matches flows by their identifier.
            ///
            /// The kernel reuses identifiers: a flow that is created when another ends may get the same one.
            Id = "id", id(u32 as u32), "4711" => "4711";
            /// Matches flows by the seconds that are left until they expire.
            Timeout = "timeout", timeout(u32 as Amount<u32>), "..30" => "< 30";
            /// Matches flows by their age: the whole seconds from their start until now, or until their end.
            ///
            /// The kernel records times only if `net.netfilter.nf_conntrack_timestamp` is 1.
            Age = "age", age(u64 as Amount<u64>), "3600.." => ">= 3600";
            /// Matches flows by the packets of both directions.
            ///
            /// The kernel counts only if `net.netfilter.nf_conntrack_acct` is 1.
            Packets = "packets", packets(u64 as Amount<u64>), "1000.." => ">= 1000";
            /// Matches flows by the bytes of both directions.
            ///
            /// The kernel counts only if `net.netfilter.nf_conntrack_acct` is 1.
            Bytes = "bytes", bytes(u64 as Amount<u64>), "1_000_000.." => ">= 1000000";
            /// Matches flows by the packets of the original direction.
            ///
            /// The kernel counts only if `net.netfilter.nf_conntrack_acct` is 1.
            PacketsOriginal = "orig-packets", packets_original(u64 as Amount<u64>), "1000.." => ">= 1000";
            /// Matches flows by the bytes of the original direction.
            ///
            /// The kernel counts only if `net.netfilter.nf_conntrack_acct` is 1.
            BytesOriginal = "orig-bytes", bytes_original(u64 as Amount<u64>), "1_000_000.." => ">= 1000000";
            /// Matches flows by the packets of the reply direction.
            ///
            /// The kernel counts only if `net.netfilter.nf_conntrack_acct` is 1.
            PacketsReply = "reply-packets", packets_reply(u64 as Amount<u64>), "0" => "0";
            /// Matches flows by the bytes of the reply direction.
            ///
            /// The kernel counts only if `net.netfilter.nf_conntrack_acct` is 1.
            BytesReply = "reply-bytes", bytes_reply(u64 as Amount<u64>), "1_000_000.." => ">= 1000000";
        }
    };
}

pub(super) use number_fields;

macro_rules! declare_number_fields {
    ( $( $(#[$meta:meta])* $field:ident = $keyword:literal, $constructor:ident($type:ty as $values:ty),
         $example:literal => $text:literal; )* ) => {
        /// A number of a flow.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum NumberField { $( $field, )* }

        impl NumberField {
            pub(super) const ALL: &'static [Self] = &[ $( Self::$field, )* ];

            /// The keyword in the filter language.
            pub(crate) const fn keyword(self) -> &'static str {
                match self { $( Self::$field => $keyword, )* }
            }

            /// The greatest value.
            pub(super) fn greatest(self) -> u64 {
                match self { $( Self::$field => <$values>::GREATEST.value(), )* }
            }

            pub(super) const fn style(self) -> Style {
                match self { $( Self::$field => <$values>::STYLE, )* }
            }
        }
    };
}

number_fields!(declare_number_fields);

impl NumberField {
    /// A value of the field, as error messages call it.
    pub(super) const fn value_name(self) -> &'static str {
        match (self, self.style()) {
            (Self::Family, _) => "a family",
            (Self::Protocol, _) => "a protocol",
            (Self::DccpRole, _) => "a role",
            (_, Style::Named { .. }) => "a state",
            _ => "a number",
        }
    }
}

/// An address of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AddressField {
    Source,
    Destination,
    ReplySource,
    ReplyDestination,
    /// Each of the four: one of them has to be in the set.
    Any,
}

impl AddressField {
    pub(super) const ALL: [Self; 5] =
        [Self::Source, Self::Destination, Self::ReplySource, Self::ReplyDestination, Self::Any];

    /// The keyword in the filter language.
    pub(crate) const fn keyword(self) -> &'static str {
        match self {
            Self::Source => "src",
            Self::Destination => "dst",
            Self::ReplySource => "reply-src",
            Self::ReplyDestination => "reply-dst",
            Self::Any => "addr",
        }
    }
}

/// The addresses and ports to which NAT translates an endpoint: any, or those in a set.
///
/// [`Filter::source_nat`](crate::Filter::source_nat), [`destination_nat`](crate::Filter::destination_nat) and
/// [`nat`](crate::Filter::nat) take it.
///
/// # Example
///
/// ```
/// use ctnetlink::{Filter, Prefix, filter::Translation};
///
/// let network: Prefix = "192.0.2.0/24".parse()?;
/// let filter = Filter::source_nat(Translation::to(network).port(1024..));
/// assert_eq!(filter.to_string(), "src-nat 192.0.2.0/24 port 1024-65535");
/// assert_eq!(Filter::destination_nat(Translation::any()).to_string(), "dst-nat");
/// # Ok::<(), ctnetlink::ParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Translation {
    pub(super) addresses: Option<AddressSet>,
    pub(super) ports: Option<Ranges<u64>>,
}

impl Translation {
    /// A translation to any address and port.
    #[must_use]
    pub const fn any() -> Self {
        Self { addresses: None, ports: None }
    }

    /// A translation to one of these addresses.
    #[must_use]
    pub fn to(addresses: impl Into<AddressSet>) -> Self {
        Self { addresses: Some(addresses.into()), ports: None }
    }

    /// Requires that the endpoint has one of these ports after the translation (for GRE, one of these keys).
    ///
    /// The port itself need not have changed.
    #[must_use]
    pub fn port(self, ports: impl Into<NumberSet<u16>>) -> Self {
        Self { ports: Some(ports.into().into_ranges()), ..self }
    }

    pub(super) fn contains(&self, end: Endpoint) -> bool {
        self.addresses.as_ref().is_none_or(|set| set.contains(end.address))
            && self.ports.as_ref().is_none_or(|set| end.port.is_some_and(|port| set.contains(port.into())))
    }

    pub(super) fn is_impossible(&self) -> bool {
        self.addresses.as_ref().is_some_and(AddressSet::is_empty) || self.ports.as_ref().is_some_and(Ranges::is_empty)
    }
}
