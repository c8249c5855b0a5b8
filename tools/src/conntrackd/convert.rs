//! Records become flows to create, and flows become records.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ctnetlink::{
    AnyFlow, Flow, Helper, Labels, Layer4, NatRange, NewFlow, Protocol, ProtocolInfo, SctpInfo, SctpState,
    SequenceAdjustment, Status, Synproxy, TcpInfo, TcpState, Tuple,
};

use super::record::{Bytes, FlowRecord, Swapped};

/// The identity of a flow between the two peers: the original tuple, without a zone in it, and the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "the protocol cannot be extended")]
pub struct Key {
    /// The original tuple.
    pub tuple: Tuple,
    /// The zone, 0 for the default zone.
    pub zone: u16,
}

/// Seconds, for flows that come without a timeout, and the least that is left to a flow that its peer did not delete.
///
/// The peer sends a flow again only if it changes. A timeout that has run out therefore says nothing about a flow whose
/// packets keep it alive. The peer reports the flows that end.
const LEAST_TIMEOUT: u32 = 60;

impl Key {
    /// Returns the key of a flow, or `None` if the protocol cannot carry it.
    ///
    /// The protocol carries no GRE keys, no UDP-Lite ports, and no zone of a single direction: the peer would merge such
    /// flows.
    #[must_use]
    pub fn of(flow: &impl AnyFlow) -> Option<Self> {
        let tuple = flow.original();
        let is_carried = tuple.zone.is_none() && flow.reply().zone.is_none() && is_carried(&tuple);
        is_carried.then(|| Self { tuple, zone: flow.zone().unwrap_or(0) })
    }
}

/// Protocols whose ports conntrackd sends.
const PORTS: [Protocol; 4] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::DCCP];

/// Returns whether the attributes name the tuple completely.
pub(super) fn is_carried(tuple: &Tuple) -> bool {
    match tuple.layer4 {
        Layer4::None => !has_keys_that_are_not_sent(tuple.protocol),
        Layer4::Ports { .. } => PORTS.contains(&tuple.protocol),
        Layer4::Icmp { .. } => true,
        _ => false,
    }
}

const fn has_keys_that_are_not_sent(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::GRE | Protocol::UDPLITE)
}

/// The parts of a tuple as attributes.
#[derive(Default)]
pub(super) struct TupleAttributes {
    pub(super) ipv4: Option<[Ipv4Addr; 2]>,
    pub(super) ipv6: Option<[Ipv6Addr; 2]>,
    pub(super) protocol: Option<u8>,
    pub(super) ports: Option<[u16; 2]>,
}

impl TupleAttributes {
    pub(super) fn new(tuple: &Tuple) -> Self {
        let mut attributes = Self { protocol: Some(tuple.protocol.0), ..Self::default() };
        match (tuple.source, tuple.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => attributes.ipv4 = Some([source, destination]),
            (IpAddr::V6(source), IpAddr::V6(destination)) => attributes.ipv6 = Some([source, destination]),
            _ => {}
        }
        if let Layer4::Ports { source, destination } = tuple.layer4 {
            attributes.ports = Some([source, destination]);
        }
        attributes
    }

    /// Returns the tuple, without an ICMP query. `None` if addresses, protocol or ports are missing or ambiguous.
    pub(super) fn tuple(&self) -> Option<Tuple> {
        let (source, destination): (IpAddr, IpAddr) = match (self.ipv4, self.ipv6) {
            (Some([source, destination]), None) => (source.into(), destination.into()),
            (None, Some([source, destination])) => (source.into(), destination.into()),
            _ => return None,
        };
        let protocol = Protocol(self.protocol?);
        if has_keys_that_are_not_sent(protocol) {
            return None;
        }
        match (PORTS.contains(&protocol), self.ports) {
            (true, Some([from, to])) => {
                Some(Tuple::with_ports(protocol, (source, from).into(), (destination, to).into()))
            }
            (true, None) => None,
            (false, _) => Some(Tuple::new(protocol, source, destination)),
        }
    }
}

