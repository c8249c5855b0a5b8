//! The lines of `conntrack -L` and `conntrack -E`.

use core::fmt;

use super::{
    chunk::{Fragment, HexadecimalAnd},
    common::{Date, PrintOptions, Sender, ShownNumbers, print_options, state_name},
    label_map::LabelMap,
    output::{Output, TextSink},
};
use crate::{
    Counters, EventKind, Expectation, ExpectationFlags, Family, Flow, FlowRef, FlowTimes, Labels, Protocol, Status,
    Timestamp, Tuple,
};

/// Prints flows and expectations like conntrack(8) without `-o`, or with any `-o` except `xml` and `save`.
///
/// The line of an event begins with its timestamp, if there is one (seconds and microseconds since 1970), and with
/// `    [NEW] `, ` [UPDATE] ` or `[DESTROY] `.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, Status, Tuple, format::Text};
///
/// const TEXT: Text<'_> = Text::new().extended(true).id(true);
///
/// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// let mut flow = Flow::new(original, original.inverted().ok_or("an ICMP type without an answer")?);
/// flow.timeout = Some(30);
/// flow.status = Some(Status::CONFIRMED);
/// flow.id = Some(7);
/// assert_eq!(
///     TEXT.flow(&flow).to_string(),
///     "ipv4     2 udp      17 30 src=10.0.0.1 dst=10.0.0.2 sport=40000 dport=53 [UNREPLIED] \
///      src=10.0.0.2 dst=10.0.0.1 sport=53 dport=40000 id=7",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Text<'a> {
    options: PrintOptions<'a>,
    extended: bool,
    id: bool,
    sender: Option<Sender<'a>>,
}

print_options!(Text);

impl<'a> Text<'a> {
    /// Creates a printer in the form of `conntrack -L`.
    #[must_use]
    pub const fn new() -> Self {
        Self { options: PrintOptions::new(), extended: false, id: false, sender: None }
    }

    /// Sets whether flows begin with the layer 3 family (`-o extended`).
    #[must_use]
    pub const fn extended(self, extended: bool) -> Self {
        Self { extended, ..self }
    }

    /// Sets whether flows show their identifier (`-o id`).
    #[must_use]
    pub const fn id(self, id: bool) -> Self {
        Self { id, ..self }
    }

    /// Prints who caused the event at the end of the line (`-E -o userspace`).
    #[must_use]
    pub const fn sender(self, sender: Sender<'a>) -> Self {
        Self { sender: Some(sender), ..self }
    }

    // Every item ends with a space. The last one is removed.

    pub(super) fn print_flow(&self, flow: &Flow, output: &mut Output<'_>) {
        self.event_prefix(output);
        if self.extended {
            family(flow.family(), output);
        }
        protocol(flow.original.protocol, output);
        if let Some(timeout) = flow.timeout {
            output.print((timeout, " "));
        }
        if let Some(state) = flow.protocol_info.as_ref().and_then(state_name) {
            output.text(state);
            output.text(" ");
        }
        self.original(flow, output);
        self.reply(flow, output);
        self.meta(flow, output);
        output.drop_last();
        self.suffix(output);
    }

    pub(super) fn print_expectation(&self, expectation: &Expectation, output: &mut Output<'_>) {
        self.event_prefix(output);
        if let Some(timeout) = expectation.timeout {
            output.print((timeout, " "));
        }
        item("proto=", expectation.tuple.protocol.0, output);
        for (names, tuple) in [
            (["src=", " dst="], &expectation.tuple),
            (["mask-src=", " mask-dst="], &expectation.mask),
            (["master-src=", " master-dst="], &expectation.master),
        ] {
            addresses(names, tuple, output);
            numbers(tuple, output);
        }
        if let Some(zone) = expectation.zone {
            item("zone=", zone, output);
        }
        flags(expectation.flags.unwrap_or_default(), output);
        if let Some(class) = expectation.class {
            item("class=", class, output);
        }
        if let Some(helper) = &expectation.helper {
            text_item("helper=", helper, output);
        }
        output.drop_last();
        self.suffix(output);
    }

