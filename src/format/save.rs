//! The lines of `conntrack -o save`.

use core::net::IpAddr;

use super::{
    LabelMap, Printed,
    chunk::Fragment,
    common::{ShownNumbers, state_name},
    output::Output,
    printed::Job,
};
use crate::{
    DccpInfo, DccpRole, DccpState, Endpoint, EventKind, Flow, Layer4, Protocol, ProtocolInfo, SctpInfo, SctpState,
    Status, TcpInfo, TcpState,
};

/// Prints flows as options that `conntrack -R` reads back, as conntrack(8) does with `-o save`.
///
/// A new or listed flow is a line of `-A`, a changed one of `-U`, an ended one of `-D`. A `-D` names the flow and
/// nothing that changes in the life of one: `conntrack -R` looks for a flow that is exactly as the line says. A change
/// of a flow that has a zone, a mark or labels is a line of `-A`, since `-U` finds flows in the default zone alone, and
/// gives every flow the mark of the file's last line.
///
/// Read by 1.4.7, `-U` makes the tracker of a TCP connection liberal, and `-D` of a GRE flow deletes every GRE flow
/// between its ends: the keys are not looked at.
///
/// What a line cannot say: the helper (there is no option for it), that the flow was expected (the kernel refuses to
/// be told), the identifier of a translated ICMP query, counters, times, window scales and other parameters of TCP.
/// States that 1.4.7 crashes on (`HEARTBEAT_SENT` and `HEARTBEAT_ACKED` of SCTP) are written as `NONE`.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, Tuple, format::Save};
///
/// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// let mut flow = Flow::new(original, original.inverted().ok_or("an ICMP type without an answer")?);
/// flow.timeout = Some(30);
/// flow.mark = Some(7);
/// assert_eq!(
///     Save::new().flow(&flow).to_string(),
///     "-A -t 30 -u UNSET -m 7 -s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.1 -p udp --sport 40000 --dport 53 \
///      --reply-port-src 53 --reply-port-dst 40000",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Save<'a> {
    event: Option<EventKind>,
    labels: Option<&'a LabelMap>,
}

/// The command that a line begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Add,
    Update,
    Delete,
}

impl<'a> Save<'a> {
    /// The timeout of a flow to be added that tells none, as flows in a flow table do not. `-A` asks for one; within
    /// this many seconds a packet renews it.
    pub const TIMEOUT: u32 = 30;

    /// The form of `conntrack -L -o save`.
    #[must_use]
    pub const fn new() -> Self {
        Self { event: None, labels: None }
    }

    /// What the event that is printed tells (`-E`).
    #[must_use]
    pub const fn event(self, event: EventKind) -> Self {
        Self { event: Some(event), ..self }
    }

    /// The names of labels: flows keep those of their labels that have a name.
    ///
    /// Without, labels are left out: `conntrack -R` of 1.4.7 crashes at the second line of a file that has some.
    #[must_use]
    pub const fn labels(self, labels: &'a LabelMap) -> Self {
        Self { labels: Some(labels), ..self }
    }

