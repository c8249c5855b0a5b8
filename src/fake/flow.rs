//! An entry of the table: its tuples and zones as the kernel keeps them, and its encoding in replies and events.

use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use super::release::{KnownHelper, Release};
use crate::{
    error::Errno,
    model::{
        Counters, Direction, Family, GreKeys, Layer4, MaskedTcpFlags, Protocol, ProtocolInfo, SctpInfo, SctpState,
        SequenceAdjustment, Status, Synproxy, TcpFlags, TcpInfo, TcpState, Timestamp, Tuple,
    },
    wire::{
        CTA_COUNTERS_ORIG, CTA_COUNTERS_REPLY, CTA_HELP, CTA_HELP_NAME, CTA_ID, CTA_LABELS, CTA_MARK, CTA_PROTOINFO,
        CTA_SEQ_ADJ_ORIG, CTA_SEQ_ADJ_REPLY, CTA_STATUS, CTA_SYNPROXY, CTA_TIMEOUT, CTA_TIMESTAMP, CTA_TIMESTAMP_EVENT,
        CTA_TIMESTAMP_START, CTA_TIMESTAMP_STOP, CTA_TUPLE_MASTER, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_TUPLE_ZONE,
        CTA_USE, CTA_ZONE, Encode as _, Encoder,
    },
};

/// An entry of the table (`struct nf_conn`).
#[derive(Clone, Debug)]
pub(super) struct FlowEntry {
    pub(super) original: RawTuple,
    pub(super) reply: RawTuple,
    pub(super) zone: Zone,
    pub(super) status: Status,
    pub(super) mark: u32,
    /// The time of expiry on the kernel's monotonic clock.
    pub(super) expires: Duration,
    /// The time of the first packet on the same clock.
    pub(super) began: Duration,
    pub(super) tcp: Tcp,
    pub(super) sctp: SctpInfo,
    /// `None` if there is no room for a helper, which only a create with a helper makes.
    pub(super) helper: Option<Option<&'static KnownHelper>>,
    /// `None` if there is no room for labels, which exists only while rules use labels.
    pub(super) labels: Option<u128>,
    /// The counters of both directions, with accounting.
    pub(super) counters: Option<[Counters; 2]>,
    /// The start and the end, with timestamps.
    pub(super) start: Option<Timestamp>,
    pub(super) stop: Option<Timestamp>,
    /// Whether the flow sends events.
    pub(super) has_events: bool,
    pub(super) sequence_adjustments: [SequenceAdjustment; 2],
    /// `None` for flows that a packet began: they have no room for this or for sequence adjustments.
    pub(super) synproxy: Option<Synproxy>,
    /// The flow that expected this one.
    pub(super) master: Option<Master>,
    pub(super) id: u32,
    /// The place in the kernel's memory, which determines the identifier.
    pub(super) slot: u32,
}

/// A flow that expected another flow. The kernel keeps it in memory until both have ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Master {
    pub(super) tuple: RawTuple,
    pub(super) slot: u32,
}

/// The state of the TCP tracker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tcp {
    pub(super) state: u8,
    scales: [u8; 2],
    pub(super) flags: [u8; 2],
}

/// The contents of an event, as bits (`enum ip_conntrack_events`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventBits(pub(super) u32);

impl EventBits {
    pub(super) const NEW: Self = Self(1 << 0);
    pub(super) const RELATED: Self = Self(1 << 1);
    pub(super) const DESTROY: Self = Self(1 << 2);
    pub(super) const REPLY: Self = Self(1 << 3);
    pub(super) const ASSURED: Self = Self(1 << 4);
    pub(super) const PROTOCOL_INFO: Self = Self(1 << 5);
    pub(super) const HELPER: Self = Self(1 << 6);
    pub(super) const MARK: Self = Self(1 << 7);
    pub(super) const SEQUENCE: Self = Self(1 << 8);
    pub(super) const LABEL: Self = Self(1 << 10);
    pub(super) const SYNPROXY: Self = Self(1 << 11);

