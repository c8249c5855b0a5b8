//! Create a flow.

use super::{Request, RequestHeader, creation};
use crate::{
    error::{DecodeError, DecodeErrorKind, EncodeError, Operation},
    macros::read_attributes,
    model::{
        Family, Flow, FlowRef, Helper, Labels, MaskedTcpFlags, NatRange, ProtocolInfo, SequenceAdjustment, Status,
        Synproxy, TcpFlags, TcpInfo, TcpState, Tuple,
    },
    wire::{
        Attribute, Attributes, CTA_HELP, CTA_LABELS, CTA_LABELS_MASK, CTA_MARK, CTA_MARK_MASK, CTA_NAT_DST,
        CTA_NAT_SRC, CTA_PROTOINFO, CTA_SEQ_ADJ_ORIG, CTA_SEQ_ADJ_REPLY, CTA_STATUS, CTA_SYNPROXY, CTA_TIMEOUT,
        CTA_TUPLE_MASTER, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ZONE, Encoder, MessageType,
    },
};

/// A flow to be created: both tuples and a timeout, which the kernel demands, and whatever else it is to have.
///
/// Of status bits those that a user may set are sent, and [`CONFIRMED`](Status::CONFIRMED) with them, as the kernel
/// demands.
///
/// Two things the kernel does without a word: where no rule in the namespace uses labels, the labels are lost; and a
/// timeout of 0 creates a flow that has already ended. A TCP flow without [`protocol_info`](Self::protocol_info) has
/// state `NONE`, and its window is checked as soon as packets come: see [`liberal_tcp`](Self::liberal_tcp).
///
/// # Example
///
/// ```
/// use ctnetlink::{NatRange, Tuple, TcpState, request::NewFlow};
///
/// let original = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:80".parse()?);
/// let mut flow = NewFlow::untranslated(original, 300).expect("TCP has an answering tuple");
/// flow.nat_source = Some(NatRange::address("192.0.2.1".parse()?).ports(2000, 3000));
/// let flow = flow.liberal_tcp(TcpState::ESTABLISHED);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewFlow {
    /// The tuple of packets from the initiator (`CTA_TUPLE_ORIG`).
    pub original: Tuple,
    /// The tuple of the answers (`CTA_TUPLE_REPLY`). With a NAT range the kernel rewrites it.
    pub reply: Tuple,
    /// Seconds until the flow ends unless a packet comes (`CTA_TIMEOUT`; capped by the kernel at some weeks).
    pub timeout: u32,
    /// The zone of both directions (`CTA_ZONE`).
    pub zone: Option<u16>,
    /// Status bits (`CTA_STATUS`): `SEEN_REPLY`, `ASSURED`, `FIXED_TIMEOUT`, `HELPER`. Others are left to the kernel.
    pub status: Status,
    /// The mark (`CTA_MARK`).
    pub mark: Option<u32>,
    /// State and parameters of TCP, SCTP or DCCP (`CTA_PROTOINFO`).
    pub protocol_info: Option<ProtocolInfo>,
    /// The helper, which must be registered for the protocol (`CTA_HELP`).
    pub helper: Option<Helper>,
    /// Labels (`CTA_LABELS`).
    pub labels: Option<Labels>,
    /// The original tuple of the flow that this one is related to, which must be in the table (`CTA_TUPLE_MASTER`).
    pub master: Option<Tuple>,
    /// What the source is translated to (`CTA_NAT_SRC`).
    pub nat_source: Option<NatRange>,
    /// What the destination is translated to (`CTA_NAT_DST`).
    pub nat_destination: Option<NatRange>,
    /// How sequence numbers from the initiator are shifted (`CTA_SEQ_ADJ_ORIG`).
    pub sequence_adjustment_original: Option<SequenceAdjustment>,
    /// How sequence numbers from the responder are shifted (`CTA_SEQ_ADJ_REPLY`).
    pub sequence_adjustment_reply: Option<SequenceAdjustment>,
    /// The SYN proxy's numbers (`CTA_SYNPROXY`).
    pub synproxy: Option<Synproxy>,
    /// Update the flow where it exists, instead of failing with "exists".
    pub or_update: bool,
}

