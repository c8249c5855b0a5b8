//! The elements of `conntrack -o xml`.

use super::{
    chunk::{Fragment, HexadecimalAnd},
    common::{Date, PrintOptions, ShownNumbers, print_options, state_name},
    label_map::LabelMap,
    output::Output,
};
use crate::{
    Counters, EventKind, Expectation, ExpectationFlags, Family, Flow, FlowTimes, Labels, Protocol, Status, Timestamp,
    Tuple,
};

/// Prints flows and expectations like conntrack(8) with `-o xml`.
///
/// An entry is one `<flow>` element. A document of them begins with [`FLOWS_BEGIN`](Self::FLOWS_BEGIN) or
/// [`EXPECTATIONS_BEGIN`](Self::EXPECTATIONS_BEGIN) and ends with [`FLOWS_END`](Self::FLOWS_END) or
/// [`EXPECTATIONS_END`](Self::EXPECTATIONS_END), with a newline after each entry.
///
/// The kind of an event is the attribute `type` of the element, its timestamp is a date in `<when>`. The times at which a
/// flow began and ended are in nanoseconds since 1970.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, Tuple, format::Xml};
///
/// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// let flow = Flow::new(original, original.inverted().ok_or("an ICMP type without an answer")?);
/// let document = format!("{}{}\n{}", Xml::FLOWS_BEGIN, Xml::new().flow(&flow), Xml::FLOWS_END);
/// assert!(document.contains("<flow><meta direction=\"original\"><layer3 protonum=\"2\" protoname=\"ipv4\">"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Xml<'a> {
    options: PrintOptions<'a>,
}

print_options!(Xml);

impl<'a> Xml<'a> {
    /// The text before the first flow.
    pub const FLOWS_BEGIN: &'static str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<conntrack>\n";
    /// The text after the last flow.
    pub const FLOWS_END: &'static str = "</conntrack>\n";
    /// The text before the first expectation.
    pub const EXPECTATIONS_BEGIN: &'static str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<expect>\n";
    /// The text after the last expectation.
    pub const EXPECTATIONS_END: &'static str = "</expect>\n";

    /// Creates a printer in the form of `conntrack -L -o xml`.
    #[must_use]
    pub const fn new() -> Self {
        Self { options: PrintOptions::new() }
    }

    fn begin(&self, output: &mut Output<'_>) {
        output.text(match self.options.event {
            Some(EventKind::New) => "<flow type=\"new\">",
            Some(EventKind::Update) => "<flow type=\"update\">",
            Some(EventKind::Destroy) => "<flow type=\"destroy\">",
            None => "<flow>",
        });
    }

    fn when(&self, output: &mut Output<'_>) {
        if let Some(timestamp) = self.options.timestamp {
            when(timestamp, self.options.utc_offset_seconds, output);
        }
    }

    pub(super) fn print_flow(&self, flow: &Flow, output: &mut Output<'_>) {
        self.begin(output);
        output.text("<meta direction=\"original\">");
        direction(&flow.original, flow.counters_original, output);
        output.text("<meta direction=\"reply\">");
        direction(&flow.reply, flow.counters_reply, output);
        if has_meta(flow) {
            output.text("<meta direction=\"independent\">");
            self.meta(flow, output);
            output.text("</meta>");
        }
        self.when(output);
        if let Some(helper) = &flow.helper {
            text("<helper>", &helper.name, "</helper>", output);
        }
        output.text("</flow>");
    }

    #[inline(always)]
    fn meta(&self, flow: &Flow, output: &mut Output<'_>) {
        if let Some(state) = flow.protocol_info.as_ref().and_then(state_name) {
            output.text("<state>");
            output.text(state);
            output.text("</state>");
        }
        if let Some(timeout) = flow.timeout {
            number("<timeout>", timeout, "</timeout>", output);
        }
        if let Some(mark) = flow.mark {
            number("<mark>", mark, "</mark>", output);
        }
        if let (Some(map), Some(labels)) = (self.options.labels, flow.labels) {
            label_names(map, labels, output);
        }
        if let Some(context) = &flow.security_context {
            text("<secctx>", context, "</secctx>", output);
        }
        if let Some(zone) = flow.zone {
            number("<zone>", zone, "</zone>", output);
        }
        if let Some(count) = flow.use_count {
            number("<use>", count, "</use>", output);
        }
        if let Some(id) = flow.id {
            number("<id>", id, "</id>", output);
        }
        if let Some(status) = flow.status {
            flags(status, output);
        }
        if let Some(times) = flow.times {
            self.times(times, output);
        }
    }