    #[inline(always)]
    fn original(&self, flow: &Flow, output: &mut Output<'_>) {
        tuple(&flow.original, output);
        if let Some(zone) = flow.original.zone {
            item("zone-orig=", zone, output);
        }
        counters(flow.counters_original, output);
        if flow.has_seen_reply() == Some(false) {
            output.text("[UNREPLIED] ");
        }
    }

    #[inline(always)]
    fn reply(&self, flow: &Flow, output: &mut Output<'_>) {
        tuple(&flow.reply, output);
        if let Some(zone) = flow.reply.zone {
            item("zone-reply=", zone, output);
        }
        counters(flow.counters_reply, output);
    }

    #[inline(always)]
    fn meta(&self, flow: &Flow, output: &mut Output<'_>) {
        status(flow.status.unwrap_or_default(), output);
        if let Some(mark) = flow.mark {
            item("mark=", mark, output);
        }
        if let Some(context) = &flow.security_context {
            text_item("secctx=", context, output);
        }
        if let Some(zone) = flow.zone {
            item("zone=", zone, output);
        }
        if let Some(times) = flow.times {
            self.times(times, output);
        }
        if let Some(helper) = &flow.helper {
            text_item("helper=", &helper.name, output);
        }
        if let Some(count) = flow.use_count {
            item("use=", count, output);
        }
        if let Some(id) = flow.id.filter(|_| self.id) {
            item("id=", id, output);
        }
        if let (Some(map), Some(labels)) = (self.options.labels, flow.labels) {
            label_names(map, labels, output);
        }
    }

    fn times(&self, times: FlowTimes, output: &mut Output<'_>) {
        if let Some(start) = times.start {
            let stop = times.stop.unwrap_or_else(|| self.options.now());
            // Both times are rounded to seconds before they are subtracted, as in conntrack(8).
            item("delta-time=", stop.seconds().saturating_sub(start.seconds()), output);
        }
        if self.options.kernel_timestamps {
            self.date("[start=", times.start, output);
            self.date("[stop=", times.stop, output);
        }
    }

    fn date(&self, name: &str, time: Option<Timestamp>, output: &mut Output<'_>) {
        if let Some(time) = time {
            output.text(name);
            date(Date::at(time, self.options.utc_offset_seconds), output);
            output.text("] ");
        }
    }

    #[inline]
    fn event_prefix(&self, output: &mut Output<'_>) {
        if let Some(timestamp) = self.options.timestamp {
            output.print(("[", timestamp.seconds(), "."));
            output.padded_decimal(timestamp.subsecond_nanoseconds() / 1000, 6);
            output.text("]\t");
        }
        match self.options.event {
            Some(EventKind::New) => output.text("    [NEW] "),
            Some(EventKind::Update) => output.text(" [UPDATE] "),
            Some(EventKind::Destroy) => output.text("[DESTROY] "),
            None => {}
        }
    }

    #[inline]
    fn suffix(&self, output: &mut Output<'_>) {
        if let Some(sender) = self.sender {
            output.print((" [USERSPACE] portid=", sender.port_id));
            if let Some(program) = sender.program {
                output.text(" progname=");
                output.text(program);
            }
        }
    }
}

// Each arm prints its text itself: a constant text is one or two stores, but a text chosen before it is printed is a
// call.

#[inline]
fn family(family: Family, output: &mut Output<'_>) {
    match family {
        Family::IPV4 => output.text("ipv4     2 "),
        _ => output.text("ipv6     10 "),
    }
}

/// Prints name and number, the name in a column of eight.
#[inline]
fn protocol(protocol: Protocol, output: &mut Output<'_>) {
    match protocol {
        Protocol::TCP => output.text("tcp      6 "),
        Protocol::UDP => output.text("udp      17 "),
        Protocol::ICMP => output.text("icmp     1 "),
        Protocol::ICMPV6 => output.text("icmpv6   58 "),
        Protocol::SCTP => output.text("sctp     132 "),
        Protocol::DCCP => output.text("dccp     33 "),
        Protocol::GRE => output.text("gre      47 "),
        Protocol::UDPLITE => output.text("udplite  136 "),
        Protocol(number) => item("unknown  ", number, output),
    }
}

