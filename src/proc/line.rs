//! One line of a flow: its values.

use core::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use super::fields::{Field, FieldTuple, Fields};
use crate::model::{
    AnyFlow, Counters, DccpInfo, DccpState, Endpoint, EventKind, Family, Flow, FlowTimes, GreKeys, Helper, HelperRef,
    Labels, Layer4, Protocol, ProtocolInfo, SctpInfo, SctpState, Sealed, SequenceAdjustment, Shape, Status, Synproxy,
    TcpInfo, TcpState, Timestamp, Tuple, inherent_getters,
};

/// One line of `/proc/net/nf_conntrack`, of the older `/proc/net/ip_conntrack`, or of `conntrack -L` and `-E`.
///
/// Parsing reads every value once and does not allocate: texts borrow from the line. A value that the line does not
/// contain is `None`, never 0. All methods of [`AnyFlow`](crate::AnyFlow) are available without importing the trait.
///
/// [`Display`](fmt::Display) prints the values in the kernel's form. A line of the kernel prints as the same bytes. A line
/// of conntrack(8) loses the fields that the kernel does not print: event, helper, labels, identifier and unknown fields.
/// [`as_bytes`](Self::as_bytes) returns the line itself.
///
/// Source: `ct_seq_show` in `net/netfilter/nf_conntrack_standalone.c`, Linux 4.19 to 6.18.
///
/// # Example
///
/// ```
/// use ctnetlink::{Status, TcpState, proc::Line};
///
/// let text = b"ipv4     2 tcp      6 431995 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=40000 dport=22 \
///     src=10.0.0.2 dst=10.0.0.1 sport=22 dport=40000 [ASSURED] mark=7 zone=0 use=2";
/// let line = Line::parse(text)?;
/// assert_eq!(line.original().destination_port(), Some(22));
/// assert_eq!(line.tcp_state(), Some(TcpState::ESTABLISHED));
/// assert_eq!(line.status(), Status::SEEN_REPLY | Status::ASSURED);
/// assert_eq!((line.mark(), line.counters_original()), (Some(7), None));
/// assert_eq!(line.to_string().as_bytes(), text);
/// # Ok::<(), ctnetlink::proc::LineError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Line<'a> {
    pub(super) bytes: &'a [u8],
    /// Where the fields after the header begin.
    pub(super) fields_at: usize,
    pub(super) event: Option<EventKind>,
    pub(super) event_time: Option<Timestamp>,
    /// As printed. `None` in the old form, and in the output of `conntrack` without `-o extended`.
    pub(super) layer3: Option<Family>,
    pub(super) family: Family,
    pub(super) protocol: Protocol,
    pub(super) protocol_name: &'a [u8],
    pub(super) timeout: Option<u32>,
    pub(super) state: Option<&'a [u8]>,
    pub(super) gre_timeouts: Option<GreTimeouts>,
    pub(super) original: FieldTuple,
    pub(super) reply: FieldTuple,
    pub(super) zone_original: Option<u16>,
    pub(super) zone_reply: Option<u16>,
    pub(super) counters_original: Option<Counters>,
    pub(super) counters_reply: Option<Counters>,
    pub(super) status: Status,
    pub(super) mark: Option<u32>,
    pub(super) secmark: Option<u32>,
    pub(super) security_context: Option<&'a [u8]>,
    pub(super) zone: Option<u16>,
    pub(super) delta_time: Option<u64>,
    pub(super) start: Option<&'a [u8]>,
    pub(super) stop: Option<&'a [u8]>,
    pub(super) helper: Option<&'a [u8]>,
    pub(super) use_count: Option<u32>,
    pub(super) id: Option<u32>,
    pub(super) labels: Option<&'a [u8]>,
    pub(super) port_id: Option<u32>,
    pub(super) program: Option<&'a [u8]>,
}

