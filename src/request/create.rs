//! Create a flow.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{Command, EncodeRequest, RequestHeader, creation};
use crate::{
    error::{DecodeError, DecodeErrorKind, EncodeError, Operation},
    macros::read_attributes,
    model::{
        Family, Flow, FlowRef, Helper, Labels, MaskedTcpFlags, NatRange, Protocol, ProtocolInfo, SequenceAdjustment,
        Status, Synproxy, TcpFlags, TcpInfo, TcpState, Tuple,
    },
    wire::{
        Attribute, Attributes, CTA_HELP, CTA_LABELS, CTA_LABELS_MASK, CTA_MARK, CTA_MARK_MASK, CTA_NAT_DST,
        CTA_NAT_SRC, CTA_PROTOINFO, CTA_SEQ_ADJ_ORIG, CTA_SEQ_ADJ_REPLY, CTA_STATUS, CTA_SYNPROXY, CTA_TIMEOUT,
        CTA_TUPLE_MASTER, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ZONE, Encoder, MessageType,
    },
};

/// A flow to be created: both tuples and a timeout, which the kernel requires, and optional attributes.
///
/// The constructors cover the usual cases; every optional part has a setter, and a public field of the same name.
///
/// Two things the kernel does without a sign: if no rule in the namespace uses labels, the labels are lost; and a timeout
/// of 0 creates a flow that has already ended.
///
/// # Examples
///
/// ```
/// use ctnetlink::{NewFlow, TcpState};
///
/// // A connection to a virtual address, translated to the server behind it.
/// let server: std::net::SocketAddr = "10.0.0.9:8080".parse()?;
/// let flow = NewFlow::tcp("192.0.2.7:40000".parse()?, "203.0.113.1:80".parse()?, TcpState::ESTABLISHED)
///     .timeout(600)
///     .dnat(server)
///     .mark(7);
/// assert_eq!(flow.mark, Some(7));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewFlow {
    /// The tuple of packets from the initiator (`CTA_TUPLE_ORIG`).
    pub original: Tuple,
    /// The tuple of packets from the responder (`CTA_TUPLE_REPLY`). With a NAT range the kernel rewrites it.
    pub reply: Tuple,
    /// Seconds until the flow ends unless a packet comes (`CTA_TIMEOUT`; capped by the kernel at some weeks).
    pub timeout: u32,
    /// The zone of both directions (`CTA_ZONE`).
    pub zone: Option<u16>,
    /// Status bits (`CTA_STATUS`): `SEEN_REPLY`, `ASSURED`, `FIXED_TIMEOUT`, `HELPER`. The kernel sets the others.
    pub status: Status,
    /// The mark (`CTA_MARK`).
    pub mark: Option<u32>,
    /// State and parameters of TCP, SCTP or DCCP (`CTA_PROTOINFO`).
    pub protocol_info: Option<ProtocolInfo>,
    /// The helper, which must be registered for the protocol (`CTA_HELP`).
    pub helper: Option<Helper>,
    /// Labels (`CTA_LABELS`).
    pub labels: Option<Labels>,
    /// The original tuple of the flow that this one is related to (`CTA_TUPLE_MASTER`). That flow must be in the table.
    pub master: Option<Tuple>,
    /// The addresses and ports that the source is translated to (`CTA_NAT_SRC`).
    pub snat: Option<NatRange>,
    /// The addresses and ports that the destination is translated to (`CTA_NAT_DST`).
    pub dnat: Option<NatRange>,
    /// The shift of sequence numbers from the initiator (`CTA_SEQ_ADJ_ORIG`).
    pub sequence_adjustment_original: Option<SequenceAdjustment>,
    /// The shift of sequence numbers from the responder (`CTA_SEQ_ADJ_REPLY`).
    pub sequence_adjustment_reply: Option<SequenceAdjustment>,
    /// The SYN proxy's numbers (`CTA_SYNPROXY`).
    pub synproxy: Option<Synproxy>,
    /// Whether to update the flow if it exists, instead of failing.
    pub or_update: bool,
}