impl FlowRecord {
    /// Returns the record of a flow, or `None` if the protocol cannot carry it.
    ///
    /// Timeout and mark are always sent: without a timeout the peer's kernel may refuse the flow, and without a mark an
    /// update would leave an old one.
    #[must_use]
    pub fn new(flow: &Flow) -> Option<Self> {
        let mut record = Self::of_key(&Key::of(flow)?);
        record.status = Some(flow.status.unwrap_or_default().bits());
        record.set_protocol_info(flow.protocol_info.as_ref());
        record.timeout = Some(flow.timeout.unwrap_or(LEAST_TIMEOUT));
        record.mark = Some(flow.mark.unwrap_or(0));
        if let Some(master) = flow.master.as_ref().filter(|master| is_carried(master)) {
            let TupleAttributes { ipv4, ipv6, protocol, ports } = TupleAttributes::new(master);
            (record.master_ipv4, record.master_ipv6) = (ipv4, ipv6);
            (record.master_protocol, record.master_ports) = (protocol, ports);
        }
        record.set_translation(flow);
        record.sequence_adjustment = sequence_adjustments(flow);
        record.helper = flow.helper.as_ref().and_then(|helper| Bytes::from_text(&helper.name));
        record.labels = flow.labels.filter(|labels| !labels.is_empty()).map(label_words);
        record.synproxy = flow
            .synproxy
            .filter(|synproxy| *synproxy != Synproxy::default())
            .map(|proxy| [proxy.initial_sequence, proxy.initial_timestamp, proxy.timestamp_offset]);
        Some(record)
    }

    /// Returns a record that names a flow and says nothing else of it, for its deletion.
    #[must_use]
    pub fn of_key(key: &Key) -> Self {
        let TupleAttributes { ipv4, ipv6, protocol, ports } = TupleAttributes::new(&key.tuple);
        let mut record = Self { ipv4, ipv6, protocol, ports, status: Some(0), ..Self::default() };
        if let Layer4::Icmp { icmp_type, code, id } = key.tuple.layer4 {
            (record.icmp_type, record.icmp_code) = (Some(icmp_type), Some(code));
            record.icmp_id = Some(Swapped(id));
        }
        record.zone = Some(key.zone).filter(|zone| *zone != 0);
        record
    }

    fn set_protocol_info(&mut self, info: Option<&ProtocolInfo>) {
        match info {
            Some(ProtocolInfo::Tcp(tcp)) => self.tcp_state = tcp.state.map(|state| state.0),
            Some(ProtocolInfo::Sctp(sctp)) => {
                self.sctp_state = sctp.state.map(|state| state.0);
                self.sctp_tag_original = sctp.verification_tag_original;
                self.sctp_tag_reply = sctp.verification_tag_reply;
            }
            _ => {}
        }
    }

    /// Only the differences between the tuples are sent.
    fn set_translation(&mut self, flow: &Flow) {
        let Flow { original, reply, .. } = flow;
        match reply.destination {
            address if address == original.source => {}
            IpAddr::V4(address) => self.snat_ipv4 = Some(address),
            IpAddr::V6(address) => self.snat_ipv6 = Some(address),
        }
        match reply.source {
            address if address == original.destination => {}
            IpAddr::V4(address) => self.dnat_ipv4 = Some(address),
            IpAddr::V6(address) => self.dnat_ipv6 = Some(address),
        }
        if let (Layer4::Ports { source, destination }, Layer4::Ports { source: from, destination: to }) =
            (original.layer4, reply.layer4)
        {
            self.snat_port = (to != source).then_some(Swapped(to));
            self.dnat_port = (from != destination).then_some(Swapped(from));
        }
    }