/// The timeouts that the kernel's file prints for a GRE flow, in seconds. They are settings, from which the timeout of
/// the flow counts down.
///
/// # Example
///
/// ```
/// use ctnetlink::proc::{GreTimeouts, Line};
///
/// let line = b"ipv4     2 gre      47 29 timeout=30, stream_timeout=180 src=10.0.0.1 dst=10.0.0.2 srckey=0x0 dstkey=0x1 \
///              src=10.0.0.2 dst=10.0.0.1 srckey=0x1 dstkey=0x0 mark=0 use=2";
/// assert_eq!(Line::parse(line)?.gre_timeouts(), Some(GreTimeouts { unreplied: 30, replied: 180 }));
/// # Ok::<(), ctnetlink::proc::LineError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "the kernel prints these two")]
pub struct GreTimeouts {
    /// The timeout before a packet of the responder is seen (`timeout=`).
    pub unreplied: u32,
    /// The timeout after a packet of the responder is seen (`stream_timeout=`).
    pub replied: u32,
}

impl<'a> Line<'a> {
    #[inline]
    pub(super) const fn empty() -> Self {
        Self {
            bytes: &[],
            fields_at: 0,
            event: None,
            event_time: None,
            layer3: None,
            family: Family::IPV4,
            protocol: Protocol(0),
            protocol_name: &[],
            timeout: None,
            state: None,
            gre_timeouts: None,
            original: FieldTuple::NONE,
            reply: FieldTuple::NONE,
            zone_original: None,
            zone_reply: None,
            counters_original: None,
            counters_reply: None,
            status: Status::SEEN_REPLY,
            mark: None,
            secmark: None,
            security_context: None,
            zone: None,
            delta_time: None,
            start: None,
            stop: None,
            helper: None,
            use_count: None,
            id: None,
            labels: None,
            port_id: None,
            program: None,
        }
    }

    /// Returns the line itself, without its line end.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the kind of the event, for a line of `conntrack -E`.
    #[must_use]
    pub const fn event(&self) -> Option<EventKind> {
        self.event
    }

    /// Returns the time of the event (`conntrack -E -o timestamp`). Older tools and kernels print when the tool read the
    /// event, newer ones when the event happened.
    #[must_use]
    pub const fn event_time(&self) -> Option<Timestamp> {
        self.event_time
    }

    /// Returns the layer 3 family of the addresses.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Returns the layer 4 protocol. It is read from the number in the line, because the names differ between kernels.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns the seconds until the flow ends unless a packet arrives. `None` for an offloaded flow.
    #[must_use]
    pub const fn timeout(&self) -> Option<u32> {
        self.timeout
    }