    fn times(&self, times: FlowTimes, output: &mut Output<'_>) {
        let Some(start) = times.start else { return };
        if self.options.kernel_timestamps {
            number("<timestamp><start>", start.0, "</start>", output);
            if let Some(stop) = times.stop {
                number("<stop>", stop.0, "</stop>", output);
            }
            output.text("</timestamp>");
        }
        // As in conntrack(8), the times of a flow that has not ended are rounded to seconds before they are subtracted.
        let age = match times.stop {
            Some(stop) => stop.since(start).as_secs(),
            None => self.options.now().seconds().saturating_sub(start.seconds()),
        };
        number("<deltatime>", age, "</deltatime>", output);
    }

    pub(super) fn print_expectation(&self, expectation: &Expectation, output: &mut Output<'_>) {
        self.begin(output);
        output.text(layer3(expectation.family()));
        three(expectation, addresses, output);
        output.text("</layer3>");
        layer4(expectation.tuple.protocol, output);
        three(expectation, numbers, output);
        output.text("</layer4><meta>");
        self.expectation_meta(expectation, output);
        output.text("</meta></flow>");
    }

    fn expectation_meta(&self, expectation: &Expectation, output: &mut Output<'_>) {
        if let Some(helper) = &expectation.helper {
            text("<helper-name>", helper, "</helper-name>", output);
        }
        if let Some(timeout) = expectation.timeout {
            number("<timeout>", timeout, "</timeout>", output);
        }
        if let Some(class) = expectation.class {
            number("<class>", class, "</class>", output);
        }
        if let Some(zone) = expectation.zone {
            number("<zone>", zone, "</zone>", output);
        }
        self.when(output);
        let flags = expectation.flags.unwrap_or_default();
        for (flag, element) in [
            (ExpectationFlags::PERMANENT, "<permanent/>"),
            (ExpectationFlags::INACTIVE, "<inactive/>"),
            (ExpectationFlags::USERSPACE, "<userspace/>"),
        ] {
            if flags.contains(flag) {
                output.text(element);
            }
        }
    }
}

/// Prints the rest of the `<meta>` of one direction.
#[inline(always)]
fn direction(tuple: &Tuple, counters: Option<Counters>, output: &mut Output<'_>) {
    output.text(layer3(tuple.family()));
    addresses(tuple, output);
    output.text("</layer3>");
    layer4(tuple.protocol, output);
    numbers(tuple, output);
    output.text("</layer4>");
    if let Some(zone) = tuple.zone {
        number("<zone>", zone, "</zone>", output);
    }
    if let Some(counters) = counters {
        number("<counters><packets>", counters.packets, "</packets>", output);
        number("<bytes>", counters.bytes, "</bytes></counters>", output);
    }
    output.text("</meta>");
}

/// Returns true if the flow has an attribute that belongs to neither direction.
const fn has_meta(flow: &Flow) -> bool {
    flow.status.is_some()
        || flow.id.is_some()
        || flow.timeout.is_some()
        || flow.protocol_info.is_some()
        || flow.mark.is_some()
        || flow.labels.is_some()
        || flow.security_context.is_some()
        || flow.zone.is_some()
        || flow.use_count.is_some()
        || flow.times.is_some()
}

fn label_names(map: &LabelMap, labels: Labels, output: &mut Output<'_>) {
    output.text("<labels>");
    for name in map.names(labels) {
        text("<label>", name, "</label>", output);
    }
    output.text("</labels>");
}

#[inline]
fn flags(status: Status, output: &mut Output<'_>) {
    if status.contains(Status::ASSURED) {
        output.text("<assured/>");
    }
    if !status.contains(Status::SEEN_REPLY) {
        output.text("<unreplied/>");
    }
    if status.contains(Status::OFFLOAD) {
        output.text("<offload/>");
    }
    if status.contains(Status::HW_OFFLOAD) {
        output.text("<hw-offload/>");
    }
}