    /// The bits that the kernel sets for every request.
    pub(super) const REQUESTED: Self = Self::REPLY
        .and(Self::ASSURED)
        .and(Self::HELPER)
        .and(Self::PROTOCOL_INFO)
        .and(Self::SEQUENCE)
        .and(Self::MARK)
        .and(Self::SYNPROXY);

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The parameters of an encoding.
#[derive(Clone, Copy, Debug)]
pub(super) struct EncodingContext {
    pub(super) release: Release,
    /// Since the kernel started.
    pub(super) now: Duration,
    pub(super) time: Timestamp,
    /// Whether events carry the time.
    pub(super) timestamps: bool,
}

impl FlowEntry {
    pub(super) fn family(&self) -> Family {
        self.original.family()
    }

    pub(super) fn tuple(&self, direction: Direction) -> &RawTuple {
        match direction {
            Direction::Original => &self.original,
            Direction::Reply => &self.reply,
        }
    }

    pub(super) fn is_expired(&self, now: Duration) -> bool {
        self.expires <= now
    }

    /// Applies the protocol state of a request. The state of another protocol is ignored.
    pub(super) fn set_protocol_info(&mut self, info: &ProtocolInfo, release: Release) -> Result<(), Errno> {
        let out_of_range = if release >= Release::RANGE_CHECKS { Errno::ERANGE } else { Errno::EINVAL };
        match (self.original.protocol, info) {
            (Protocol::TCP, ProtocolInfo::Tcp(info)) => self.tcp.set(info, out_of_range, release),
            (Protocol::SCTP, ProtocolInfo::Sctp(info)) => {
                let SctpInfo { state, verification_tag_original, verification_tag_reply, .. } = info;
                if state.is_some_and(|state| state.0 > SctpState::HEARTBEAT_SENT.0) && release >= Release::RANGE_CHECKS
                {
                    return Err(Errno::ERANGE);
                }
                if state.is_none() || verification_tag_original.is_none() || verification_tag_reply.is_none() {
                    return Err(Errno::EINVAL);
                }
                self.sctp = *info;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The protocol information for a reply, or only the state for the end of a flow.
    fn protocol_info(&self, state_only: bool) -> Option<ProtocolInfo> {
        match self.original.protocol {
            Protocol::TCP => Some(self.tcp.to_info(state_only).into()),
            Protocol::SCTP => {
                let tag = |tag: Option<u32>| if state_only { None } else { Some(tag.unwrap_or(0)) };
                let info = SctpInfo {
                    state: Some(self.sctp.state.unwrap_or(SctpState::NONE)),
                    verification_tag_original: tag(self.sctp.verification_tag_original),
                    verification_tag_reply: tag(self.sctp.verification_tag_reply),
                };
                Some(info.into())
            }
            _ => None,
        }
    }

    fn remaining(&self, now: Duration) -> u32 {
        self.expires.saturating_sub(now).as_secs().try_into().unwrap_or(u32::MAX)
    }

    /// Encodes the flow for a dump or the answer to a get.
    pub(super) fn encode(&self, references: u32, present: &EncodingContext, encoder: &mut Encoder<'_>) {
        self.encode_tuples(present.release, encoder);
        encoder.u32(CTA_STATUS, self.status.bits());
        encoder.u32(CTA_MARK, self.mark);
        encoder.u32(CTA_ID, self.id);
        encoder.u32(CTA_USE, references);
        self.encode_master(present.release, encoder);
        if !self.status.contains(Status::OFFLOAD) {
            encoder.u32(CTA_TIMEOUT, self.remaining(present.now));
            encoder.optional_nest(CTA_PROTOINFO, self.protocol_info(false).as_ref());
        }
        self.encode_counters(encoder);
        self.encode_times(encoder);
        self.encode_helper(encoder);
        self.encode_labels(encoder);
        self.encode_sequence_adjustments(encoder);
        encoder.optional_nest(CTA_SYNPROXY, self.synproxy.as_ref());
    }

    /// Encodes the flow for an event.
    pub(super) fn encode_event(&self, bits: EventBits, present: &EncodingContext, encoder: &mut Encoder<'_>) {
        self.encode_tuples(present.release, encoder);
        encoder.u32(CTA_ID, self.id);
        encoder.u32(CTA_STATUS, self.status.bits());
        let remaining = self.remaining(present.now);
        if bits.has(EventBits::DESTROY) {
            let has_state = present.release >= Release::STATE_IN_DESTROY;
            encoder.optional_u32(CTA_TIMEOUT, Some(remaining).filter(|seconds| has_state && *seconds != 0));
            self.encode_counters(encoder);
            self.encode_times(encoder);
            encoder.optional_nest(CTA_PROTOINFO, self.protocol_info(true).filter(|_| has_state).as_ref());
        } else {
            encoder.u32(CTA_TIMEOUT, remaining);
            if bits.has(EventBits::PROTOCOL_INFO) {
                encoder.optional_nest(CTA_PROTOINFO, self.protocol_info(false).as_ref());
            }
            self.encode_helper(encoder);
            if bits.has(EventBits::LABEL) {
                self.encode_labels(encoder);
            }
            if bits.has(EventBits::RELATED) {
                self.encode_master(present.release, encoder);
            }
            if bits.has(EventBits::SEQUENCE) {
                self.encode_sequence_adjustments(encoder);
            }
            if bits.has(EventBits::SYNPROXY) {
                encoder.optional_nest(CTA_SYNPROXY, self.synproxy.as_ref());
            }
        }
        if self.mark != 0 || bits.has(EventBits::MARK) {
            encoder.u32(CTA_MARK, self.mark);
        }
        if present.timestamps && present.release >= Release::EVENT_TIME {
            encoder.u64(CTA_TIMESTAMP_EVENT, present.time.0);
        }
    }

    fn encode_tuples(&self, release: Release, encoder: &mut Encoder<'_>) {
        for (number, direction) in [(CTA_TUPLE_ORIG, Direction::Original), (CTA_TUPLE_REPLY, Direction::Reply)] {
            encoder.nest(number, |nest| {
                self.tuple(direction).to_tuple(release).encode(nest);
                nest.optional_u16(CTA_TUPLE_ZONE, self.zone.of_tuple(direction));
            });
        }
        encoder.optional_u16(CTA_ZONE, self.zone.of_flow());
    }

    fn encode_master(&self, release: Release, encoder: &mut Encoder<'_>) {
        if let Some(master) = self.master.filter(|_| self.status.contains(Status::EXPECTED)) {
            encoder.nested(CTA_TUPLE_MASTER, &master.tuple.to_tuple(release));
        }
    }

    fn encode_counters(&self, encoder: &mut Encoder<'_>) {
        if let Some([original, reply]) = &self.counters {
            encoder.nested(CTA_COUNTERS_ORIG, original);
            encoder.nested(CTA_COUNTERS_REPLY, reply);
        }
    }

    fn encode_times(&self, encoder: &mut Encoder<'_>) {
        if let Some(start) = self.start {
            encoder.nest(CTA_TIMESTAMP, |nest| {
                nest.u64(CTA_TIMESTAMP_START, start.0);
                nest.optional_u64(CTA_TIMESTAMP_STOP, self.stop.map(|stop| stop.0));
            });
        }
    }

    fn encode_helper(&self, encoder: &mut Encoder<'_>) {
        if let Some(Some(helper)) = self.helper {
            encoder.nest(CTA_HELP, |nest| nest.text(CTA_HELP_NAME, helper.name));
        }
    }

    fn encode_labels(&self, encoder: &mut Encoder<'_>) {
        if let Some(labels) = self.labels.filter(|labels| *labels != 0) {
            crate::model::Labels(labels).encode(encoder, CTA_LABELS);
        }
    }

    fn encode_sequence_adjustments(&self, encoder: &mut Encoder<'_>) {
        if self.status.contains(Status::SEQ_ADJUST) {
            let [original, reply] = &self.sequence_adjustments;
            encoder.nested(CTA_SEQ_ADJ_ORIG, original);
            encoder.nested(CTA_SEQ_ADJ_REPLY, reply);
        }
    }
}

impl Tcp {
    /// The highest window scale (`TCP_MAX_WSCALE`).
    const MAX_SCALE: u8 = 14;

    fn set(&mut self, info: &TcpInfo, out_of_range: Errno, release: Release) -> Result<(), Errno> {
        let scales = [info.window_scale_original, info.window_scale_reply];
        if info.state.is_some_and(|state| state.0 > TcpState::SYN_SENT2.0) {
            return Err(out_of_range);
        }
        let is_too_large = |scale: &u8| *scale > Self::MAX_SCALE && release >= Release::RANGE_CHECKS;
        if scales.iter().flatten().any(is_too_large) {
            return Err(Errno::ERANGE);
        }
        if let Some(state) = info.state {
            self.state = state.0;
        }
        for (flags, change) in self.flags.iter_mut().zip([info.flags_original, info.flags_reply]) {
            if let Some(MaskedTcpFlags { flags: bits, mask }) = change {
                *flags = *flags & !mask.bits() | bits.bits() & mask.bits();
            }
        }
        let scaled = TcpFlags::WINDOW_SCALE.bits();
        if let ([Some(original), Some(reply)], true) = (scales, self.flags.iter().all(|flags| flags & scaled != 0)) {
            self.scales = [original, reply];
        }
        Ok(())
    }

    fn to_info(self, state_only: bool) -> TcpInfo {
        let mut info = TcpInfo::new(TcpState(self.state));
        if !state_only {
            let flags =
                |bits| Some(MaskedTcpFlags { flags: TcpFlags::from_bits_retain(bits), mask: TcpFlags::empty() });
            let ([scale_original, scale_reply], [original, reply]) = (self.scales, self.flags);
            (info.window_scale_original, info.window_scale_reply) = (Some(scale_original), Some(scale_reply));
            (info.flags_original, info.flags_reply) = (flags(original), flags(reply));
        }
        info
    }
}

/// A tuple as the kernel compares it (`struct nf_conntrack_tuple`): addresses, protocol, and two numbers of 16 bits whose
/// meaning depends on the protocol. Masks and translation then work the same way for every protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RawTuple {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: Protocol,
    /// Source port, GRE key, or identifier of an ICMP query.
    pub(super) source_part: u16,
    /// Destination port, GRE key, or type and code of an ICMP query.
    pub(super) destination_part: u16,
}

/// The meaning of the two numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TupleParts {
    Ports,
    GreKeys,
    Query,
    None,
}

fn parts(protocol: Protocol, release: Release) -> TupleParts {
    match protocol {
        Protocol::TCP | Protocol::UDP | Protocol::SCTP => TupleParts::Ports,
        Protocol::DCCP if release < Release::NO_DCCP => TupleParts::Ports,
        Protocol::UDPLITE if release < Release::NO_UDPLITE => TupleParts::Ports,
        Protocol::GRE => TupleParts::GreKeys,
        Protocol::ICMP | Protocol::ICMPV6 => TupleParts::Query,
        _ => TupleParts::None,
    }
}

impl RawTuple {
    /// Reads the tuple of a request. Drops parts that the protocol does not have; missing parts are an error.
    pub(super) fn of(tuple: &Tuple, release: Release) -> Result<Self, Errno> {
        let (source_part, destination_part) = match (parts(tuple.protocol, release), tuple.layer4) {
            (TupleParts::None, _) => (0, 0),
            (TupleParts::Ports, Layer4::Ports { source, destination }) => (source, destination),
            (TupleParts::GreKeys, Layer4::Gre(GreKeys { source, destination })) => (source, destination),
            (TupleParts::Query, Layer4::Icmp { icmp_type, code, id }) => (id, u16::from_be_bytes([icmp_type, code])),
            _ => return Err(Errno::EINVAL),
        };
        let raw = Self {
            source: tuple.source,
            destination: tuple.destination,
            protocol: tuple.protocol,
            source_part,
            destination_part,
        };
        // The type of an ICMP message that is not a query has no inverse.
        if tuple.inverted().is_none() { Err(Errno::EINVAL) } else { Ok(raw) }
    }