impl NewFlow {
    /// Status bits that a user may set.
    const SETTABLE: Status =
        Status::SEEN_REPLY.union(Status::ASSURED).union(Status::FIXED_TIMEOUT).union(Status::HELPER);

    /// A flow of these tuples, which ends in `timeout` seconds unless a packet comes.
    #[must_use]
    pub const fn new(original: Tuple, reply: Tuple, timeout: u32) -> Self {
        Self {
            original,
            reply,
            timeout,
            zone: None,
            status: Status::empty(),
            mark: None,
            protocol_info: None,
            helper: None,
            labels: None,
            master: None,
            nat_source: None,
            nat_destination: None,
            sequence_adjustment_original: None,
            sequence_adjustment_reply: None,
            synproxy: None,
            or_update: false,
        }
    }

    /// A flow whose answers come back as its packets went. `None` for an ICMP type that has no answer.
    #[must_use]
    pub fn untranslated(original: Tuple, timeout: u32) -> Option<Self> {
        Some(Self::new(original, original.inverted()?, timeout))
    }

    /// A TCP flow in that state, whose packets pass whatever their sequence numbers: the tracker has not seen the
    /// handshake of a flow that is made by hand, so that it does not know the window.
    #[must_use]
    pub fn liberal_tcp(mut self, state: TcpState) -> Self {
        let flags = MaskedTcpFlags::set(TcpFlags::BE_LIBERAL | TcpFlags::SACK_PERM);
        self.protocol_info = Some(TcpInfo::new(state).with_flags(flags).into());
        self
    }

    /// Reads a create request.
    pub(crate) fn decode(attributes: Attributes<'_>, or_update: bool) -> Result<Self, DecodeError> {
        let range = NatRange::read;
        read_attributes!(attributes;
            CTA_TIMEOUT => timeout = Attribute::u32,
            CTA_NAT_SRC => nat_source = range,
            CTA_NAT_DST => nat_destination = range,
            CTA_MARK_MASK => mark_mask = Attribute::u32,
            CTA_LABELS_MASK => labels_mask = Labels::read,
        );
        // The kernel honours masks where it updates by a create; a value that has no place for them would overwrite all.
        if mark_mask.is_some_and(|mask| mask != u32::MAX) || labels_mask.is_some_and(|mask| mask != Labels::ALL) {
            return Err(DecodeError::new(DecodeErrorKind::Value("a create with a mask"), 0));
        }
        let mut flow = FlowRef::from_attributes(Family::UNSPEC, attributes.as_bytes())?.to_flow();
        flow.status = flow.status.map(|status| status & Self::SETTABLE);
        let timeout = timeout.ok_or_else(|| attributes.missing(CTA_TIMEOUT))?;
        Ok(Self {
            timeout,
            protocol_info: flow.protocol_info,
            master: flow.master,
            nat_source,
            nat_destination,
            or_update,
            ..Self::from(&flow)
        })
    }
}

impl From<&Flow> for NewFlow {
    /// What it takes to create the flow anew, as a backup does: its tuples as they are, so that a translated flow
    /// shows its translation in the tuples, but carries it no more (give a NAT range for that). A flow without a timeout
    /// (an offloaded one) gets five minutes. The master is left out: it has to be in the table first. TCP flags are set
    /// to exactly those that the flow had.
    fn from(flow: &Flow) -> Self {
        Self {
            zone: flow.zone,
            status: flow.status.unwrap_or_default(),
            mark: flow.mark,
            protocol_info: flow.protocol_info.map(with_flags_to_be_set),
            synproxy: flow.synproxy,
            helper: flow.helper.clone(),
            labels: flow.labels,
            sequence_adjustment_original: flow.sequence_adjustment_original,
            sequence_adjustment_reply: flow.sequence_adjustment_reply,
            ..Self::new(flow.original, flow.reply, flow.timeout.unwrap_or(300))
        }
    }
}

/// What the kernel sends has an empty mask, which would set no flag.
fn with_flags_to_be_set(mut info: ProtocolInfo) -> ProtocolInfo {
    if let ProtocolInfo::Tcp(tcp) = &mut info {
        for flags in [&mut tcp.flags_original, &mut tcp.flags_reply].into_iter().flatten() {
            *flags = MaskedTcpFlags::exactly(flags.flags);
        }
    }
    info
}