impl NewFlow {
    /// Status bits that a user may set.
    const SETTABLE: Status =
        Status::SEEN_REPLY.union(Status::ASSURED).union(Status::FIXED_TIMEOUT).union(Status::HELPER);
    /// Seconds, for flows that come without a timeout.
    const TIMEOUT: u32 = 300;

    /// A flow of these tuples that ends after `timeout` seconds without a packet.
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
            snat: None,
            dnat: None,
            sequence_adjustment_original: None,
            sequence_adjustment_reply: None,
            synproxy: None,
            or_update: false,
        }
    }

    /// A flow whose reply tuple is the inverse of its original one. Returns `None` for an ICMP type that has no answer.
    #[must_use]
    pub fn untranslated(original: Tuple, timeout: u32) -> Option<Self> {
        Some(Self::new(original, original.inverted()?, timeout))
    }

    /// A TCP connection in that state, with a timeout of five minutes.
    ///
    /// Its packets pass whatever their sequence numbers, as with [`liberal_tcp`](Self::liberal_tcp), and from
    /// `ESTABLISHED` on it is assured, as a connection that the kernel has seen from its start.
    #[must_use]
    pub fn tcp(source: SocketAddr, destination: SocketAddr, state: TcpState) -> Self {
        let handshake = [TcpState::NONE, TcpState::SYN_SENT, TcpState::SYN_RECV, TcpState::SYN_SENT2];
        let assured = if handshake.contains(&state) { Status::empty() } else { Status::SEEN_REPLY | Status::ASSURED };
        Self::between(Tuple::tcp(source, destination), Tuple::tcp(destination, source))
            .status(assured)
            .liberal_tcp(state)
    }

    /// A UDP flow that was not answered yet, with a timeout of five minutes.
    #[must_use]
    pub fn udp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::between(Tuple::udp(source, destination), Tuple::udp(destination, source))
    }

    const fn between(original: Tuple, reply: Tuple) -> Self {
        Self::new(original, reply, Self::TIMEOUT)
    }

    /// Sets the seconds after which the flow ends without a packet.
    #[must_use]
    pub const fn timeout(mut self, seconds: u32) -> Self {
        self.timeout = seconds;
        self
    }

    /// Sets the zone of both directions.
    #[must_use]
    pub const fn zone(mut self, zone: u16) -> Self {
        self.zone = Some(zone);
        self
    }

    /// Sets the status bits.
    #[must_use]
    pub const fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Sets the mark.
    #[must_use]
    pub const fn mark(mut self, mark: u32) -> Self {
        self.mark = Some(mark);
        self
    }

    /// Sets state and parameters of TCP, SCTP or DCCP.
    ///
    /// A TCP flow without them has state `NONE`, and the kernel checks its window as soon as packets come.
    #[must_use]
    pub fn protocol_info(mut self, info: impl Into<ProtocolInfo>) -> Self {
        self.protocol_info = Some(info.into());
        self
    }

    /// Sets the state of a TCP flow, and lets its packets pass whatever their sequence numbers: the kernel has not seen the
    /// handshake of a flow that is made by hand, so it does not know the window.
    #[must_use]
    pub fn liberal_tcp(self, state: TcpState) -> Self {
        let flags = MaskedTcpFlags::set(TcpFlags::BE_LIBERAL | TcpFlags::SACK_PERM);
        self.protocol_info(TcpInfo::new(state).with_flags(flags))
    }

    /// Sets the helper, which must be registered for the protocol.
    #[must_use]
    pub fn helper(mut self, helper: Helper) -> Self {
        self.helper = Some(helper);
        self
    }

    /// Sets the labels. They are lost if no rule in the namespace uses labels.
    #[must_use]
    pub const fn labels(mut self, labels: Labels) -> Self {
        self.labels = Some(labels);
        self
    }

    /// Relates the flow to the flow with that original tuple, which must be in the table.
    #[must_use]
    pub const fn master(mut self, original: Tuple) -> Self {
        self.master = Some(original);
        self
    }

    /// Translates the source: to an address, to a socket address, or to a [`NatRange`] from which the kernel chooses.
    #[must_use]
    pub fn snat(mut self, range: impl Into<NatRange>) -> Self {
        self.snat = Some(range.into());
        self
    }

    /// Translates the destination, as [`snat`](Self::snat) does the source.
    #[must_use]
    pub fn dnat(mut self, range: impl Into<NatRange>) -> Self {
        self.dnat = Some(range.into());
        self
    }

    /// Sets the shift of sequence numbers from the initiator.
    #[must_use]
    pub const fn sequence_adjustment_original(mut self, adjustment: SequenceAdjustment) -> Self {
        self.sequence_adjustment_original = Some(adjustment);
        self
    }

    /// Sets the shift of sequence numbers from the responder.
    #[must_use]
    pub const fn sequence_adjustment_reply(mut self, adjustment: SequenceAdjustment) -> Self {
        self.sequence_adjustment_reply = Some(adjustment);
        self
    }

    /// Sets the SYN proxy's numbers.
    #[must_use]
    pub const fn synproxy(mut self, synproxy: Synproxy) -> Self {
        self.synproxy = Some(synproxy);
        self
    }

    /// Updates the flow if it exists, instead of failing.
    ///
    /// The kernel looks for the original tuple in both directions, so it also updates a flow whose *replies* have that
    /// tuple. [`Client::update`](crate::Client::update) changes the flow of a key only.
    #[must_use]
    pub const fn or_update(mut self) -> Self {
        self.or_update = true;
        self
    }

    /// Reads a create request.
    pub(crate) fn decode(attributes: Attributes<'_>, or_update: bool) -> Result<Self, DecodeError> {
        let range = NatRange::read;
        read_attributes!(attributes;
            CTA_TIMEOUT => timeout = Attribute::u32,
            CTA_NAT_SRC => snat = range,
            CTA_NAT_DST => dnat = range,
            CTA_MARK_MASK => mark_mask = Attribute::u32,
            CTA_LABELS_MASK => labels_mask = Labels::read,
        );
        // The kernel applies masks if a create updates a flow. A `NewFlow` has no place for them and would overwrite every bit.
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
            snat,
            dnat,
            or_update,
            ..Self::as_it_is(&flow, flow.reply)
        })
    }
}