    /// A flow as a line, without the newline.
    pub const fn flow(&self, flow: &'a Flow) -> Printed<'a> {
        Printed::new(Job::FlowSave(*self, flow))
    }

    // Every option ends with a space, and the last one is taken back.

    pub(super) fn print_flow(&self, flow: &Flow, output: &mut Output<'_>) {
        let command = self.command(flow);
        match command {
            Command::Add => output.text("-A "),
            Command::Update => output.text("-U "),
            Command::Delete => output.text("-D "),
        }
        if command != Command::Delete {
            changing(flow, command, output);
        }
        zones(flow, command, output);
        addresses(flow, command, output);
        protocol(flow.original.protocol, output);
        // `-A` asks for ports; a flow that has none is not found by any.
        if command == Command::Add || flow.original.layer4 != Layer4::None {
            numbers(flow, output);
        }
        if command != Command::Delete {
            protocol_info(flow, command, output);
            self.label_names(flow, output);
        }
        output.drop_last();
    }

    fn command(&self, flow: &Flow) -> Command {
        match self.event {
            None | Some(EventKind::New) => Command::Add,
            Some(EventKind::Update) if self.is_past_update(flow) => Command::Add,
            Some(EventKind::Update) => Command::Update,
            Some(EventKind::Destroy) => Command::Delete,
        }
    }

    /// Whether `-U` would change another flow, or other flows too.
    fn is_past_update(&self, flow: &Flow) -> bool {
        let has_zone = flow.zone.or(flow.original.zone).or(flow.reply.zone).is_some();
        has_zone || mark(flow).is_some() || (self.labels.is_some() && flow.labels.is_some())
    }

    fn label_names(&self, flow: &Flow, output: &mut Output<'_>) {
        let (Some(map), Some(labels)) = (self.labels, flow.labels) else { return };
        let mut separator = "--label-add \"";
        for name in map.names(labels) {
            output.text(separator);
            output.text(name);
            separator = ",";
        }
        if separator == "," {
            output.text("\" ");
        }
    }
}

/// What changes in the life of a flow.
fn changing(flow: &Flow, command: Command, output: &mut Output<'_>) {
    match (flow.timeout, command) {
        (Some(timeout), _) => option("-t ", timeout, output),
        (None, Command::Add) => option("-t ", Save::TIMEOUT, output),
        (None, _) => {}
    }
    output.text("-u ");
    status(flow.status.unwrap_or_default(), output);
    if let Some(mark) = mark(flow) {
        option("-m ", mark, output);
    }
}

/// A flow that is added has no mark but for one that it is given.
fn mark(flow: &Flow) -> Option<u32> {
    flow.mark.filter(|mark| *mark != 0)
}

/// The bits that may be set, each with a comma, and the last comma a space.
fn status(status: Status, output: &mut Output<'_>) {
    let named =
        [(Status::SEEN_REPLY, "SEEN_REPLY,"), (Status::ASSURED, "ASSURED,"), (Status::FIXED_TIMEOUT, "FIXED_TIMEOUT,")];
    if !status.intersects(Status::SEEN_REPLY | Status::ASSURED | Status::FIXED_TIMEOUT) {
        output.text("UNSET,");
    }
    for (bit, name) in named {
        if status.contains(bit) {
            output.text(name);
        }
    }
    output.drop_last();
    output.text(" ");
}

fn zones(flow: &Flow, command: Command, output: &mut Output<'_>) {
    match (flow.zone, flow.original.zone.or(flow.reply.zone)) {
        (Some(zone), _) => option("-w ", zone, output),
        // A delete without a zone would delete the flows of every zone.
        (None, None) if command == Command::Delete => output.text("-w 0 "),
        (None, _) => {}
    }
    if let Some(zone) = flow.original.zone {
        option("--orig-zone ", zone, output);
    }
    if let Some(zone) = flow.reply.zone {
        option("--reply-zone ", zone, output);
    }
}

/// The ends. An added flow is told what it is to be translated to, so that the kernel sets the translation up; `-U`
/// and `-D` look for a flow by its tuples.
fn addresses(flow: &Flow, command: Command, output: &mut Output<'_>) {
    let adds = command == Command::Add;
    address("-s ", flow.original.source, output);
    address("-d ", flow.original.destination, output);
    match flow.dnat().filter(|_| adds) {
        Some(end) => endpoint("-g ", end, flow.original.protocol, output),
        None => address("-r ", flow.reply.source, output),
    }
    match flow.snat().filter(|_| adds) {
        Some(end) => endpoint("-n ", end, flow.original.protocol, output),
        None => address("-q ", flow.reply.destination, output),
    }
}

fn address(name: &'static str, address: IpAddr, output: &mut Output<'_>) {
    output.print((name, address, " "));
}

/// conntrack(8) sends the port that a flow of TCP or UDP is translated to; of other protocols the kernel keeps that of
/// the reply tuple.
fn endpoint(name: &'static str, end: Endpoint, protocol: Protocol, output: &mut Output<'_>) {
    let Some(port) = end.port.filter(|_| matches!(protocol, Protocol::TCP | Protocol::UDP)) else {
        return address(name, end.address, output);
    };
    match end.address.is_ipv4() {
        true => output.print((name, end.address, ":", port, " ")),
        false => output.print((name, "[", end.address, "]:", (port, " "))),
    }
}

fn protocol(protocol: Protocol, output: &mut Output<'_>) {
    match protocol {
        Protocol::TCP => output.text("-p tcp "),
        Protocol::UDP => output.text("-p udp "),
        Protocol(number) => match protocol.name() {
            Some(name) => {
                output.text("-p ");
                output.text(name);
                output.text(" ");
            }
            None => option("-p ", number, output),
        },
    }
}

fn numbers(flow: &Flow, output: &mut Output<'_>) {
    match (ShownNumbers::of(&flow.original), ShownNumbers::of(&flow.reply)) {
        (
            ShownNumbers::Ports { source, destination },
            ShownNumbers::Ports { source: reply_source, destination: reply_destination },
        ) => {
            option("--sport ", source, output);
            option("--dport ", destination, output);
            option("--reply-port-src ", reply_source, output);
            option("--reply-port-dst ", reply_destination, output);
        }
        (
            ShownNumbers::Keys { source, destination },
            ShownNumbers::Keys { source: reply_source, destination: reply_destination },
        ) => {
            option("--srckey ", source, output);
            option("--dstkey ", destination, output);
            option("--reply-key-src ", reply_source, output);
            option("--reply-key-dst ", reply_destination, output);
        }
        (ShownNumbers::Query { icmp_type, code, id }, _) => {
            let [type_option, code_option, id_option] = match flow.original.protocol {
                Protocol::ICMP => ["--icmp-type ", "--icmp-code ", "--icmp-id "],
                _ => ["--icmpv6-type ", "--icmpv6-code ", "--icmpv6-id "],
            };
            option(type_option, icmp_type, output);
            option(code_option, code, output);
            option(id_option, id, output);
        }
        _ => {}
    }
}

/// The state and what goes with it.
fn protocol_info(flow: &Flow, command: Command, output: &mut Output<'_>) {
    let asked = asked_for(flow.original.protocol).filter(|_| command == Command::Add);
    let Some(info) = flow.protocol_info.or(asked) else { return };
    if let Some(state) = state_name(&info).or(asked.as_ref().and_then(state_name)) {
        output.text("--state ");
        // 1.4.7 crashes where it reads these two.
        output.text(if matches!(state, "HEARTBEAT_SENT" | "HEARTBEAT_ACKED") { "NONE" } else { state });
        output.text(" ");
    }
    match info {
        ProtocolInfo::Sctp(info) => verification_tags(&info, output),
        ProtocolInfo::Dccp(DccpInfo { role: Some(role), .. }) => {
            output.text("--role ");
            output.text(role.name().unwrap_or("client"));
            output.text(" ");
        }
        ProtocolInfo::Dccp(_) | ProtocolInfo::Tcp(_) | ProtocolInfo::Unknown => {}
    }
}

/// `-A` asks for a state where the protocol has any. A flow that tells none is in a flow table, and so established, or
/// of a protocol that this kernel has no tracker for.
fn asked_for(protocol: Protocol) -> Option<ProtocolInfo> {
    match protocol {
        Protocol::TCP => Some(TcpInfo::new(TcpState::ESTABLISHED).into()),
        Protocol::SCTP => Some(SctpInfo::new(SctpState::ESTABLISHED, 0, 0).into()),
        Protocol::DCCP => Some(DccpInfo::new(DccpState::OPEN, DccpRole::CLIENT, 0).into()),
        _ => None,
    }
}

/// conntrack(8) prints and reads the bytes of a tag as a number of the host, so that on little-endian machines they are
/// swapped: what it is to send right has to be written its way.
fn verification_tags(info: &SctpInfo, output: &mut Output<'_>) {
    let as_read = |tag: Option<u32>| u32::from_ne_bytes(tag.unwrap_or(0).to_be_bytes());
    option("--orig-vtag ", as_read(info.verification_tag_original), output);
    option("--reply-vtag ", as_read(info.verification_tag_reply), output);
}

#[inline(always)]
fn option(name: &'static str, value: impl Fragment, output: &mut Output<'_>) {
    output.print((name, value, " "));
}
