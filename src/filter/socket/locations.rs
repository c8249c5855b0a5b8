//! Where a program finds the fields of a flow in a message.

use crate::{
    filter::fields::{AddressField, NumberField},
    wire::{
        CTA_ID, CTA_PROTO_DST_PORT, CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMPV6_CODE,
        CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTOINFO,
        CTA_PROTOINFO_DCCP, CTA_PROTOINFO_DCCP_ROLE, CTA_PROTOINFO_DCCP_STATE, CTA_PROTOINFO_SCTP,
        CTA_PROTOINFO_SCTP_STATE, CTA_PROTOINFO_SCTP_VTAG_ORIGINAL, CTA_PROTOINFO_SCTP_VTAG_REPLY, CTA_PROTOINFO_TCP,
        CTA_PROTOINFO_TCP_STATE, CTA_TIMEOUT, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_TUPLE_REPLY,
    },
};

/// The attributes from the outermost to the one that contains the number.
pub(super) type Path = [u16];

/// The size of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Byte,
    Half,
    Word,
}

/// Where the program finds a number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Location {
    /// In the header of the message.
    Family,
    /// In one attribute.
    Attribute(&'static Path, Width),
    /// In one of two attributes, of which a message contains at most one.
    Either([&'static Path; 2], Width),
    /// In an attribute that contains a key for GRE, and a port otherwise.
    Pair { path: &'static Path, gre: bool },
    /// In the zone attributes of the message and of its tuples together.
    Zone,
    /// Programs do not look at it.
    None,
}

pub(super) const PROTOCOL: &Path = &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_NUM];

const SOURCE: &Path = &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_SRC_PORT];
const DESTINATION: &Path = &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_DST_PORT];
const REPLY_SOURCE: &Path = &[CTA_TUPLE_REPLY, CTA_TUPLE_PROTO, CTA_PROTO_SRC_PORT];
const REPLY_DESTINATION: &Path = &[CTA_TUPLE_REPLY, CTA_TUPLE_PROTO, CTA_PROTO_DST_PORT];

impl Location {
    pub(super) const fn of(field: NumberField) -> Self {
        match field {
            NumberField::Family => Self::Family,
            NumberField::Protocol => Self::Attribute(PROTOCOL, Width::Byte),
            NumberField::SourcePort => Self::Pair { path: SOURCE, gre: false },
            NumberField::DestinationPort => Self::Pair { path: DESTINATION, gre: false },
            NumberField::ReplySourcePort => Self::Pair { path: REPLY_SOURCE, gre: false },
            NumberField::ReplyDestinationPort => Self::Pair { path: REPLY_DESTINATION, gre: false },
            NumberField::SourceKey => Self::Pair { path: SOURCE, gre: true },
            NumberField::DestinationKey => Self::Pair { path: DESTINATION, gre: true },
            NumberField::ReplySourceKey => Self::Pair { path: REPLY_SOURCE, gre: true },
            NumberField::ReplyDestinationKey => Self::Pair { path: REPLY_DESTINATION, gre: true },
            NumberField::IcmpType => Self::Either(
                [
                    &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_ICMP_TYPE],
                    &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_ICMPV6_TYPE],
                ],
                Width::Byte,
            ),
            NumberField::IcmpCode => Self::Either(
                [
                    &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_ICMP_CODE],
                    &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_ICMPV6_CODE],
                ],
                Width::Byte,
            ),
            NumberField::IcmpId => Self::Either(
                [
                    &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_ICMP_ID],
                    &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_ICMPV6_ID],
                ],
                Width::Half,
            ),
            NumberField::TcpState => {
                Self::Attribute(&[CTA_PROTOINFO, CTA_PROTOINFO_TCP, CTA_PROTOINFO_TCP_STATE], Width::Byte)
            }
            NumberField::SctpState => {
                Self::Attribute(&[CTA_PROTOINFO, CTA_PROTOINFO_SCTP, CTA_PROTOINFO_SCTP_STATE], Width::Byte)
            }
            NumberField::DccpState => {
                Self::Attribute(&[CTA_PROTOINFO, CTA_PROTOINFO_DCCP, CTA_PROTOINFO_DCCP_STATE], Width::Byte)
            }
            NumberField::DccpRole => {
                Self::Attribute(&[CTA_PROTOINFO, CTA_PROTOINFO_DCCP, CTA_PROTOINFO_DCCP_ROLE], Width::Byte)
            }
            NumberField::TagOriginal => {
                Self::Attribute(&[CTA_PROTOINFO, CTA_PROTOINFO_SCTP, CTA_PROTOINFO_SCTP_VTAG_ORIGINAL], Width::Word)
            }
            NumberField::TagReply => {
                Self::Attribute(&[CTA_PROTOINFO, CTA_PROTOINFO_SCTP, CTA_PROTOINFO_SCTP_VTAG_REPLY], Width::Word)
            }
            NumberField::Zone | NumberField::ZoneOriginal | NumberField::ZoneReply | NumberField::ZoneEither => {
                Self::Zone
            }
            NumberField::Id => Self::Attribute(&[CTA_ID], Width::Word),
            NumberField::Timeout => Self::Attribute(&[CTA_TIMEOUT], Width::Word),
            NumberField::Port
            | NumberField::Age
            | NumberField::Packets
            | NumberField::Bytes
            | NumberField::PacketsOriginal
            | NumberField::BytesOriginal
            | NumberField::PacketsReply
            | NumberField::BytesReply => Self::None,
        }
    }
}

/// Returns the tuple that contains an address, and whether the address is the source.
pub(super) const fn address(field: AddressField) -> Option<(u16, bool)> {
    match field {
        AddressField::Source => Some((CTA_TUPLE_ORIG, true)),
        AddressField::Destination => Some((CTA_TUPLE_ORIG, false)),
        AddressField::ReplySource => Some((CTA_TUPLE_REPLY, true)),
        AddressField::ReplyDestination => Some((CTA_TUPLE_REPLY, false)),
        AddressField::Any => None,
    }
}
