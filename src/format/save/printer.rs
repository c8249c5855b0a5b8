//! The lines of `conntrack -o save`.

use core::net::IpAddr;

use crate::{
    DccpInfo, DccpRole, DccpState, Endpoint, EventKind, Flow, Layer4, Protocol, ProtocolInfo, SctpInfo, SctpState,
    Status, TcpInfo, TcpState,
    format::{
        chunk::Fragment,
        common::{ShownNumbers, state_name},
        label_map::LabelMap,
        output::Output,
    },
};

/// Prints flows as options for `conntrack -R` and [`read_save`](super::read_save), as conntrack(8) does with `-o save`.
///
/// A new or listed flow is a line of `-A`, a changed flow a line of `-U`, an ended flow a line of `-D`. A `-D` names the
/// flow and nothing that changes during its life, because `conntrack -R` looks for a flow that matches the whole line. A
/// change of a flow with a zone, a mark or labels is a line of `-A`: `-U` finds flows in the default zone only, and gives
/// every flow the mark of the file's last line.
///
/// When conntrack 1.4.7 reads a `-U`, the tracker of the TCP connection becomes liberal. When it reads the `-D` of a GRE
/// flow, it ignores the keys and deletes every GRE flow between the two addresses.
///
/// A line cannot contain the identifier of a translated ICMP query, counters, times, window scales and other parameters
/// of TCP, the master, or the fact that the flow was expected (the kernel refuses it in a request). It contains labels
/// and the helper [on](Self::labels) [request](Self::helpers). Two states of SCTP on which conntrack 1.4.7 crashes,
/// `HEARTBEAT_SENT` and `HEARTBEAT_ACKED`, are printed as `NONE`.
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
    helpers: bool,
}

/// The command that a line begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SavedAs {
    Add,
    Update,
    Delete,
}

impl<'a> Save<'a> {
    /// The timeout printed for a flow without one, such as a flow in a flow table. `-A` requires a timeout; a packet
    /// within this many seconds renews it.
    pub const TIMEOUT: u32 = 30;

    /// Creates a printer in the form of `conntrack -L -o save`.
    #[must_use]
    pub const fn new() -> Self {
        Self { event: None, labels: None, helpers: false }
    }

    /// Prints an event of this kind (`-E`).
    #[must_use]
    pub const fn event(self, event: EventKind) -> Self {
        Self { event: Some(event), ..self }
    }

    /// Prints labels (`--label-add`), by the names in `labels`. Labels without a name are skipped.
    ///
    /// Labels are left out by default, because `conntrack -R` of 1.4.7 crashes at the second line that has some. For
    /// [`read_save`](super::read_save), [`LabelMap::numbered`] prints all of them.
    #[must_use]
    pub const fn labels(self, labels: &'a LabelMap) -> Self {
        Self { labels: Some(labels), ..self }
    }

    /// Sets whether the helper of a flow is printed (`--helper ftp`).
    ///
    /// It is left out by default, because conntrack(8) does not know the option. [`read_save`](super::read_save) does.
    /// A name with a line break is always left out.
    #[must_use]
    pub const fn helpers(self, helpers: bool) -> Self {
        Self { helpers, ..self }
    }

    // Every option ends with a space. The last one is taken back.

    pub(in crate::format) fn print_flow(&self, flow: &Flow, output: &mut Output<'_>) {
        let command = self.command(flow);
        match command {
            SavedAs::Add => output.text("-A "),
            SavedAs::Update => output.text("-U "),
            SavedAs::Delete => output.text("-D "),
        }
        if command != SavedAs::Delete {
            changing(flow, command, output);
        }
        zones(flow, command, output);
        addresses(flow, command, output);
        protocol(flow.original.protocol, output);
        // `-A` requires ports. A flow without ports is not found by any.
        if command == SavedAs::Add || flow.original.layer4 != Layer4::None {
            numbers(flow, output);
        }
        if command != SavedAs::Delete {
            protocol_info(flow, command, output);
            self.helper_name(flow, command, output);
            self.label_names(flow, output);
        }
        output.drop_last();
    }

    fn command(&self, flow: &Flow) -> SavedAs {
        match self.event {
            None | Some(EventKind::New) => SavedAs::Add,
            Some(EventKind::Update) if self.is_past_update(flow) => SavedAs::Add,
            Some(EventKind::Update) => SavedAs::Update,
            Some(EventKind::Destroy) => SavedAs::Delete,
        }
    }

    /// Whether `-U` would change another flow, or other flows too.
    fn is_past_update(&self, flow: &Flow) -> bool {
        let has_zone = flow.zone.or(flow.original.zone).or(flow.reply.zone).is_some();
        has_zone || mark(flow).is_some() || (self.labels.is_some() && flow.labels.is_some())
    }