impl From<&Flow> for NewFlow {
    /// Everything that it takes to create the flow again, as a backup does.
    ///
    /// A translated flow gets NAT ranges of exactly the addresses and ports that it is translated to, so that the kernel
    /// translates the packets of the new flow too. TCP flags are set to exactly those of the flow. A flow without a timeout
    /// (an offloaded one) gets five minutes. The master is left out, because it has to be in the table first.
    fn from(flow: &Flow) -> Self {
        let (snat, dnat) = (flow.snat().map(NatRange::from), flow.dnat().map(NatRange::from));
        let mut reply = flow.reply;
        // The kernel translates, and sets the status bits of NAT, only if it has to change the reply tuple.
        if let (true, Some(untranslated)) = (snat.is_some() || dnat.is_some(), flow.original.inverted()) {
            reply = Tuple { zone: reply.zone, ..untranslated };
        }
        Self { snat, dnat, ..Self::as_it_is(flow, reply) }
    }
}

impl NewFlow {
    /// The attributes of a flow, without its translation.
    fn as_it_is(flow: &Flow, reply: Tuple) -> Self {
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
            ..Self::new(flow.original, reply, flow.timeout.unwrap_or(Self::TIMEOUT))
        }
    }
}

/// Changes that a flow needs when it moves to another host or namespace.
impl NewFlow {
    /// Lets the packets of a TCP flow pass whatever their sequence numbers, in both directions, and keeps its state.
    ///
    /// A connection that moves to another kernel needs this. That kernel has not seen its windows and learns them from the
    /// first packets; it then takes retransmissions for invalid. Restoring the window scales is not enough: of five
    /// connections at full speed, none to three survived a move without `BE_LIBERAL`, and five with it.
    ///
    /// The kernel sends an offloaded flow without its state, which is always `ESTABLISHED`; the state is set to that.
    /// Flows of other protocols are unchanged.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Flow, NewFlow, TcpFlags, TcpInfo, TcpState, Tuple};
    ///
    /// let tuple = Tuple::tcp("10.0.0.1:40000".parse()?, "192.0.2.2:443".parse()?);
    /// let mut flow = Flow::new(tuple, tuple.inverted().ok_or("no reply")?);
    /// flow.protocol_info = Some(TcpInfo::new(TcpState::CLOSE_WAIT).into());
    ///
    /// let moved = NewFlow::from(&flow).liberal();
    /// let info = moved.protocol_info.as_ref().and_then(|info| info.tcp()).ok_or("no TCP")?;
    /// assert_eq!(info.state, Some(TcpState::CLOSE_WAIT));
    /// assert!(info.flags_reply.is_some_and(|flags| flags.flags.contains(TcpFlags::BE_LIBERAL)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn liberal(mut self) -> Self {
        if self.original.protocol == Protocol::TCP {
            let offloaded = self.status.contains(Status::OFFLOAD).then_some(TcpState::ESTABLISHED);
            let mut info = self.protocol_info.as_ref().and_then(ProtocolInfo::tcp).copied().unwrap_or_default();
            info.state = info.state.or(offloaded);
            for flags in [&mut info.flags_original, &mut info.flags_reply] {
                let flags = flags.get_or_insert_default();
                flags.flags |= TcpFlags::BE_LIBERAL;
                flags.mask |= TcpFlags::BE_LIBERAL;
            }
            self.protocol_info = Some(info.into());
        }
        self
    }

    /// Shortens the timeout by the time since the flow was read. Returns `None` if the flow has ended by now.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use ctnetlink::NewFlow;
    ///
    /// let flow = NewFlow::udp("10.0.0.1:40000".parse()?, "192.0.2.2:53".parse()?).timeout(30);
    /// assert_eq!(flow.clone().aged(Duration::from_secs(10)).map(|flow| flow.timeout), Some(20));
    /// assert_eq!(flow.aged(Duration::from_secs(30)), None);
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn aged(mut self, by: Duration) -> Option<Self> {
        let seconds = u32::try_from(by.as_secs()).unwrap_or(u32::MAX);
        self.timeout = self.timeout.checked_sub(seconds).filter(|left| *left > 0)?;
        Some(self)
    }

    /// Replaces every address: those of both tuples, of the translation, and of the master.
    ///
    /// Addresses that stay are returned as they are. If `map` changes the family of some addresses only, creating the flow
    /// fails with an [`EncodeError`].
    ///
    /// # Example
    ///
    /// ```
    /// use std::net::IpAddr;
    /// use ctnetlink::NewFlow;
    ///
    /// let (old, new): (IpAddr, IpAddr) = ("198.51.100.1".parse()?, "198.51.100.2".parse()?);
    /// let flow = NewFlow::udp("10.0.0.1:40000".parse()?, "192.0.2.2:53".parse()?).snat(old);
    /// let moved = flow.map_addresses(|address| if address == old { new } else { address });
    /// assert_eq!(moved.snat.and_then(|range| range.first_address), Some(new));
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn map_addresses(mut self, mut map: impl FnMut(IpAddr) -> IpAddr) -> Self {
        for tuple in [&mut self.original, &mut self.reply].into_iter().chain(&mut self.master) {
            tuple.source = map(tuple.source);
            tuple.destination = map(tuple.destination);
        }
        for range in [&mut self.snat, &mut self.dnat].into_iter().flatten() {
            range.first_address = range.first_address.map(&mut map);
            range.last_address = range.last_address.map(&mut map);
        }
        self
    }

    /// Replaces the zone, be it the zone of both directions or of one. The default zone is 0.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::NewFlow;
    ///
    /// let flow = NewFlow::udp("10.0.0.1:40000".parse()?, "192.0.2.2:53".parse()?).zone(7);
    /// assert_eq!(flow.map_zone(|zone| zone + 100).zone, Some(107));
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn map_zone(mut self, mut map: impl FnMut(u16) -> u16) -> Self {
        let mut mapped = |zone: u16| Some(map(zone)).filter(|zone| *zone != 0);
        if self.original.zone.is_none() && self.reply.zone.is_none() {
            self.zone = mapped(self.zone.unwrap_or(0));
        } else {
            self.original.zone = self.original.zone.and_then(&mut mapped);
            self.reply.zone = self.reply.zone.and_then(&mut mapped);
        }
        self
    }
}