impl Request for NewFlow {
    fn operation(&self) -> Operation {
        Operation::CreateFlow
    }

    fn header(&self) -> RequestHeader {
        RequestHeader::acknowledged(MessageType::FLOW_NEW, self.original.family()).with_flags(creation(self.or_update))
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        if self.original.protocol != self.reply.protocol {
            encoder.fail(EncodeError::Value("the tuples of a flow are of different protocols"));
        }
        if self.original.family() != self.reply.family() {
            encoder.fail(EncodeError::Value("the tuples of a flow are of different families"));
        }
        if self.zone.is_some_and(|zone| zone != 0) && (self.original.zone.is_some() || self.reply.zone.is_some()) {
            encoder.fail(EncodeError::Value("a zone of both directions, and one of a direction"));
        }
        if self.helper.as_ref().is_some_and(|helper| helper.name.len() > Helper::LONGEST_NAME) {
            encoder.fail(EncodeError::Value("the name of a helper is longer than 15 bytes"));
        }
        for range in [self.nat_source, self.nat_destination].into_iter().flatten() {
            // The kernel passes over addresses of the other family, and translates to whatever port it likes.
            if range.first_address.is_some_and(|address| address.is_ipv4() != self.original.source.is_ipv4()) {
                encoder.fail(EncodeError::Value("a NAT range is of another family than the tuples"));
            }
        }
        encoder.nested(CTA_TUPLE_ORIG, &self.original);
        encoder.nested(CTA_TUPLE_REPLY, &self.reply);
        encoder.u32(CTA_TIMEOUT, self.timeout);
        // Where the flow exists already, a status that lacks a bit of today's would be refused: none is sent unless named.
        let status = self.status & Self::SETTABLE;
        encoder.optional_u32(CTA_STATUS, (!status.is_empty()).then_some((status | Status::CONFIRMED).bits()));
        encoder.optional_u16(CTA_ZONE, self.zone);
        encoder.optional_u32(CTA_MARK, self.mark);
        encoder.optional_nest(CTA_PROTOINFO, self.protocol_info.as_ref());
        encoder.optional_nest(CTA_HELP, self.helper.as_ref());
        if let Some(labels) = self.labels {
            labels.encode(encoder, CTA_LABELS);
        }
        encoder.optional_nest(CTA_TUPLE_MASTER, self.master.as_ref());
        encoder.optional_nest(CTA_NAT_SRC, self.nat_source.as_ref());
        encoder.optional_nest(CTA_NAT_DST, self.nat_destination.as_ref());
        encoder.optional_nest(CTA_SEQ_ADJ_ORIG, self.sequence_adjustment_original.as_ref());
        encoder.optional_nest(CTA_SEQ_ADJ_REPLY, self.sequence_adjustment_reply.as_ref());
        encoder.optional_nest(CTA_SYNPROXY, self.synproxy.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut NewFlow)) -> Option<EncodeError> {
        let original = Tuple::udp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        let mut flow = NewFlow::untranslated(original, 30).unwrap();
        change(&mut flow);
        let mut buffer = [0; 512];
        let mut encoder = Encoder::new(&mut buffer);
        flow.encode(1, &mut encoder);
        encoder.finish().err()
    }

    /// The kernel says EINVAL to each, and not why.
    #[test]
    fn what_the_kernel_refuses_without_a_reason_is_not_sent() {
        assert_eq!(refusal(|flow| flow.zone = Some(5)), None);
        let v6 = Tuple::udp("[::1]:1".parse().unwrap(), "[::2]:2".parse().unwrap());
        assert!(refusal(|flow| flow.reply = v6).unwrap().to_string().contains("different families"));
        let zones = |flow: &mut NewFlow| (flow.zone, flow.original.zone) = (Some(5), Some(6));
        assert!(refusal(zones).unwrap().to_string().contains("a zone of both directions"));
        let helper = |flow: &mut NewFlow| flow.helper = Some(Helper::new("netbios-name-ser"));
        assert!(refusal(helper).unwrap().to_string().contains("longer than 15 bytes"));
    }
}