    /// Returns the state of TCP, SCTP or DCCP as it is printed.
    #[must_use]
    pub const fn state(&self) -> Option<&'a [u8]> {
        self.state
    }

    /// Returns the state of TCP, SCTP or DCCP, if its name is known.
    #[must_use]
    pub fn protocol_info(&self) -> Option<ProtocolInfo> {
        match self.protocol {
            Protocol::TCP => Some(TcpInfo::new(self.tcp_state()?).into()),
            Protocol::SCTP => {
                Some(ProtocolInfo::Sctp(SctpInfo { state: Some(self.sctp_state()?), ..SctpInfo::default() }))
            }
            Protocol::DCCP => {
                Some(ProtocolInfo::Dccp(DccpInfo { state: Some(self.dccp_state()?), ..DccpInfo::default() }))
            }
            _ => None,
        }
    }

    /// Returns the settings that the kernel's file prints for a GRE flow.
    #[must_use]
    pub const fn gre_timeouts(&self) -> Option<GreTimeouts> {
        self.gre_timeouts
    }

    /// Returns the tuple of packets from the initiator.
    #[must_use]
    #[inline]
    pub fn original(&self) -> Tuple {
        self.original.tuple(self.family, self.protocol, self.zone_original)
    }

    /// Returns the tuple of packets from the responder.
    #[must_use]
    #[inline]
    pub fn reply(&self) -> Tuple {
        self.reply.tuple(self.family, self.protocol, self.zone_reply)
    }

    /// Returns packets and bytes from the initiator.
    #[must_use]
    pub const fn counters_original(&self) -> Option<Counters> {
        self.counters_original
    }

    /// Returns packets and bytes from the responder.
    #[must_use]
    pub const fn counters_reply(&self) -> Option<Counters> {
        self.counters_reply
    }

    /// Returns the printed status bits: `SEEN_REPLY` unless the line contains `[UNREPLIED]`, and one of `ASSURED`,
    /// `OFFLOAD` and `HW_OFFLOAD`.
    ///
    /// Only the last of these three is printed, and no other bit ever is. So the line of an offloaded flow does not say
    /// whether the flow is assured.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Returns the mark that rules and users set on flows (`ct mark` in nft).
    #[must_use]
    pub const fn mark(&self) -> Option<u32> {
        self.mark
    }

    /// Returns the security mark, which old kernels and tools print.
    #[must_use]
    pub const fn secmark(&self) -> Option<u32> {
        self.secmark
    }

    /// Returns the security context, as the security module prints it. `None` if it is not UTF-8:
    /// [`fields`](Self::fields) returns its bytes.
    #[must_use]
    pub fn security_context(&self) -> Option<&'a str> {
        core::str::from_utf8(self.security_context?).ok()
    }

    /// Returns the zone of both directions. `None` for the default zone. The zone of one direction is in its tuple.
    #[must_use]
    pub const fn zone(&self) -> Option<u16> {
        match self.zone {
            Some(0) => None,
            zone => zone,
        }
    }

    /// Returns the zone of both directions as printed: the kernel prints `zone=0` for the default zone, `conntrack`
    /// prints nothing.
    #[must_use]
    pub const fn printed_zone(&self) -> Option<u16> {
        self.zone
    }

    /// Returns how long the flow has existed, in whole seconds. For the event of its end, this is its whole life.
    #[must_use]
    pub const fn delta_time(&self) -> Option<Duration> {
        match self.delta_time {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => None,
        }
    }

    /// Returns when the flow began, in the tool's format and the time zone of its user (`conntrack -o ktimestamp`).
    #[must_use]
    pub const fn start(&self) -> Option<&'a [u8]> {
        self.start
    }

    /// Returns when the flow ended, in the format of [`start`](Self::start).
    #[must_use]
    pub const fn stop(&self) -> Option<&'a [u8]> {
        self.stop
    }

    /// Returns the helper that inspects the flow. `None` in the kernel's file, which does not print it, or if its name is
    /// not UTF-8.
    #[must_use]
    pub fn helper(&self) -> Option<HelperRef<'a>> {
        core::str::from_utf8(self.helper?).ok().map(HelperRef::new)
    }

    /// Returns the number of references that the kernel holds, as printed. The kernel's file counts its own reference,
    /// so its number is one more than the number in netlink messages and in the output of `conntrack`.
    #[must_use]
    pub const fn use_count(&self) -> Option<u32> {
        self.use_count
    }

    /// Returns the identifier of the flow (`conntrack -o id`). The identifier of an ICMP query is in the tuples.
    #[must_use]
    pub const fn id(&self) -> Option<u32> {
        self.id
    }

    /// Returns the names of the labels, separated by commas (`conntrack -o labels`). Empty if none of the labels has a
    /// name.
    #[must_use]
    pub const fn label_names(&self) -> Option<&'a [u8]> {
        self.labels
    }

    /// Returns the netlink port of the process that caused the event (`conntrack -E -o userspace`).
    #[must_use]
    pub const fn port_id(&self) -> Option<u32> {
        self.port_id
    }

    /// Returns the name of the process that caused the event, if the tool found it.
    #[must_use]
    pub const fn program(&self) -> Option<&'a [u8]> {
        self.program
    }

    /// Returns all fields after protocol, timeout and state, in order.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields::new(self.bytes.get(self.fields_at..).unwrap_or_default())
    }

    /// Returns the fields that this parser does not know.
    pub fn unknown(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        self.fields().filter(|field| !field.is_known())
    }

    /// Copies the flow into a value. Allocates only for a helper and a security context, in which bytes that are not
    /// UTF-8 are replaced.
    ///
    /// The [use count](Self::use_count) stays as printed. Names of labels are not resolved. `delta-time` is lost, because
    /// the line does not say when it was written.
    #[must_use]
    pub fn to_flow(&self) -> Flow {
        let mut flow = Flow::new(self.original(), self.reply());
        flow.zone = self.zone();
        flow.status = Some(self.status);
        flow.timeout = self.timeout;
        flow.mark = self.mark;
        flow.protocol_info = self.protocol_info();
        flow.counters_original = self.counters_original;
        flow.counters_reply = self.counters_reply;
        flow.event_time = self.event_time;
        flow.helper = self.helper.map(|name| Helper::new(&String::from_utf8_lossy(name)));
        flow.security_context = self.security_context.map(|context| String::from_utf8_lossy(context).into());
        flow.id = self.id;
        flow.use_count = self.use_count;
        flow
    }
}

