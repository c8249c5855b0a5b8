//! The lines of `conntrack -L` and `conntrack -E`.

mod expectation;

use super::{
    LabelMap, Printed, Sender,
    calendar::Date,
    line::Line,
    options::{Options, options},
    piece::{HexadecimalAnd, Part},
    printed::Job,
    vocabulary::{Numbers, state_name},
};
use crate::{Counters, EventKind, Expectation, Family, Flow, Labels, Lifetime, Protocol, Status, Timestamp, Tuple};

/// Prints flows and expectations as conntrack(8) does without `-o`, or with any `-o` but `xml` and `save`.
///
/// The line of an event begins with `    [NEW] `, ` [UPDATE] ` or `[DESTROY] `, and before that with its timestamp, if
/// that is given: seconds and microseconds since 1970.
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
    options: Options<'a>,
    extended: bool,
    id: bool,
    sender: Option<Sender<'a>>,
}

options!(Text);

impl<'a> Text<'a> {
    /// The plain form, that of `conntrack -L`.
    #[must_use]
    pub const fn new() -> Self {
        Self { options: Options::new(), extended: false, id: false, sender: None }
    }

    /// Whether flows begin with the layer 3 family (`-o extended`).
    #[must_use]
    pub const fn extended(self, extended: bool) -> Self {
        Self { extended, ..self }
    }

    /// Whether flows show their identifier (`-o id`).
    #[must_use]
    pub const fn id(self, id: bool) -> Self {
        Self { id, ..self }
    }

    /// Who caused the event that is printed (`-E -o userspace`): shown at the end of the line.
    #[must_use]
    pub const fn sender(self, sender: Sender<'a>) -> Self {
        Self { sender: Some(sender), ..self }
    }