    /// Reads a tuple that must be of the family in the header of the request.
    pub(super) fn of_family(tuple: &Tuple, family: Family, release: Release) -> Result<Self, Errno> {
        if tuple.family() == family { Self::of(tuple, release) } else { Err(Errno::EINVAL) }
    }

    /// Returns the tuple for a reply.
    pub(super) fn to_tuple(self, release: Release) -> Tuple {
        let (source, destination) = (self.source_part, self.destination_part);
        let layer4 = match parts(self.protocol, release) {
            TupleParts::Ports => Layer4::Ports { source, destination },
            TupleParts::GreKeys => Layer4::Gre(GreKeys { source, destination }),
            TupleParts::Query => {
                let [icmp_type, code] = destination.to_be_bytes();
                Layer4::Icmp { icmp_type, code, id: source }
            }
            TupleParts::None => Layer4::None,
        };
        let mut tuple = Tuple::new(self.protocol, self.source, self.destination);
        tuple.layer4 = layer4;
        tuple
    }

    /// The tuple of the opposite direction, without translation.
    pub(super) fn inverted(self) -> Self {
        let turned = Self { source: self.destination, destination: self.source, ..self };
        if matches!(self.protocol, Protocol::ICMP | Protocol::ICMPV6) {
            let [icmp_type, code] = self.destination_part.to_be_bytes();
            let answer = answering_type(self.protocol, icmp_type);
            return Self { destination_part: u16::from_be_bytes([answer, code]), ..turned };
        }
        Self { source_part: self.destination_part, destination_part: self.source_part, ..turned }
    }