#[inline]
fn status(status: Status, output: &mut Output<'_>) {
    if status.contains(Status::HW_OFFLOAD) {
        output.text("[HW_OFFLOAD] ");
    } else if status.contains(Status::OFFLOAD) {
        output.text("[OFFLOAD] ");
    } else if status.contains(Status::ASSURED) {
        output.text("[ASSURED] ");
    }
}

#[inline(always)]
fn tuple(tuple: &Tuple, output: &mut Output<'_>) {
    addresses(["src=", " dst="], tuple, output);
    numbers(tuple, output);
}

#[inline(always)]
fn addresses([source, destination]: [&'static str; 2], tuple: &Tuple, output: &mut Output<'_>) {
    output.print((source, tuple.source, destination, tuple.destination, " "));
}

#[inline]
fn numbers(tuple: &Tuple, output: &mut Output<'_>) {
    match ShownNumbers::of(tuple) {
        ShownNumbers::Ports { source, destination } => {
            item("sport=", source, output);
            item("dport=", destination, output);
        }
        ShownNumbers::Keys { source, destination } => {
            output.print(("srckey=0x", HexadecimalAnd(source, b' '), "dstkey=0x", HexadecimalAnd(destination, b' ')));
        }
        ShownNumbers::Query { icmp_type, code, id } => {
            item("type=", icmp_type, output);
            item("code=", code, output);
            item("id=", id, output);
        }
        ShownNumbers::None => {}
    }
}

#[inline]
fn counters(counters: Option<Counters>, output: &mut Output<'_>) {
    if let Some(counters) = counters {
        item("packets=", counters.packets, output);
        item("bytes=", counters.bytes, output);
    }
}

#[inline(always)]
fn item(name: &'static str, value: impl Fragment, output: &mut Output<'_>) {
    output.print((name, value, " "));
}

fn text_item(name: &str, value: &str, output: &mut Output<'_>) {
    output.text(name);
    output.text(value);
    output.text(" ");
}

/// Prints names joined by commas, and a space if there are any.
fn flags(flags: ExpectationFlags, output: &mut Output<'_>) {
    let mut separator = "";
    for (name, _) in flags.iter_names() {
        output.text(separator);
        output.text(name);
        separator = ",";
    }
    if !separator.is_empty() {
        output.text(" ");
    }
}

/// Prints labels, the last item. Each name ends with a comma, and the caller removes the last one. If no label has a name,
/// the caller removes the equals sign instead, as conntrack(8) does.
fn label_names(map: &LabelMap, labels: Labels, output: &mut Output<'_>) {
    output.text("labels=");
    for name in map.names(labels) {
        output.text(name);
        output.text(",");
    }
}

/// Prints a date like ctime(3): `Mon Nov 23 02:23:41 2026`.
fn date(date: Date, output: &mut Output<'_>) {
    output.text(date.weekday_name());
    output.text(" ");
    output.text(date.month_name());
    output.text(if date.day < 10 { "  " } else { " " });
    output.print(date.day);
    for (separator, number) in [(" ", date.hour), (":", date.minute), (":", date.second)] {
        output.text(separator);
        output.padded_decimal(number, 2);
    }
    output.print((" ", date.year));
}

impl fmt::Display for Flow {
    /// Prints the line of `conntrack -L`, like [`Text::new`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Output::gather(&mut TextSink(f), |output| Text::new().print_flow(self, output))
    }
}

impl fmt::Display for FlowRef<'_> {
    /// Prints like [`Flow`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_flow().fmt(f)
    }
}

impl fmt::Display for Expectation {
    /// Prints the line of `conntrack -L expect`, like [`Text::new`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Output::gather(&mut TextSink(f), |output| Text::new().print_expectation(self, output))
    }
}