    /// Only a new flow can be given a helper. No quoting keeps a line break within a line.
    fn helper_name(&self, flow: &Flow, command: SavedAs, output: &mut Output<'_>) {
        let helper = flow.helper.as_ref().filter(|helper| self.helpers && !helper.name.contains('\n'));
        if let (SavedAs::Add, Some(helper)) = (command, helper) {
            output.text("--helper \"");
            escaped(&helper.name, output);
            output.text("\" ");
        }
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

/// Text inside double quotes.
fn escaped(text: &str, output: &mut Output<'_>) {
    for part in text.split_inclusive(['"', '\\']) {
        match part.strip_suffix(['"', '\\']) {
            Some(before) => {
                output.text(before);
                output.text("\\");
                output.text(part.get(before.len()..).unwrap_or_default());
            }
            None => output.text(part),
        }
    }
}

/// The values that change during the life of a flow.
fn changing(flow: &Flow, command: SavedAs, output: &mut Output<'_>) {
    match (flow.timeout, command) {
        (Some(timeout), _) => option("-t ", timeout, output),
        (None, SavedAs::Add) => option("-t ", Save::TIMEOUT, output),
        (None, _) => {}
    }
    output.text("-u ");
    status(flow.status.unwrap_or_default(), output);
    if let Some(mark) = mark(flow) {
        option("-m ", mark, output);
    }
}

/// A new flow has the mark 0 anyway.
fn mark(flow: &Flow) -> Option<u32> {
    flow.mark.filter(|mark| *mark != 0)
}

/// The bits that a request may set, separated by commas.
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

fn zones(flow: &Flow, command: SavedAs, output: &mut Output<'_>) {
    match (flow.zone, flow.original.zone.or(flow.reply.zone)) {
        (Some(zone), _) => option("-w ", zone, output),
        // A delete without a zone would delete the flows of every zone.
        (None, None) if command == SavedAs::Delete => output.text("-w 0 "),
        (None, _) => {}
    }
    if let Some(zone) = flow.original.zone {
        option("--orig-zone ", zone, output);
    }
    if let Some(zone) = flow.reply.zone {
        option("--reply-zone ", zone, output);
    }
}

/// The addresses. `-A` names the target of a translation, so that the kernel sets the translation up; `-U` and `-D` look
/// for a flow by its tuples.
fn addresses(flow: &Flow, command: SavedAs, output: &mut Output<'_>) {
    let adds = command == SavedAs::Add;
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

/// The target of a translation. conntrack(8) accepts a port for TCP and UDP only; for other protocols the reply tuple's
/// number follows.
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
            let names = ["--sport ", "--dport ", "--reply-port-src ", "--reply-port-dst "];
            four_options(names, [source, destination, reply_source, reply_destination], output);
        }
        (
            ShownNumbers::Keys { source, destination },
            ShownNumbers::Keys { source: reply_source, destination: reply_destination },
        ) => {
            let names = ["--srckey ", "--dstkey ", "--reply-key-src ", "--reply-key-dst "];
            four_options(names, [source, destination, reply_source, reply_destination], output);
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

/// The state, with the verification tags of SCTP and the role of DCCP.
fn protocol_info(flow: &Flow, command: SavedAs, output: &mut Output<'_>) {
    let required = required(flow.original.protocol).filter(|_| command == SavedAs::Add);
    let Some(info) = flow.protocol_info.or(required) else { return };
    if let Some(state) = state_name(&info).or(required.as_ref().and_then(state_name)) {
        output.text("--state ");
        // conntrack 1.4.7 crashes when it reads these two.
        output.text(if matches!(state, "HEARTBEAT_SENT" | "HEARTBEAT_ACKED") { "NONE" } else { state });
        output.text(" ");
    }
    match info {
        ProtocolInfo::Sctp(info) => verification_tags(&info, output),
        ProtocolInfo::Dccp(DccpInfo { role, .. }) => {
            output.text("--role ");
            output.text(role.and_then(DccpRole::name).unwrap_or("client"));
            output.text(" ");
        }
        ProtocolInfo::Tcp(_) | ProtocolInfo::Unknown => {}
    }
}

/// `-A` requires a state for these protocols. A flow without one is in a flow table, and so established, or of a protocol
/// that this kernel has no tracker for.
fn required(protocol: Protocol) -> Option<ProtocolInfo> {
    match protocol {
        Protocol::TCP => Some(TcpInfo::new(TcpState::ESTABLISHED).into()),
        Protocol::SCTP => Some(SctpInfo::new(SctpState::ESTABLISHED, 0, 0).into()),
        Protocol::DCCP => Some(DccpInfo::new(DccpState::OPEN, DccpRole::CLIENT, 0).into()),
        _ => None,
    }
}

/// conntrack(8) prints and reads the bytes of a tag as a number of the host, which swaps them on little-endian machines.
fn verification_tags(info: &SctpInfo, output: &mut Output<'_>) {
    let as_read = |tag: Option<u32>| u32::from_ne_bytes(tag.unwrap_or(0).to_be_bytes());
    option("--orig-vtag ", as_read(info.verification_tag_original), output);
    option("--reply-vtag ", as_read(info.verification_tag_reply), output);
}

#[inline(always)]
fn option(name: &'static str, value: impl Fragment, output: &mut Output<'_>) {
    output.print((name, value, " "));
}

#[inline(always)]
fn four_options([a, b, c, d]: [&'static str; 4], [one, two, three, four]: [u16; 4], output: &mut Output<'_>) {
    option(a, one, output);
    option(b, two, output);
    option(c, three, output);
    option(d, four, output);
}