    pub(super) fn family(&self) -> Family {
        Family::of(self.source)
    }

    /// Returns true if the tuples are equal, apart from bits of the source that the mask excludes.
    pub(super) fn matches(&self, other: &Self, mask: &Self) -> bool {
        self.protocol == other.protocol
            && self.destination == other.destination
            && self.destination_part == other.destination_part
            && masked(self.source, mask.source) == masked(other.source, mask.source)
            && self.source_part & mask.source_part == other.source_part & mask.source_part
    }
}

/// The ICMP type of the opposite direction.
fn answering_type(protocol: Protocol, icmp_type: u8) -> u8 {
    let anywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut query = Tuple::new(protocol, anywhere, anywhere);
    query.layer4 = Layer4::Icmp { icmp_type, code: 0, id: 0 };
    match query.inverted().map(|answer| answer.layer4) {
        Some(Layer4::Icmp { icmp_type, .. }) => icmp_type,
        _ => icmp_type,
    }
}

/// Applies a mask to an address of the same family.
pub(super) fn masked(address: IpAddr, mask: IpAddr) -> IpAddr {
    match (address, mask) {
        (IpAddr::V4(address), IpAddr::V4(mask)) => Ipv4Addr::from_bits(address.to_bits() & mask.to_bits()).into(),
        (IpAddr::V6(address), IpAddr::V6(mask)) => Ipv6Addr::from_bits(address.to_bits() & mask.to_bits()).into(),
        (address, _) => address,
    }
}

/// The zone of a flow or of a request (`struct nf_conntrack_zone`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) id: u16,
    /// The direction that the zone applies to; `None` for both.
    pub(super) direction: Option<Direction>,
}

impl Zone {
    /// A zone of both directions. No zone is zone 0.
    pub(super) fn of_both(id: Option<u16>) -> Self {
        Self { id: id.unwrap_or(0), direction: None }
    }

    /// Adds the zone of a tuple. The kernel refuses a second zone in a request.
    pub(super) fn with_tuple(self, direction: Direction, id: Option<u16>) -> Result<Self, Errno> {
        match id {
            None => Ok(self),
            Some(_) if self.id != 0 => Err(Errno::EINVAL),
            Some(id) => Ok(Self { id, direction: Some(direction) }),
        }
    }

    /// The number of the zone in a direction.
    pub(super) fn id_in(self, direction: Direction) -> u16 {
        if self.direction.is_none_or(|only| only == direction) { self.id } else { 0 }
    }

    /// The value of `CTA_ZONE`, if the flow has that attribute.
    pub(super) fn of_flow(self) -> Option<u16> {
        (self.id != 0 && self.direction.is_none()).then_some(self.id)
    }

    /// The value of `CTA_TUPLE_ZONE` in this direction, if the tuple has that attribute.
    pub(super) fn of_tuple(self, direction: Direction) -> Option<u16> {
        (self.id != 0 && self.direction == Some(direction)).then_some(self.id)
    }
}