impl Sealed for Line<'_> {
    fn shape(&self) -> Shape<'_> {
        Shape::Other(self)
    }
}

impl AnyFlow for Line<'_> {
    fn original(&self) -> Tuple {
        self.original()
    }

    fn reply(&self) -> Tuple {
        self.reply()
    }

    fn zone(&self) -> Option<u16> {
        self.zone()
    }

    fn status(&self) -> Option<Status> {
        Some(self.status)
    }

    fn mark(&self) -> Option<u32> {
        self.mark
    }

    fn security_context(&self) -> Option<&str> {
        self.security_context()
    }

    fn id(&self) -> Option<u32> {
        self.id
    }

    fn use_count(&self) -> Option<u32> {
        self.use_count
    }

    fn master(&self) -> Option<Tuple> {
        None
    }

    fn timeout(&self) -> Option<u32> {
        self.timeout
    }

    fn protocol_info(&self) -> Option<ProtocolInfo> {
        self.protocol_info()
    }

    fn counters_original(&self) -> Option<Counters> {
        self.counters_original
    }

    fn counters_reply(&self) -> Option<Counters> {
        self.counters_reply
    }

    fn times(&self) -> Option<FlowTimes> {
        None
    }

    fn helper(&self) -> Option<HelperRef<'_>> {
        self.helper()
    }

    fn labels(&self) -> Option<Labels> {
        None
    }

    fn sequence_adjustment_original(&self) -> Option<SequenceAdjustment> {
        None
    }

    fn sequence_adjustment_reply(&self) -> Option<SequenceAdjustment> {
        None
    }

    fn synproxy(&self) -> Option<Synproxy> {
        None
    }

    fn event_time(&self) -> Option<Timestamp> {
        self.event_time
    }

    fn to_flow(&self) -> Flow {
        self.to_flow()
    }

    /// A line contains how long the flow has existed, not when it began.
    fn duration(&self, _: Timestamp) -> Option<Duration> {
        self.delta_time()
    }

    fn age(&self) -> Option<Duration> {
        self.delta_time()
    }

    #[inline]
    fn tcp_state(&self) -> Option<TcpState> {
        match (self.protocol, self.state?) {
            (Protocol::TCP, b"ESTABLISHED") => Some(TcpState::ESTABLISHED),
            // The name of this state before Linux 2.6.31.
            (Protocol::TCP, b"LISTEN") => Some(TcpState::SYN_SENT2),
            (Protocol::TCP, name) => named(TcpState::NAMED, name),
            _ => None,
        }
    }

    fn sctp_state(&self) -> Option<SctpState> {
        if self.protocol == Protocol::SCTP { named(SctpState::NAMED, self.state?) } else { None }
    }

    fn dccp_state(&self) -> Option<DccpState> {
        if self.protocol == Protocol::DCCP { named(DccpState::NAMED, self.state?) } else { None }
    }
}