    /// Returns the identity of the flow. `None` if the record does not name a flow, or carries values that a kernel
    /// refuses: no or two families, no protocol, no ports or ICMP query, an ICMP type without an answer, an unknown TCP
    /// state, or more labels than a kernel has.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        let Self { ipv4, ipv6, protocol, ports, .. } = *self;
        let mut tuple = TupleAttributes { ipv4, ipv6, protocol, ports }.tuple()?;
        if matches!(tuple.protocol, Protocol::ICMP | Protocol::ICMPV6) {
            let (icmp_type, code, id) = (self.icmp_type?, self.icmp_code?, self.icmp_id?.0);
            tuple.layer4 = Layer4::Icmp { icmp_type, code, id };
        }
        tuple.inverted()?;
        let is_refused = self.tcp_state.is_some_and(|state| state > TcpState::SYN_SENT2.0)
            || self.labels.as_ref().is_some_and(|labels| labels.0.len() > size_of::<Labels>());
        (!is_refused).then(|| Key { tuple, zone: self.zone.unwrap_or(0) })
    }

    fn master(&self) -> Option<Tuple> {
        let (ipv4, ipv6) = (self.master_ipv4, self.master_ipv6);
        TupleAttributes { ipv4, ipv6, protocol: self.master_protocol, ports: self.master_ports }.tuple()
    }

    /// Returns the flow as it is created in the kernel, `age` after the record arrived. `None` if [`key`](Self::key) is.
    ///
    /// TCP connections are liberal, because this kernel has not seen their windows.
    #[must_use]
    pub fn to_new_flow(&self, age: Duration) -> Option<NewFlow> {
        let Key { tuple, zone } = self.key()?;
        let mut flow = NewFlow::untranslated(tuple, self.timeout_after(age))?;
        flow.zone = Some(zone).filter(|zone| *zone != 0);
        flow.status = Status::from_bits_retain(self.status.unwrap_or(0));
        flow.mark = self.mark;
        flow.protocol_info = self.protocol_info(tuple.protocol);
        flow.helper = self.helper.as_ref().and_then(Bytes::text).map(Helper::new);
        flow.labels = self.labels.as_ref().map(labels);
        flow.master = self.master();
        // conntrackd compares the type and code of ICMP with the identifier as if they were ports.
        let has_ports = matches!(tuple.layer4, Layer4::Ports { .. });
        let port = |port: Option<Swapped>| port.filter(|_| has_ports).map(|port| port.0);
        flow.snat = range(self.snat_ipv4, self.snat_ipv6, port(self.snat_port));
        flow.dnat = range(self.dnat_ipv4, self.dnat_ipv6, port(self.dnat_port));
        if let Some([position, before, after, reply_position, reply_before, reply_after]) = self.sequence_adjustment {
            flow.sequence_adjustment_original = Some(adjustment(position, before, after));
            flow.sequence_adjustment_reply = Some(adjustment(reply_position, reply_before, reply_after));
        }
        flow.synproxy = self.synproxy.filter(|numbers| *numbers != [0; 3]).map(
            |[initial_sequence, initial_timestamp, timestamp_offset]| Synproxy {
                initial_sequence,
                initial_timestamp,
                timestamp_offset,
            },
        );
        Some(flow.liberal())
    }

    /// Returns the flow as the kernel shows it once it was created. `None` if [`key`](Self::key) is.
    #[must_use]
    pub fn to_flow(&self) -> Option<Flow> {
        let new = self.to_new_flow(Duration::ZERO)?;
        let mut reply = new.reply;
        let range =
            |range: Option<NatRange>| range.map_or((None, None), |range| (range.first_address, range.first_port));
        let ((source, port), (destination, to)) = (range(new.dnat), range(new.snat));
        reply.source = source.unwrap_or(reply.source);
        reply.destination = destination.unwrap_or(reply.destination);
        if let Layer4::Ports { source, destination } = &mut reply.layer4 {
            *source = port.unwrap_or(*source);
            *destination = to.unwrap_or(*destination);
        }
        let mut flow = Flow::new(new.original, reply);
        flow.zone = new.zone;
        flow.status = Some(new.status);
        flow.timeout = self.timeout;
        flow.mark = new.mark;
        flow.protocol_info = new.protocol_info;
        flow.helper = new.helper;
        flow.labels = new.labels.filter(|labels| !labels.is_empty());
        flow.master = new.master;
        Some(flow)
    }

    fn timeout_after(&self, age: Duration) -> u32 {
        let timeout = self.timeout.unwrap_or(LEAST_TIMEOUT).max(1);
        let passed = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        timeout.saturating_sub(passed).max(timeout.min(LEAST_TIMEOUT))
    }

    fn protocol_info(&self, protocol: Protocol) -> Option<ProtocolInfo> {
        match protocol {
            Protocol::TCP => self.tcp_state.map(|state| TcpInfo::new(TcpState(state)).into()),
            Protocol::SCTP => {
                let mut info = SctpInfo::default();
                info.state = Some(SctpState(self.sctp_state?));
                info.verification_tag_original = self.sctp_tag_original;
                info.verification_tag_reply = self.sctp_tag_reply;
                Some(ProtocolInfo::Sctp(info))
            }
            _ => None,
        }
    }
}