/// The kernel sends flags with an empty mask, which would set none of them.
fn with_flags_to_be_set(mut info: ProtocolInfo) -> ProtocolInfo {
    if let ProtocolInfo::Tcp(tcp) = &mut info {
        for flags in [&mut tcp.flags_original, &mut tcp.flags_reply].into_iter().flatten() {
            *flags = MaskedTcpFlags::exactly(flags.flags);
        }
    }
    info
}

impl EncodeRequest for NewFlow {
    fn operation(&self) -> Operation {
        Operation::CreateFlow
    }

    fn header(&self) -> RequestHeader {
        RequestHeader::acknowledged(MessageType::FLOW_NEW, self.original.family()).with_flags(creation(self.or_update))
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        if self.original.protocol != self.reply.protocol {
            encoder.fail(EncodeError::Value("the tuples of a flow have different protocols"));
        }
        if self.original.family() != self.reply.family() {
            encoder.fail(EncodeError::Value("the tuples of a flow have different families"));
        }
        if self.zone.is_some_and(|zone| zone != 0) && (self.original.zone.is_some() || self.reply.zone.is_some()) {
            encoder.fail(EncodeError::Value("a zone of both directions and a zone of one direction"));
        }
        if self.helper.as_ref().is_some_and(|helper| helper.name.len() > Helper::LONGEST_NAME) {
            encoder.fail(EncodeError::Value("the name of a helper is longer than 15 bytes"));
        }
        for range in [self.snat, self.dnat].into_iter().flatten() {
            // The kernel ignores addresses of the other family and translates to a port of its choice.
            if range.first_address.is_some_and(|address| address.is_ipv4() != self.original.source.is_ipv4()) {
                encoder.fail(EncodeError::Value("a NAT range has another family than the tuples"));
            }
        }
        encoder.nested(CTA_TUPLE_ORIG, &self.original);
        encoder.nested(CTA_TUPLE_REPLY, &self.reply);
        encoder.u32(CTA_TIMEOUT, self.timeout);
        // If the flow exists, the kernel refuses a status that lacks one of its bits: none is sent unless requested.
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
        encoder.optional_nest(CTA_NAT_SRC, self.snat.as_ref());
        encoder.optional_nest(CTA_NAT_DST, self.dnat.as_ref());
        encoder.optional_nest(CTA_SEQ_ADJ_ORIG, self.sequence_adjustment_original.as_ref());
        encoder.optional_nest(CTA_SEQ_ADJ_REPLY, self.sequence_adjustment_reply.as_ref());
        encoder.optional_nest(CTA_SYNPROXY, self.synproxy.as_ref());
    }
}

