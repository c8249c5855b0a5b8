//! Properties of every line.

use ctnetlink::{
    Counters, Protocol, Status,
    proc::{Line, Reader, Statistics},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::{
    printed::{PROTOCOLS, Printed},
    readers::read_all,
};

const FILES: [&str; 9] = [
    include_str!("../data/proc-nf_conntrack.txt"),
    include_str!("../data/list-default.txt"),
    include_str!("../data/list-all-flags.txt"),
    include_str!("../data/events-default.txt"),
    include_str!("../data/events-all-flags.txt"),
    include_str!("../data/manual-lines.txt"),
    include_str!("../data/proc-nf_conntrack_expect.txt"),
    include_str!("../data/expect.txt"),
    include_str!("../data/proc-stat-nf_conntrack.txt"),
];

#[test]
fn every_truncation_of_a_recorded_line_is_handled() {
    for line in FILES.iter().flat_map(|file| file.lines()) {
        for length in 0..=line.len() {
            read_all(&line.as_bytes()[..length]);
        }
    }
}

#[test]
fn every_truncation_of_a_recorded_file_is_handled() {
    for file in FILES {
        for length in (0..file.len()).step_by(97) {
            let _ = Reader::new(&file.as_bytes()[..length]).count();
            let _ = Statistics::read(&file.as_bytes()[..length]);
        }
    }
}

fn number() -> impl Strategy<Value = u64> {
    // Numbers of every length are likely.
    (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift)
}

prop_compose! {
    fn printed()(
        ipv6: bool,
        addresses: [u128; 4],
        is_plain: bool,
        protocol in select(PROTOCOLS.to_vec()),
        keys: [u16; 3],
        timeout in option::of(number().prop_map(|timeout| timeout as u32)),
        zones in (any::<bool>(), any::<bool>(), any::<u16>()),
        counters in option::of([number(), number(), number(), number()]),
        is_unreplied: bool,
        flag in select(vec!["", "[ASSURED] ", "[OFFLOAD] ", "[HW_OFFLOAD] "]),
        mark in option::of(number().prop_map(|mark| mark as u32)),
        context in option::of("[a-z_:]{1,20}( [(a-z]{1,8}){0,2}"),
        delta_time in option::of(number()),
        use_count in number().prop_map(|count| count as u32),
    ) -> Printed {
        let mut addresses = addresses;
        if is_plain {
            [addresses[2], addresses[3]] = [addresses[1], addresses[0]];
        }
        Printed {
            ipv6, addresses, protocol, keys, timeout, zones, counters, is_unreplied, flag, mark, context, delta_time,
            use_count,
        }
    }
}

proptest! {
    #[test]
    fn kernel_lines_print_as_they_were_and_contain_their_values(printed in printed()) {
        let text = printed.line();
        let line = Line::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        prop_assert_eq!(line.to_string(), &*text);
        prop_assert_eq!(line.unknown().count(), 0);
        prop_assert_eq!(line.protocol(), Protocol(printed.protocol.1));
        for (place, zone, tuple) in [(0, printed.zones.0, line.original()), (2, printed.zones.1, line.reply())] {
            prop_assert_eq!(tuple.layer4, printed.layer4());
            prop_assert_eq!(tuple.zone, zone.then_some(printed.zones.2));
            prop_assert_eq!(tuple.source, printed.address(place).parse::<std::net::IpAddr>().unwrap());
            prop_assert_eq!(tuple.destination, printed.address(place + 1).parse::<std::net::IpAddr>().unwrap());
        }
        prop_assert_eq!(line.timeout(), printed.timeout);
        prop_assert_eq!(line.counters_original(), printed.counters.map(|[packets, bytes, ..]| Counters { packets, bytes }));
        prop_assert_eq!(line.counters_reply(), printed.counters.map(|[.., packets, bytes]| Counters { packets, bytes }));
        prop_assert_eq!(line.status().contains(Status::SEEN_REPLY), !printed.is_unreplied);
        prop_assert_eq!((line.mark(), line.use_count()), (printed.mark, Some(printed.use_count)));
        prop_assert_eq!(line.security_context(), printed.context.as_deref());
        prop_assert_eq!(line.delta_time().map(|time| time.as_secs()), printed.delta_time);
        for length in 0..text.len() {
            read_all(&text.as_bytes()[..length]);
        }
    }

    #[test]
    fn additional_blanks_change_no_value(printed in printed(), blanks in vec("[ \t]{1,3}", 1..40)) {
        // The blanks in a security context belong to its value.
        let text = Printed { context: None, ..printed }.line();
        let mut blanks = blanks.iter().cycle();
        let spread = text.split(' ').filter(|word| !word.is_empty()).fold(String::new(), |mut spread, word| {
            if !spread.is_empty() {
                spread.push_str(blanks.next().unwrap());
            }
            spread + word
        });
        let line = Line::parse(spread.as_bytes()).unwrap_or_else(|error| panic!("{spread}: {error}"));
        prop_assert_eq!(line.to_string(), text, "{}", spread);
    }

    #[test]
    fn any_bytes_are_handled(bytes in vec(any::<u8>(), 0..300)) {
        read_all(&bytes);
    }

    #[test]
    fn any_fields_are_handled(
        head in select(vec!["", "ipv4 2 tcp 6 ", "tcp 6 9 ", "unknown 99 ", "[NEW] icmp 1 ", "9 l3proto = 2 proto=6 "]),
        pieces in vec(("(src|dst|sport|dport|packets|bytes|id|use|zone-orig|delta-time|type|code|labels|[a-z]{0,9})?", "[=\\[\\] ,]?", "([0-9a-fx.:]{0,20}|10.0.0.1)", " {0,2}"), 0..30),
    ) {
        let body: String = pieces.iter().map(|(key, sign, value, space)| format!("{key}{sign}{value}{space}")).collect();
        read_all(format!("{head}{body}").as_bytes());
    }

    #[test]
    fn any_changed_byte_is_handled(file in 0..FILES.len(), line: prop::sample::Index, place: prop::sample::Index, byte: u8) {
        let lines: Vec<_> = FILES[file].lines().collect();
        let mut line = lines[line.index(lines.len())].as_bytes().to_vec();
        let place = place.index(line.len());
        line[place] = byte;
        read_all(&line);
    }
}