fn range(ipv4: Option<Ipv4Addr>, ipv6: Option<Ipv6Addr>, port: Option<u16>) -> Option<NatRange> {
    let address = ipv4.map(IpAddr::V4).or(ipv6.map(IpAddr::V6));
    let range = address.map_or_else(NatRange::keep_address, NatRange::address);
    (address.is_some() || port.is_some()).then(|| port.map_or(range, |port| range.port(port)))
}

const fn adjustment(correction_position: u32, before: u32, after: u32) -> SequenceAdjustment {
    SequenceAdjustment { correction_position, offset_before: before.cast_signed(), offset_after: after.cast_signed() }
}

fn sequence_adjustments(flow: &Flow) -> Option<[u32; 6]> {
    let (original, reply) = (flow.sequence_adjustment_original, flow.sequence_adjustment_reply);
    (original.is_some() || reply.is_some()).then(|| {
        let (one, other) = (original.unwrap_or_default(), reply.unwrap_or_default());
        [
            one.correction_position,
            one.offset_before.cast_unsigned(),
            one.offset_after.cast_unsigned(),
            other.correction_position,
            other.offset_before.cast_unsigned(),
            other.offset_after.cast_unsigned(),
        ]
    })
}

/// Words of 32 bits in network order, the lowest bits first.
fn label_words<const N: usize>(labels: Labels) -> Bytes<N> {
    Bytes((0..4).flat_map(|word| ((labels.0 >> (word * 32)) as u32).to_be_bytes()).collect())
}