    /// A flow as a line, without the newline.
    pub const fn flow(&self, flow: &'a Flow) -> Printed<'a> {
        Printed::new(Job::FlowText(*self, flow))
    }

    /// An expectation as a line, without the newline.
    pub const fn expectation(&self, expectation: &'a Expectation) -> Printed<'a> {
        Printed::new(Job::ExpectationText(*self, expectation))
    }

    // Every item ends with a space, and the last one is taken back.

    pub(super) fn print_flow(&self, flow: &Flow, line: &mut Line<'_>) {
        self.event_prefix(line);
        if self.extended {
            family(flow.family(), line);
        }
        protocol(flow.original.protocol, line);
        if let Some(timeout) = flow.timeout {
            line.print((timeout, " "));
        }
        if let Some(state) = flow.protocol_info.as_ref().and_then(state_name) {
            line.text(state);
            line.text(" ");
        }
        self.original(flow, line);
        self.reply(flow, line);
        self.meta(flow, line);
        line.drop_last();
        self.suffix(line);
    }

    #[inline(always)]
    fn original(&self, flow: &Flow, line: &mut Line<'_>) {
        tuple(&flow.original, line);
        if let Some(zone) = flow.original.zone {
            item("zone-orig=", zone, line);
        }
        counters(flow.counters_original, line);
        if flow.has_seen_reply() == Some(false) {
            line.text("[UNREPLIED] ");
        }
    }

    #[inline(always)]
    fn reply(&self, flow: &Flow, line: &mut Line<'_>) {
        tuple(&flow.reply, line);
        if let Some(zone) = flow.reply.zone {
            item("zone-reply=", zone, line);
        }
        counters(flow.counters_reply, line);
    }

    #[inline(always)]
    fn meta(&self, flow: &Flow, line: &mut Line<'_>) {
        status(flow.status.unwrap_or_default(), line);
        if let Some(mark) = flow.mark {
            item("mark=", mark, line);
        }
        if let Some(context) = &flow.security_context {
            text_item("secctx=", context, line);
        }
        if let Some(zone) = flow.zone {
            item("zone=", zone, line);
        }
        if let Some(lifetime) = flow.lifetime {
            self.lifetime(lifetime, line);
        }
        if let Some(helper) = &flow.helper {
            text_item("helper=", &helper.name, line);
        }
        if let Some(count) = flow.use_count {
            item("use=", count, line);
        }
        if let Some(id) = flow.id.filter(|_| self.id) {
            item("id=", id, line);
        }
        if let (Some(map), Some(labels)) = (self.options.labels, flow.labels) {
            label_names(map, labels, line);
        }
    }

    fn lifetime(&self, lifetime: Lifetime, line: &mut Line<'_>) {
        if let Some(start) = lifetime.start {
            let stop = lifetime.stop.unwrap_or_else(|| self.options.now());
            // A difference of whole seconds, not the whole seconds of a difference.
            item("delta-time=", stop.seconds().saturating_sub(start.seconds()), line);
        }
        if self.options.kernel_timestamps {
            self.date("[start=", lifetime.start, line);
            self.date("[stop=", lifetime.stop, line);
        }
    }

    fn date(&self, name: &str, time: Option<Timestamp>, line: &mut Line<'_>) {
        if let Some(time) = time {
            line.text(name);
            date(Date::at(time, self.options.utc_offset_seconds), line);
            line.text("] ");
        }
    }

    #[inline]
    fn event_prefix(&self, line: &mut Line<'_>) {
        if let Some(timestamp) = self.options.timestamp {
            line.print(("[", timestamp.seconds(), "."));
            line.padded_decimal(timestamp.subsecond_nanoseconds() / 1000, 6);
            line.text("]\t");
        }
        match self.options.event {
            Some(EventKind::New) => line.text("    [NEW] "),
            Some(EventKind::Update) => line.text(" [UPDATE] "),
            Some(EventKind::Destroy) => line.text("[DESTROY] "),
            None => {}
        }
    }

    #[inline]
    fn suffix(&self, line: &mut Line<'_>) {
        if let Some(sender) = self.sender {
            line.print((" [USERSPACE] portid=", sender.port_id));
            if let Some(program) = sender.program {
                line.text(" progname=");
                line.text(program);
            }
        }
    }
}

// A text that is known where it is printed costs a store or two, one that is chosen before it is printed a call: so
// these print in each arm.

#[inline]
fn family(family: Family, line: &mut Line<'_>) {
    match family {
        Family::IPV4 => line.text("ipv4     2 "),
        _ => line.text("ipv6     10 "),
    }
}

/// Name and number, the name in a column of eight.
#[inline]
fn protocol(protocol: Protocol, line: &mut Line<'_>) {
    match protocol {
        Protocol::TCP => line.text("tcp      6 "),
        Protocol::UDP => line.text("udp      17 "),
        Protocol::ICMP => line.text("icmp     1 "),
        Protocol::ICMPV6 => line.text("icmpv6   58 "),
        Protocol::SCTP => line.text("sctp     132 "),
        Protocol::DCCP => line.text("dccp     33 "),
        Protocol::GRE => line.text("gre      47 "),
        Protocol::UDPLITE => line.text("udplite  136 "),
        Protocol(number) => item("unknown  ", number, line),
    }
}

#[inline]
fn status(status: Status, line: &mut Line<'_>) {
    if status.contains(Status::HW_OFFLOAD) {
        line.text("[HW_OFFLOAD] ");
    } else if status.contains(Status::OFFLOAD) {
        line.text("[OFFLOAD] ");
    } else if status.contains(Status::ASSURED) {
        line.text("[ASSURED] ");
    }
}

#[inline(always)]
fn tuple(tuple: &Tuple, line: &mut Line<'_>) {
    addresses(["src=", " dst="], tuple, line);
    numbers(tuple, line);
}

#[inline(always)]
fn addresses([source, destination]: [&'static str; 2], tuple: &Tuple, line: &mut Line<'_>) {
    line.print((source, tuple.source, destination, tuple.destination, " "));
}

#[inline]
fn numbers(tuple: &Tuple, line: &mut Line<'_>) {
    match Numbers::of(tuple) {
        Numbers::Ports { source, destination } => {
            item("sport=", source, line);
            item("dport=", destination, line);
        }
        Numbers::Keys { source, destination } => {
            line.print(("srckey=0x", HexadecimalAnd(source, b' '), "dstkey=0x", HexadecimalAnd(destination, b' ')));
        }
        Numbers::Query { icmp_type, code, id } => {
            item("type=", icmp_type, line);
            item("code=", code, line);
            item("id=", id, line);
        }
        Numbers::None => {}
    }
}

#[inline]
fn counters(counters: Option<Counters>, line: &mut Line<'_>) {
    if let Some(counters) = counters {
        item("packets=", counters.packets, line);
        item("bytes=", counters.bytes, line);
    }
}

#[inline(always)]
fn item(name: &'static str, value: impl Part, line: &mut Line<'_>) {
    line.print((name, value, " "));
}

fn text_item(name: &str, value: &str, line: &mut Line<'_>) {
    line.text(name);
    line.text(value);
    line.text(" ");
}

/// Labels are the last item and end with commas, so that the byte taken back is one; of labels that all lack a name
/// it is the equals sign, as in conntrack(8).
fn label_names(map: &LabelMap, labels: Labels, line: &mut Line<'_>) {
    line.text("labels=");
    for name in map.names(labels) {
        line.text(name);
        line.text(",");
    }
}

/// As ctime(3): `Mon Nov 23 02:23:41 2026`.
fn date(date: Date, line: &mut Line<'_>) {
    line.text(date.weekday_name());
    line.text(" ");
    line.text(date.month_name());
    line.text(if date.day < 10 { "  " } else { " " });
    line.print(date.day);
    for (separator, number) in [(" ", date.hour), (":", date.minute), (":", date.second)] {
        line.text(separator);
        line.padded_decimal(number, 2);
    }
    line.print((" ", date.year));
}