/// Prints the three tuples of an expectation, each in its own element.
fn three(expectation: &Expectation, print: impl Fn(&Tuple, &mut Output<'_>), output: &mut Output<'_>) {
    for (begin, tuple, end) in [
        ("<expected>", &expectation.tuple, "</expected>"),
        ("<mask>", &expectation.mask, "</mask>"),
        ("<master>", &expectation.master, "</master>"),
    ] {
        output.text(begin);
        print(tuple, output);
        output.text(end);
    }
}

#[inline(always)]
fn number(begin: &'static str, value: impl Fragment, end: &'static str, output: &mut Output<'_>) {
    output.print((begin, value, end));
}

fn text(begin: &str, value: &str, end: &str, output: &mut Output<'_>) {
    output.text(begin);
    escaped(value, output);
    output.text(end);
}

/// Prints text as the content of an element, with markup as references and characters outside XML 1.0 as U+FFFD.
fn escaped(text: &str, output: &mut Output<'_>) {
    let mut rest = text;
    while let Some((at, found)) = rest.char_indices().find(|(_, char)| reference(*char).is_some()) {
        output.text(rest.get(..at).unwrap_or_default());
        output.text(reference(found).unwrap_or_default());
        rest = rest.get(at + found.len_utf8()..).unwrap_or_default();
    }
    output.text(rest);
}

const fn reference(char: char) -> Option<&'static str> {
    match char {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        // XML readers turn a bare carriage return into a newline.
        '\r' => Some("&#13;"),
        '\t' | '\n' => None,
        '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => Some("\u{fffd}"),
        _ => None,
    }
}

/// The tag that opens the addresses.
const fn layer3(family: Family) -> &'static str {
    match family {
        Family::IPV4 => "<layer3 protonum=\"2\" protoname=\"ipv4\">",
        _ => "<layer3 protonum=\"10\" protoname=\"ipv6\">",
    }
}

/// The tag that opens the ports, keys or query.
#[inline]
fn layer4(protocol: Protocol, output: &mut Output<'_>) {
    output.text(match protocol {
        Protocol::TCP => "<layer4 protonum=\"6\" protoname=\"tcp\">",
        Protocol::UDP => "<layer4 protonum=\"17\" protoname=\"udp\">",
        Protocol::ICMP => "<layer4 protonum=\"1\" protoname=\"icmp\">",
        Protocol::ICMPV6 => "<layer4 protonum=\"58\" protoname=\"icmpv6\">",
        Protocol::SCTP => "<layer4 protonum=\"132\" protoname=\"sctp\">",
        Protocol::DCCP => "<layer4 protonum=\"33\" protoname=\"dccp\">",
        Protocol::GRE => "<layer4 protonum=\"47\" protoname=\"gre\">",
        Protocol::UDPLITE => "<layer4 protonum=\"136\" protoname=\"udplite\">",
        Protocol(other) => return number("<layer4 protonum=\"", other, "\" protoname=\"unknown\">", output),
    });
}

#[inline]
fn addresses(tuple: &Tuple, output: &mut Output<'_>) {
    output.print(("<src>", tuple.source, "</src><dst>", tuple.destination, "</dst>"));
}

#[inline]
fn numbers(tuple: &Tuple, output: &mut Output<'_>) {
    match ShownNumbers::of(tuple) {
        ShownNumbers::Ports { source, destination } => {
            number("<sport>", source, "</sport>", output);
            number("<dport>", destination, "</dport>", output);
        }
        ShownNumbers::Keys { source, destination } => {
            output.print((
                "<srckey>0x",
                HexadecimalAnd(source, b'<'),
                "/srckey><dstkey>0x",
                HexadecimalAnd(destination, b'<'),
                "/dstkey>",
            ));
        }
        ShownNumbers::Query { icmp_type, code, id } => {
            number("<type>", icmp_type, "</type>", output);
            number("<code>", code, "</code>", output);
            number("<id>", id, "</id>", output);
        }
        ShownNumbers::None => {}
    }
}

/// Prints a date as elements. Sunday is day 1 of the week.
fn when(time: Timestamp, utc_offset_seconds: i32, output: &mut Output<'_>) {
    let date = Date::at(time, utc_offset_seconds);
    number("<when><hour>", date.hour, "</hour><min>", output);
    output.padded_decimal(date.minute, 2);
    output.text("</min><sec>");
    output.padded_decimal(date.second, 2);
    number("</sec><wday>", date.weekday + 1, "</wday>", output);
    number("<day>", date.day, "</day>", output);
    number("<month>", date.month, "</month>", output);
    number("<year>", date.year, "</year></when>", output);
}