inherent_getters!(Line<'_>);

#[inline]
fn named<T: Copy>(names: &[(T, &str)], text: &[u8]) -> Option<T> {
    names.iter().find(|(_, name)| name.as_bytes() == text).map(|(value, _)| *value)
}

impl fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({})", self.bytes.escape_ascii())
    }
}

impl fmt::Display for Line<'_> {
    /// Prints the values in the order and form of the kernel's file, without a line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = self.layer3.unwrap_or(self.family);
        let layer3 = if matches!(family, Family::IPV4 | Family::IPV6) { family.name() } else { None };
        write!(f, "{:<8} {} ", layer3.unwrap_or("unknown"), family.0)?;
        write!(f, "{:<8} {}", Lossy(self.protocol_name), self.protocol.0)?;
        value(f, " ", self.timeout)?;
        value(f, " ", self.state.map(Lossy))?;
        if let Some(gre) = self.gre_timeouts {
            write!(f, " timeout={}, stream_timeout={}", gre.unreplied, gre.replied)?;
        }
        print_tuple(f, &self.original())?;
        value(f, " zone-orig=", self.zone_original)?;
        counters(f, self.counters_original)?;
        if !self.status.contains(Status::SEEN_REPLY) {
            f.write_str(" [UNREPLIED]")?;
        }
        print_tuple(f, &self.reply())?;
        value(f, " zone-reply=", self.zone_reply)?;
        counters(f, self.counters_reply)?;
        f.write_str(last_flag(self.status))?;
        value(f, " mark=", self.mark)?;
        value(f, " secmark=", self.secmark)?;
        value(f, " secctx=", self.security_context.map(Lossy))?;
        value(f, " zone=", self.zone)?;
        value(f, " delta-time=", self.delta_time)?;
        value(f, " use=", self.use_count)
    }
}

fn value(f: &mut fmt::Formatter<'_>, key: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    match value {
        Some(value) => write!(f, "{key}{value}"),
        None => Ok(()),
    }
}

/// The kernel prints only the first of these bits that is set.
const fn last_flag(status: Status) -> &'static str {
    if status.contains(Status::HW_OFFLOAD) {
        " [HW_OFFLOAD]"
    } else if status.contains(Status::OFFLOAD) {
        " [OFFLOAD]"
    } else if status.contains(Status::ASSURED) {
        " [ASSURED]"
    } else {
        ""
    }
}

fn counters(f: &mut fmt::Formatter<'_>, counters: Option<Counters>) -> fmt::Result {
    match counters {
        Some(Counters { packets, bytes }) => write!(f, " packets={packets} bytes={bytes}"),
        None => Ok(()),
    }
}

/// Prints ` src=… dst=…`, and the ports, keys or query.
pub(super) fn print_tuple(f: &mut fmt::Formatter<'_>, tuple: &Tuple) -> fmt::Result {
    write!(f, " src={} dst={}", Full(tuple.source), Full(tuple.destination))?;
    match tuple.layer4 {
        Layer4::None => Ok(()),
        Layer4::Ports { source, destination } => write!(f, " sport={source} dport={destination}"),
        Layer4::Gre(GreKeys { source, destination }) => write!(f, " srckey={source:#x} dstkey={destination:#x}"),
        Layer4::Icmp { icmp_type, code, id } => write!(f, " type={icmp_type} code={code} id={id}"),
    }
}

/// An address with all its digits, in the form of the kernel's `%pI4` and `%pI6`.
struct Full(IpAddr);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => full(f, address),
        }
    }
}

fn full(f: &mut fmt::Formatter<'_>, address: Ipv6Addr) -> fmt::Result {
    let [a, b, c, d, e, g, h, i] = address.segments();
    write!(f, "{a:04x}:{b:04x}:{c:04x}:{d:04x}:{e:04x}:{g:04x}:{h:04x}:{i:04x}")
}

/// Bytes of the line as text. A [`fmt::Formatter`] accepts only UTF-8, so other bytes are replaced.
pub(super) struct Lossy<'a>(pub(super) &'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self.0))
    }
}
