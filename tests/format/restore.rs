//! Saved lines, read by the library.

use std::{
    io::{self, BufReader, Read},
    net::IpAddr,
};

use ctnetlink::{
    DccpInfo, EventKind, Family, Filter, Flow, FlowKey, FlowUpdate, GreKeys, Helper, Labels, Layer4, MaskedLabels,
    NatRange, NewFlow, Prefix, Protocol, ProtocolInfo, SctpInfo, SctpState, Status, TcpInfo, TcpState, Tuple,
    filter::Translation,
    format::{LabelMap, Save, SaveCommand, SaveError, SaveLine, read_save},
};
use proptest::prelude::*;

use crate::{
    flows::{LABELS, flow},
    readers::save::carried,
    recordings::{data, dumped_flows},
};

fn parse(line: &str) -> SaveLine {
    SaveLine::parse(line, &LABELS).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn error(line: &str) -> String {
    let error = SaveLine::parse(line, &LabelMap::default()).map(|read| panic!("{line}: {read:?}"));
    error.unwrap_or_else(|error: SaveError| error.to_string())
}

fn create(line: &str) -> NewFlow {
    parse(line).to_new_flow().unwrap()
}

/// The reply tuple after the kernel has set up the translation.
fn translated_reply(flow: &NewFlow) -> Tuple {
    let mut reply = flow.reply;
    let number = |range: &NatRange, number: u16| range.first_port.unwrap_or(number);
    let (snat, dnat) = (flow.snat, flow.dnat);
    reply.destination = snat.and_then(|range| range.first_address).unwrap_or(reply.destination);
    reply.source = dnat.and_then(|range| range.first_address).unwrap_or(reply.source);
    if let Layer4::Ports { source, destination } | Layer4::Gre(GreKeys { source, destination }) = &mut reply.layer4 {
        *destination = snat.map_or(*destination, |range| number(&range, *destination));
        *source = dnat.map_or(*source, |range| number(&range, *source));
    }
    reply
}

/// The values of a new flow that a saved line contains. The translation is in the reply tuple, whether the flow has it
/// there or in NAT ranges.
fn comparable(flow: &NewFlow) -> (Tuple, Tuple, Option<u16>, u32, u32, Status, Option<ProtocolInfo>, Labels, String) {
    let mut reply = translated_reply(flow);
    if let Layer4::Icmp { id, .. } = &mut reply.layer4 {
        // A line contains the query of the original tuple only.
        *id = 0;
    }
    let state = flow.protocol_info.map(|info| match info {
        ProtocolInfo::Tcp(info) => TcpInfo::new(info.state.unwrap()).into(),
        ProtocolInfo::Dccp(info) => DccpInfo::new(info.state.unwrap(), info.role.unwrap(), 0).into(),
        other => other,
    });
    let helper = flow.helper.as_ref().map(|helper| helper.name.to_string()).unwrap_or_default();
    let (mark, labels) = (flow.mark.unwrap_or(0), flow.labels.unwrap_or_default());
    let status = flow.status & (Status::SEEN_REPLY | Status::ASSURED | Status::FIXED_TIMEOUT);
    (flow.original, reply, flow.zone, flow.timeout, mark, status, state, labels, helper)
}

proptest! {
    #[test]
    fn flows_are_restored_as_they_were_saved(flow in flow()) {
        let line = Save::new().labels(&LABELS).helpers(true).flow(&flow).to_string();
        let read = SaveLine::parse(&line, &LABELS);
        if flow.original.inverted().is_none() {
            let error = read.unwrap_err().to_string();
            prop_assert!(error.contains("expected the ICMP type of a query"), "{}", error);
            return Ok(());
        }
        let mut expected = carried(&flow);
        expected.helper = flow.helper;
        if let Layer4::Icmp { .. } = expected.reply.layer4 {
            expected.reply.layer4 = expected.original.inverted().unwrap().layer4;
        }
        let read = read.unwrap().to_new_flow().unwrap();
        prop_assert_eq!(comparable(&read), comparable(&NewFlow::from(&expected)), "{}", line);
        prop_assert!(read.or_update);
    }

    /// The kernel compares the NAT target with the reply tuple. If they agree already, it translates nothing.
    #[test]
    fn translated_ends_are_mirrored_in_the_reply(flow in flow()) {
        let Ok(line) = SaveLine::parse(&Save::new().flow(&flow).to_string(), &LABELS) else { return Ok(()) };
        let read = line.to_new_flow().unwrap();
        let mirror = read.original.inverted().unwrap();
        if read.snat.is_some() {
            prop_assert_eq!(read.reply.destination_endpoint(), mirror.destination_endpoint());
        }
        if read.dnat.is_some() {
            prop_assert_eq!(read.reply.source_endpoint(), mirror.source_endpoint());
        }
    }

    #[test]
    fn deletes_select_their_own_flow_only(flow in flow(), other in flow()) {
        prop_assume!(flow.original.inverted().is_some());
        let line = Save::new().event(EventKind::Destroy).flow(&flow).to_string();
        let SaveCommand::Delete { filter, key, .. } = parse(&line).into_command() else { panic!("{line}") };
        prop_assert!(filter.matches(&flow), "{}", line);
        let is_same = [other.original, other.reply] == [flow.original, flow.reply] && other.zone == flow.zone;
        prop_assert_eq!(filter.matches(&other), is_same, "{}", line);
        if let Some(key) = key {
            prop_assert_eq!(key.tuple, flow.original);
        }
    }

    #[test]
    fn updates_select_their_own_flow(flow in flow()) {
        let line = Save::new().event(EventKind::Update).flow(&flow).to_string();
        if let Ok(SaveCommand::Update { filter, update, .. }) = SaveLine::parse(&line, &LABELS).map(SaveLine::into_command) {
            prop_assert!(filter.matches(&flow), "{}", line);
            prop_assert_eq!(update.timeout, flow.timeout);
        }
    }

    #[test]
    fn any_line_is_handled(words in "(-[AIUDFsdrqptumifngjwcal<>()]|--?[a-z-]{0,16}=?|[0-9a-f.:/!,\"\\\\\\[\\]-]{0,12}|tcp|udp|ESTABLISHED|[ ]){0,24}") {
        let words = words.replace("-", " -").replace(" - -", " --");
        match SaveLine::parse(&words, &LABELS) {
            Ok(line) => { let _ = line.to_new_flow(); }
            Err(error) => prop_assert!(error.column().unwrap() <= words.len() + 1, "{words}: {error}"),
        }
        let _ = read_save(words.as_bytes()).count();
    }
}

#[test]
fn lines_saved_by_conntrack_are_read() {
    let flows = dumped_flows();
    let lines: Vec<_> = read_save(data!("list-save.txt").as_bytes()).collect();
    assert_eq!(lines.len(), flows.len());
    for (flow, line) in flows.iter().zip(lines) {
        match line {
            Ok(line) => {
                let read = line.to_new_flow().unwrap();
                assert_eq!((read.original, read.zone), (flow.original, flow.zone), "{flow}");
                assert_eq!(translated_reply(&read).source, flow.reply.source, "{flow}");
                assert_eq!(read.status, flow.status.unwrap() & read.status, "{flow}");
            }
            // conntrack saves lines that it refuses to load.
            Err(error) => assert!(flow.original.protocol == Protocol::DCCP || error.to_string().contains("EXPECTED")),
        }
    }
}

#[test]
fn options_are_read_in_every_spelling() {
    let expected = create("-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -p udp --sport 1 --dport 2");
    for line in [
        "--add --timeout=30 --src 10.0.0.1 --orig-dst 10.0.0.2 --proto 17 --orig-port-src 1 --orig-port-dst 2",
        "-A conntrack -t30 -s10.0.0.1 -d10.0.0.2 --sport 1 -pUDP --dport 0x2",
        "-A -t 30 -r 10.0.0.2 -q 10.0.0.1 -p udp --reply-port-src 2 --reply-port-dst 1",
        "  -A   con -t \"30\" --src \"10.0.0.1\" -d 10.0.0.2 -p udp --sport 1 --dport 2 \r\n",
        "-A -t 30 -s 10.0.0.9 -s 10.0.0.1 -d 10.0.0.2 -p udp --sport 1 --dport 2 -c 5 -a 10.0.0.3",
    ] {
        assert_eq!(create(line), expected, "{line}");
    }
    let only_create = create("-I -t 30 -s 10.0.0.1 -d 10.0.0.2 -p udp --sport 1 --dport 2");
    assert_eq!((expected.or_update, only_create.or_update), (true, false));
}

#[test]
fn comments_and_blank_lines_are_skipped() {
    let flow = "-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -p udp --sport 1 --dport 2";
    let text = format!("# a comment\n\n  \t# another \"\n{flow}\r\n\n-F\n-F conntrack -f ipv6");
    let mut reader = read_save(text.as_bytes());
    let numbers: Vec<_> = reader.by_ref().map(|line| line.unwrap().number()).collect();
    assert_eq!(numbers, [Some(4), Some(6), Some(7)]);
    assert_eq!(reader.line_number(), 7);
    let last = read_save(text.as_bytes()).last().unwrap().unwrap().into_command();
    assert_eq!(last, SaveCommand::DeleteAll(Some(Family::IPV6)));
}

#[test]
fn translations_are_read_with_ports_and_ranges() {
    let line =
        |options: &str| create(&format!("-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -p udp --sport 1 --dport 2 {options}"));
    let ip = |text: &str| text.parse().unwrap();
    for (option, range) in [
        ("192.0.2.1", NatRange::address(ip("192.0.2.1"))),
        ("192.0.2.1:80", NatRange::address(ip("192.0.2.1")).port(80)),
        ("192.0.2.1-192.0.2.9", NatRange::addresses(ip("192.0.2.1"), ip("192.0.2.9"))),
        ("192.0.2.1-192.0.2.9:1024-2047", NatRange::addresses(ip("192.0.2.1"), ip("192.0.2.9")).ports(1024, 2047)),
    ] {
        assert_eq!(line(&format!("-n {option}")).snat, Some(range), "{option}");
        assert_eq!(line(&format!("--dst-nat={option}")).dnat, Some(range), "{option}");
    }
    let ipv6 =
        create("-A -t 30 -s ::1 -d ::2 -p udp --sport 1 --dport 2 -g [2001:db8::1]:80 -n 2001:db8::2-2001:db8::9");
    assert_eq!(ipv6.dnat, Some(NatRange::address(ip("2001:db8::1")).port(80)));
    assert_eq!(ipv6.snat, Some(NatRange::addresses(ip("2001:db8::2"), ip("2001:db8::9"))));
    // For SCTP, conntrack(8) prints the translated port only in the reply tuple.
    let sctp = create(
        "-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -n 10.0.0.9 -p sctp --sport 1 --dport 2 --reply-port-src 2 --reply-port-dst 77 \
         --state ESTABLISHED --orig-vtag 1 --reply-vtag 2",
    );
    assert_eq!(sctp.snat, Some(NatRange::address(ip("10.0.0.9")).port(77)));
    assert_eq!(sctp.reply.destination_port(), Some(1));
}

#[test]
fn zones_labels_marks_and_helpers_are_read() {
    let flow = create(
        "-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -p tcp --sport 1 --dport 21 --state LISTEN -m 0x10 -u seen,ASS --helper ftp \
         --label-add \"label 3,7\" --label-add 9 --orig-zone 4",
    );
    assert_eq!((flow.mark, flow.helper.as_ref().map(|helper| &*helper.name)), (Some(16), Some("ftp")));
    assert_eq!(flow.labels, Some(Labels(1 << 3 | 1 << 7 | 1 << 9)));
    assert_eq!((flow.zone, flow.original.zone, flow.reply.zone), (None, Some(4), None));
    assert_eq!(flow.status, Status::SEEN_REPLY | Status::ASSURED);
    let Some(ProtocolInfo::Tcp(info)) = flow.protocol_info else { panic!("{flow:?}") };
    assert_eq!((info.state, info.flags_original.is_some()), (Some(TcpState::SYN_SENT2), true));
}

#[test]
fn every_label_is_saved_by_its_number() {
    let mut flow = dumped_flows().remove(0);
    flow.labels = Some(Labels(1 << 127 | 1 << 3));
    let line = Save::new().labels(&LabelMap::numbered()).flow(&flow).to_string();
    assert!(line.ends_with(" --label-add \"3,127\""), "{line}");
    assert_eq!(SaveLine::parse(&line, &LabelMap::default()).unwrap().to_new_flow().unwrap().labels, flow.labels);
}

#[test]
fn names_of_helpers_are_quoted() {
    let mut flow = dumped_flows().remove(0);
    flow.helper = Some(ctnetlink::Helper::new("a \"b\\ c"));
    let line = Save::new().helpers(true).flow(&flow).to_string();
    assert_eq!(create(&line).helper, flow.helper);
    assert!(!Save::new().flow(&flow).to_string().contains("helper"));
}

#[test]
fn update_has_a_filter_and_changes() {
    let line = parse("-U -s 10.0.0.0/8 -p tcp --dport 22 -m 1/3 -t 60 -u ASSURED --label-del 3 -w 5 --state CLOSE");
    let SaveCommand::Update { filter, key, update, .. } = line.command() else { panic!("{line:?}") };
    let prefix: Prefix = "10.0.0.0/8".parse().unwrap();
    let terms = [
        Filter::family(Family::IPV4),
        Filter::source(prefix),
        Filter::zone(5),
        Filter::protocol(Protocol::TCP),
        Filter::destination_port(22),
    ];
    assert_eq!(*filter, Filter::all_of(terms));
    assert_eq!(*key, None);
    let changes = FlowUpdate::new().mark_bits(1, 3).timeout(60).add_status(Status::ASSURED);
    let changes = changes.labels(MaskedLabels::remove(Labels(1 << 3))).protocol_info(TcpInfo::new(TcpState::CLOSE));
    assert_eq!(*update, changes);
    assert!(line.to_new_flow().unwrap_err().to_string().contains("expected `--add` or `--create`, found `--update`"));
}

#[test]
fn delete_by_a_complete_tuple_has_a_key() {
    let line = parse("-D -w 7 -s 10.0.0.1 -d 10.0.0.2 -p udp --sport 1 --dport 2");
    let SaveCommand::Delete { key, .. } = line.command() else { panic!("{line:?}") };
    let tuple = Tuple::udp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    assert_eq!(*key, Some(FlowKey::original(tuple).in_zone(7)));
}

#[test]
fn every_selecting_option_is_a_term_of_the_filter() {
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    for (line, filter) in [
        ("-D", Filter::everything()),
        ("-D -j", Filter::nat(Translation::any())),
        (
            "-D --any-nat 192.0.2.1:80",
            Filter::all_of([Filter::family(Family::IPV4), Filter::nat(Translation::to(ip("192.0.2.1")).port(80))]),
        ),
        ("-D -g", Filter::destination_nat(Translation::any())),
        (
            "-D -s 10.1.2.3 --mask-src 255.255.0.0",
            Filter::all_of([Filter::family(Family::IPV4), Filter::source("10.1.0.0/16".parse::<Prefix>().unwrap())]),
        ),
        (
            "-D -p tcp --state CLOSE -u UNREPLIED,!ASSURED",
            Filter::all_of([
                Filter::protocol(Protocol::TCP),
                Filter::tcp_state(TcpState::CLOSE),
                Filter::status_unset(Status::SEEN_REPLY | Status::ASSURED),
            ]),
        ),
        (
            "-D -i 7 -l 3,4 -t 5 -m 2/6",
            Filter::all_of([
                Filter::all_labels(Labels(1 << 3 | 1 << 4)),
                Filter::id(7),
                Filter::timeout(5),
                Filter::mark_masked(2, 6),
            ]),
        ),
        (
            "-D --filter \"dport 80 or dport 443\" --reply-zone 3",
            Filter::all_of([Filter::destination_port(80) | Filter::destination_port(443), Filter::zone_reply(3)]),
        ),
    ] {
        let parsed = SaveLine::parse(line, &LabelMap::default()).unwrap_or_else(|error| panic!("{line}: {error}"));
        let SaveCommand::Delete { filter: read, .. } = parsed.into_command() else { panic!("{line}") };
        assert_eq!(read, filter, "{line}");
    }
}

#[test]
fn tags_are_read_in_the_byte_order_of_the_host() {
    let original = Tuple::sctp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let mut flow = Flow::new(original, original.inverted().unwrap());
    flow.protocol_info = Some(SctpInfo::new(SctpState::ESTABLISHED, 0x1234_5678, 1).into());
    assert_eq!(create(&Save::new().flow(&flow).to_string()).protocol_info, flow.protocol_info);
}

#[test]
fn errors_point_at_the_option() {
    const UDP: &str = "-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -p udp --sport 1 --dport 2";
    for (line, expected) in [
        (UDP.replace("30", "x"), "column 7: expected a number up to 4294967295, found `x`"),
        ("-A --sport=70000 -p udp".into(), "column 24: expected `--src`, found the end of the line"),
        (format!("{UDP} extra"), "column 61: expected an option, found `extra`"),
        (format!("{UDP} --nosuch 1"), "column 61: expected an option, found `--nosuch`"),
        (format!("{UDP} -i 1"), "column 61: expected an option of `--add`, found `--id`"),
        (format!("{UDP} --icmp-type 8"), "column 61: expected an option of udp, found `--icmp-type`"),
        (
            format!("{UDP} -u SEEN_REPLY,BAD"),
            "column 75: expected a status, such as SEEN_REPLY, ASSURED, FIXED_TIMEOUT or UNSET, found `BAD`",
        ),
        (
            format!("{UDP} -u OFFLOAD"),
            "column 64: expected status bits that a request may set: SEEN_REPLY, ASSURED, FIXED_TIMEOUT, found `OFFLOAD`",
        ),
        (format!("{UDP} -r ::1"), "column 64: expected an IPv4 address, found `::1`"),
        (
            format!("{UDP} -n 10.0.0.1:"),
            "column 64: expected an address to translate to, such as `192.0.2.1`, `192.0.2.1-192.0.2.9:1024-2047` or `[2001:db8::1]:80`, found `10.0.0.1:`",
        ),
        (format!("{UDP} -D"), "column 61: expected one command, found `--delete`"),
        (
            format!("{UDP} --label-add web"),
            "column 73: expected the name of a label, or its number up to 127, found `web`",
        ),
        (format!("{UDP} -m"), "column 63: expected a value of `--mark`, found the end of the line"),
        (
            "-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -p udp --sport 1".into(),
            "column 50: expected `--dport`, found the end of the line",
        ),
        (
            "-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -p tcp --sport 1 --dport 2".into(),
            "column 60: expected `--state`, found the end of the line",
        ),
        (
            "-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -p icmpv6 --icmpv6-type 128 --icmpv6-code 0".into(),
            "column 37: expected icmp with IPv4, or icmpv6 with IPv6, found `icmpv6`",
        ),
        (
            "-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -p icmp --icmp-type 3 --icmp-code 0".into(),
            "column 54: expected the ICMP type of a query: no other type has a reply, found `3`",
        ),
        ("-s 10.0.0.1".into(), "column 12: expected `-A`, `-I`, `-U`, `-D` or `-F`, found the end of the line"),
        ("-D expect".into(), "column 4: expected the table `conntrack`, found `expect`"),
        ("-D --sport 1".into(), "column 4: expected `--protonum` in the line, found `--sport`"),
        (
            "-D -s 10.0.0.1 --mask-src 255.0.255.0".into(),
            "column 27: expected a mask whose set bits come first, found `255.0.255.0`",
        ),
        ("-D \"-s".into(), "column 4: expected a closing quote, found `\\\"-s`"),
        ("# a comment".into(), "column 12: expected `-A`, `-I`, `-U`, `-D` or `-F`, found the end of the line"),
    ] {
        let error = error(&line);
        assert_eq!(error, expected, "{line}");
    }
    // The column of the error in the filter counts from the start of the filter.
    let filter = error("-D --filter \"dport x\"");
    assert!(filter.starts_with("column 13: expected a filter (") && filter.ends_with("), found `dport x`"), "{filter}");
}

#[test]
fn reading_continues_after_a_malformed_line() {
    let flow = "-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -p udp --sport 1 --dport 2";
    let long = format!("-A {}", "x".repeat(70_000));
    let file = [flow.as_bytes(), b"\n-A\n\xff\n", long.as_bytes(), b"\n", flow.as_bytes()].concat();
    for capacity in [1, 100, 1 << 20] {
        let lines: Vec<_> = read_save(BufReader::with_capacity(capacity, &*file)).collect();
        let errors: Vec<_> = lines.iter().filter_map(|line| line.as_ref().err()).map(ToString::to_string).collect();
        assert_eq!(lines.len(), 5);
        assert!(lines[0].is_ok() && lines[4].as_ref().is_ok_and(|line| line.number() == Some(5)));
        assert_eq!(errors[1], "line 3, column 1: expected UTF-8, found `a byte of another encoding`");
        assert_eq!(errors[2], "line 4, column 65537: expected at most 65536 bytes in a line, found `more`");
    }
}

struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("gone"))
    }
}

#[test]
fn nothing_follows_an_io_error() {
    let mut reader = read_save(BufReader::new(Failing));
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!((error.to_string(), error.column()), ("gone".to_owned(), None));
    assert!(reader.next().is_none());
    let error = ctnetlink::Error::from(SaveLine::parse("-A", &LABELS).unwrap_err());
    assert_eq!(error.kind(), ctnetlink::ErrorKind::InvalidInput);
}

/// Otherwise the rest of the name would be a line of its own, such as `-F`.
#[test]
fn helper_name_with_a_line_break_is_not_printed() {
    let original = Tuple::udp(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 2).into());
    let mut flow = Flow::new(original, original.inverted().unwrap());
    flow.helper = Some(Helper::new("ftp\n-F\n"));
    let line = Save::new().helpers(true).flow(&flow).to_string();
    assert!(!line.contains('\n'), "{line:?}");
    assert_eq!(create(&line).helper, None);
}
