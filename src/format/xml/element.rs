//! The elements that flows and expectations have in common.

use crate::{
    Family, Protocol, Timestamp, Tuple,
    format::{
        calendar::Date,
        line::Line,
        piece::{HexadecimalAnd, Part},
        vocabulary::Numbers,
    },
};

#[inline(always)]
pub(super) fn number(begin: &'static str, value: impl Part, end: &'static str, line: &mut Line<'_>) {
    line.print((begin, value, end));
}

pub(super) fn text(begin: &str, value: &str, end: &str, line: &mut Line<'_>) {
    line.text(begin);
    escaped(value, line);
    line.text(end);
}

/// Text as the content of an element: markup as references, and what XML 1.0 has no place for as U+FFFD.
fn escaped(text: &str, line: &mut Line<'_>) {
    let mut rest = text;
    while let Some((at, found)) = rest.char_indices().find(|(_, char)| reference(*char).is_some()) {
        line.text(rest.get(..at).unwrap_or_default());
        line.text(reference(found).unwrap_or_default());
        rest = rest.get(at + found.len_utf8()..).unwrap_or_default();
    }
    line.text(rest);
}

const fn reference(char: char) -> Option<&'static str> {
    match char {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        // A reader takes a bare carriage return for a newline.
        '\r' => Some("&#13;"),
        '\t' | '\n' => None,
        '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => Some("\u{fffd}"),
        _ => None,
    }
}

/// The tag that opens the addresses.
pub(super) const fn layer3(family: Family) -> &'static str {
    match family {
        Family::IPV4 => "<layer3 protonum=\"2\" protoname=\"ipv4\">",
        _ => "<layer3 protonum=\"10\" protoname=\"ipv6\">",
    }
}

/// The tag that opens what the protocol adds.
#[inline]
pub(super) fn layer4(protocol: Protocol, line: &mut Line<'_>) {
    line.text(match protocol {
        Protocol::TCP => "<layer4 protonum=\"6\" protoname=\"tcp\">",
        Protocol::UDP => "<layer4 protonum=\"17\" protoname=\"udp\">",
        Protocol::ICMP => "<layer4 protonum=\"1\" protoname=\"icmp\">",
        Protocol::ICMPV6 => "<layer4 protonum=\"58\" protoname=\"icmpv6\">",
        Protocol::SCTP => "<layer4 protonum=\"132\" protoname=\"sctp\">",
        Protocol::DCCP => "<layer4 protonum=\"33\" protoname=\"dccp\">",
        Protocol::GRE => "<layer4 protonum=\"47\" protoname=\"gre\">",
        Protocol::UDPLITE => "<layer4 protonum=\"136\" protoname=\"udplite\">",
        Protocol(other) => return number("<layer4 protonum=\"", other, "\" protoname=\"unknown\">", line),
    });
}

#[inline]
pub(super) fn addresses(tuple: &Tuple, line: &mut Line<'_>) {
    line.print(("<src>", tuple.source, "</src><dst>", tuple.destination, "</dst>"));
}

#[inline]
pub(super) fn numbers(tuple: &Tuple, line: &mut Line<'_>) {
    match Numbers::of(tuple) {
        Numbers::Ports { source, destination } => {
            number("<sport>", source, "</sport>", line);
            number("<dport>", destination, "</dport>", line);
        }
        Numbers::Keys { source, destination } => {
            line.print((
                "<srckey>0x",
                HexadecimalAnd(source, b'<'),
                "/srckey><dstkey>0x",
                HexadecimalAnd(destination, b'<'),
                "/dstkey>",
            ));
        }
        Numbers::Query { icmp_type, code, id } => {
            number("<type>", icmp_type, "</type>", line);
            number("<code>", code, "</code>", line);
            number("<id>", id, "</id>", line);
        }
        Numbers::None => {}
    }
}

/// A date, in elements of its own. Sunday is the first day of the week.
pub(super) fn when(time: Timestamp, utc_offset_seconds: i32, line: &mut Line<'_>) {
    let date = Date::at(time, utc_offset_seconds);
    number("<when><hour>", date.hour, "</hour><min>", line);
    line.padded_decimal(date.minute, 2);
    line.text("</min><sec>");
    line.padded_decimal(date.second, 2);
    number("</sec><wday>", date.weekday + 1, "</wday>", line);
    number("<day>", date.day, "</day>", line);
    number("<month>", date.month, "</month>", line);
    number("<year>", date.year, "</year></when>", line);
}