impl Command for NewFlow {}

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

    /// The kernel would answer EINVAL without a reason.
    #[test]
    fn contradictory_flow_is_not_sent() {
        assert_eq!(refusal(|flow| flow.zone = Some(5)), None);
        let v6 = Tuple::udp("[::1]:1".parse().unwrap(), "[::2]:2".parse().unwrap());
        assert!(refusal(|flow| flow.reply = v6).unwrap().to_string().contains("different families"));
        let zones = |flow: &mut NewFlow| (flow.zone, flow.original.zone) = (Some(5), Some(6));
        assert!(refusal(zones).unwrap().to_string().contains("a zone of both directions and"));
        let helper = |flow: &mut NewFlow| flow.helper = Some(Helper::new("netbios-name-ser"));
        assert!(refusal(helper).unwrap().to_string().contains("longer than 15 bytes"));
    }

    fn translated() -> NewFlow {
        NewFlow::tcp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap(), TcpState::ESTABLISHED)
            .snat("192.0.2.1:3".parse::<SocketAddr>().unwrap())
            .master(Tuple::tcp("10.0.0.1:4".parse().unwrap(), "10.0.0.2:21".parse().unwrap()))
    }

    #[test]
    fn liberal_flow_keeps_its_state_scales_and_flags() {
        let mut flow = translated();
        let mut info = TcpInfo::new(TcpState::FIN_WAIT).with_flags(MaskedTcpFlags::exactly(TcpFlags::SACK_PERM));
        (info.window_scale_original, info.window_scale_reply, info.flags_reply) = (Some(7), Some(8), None);
        flow.protocol_info = Some(info.into());
        let liberal = flow.liberal();
        let moved = *liberal.protocol_info.as_ref().unwrap().tcp().unwrap();
        info.flags_original = Some(MaskedTcpFlags::exactly(TcpFlags::SACK_PERM | TcpFlags::BE_LIBERAL));
        info.flags_reply = Some(MaskedTcpFlags::set(TcpFlags::BE_LIBERAL));
        assert_eq!(moved, info);
    }

    /// In the state `NONE` the kernel takes the first packet of the reply direction for invalid.
    #[test]
    fn liberal_offloaded_flow_is_established() {
        let mut flow = translated();
        flow.protocol_info = None;
        let state = |flow: NewFlow| flow.liberal().protocol_info.unwrap().tcp().unwrap().state;
        assert_eq!(state(flow.clone()), None);
        flow.status |= Status::OFFLOAD;
        assert_eq!(state(flow), Some(TcpState::ESTABLISHED));
        let udp = NewFlow::udp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        assert_eq!(udp.clone().liberal(), udp);
    }

    #[test]
    fn aged_flow_ends_at_zero() {
        let aged = |seconds| translated().timeout(300).aged(Duration::from_secs(seconds)).map(|flow| flow.timeout);
        assert_eq!([aged(0), aged(299), aged(300), aged(u64::MAX)], [Some(300), Some(1), None, None]);
    }

    #[test]
    fn mapped_addresses_include_translation_and_master() {
        let mut flow = translated();
        flow.dnat = Some(NatRange::addresses("10.0.0.3".parse().unwrap(), "10.0.0.4".parse().unwrap()));
        let text = format!("{:?}", flow.map_addresses(|_| "2001:db8::1".parse().unwrap()));
        assert!(!text.contains("10.0.0.") && !text.contains("192.0.2."), "{text}");
        assert_eq!(text.matches("2001:db8::1").count(), 9);
    }

    #[test]
    fn mapped_zone_stays_in_its_direction() {
        let plus = |flow: NewFlow| flow.map_zone(|zone| zone + 5);
        assert_eq!(plus(translated()).zone, Some(5));
        let mut one = translated();
        one.original.zone = Some(2);
        let one = plus(one);
        assert_eq!((one.zone, one.original.zone, one.reply.zone), (None, Some(7), None));
        assert_eq!(translated().zone(3).map_zone(|_| 0).zone, None);
    }
}