fn labels<const N: usize>(words: &Bytes<N>) -> Labels {
    let mut bits = 0;
    for (place, word) in words.0.chunks_exact(4).enumerate().take(4) {
        let word = word.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        bits |= word << (place * 32);
    }
    Labels(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flow(original: Tuple) -> Flow {
        Flow::new(original, original.inverted().unwrap())
    }

    fn tcp() -> Tuple {
        Tuple::tcp("10.0.0.1:1000".parse().unwrap(), "192.0.2.2:443".parse().unwrap())
    }

    fn sent(flow: &Flow) -> NewFlow {
        let attributes = FlowRecord::new(flow).unwrap().encode();
        FlowRecord::decode(&attributes).unwrap().to_new_flow(Duration::ZERO).unwrap()
    }

    #[test]
    fn every_part_of_a_flow_crosses_the_wire() {
        let mut flow = flow(tcp());
        flow.reply = Tuple::tcp("10.9.9.9:8443".parse().unwrap(), "198.51.100.1:5000".parse().unwrap());
        flow.status = Some(Status::ASSURED | Status::SEEN_REPLY | Status::SRC_NAT | Status::CONFIRMED);
        flow.timeout = Some(431_999);
        flow.mark = Some(0xdead_beef);
        flow.zone = Some(7);
        flow.protocol_info = Some(TcpInfo::new(TcpState::ESTABLISHED).into());
        flow.helper = Some(Helper::new("netbios-ns"));
        flow.labels = Some([0, 31, 32, 127].into_iter().collect());
        flow.master = Some(Tuple::tcp("10.0.0.1:999".parse().unwrap(), "192.0.2.2:21".parse().unwrap()));
        flow.sequence_adjustment_reply =
            Some(SequenceAdjustment { correction_position: 9, offset_before: -4, offset_after: 5 });
        flow.synproxy = Some(Synproxy { initial_sequence: 1, initial_timestamp: 2, timestamp_offset: 3 });
        let new = sent(&flow);

        let mut expected = NewFlow::from(&flow).liberal();
        expected.master = flow.master;
        expected.sequence_adjustment_original = Some(SequenceAdjustment::default());
        assert_eq!(new, expected);
        let shown = FlowRecord::new(&flow).unwrap().to_flow().unwrap();
        assert_eq!((shown.original, shown.reply, shown.zone), (flow.original, flow.reply, flow.zone));
    }

    #[test]
    fn ports_are_translated_without_an_address() {
        let mut flow = flow(tcp());
        flow.reply = Tuple::tcp("192.0.2.2:8443".parse().unwrap(), "10.0.0.1:1000".parse().unwrap());
        let new = sent(&flow);
        assert_eq!((new.snat, new.dnat), (None, Some(NatRange::keep_address().port(8443))));
    }

    #[test]
    fn sctp_tags_and_icmp_queries_cross_the_wire() {
        let mut sctp = flow(Tuple::sctp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap()));
        sctp.protocol_info = Some(SctpInfo::new(SctpState::ESTABLISHED, 1, 2).into());
        assert_eq!(sent(&sctp).protocol_info, sctp.protocol_info);
        let (one, other) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let query = flow(Tuple::icmp(one, other, 128, 0, 0x1234));
        assert_eq!(sent(&query).original, query.original);
    }

    /// conntrackd would merge two such flows into one.
    #[test]
    fn flows_that_could_not_be_told_apart_are_not_sent() {
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        assert_eq!(FlowRecord::new(&flow(Tuple::gre(one, other, 1, 2))), None);
        let udplite = Tuple::with_ports(Protocol::UDPLITE, (one, 1).into(), (other, 2).into());
        assert_eq!(FlowRecord::new(&flow(udplite)), None);
        let mut zoned = flow(tcp());
        zoned.reply.zone = Some(3);
        assert_eq!(FlowRecord::new(&zoned), None);
        let gre = Tuple::gre(one, other, 0, 0);
        assert_eq!(FlowRecord::of_key(&Key { tuple: gre, zone: 0 }).key(), None);
    }

    #[test]
    fn timeouts_age_but_leave_time_for_a_packet() {
        let timeout = |timeout, age| {
            let mut flow = flow(tcp());
            flow.timeout = timeout;
            FlowRecord::new(&flow).unwrap().to_new_flow(Duration::from_secs(age)).unwrap().timeout
        };
        assert_eq!(timeout(Some(600), 100), 500);
        assert_eq!(timeout(Some(600), 5000), 60);
        assert_eq!(timeout(Some(30), 29), 30);
        assert_eq!(timeout(Some(0), 5), 1);
        assert_eq!(timeout(None, 5), 60);
    }

    proptest! {
        #[test]
        fn arbitrary_datagrams_hold_the_codec_property(
            head in prop::sample::select(vec![0x10_u8, 0x11, 0x12, 0x13, 0x15, 0x1a, 0x20]),
            flags: u8,
            attributes in prop::collection::vec((0..36_u16, 0..40_usize, any::<u8>()), 0..12),
            cut in 0..8_usize,
        ) {
            let mut datagram = vec![head, flags & 0x60, 0, 0, 0, 0, 0, 1];
            for (number, length, fill) in attributes {
                datagram.extend((length as u16 + 4).to_be_bytes());
                datagram.extend(number.to_be_bytes());
                datagram.extend(std::iter::repeat_n(fill, length.next_multiple_of(4)));
            }
            let length = datagram.len() as u16;
            datagram[2..4].copy_from_slice(&length.to_be_bytes());
            crate::conntrackd::property::codec(&datagram);
            datagram.truncate(datagram.len() - cut);
            crate::conntrackd::property::codec(&datagram);
        }
    }
}
