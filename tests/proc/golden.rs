//! Recorded lines, compared with the netlink messages of the same flows and with values written by hand.

use std::collections::BTreeMap;

use ctnetlink::{
    Counters, EventKind, Expectation, Family, Flow, GreKeys, Layer4, Protocol, SctpState, Status, TcpState, Timestamp,
    Tuple,
    proc::{ExpectationLine, GreTimeouts, LONGEST_LINE, Line, Reader, Statistics},
    wire::{MessageType, Messages, RawMessage},
};

use crate::recordings;

const KERNEL: &str = include_str!("../data/proc-nf_conntrack.txt");
const LISTED: &str = include_str!("../data/list-default.txt");
const LISTED_ALL: &str = include_str!("../data/list-all-flags.txt");
const EVENTS: &str = include_str!("../data/events-default.txt");
const EVENTS_ALL: &str = include_str!("../data/events-all-flags.txt");
const OLD: &str = include_str!("../data/manual-lines.txt");

fn parse(line: &str) -> Line<'_> {
    Line::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The messages of a recording that `decode` returns a value for.
fn recorded<T>(recording: &str, decode: impl Fn(&RawMessage<'_>) -> Option<T>) -> Vec<T> {
    let messages = recordings::recorded(recording).into_iter();
    messages.filter_map(|bytes| decode(&Messages::new(&bytes).next().unwrap().unwrap())).collect()
}

fn recorded_flows(recording: &str) -> Vec<(MessageType, Flow)> {
    recorded(recording, |message| {
        let message_type = message.header().message_type;
        matches!(message_type, MessageType::FLOW_NEW | MessageType::FLOW_DELETE)
            .then(|| (message_type, Flow::decode(message).unwrap()))
    })
}

fn dumped() -> Vec<Flow> {
    recorded_flows("vectors-dump").into_iter().map(|(_, flow)| flow).collect()
}

/// The values of a flow that a line can contain.
fn sayable(flow: &Flow) -> Flow {
    let printed = Status::SEEN_REPLY | Status::ASSURED | Status::OFFLOAD | Status::HW_OFFLOAD;
    let mut said = Flow::new(flow.original, flow.reply);
    said.zone = flow.zone;
    said.status = flow.status.map(|status| status & printed);
    said.mark = flow.mark;
    said.counters_original = flow.counters_original;
    said.counters_reply = flow.counters_reply;
    said
}

/// The same values, read from a line.
fn said(line: &Line<'_>) -> Flow {
    let mut flow = sayable(&line.to_flow());
    // The recording kernel has no tracker for DCCP, so its tuples have no ports and `conntrack` prints zeros.
    if line.protocol() == Protocol::DCCP {
        flow.original.layer4 = Layer4::None;
        flow.reply.layer4 = Layer4::None;
    }
    flow
}

fn tuples(flow: &Flow) -> String {
    format!("{:?}", (flow.original, flow.reply))
}

#[test]
fn kernel_lines_match_netlink_messages() {
    let flows: BTreeMap<_, _> = dumped().into_iter().map(|flow| (tuples(&flow), flow)).collect();
    assert_eq!(KERNEL.lines().count(), flows.len());
    for text in KERNEL.lines() {
        let line = parse(text);
        let flow = &flows[&tuples(&line.to_flow())];
        assert_eq!(said(&line), sayable(flow), "{text}");
        assert_eq!(line.tcp_state(), flow.tcp_state(), "{text}");
        assert_eq!(line.sctp_state(), flow.sctp_state(), "{text}");
        assert_eq!(line.use_count(), flow.use_count.map(|count| count + 1), "one more than netlink: {text}");
        assert!(line.timeout().unwrap().abs_diff(flow.timeout.unwrap()) <= 1, "{text}");
        assert_eq!(line.zone(), flow.zone, "{text}");
        assert_eq!(
            line.printed_zone(),
            if text.contains(" zone=") { Some(flow.zone.unwrap_or(0)) } else { None },
            "{text}"
        );
        assert_eq!(line.unknown().count(), 0, "{text}");
    }
}

#[test]
fn kernel_lines_print_as_they_were() {
    for text in KERNEL.lines() {
        assert_eq!(parse(text).to_string(), text);
    }
    let expectation = include_str!("../data/proc-nf_conntrack_expect.txt").trim_end_matches('\n');
    assert_eq!(ExpectationLine::parse(expectation.as_bytes()).unwrap().to_string(), expectation);
}

#[test]
fn listed_lines_match_netlink_messages() {
    let flows = dumped();
    assert_eq!((LISTED.lines().count(), LISTED_ALL.lines().count()), (flows.len(), flows.len()));
    for (flow, (default, all)) in flows.iter().zip(LISTED.lines().zip(LISTED_ALL.lines())) {
        for (text, id) in [(default, None), (all, flow.id)] {
            let line = parse(text);
            assert_eq!(said(&line), sayable(flow), "{text}");
            assert_eq!((line.id(), line.use_count()), (id, flow.use_count), "{text}");
            assert_eq!(line.helper_name(), flow.helper_name(), "{text}");
            assert_eq!((line.tcp_state(), line.sctp_state()), (flow.tcp_state(), flow.sctp_state()), "{text}");
            assert_eq!(line.start().is_some(), id.is_some(), "{text}");
            assert_eq!(line.unknown().count(), 0, "{text}");
        }
    }
}

#[test]
fn event_lines_match_netlink_messages() {
    let events = recorded_flows("vectors-events");
    assert_eq!((EVENTS.lines().count(), EVENTS_ALL.lines().count()), (events.len(), events.len()));
    for text in EVENTS.lines().chain(EVENTS_ALL.lines()) {
        assert_eq!(parse(text).unknown().count(), 0, "{text}");
    }
    // Some events were received in another order, so each line is looked up by its identifier.
    for text in EVENTS_ALL.lines() {
        let line = parse(text);
        let tag = |message_type| {
            line.event() == Some(EventKind::Destroy) && message_type == MessageType::FLOW_DELETE
                || line.event() != Some(EventKind::Destroy) && message_type == MessageType::FLOW_NEW
        };
        let found = events.iter().any(|(message_type, flow)| {
            let mut flow = sayable(flow);
            // The tool prints a mark of zero for some events only.
            flow.mark = flow.mark.or(line.mark());
            tag(*message_type) && flow == said(&line)
        });
        assert!(found, "{text}");
        assert!(events.iter().any(|(_, flow)| flow.id == line.id()), "{text}");
        assert_eq!(line.event_time().map(Timestamp::seconds).map(|seconds| seconds / 100), Some(17_954_006), "{text}");
    }
}

#[test]
fn lines_of_old_kernels_are_read() {
    let lines: Vec<_> = OLD.lines().map(parse).collect();
    assert_eq!(lines.len(), 18);
    let first = lines[0].to_flow();
    let tuple = Tuple::tcp("192.168.2.100:34846".parse().unwrap(), "123.59.27.117:993".parse().unwrap());
    assert_eq!((first.original, Some(first.reply)), (tuple, tuple.inverted()));
    assert_eq!((first.timeout, first.tcp_state()), (Some(431_982), Some(TcpState::ESTABLISHED)));
    assert_eq!(first.counters_original, Some(Counters::new(169, 14_322)));
    assert_eq!(first.counters_reply, Some(Counters::new(113, 34_787)));
    assert_eq!((first.mark, first.use_count, first.zone), (Some(0), Some(1), None));
    assert_eq!(first.status, Some(Status::SEEN_REPLY | Status::ASSURED));
    assert_eq!(lines[5].original().source.to_string(), "fd42:7277:90ec:a57f:24d8:22ae:50e:5249");
    assert_eq!(lines[5].original().destination.to_string(), "fd42:7277:90ec:a57f::1");
    assert_eq!(lines[11].mark(), Some(10));
    let events: Vec<_> = lines[13..].iter().map(|line| line.event().unwrap()).collect();
    let (new, update) = (EventKind::New, EventKind::Update);
    assert_eq!(events, [new, update, new, update, update]);
    assert_eq!((lines[13].status(), lines[13].mark()), (Status::empty(), None));
    assert_eq!((lines[16].tcp_state(), lines[16].timeout()), (Some(TcpState::SYN_RECV), Some(60)));
}

#[test]
fn offloaded_flow_has_no_timeout() {
    let text = "ipv4     2 tcp      6 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 packets=5 bytes=270 \
                src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 packets=4 bytes=218 [HW_OFFLOAD] mark=0 \
                secctx=system_u:object_r:unlabeled_t:s0 zone=0 delta-time=3 use=3";
    let line = parse(text);
    assert_eq!((line.timeout(), line.tcp_state()), (None, Some(TcpState::ESTABLISHED)));
    assert_eq!(line.status(), Status::SEEN_REPLY | Status::HW_OFFLOAD);
    assert_eq!(line.security_context(), Some("system_u:object_r:unlabeled_t:s0"));
    assert_eq!(line.delta_time().unwrap().as_secs(), 3);
    assert_eq!(line.to_string(), text);
    let udp = "ipv4     2 udp      17 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 \
               dport=1 [OFFLOAD] mark=0 use=3";
    assert_eq!(parse(udp).status(), Status::SEEN_REPLY | Status::OFFLOAD);
    assert_eq!(parse(udp).to_string(), udp);
}

#[test]
fn gre_lines_contain_two_timeout_settings() {
    let text = "ipv4     2 gre      47 17 timeout=30, stream_timeout=180 src=10.0.0.1 dst=10.0.0.2 srckey=0x1234 \
                dstkey=0x5678 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 srckey=0x5678 dstkey=0x1234 mark=0 zone=0 use=2";
    let line = parse(text);
    assert_eq!(line.gre_timeouts(), Some(GreTimeouts { unreplied: 30, replied: 180 }));
    assert_eq!(line.timeout(), Some(17));
    assert_eq!(line.original().layer4, Layer4::Gre(GreKeys { source: 0x1234, destination: 0x5678 }));
    assert_eq!(line.to_string(), text);
}

#[test]
fn icmpv6_is_recognized_by_its_number() {
    // Linux 4.20 to 5.11.
    let text = "ipv6     10 unknown  58 29 src=fd00:0000:0000:0000:0000:0000:0000:0001 \
                dst=fd00:0000:0000:0000:0000:0000:0000:0002 type=128 code=0 id=17185 \
                src=fd00:0000:0000:0000:0000:0000:0000:0002 dst=fd00:0000:0000:0000:0000:0000:0000:0001 type=129 code=0 \
                id=17185 mark=0 zone=0 use=2";
    let line = parse(text);
    assert_eq!(line.protocol(), Protocol::ICMPV6);
    assert_eq!(line.original().layer4, Layer4::Icmp { icmp_type: 128, code: 0, id: 17185 });
    assert_eq!(line.to_string(), text);
}

#[test]
fn identifier_of_a_query_is_not_the_flow_identifier() {
    let query =
        "icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=7 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=8";
    let line = parse(query);
    assert_eq!((line.original().layer4, line.id()), (Layer4::Icmp { icmp_type: 8, code: 0, id: 7 }, None));
    assert_eq!(line.reply().layer4, Layer4::Icmp { icmp_type: 0, code: 0, id: 8 });
    let with_id = format!("{query} use=1 id=4294967295");
    assert_eq!(parse(&with_id).id(), Some(u32::MAX));
}

#[test]
fn name_of_a_process_may_contain_spaces() {
    let text = "[1795400630.827117]\t[DESTROY] ipv4     2 udp      17 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 \
                src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 zone=11 delta-time=9 [start=Mon Nov 23 02:23:41 2026] \
                [stop=Mon Nov 23 02:23:50 2026] id=1720270937 labels=a,b [USERSPACE] portid=3613788843 \
                progname=Web Content id=3";
    let line = parse(text);
    assert_eq!(line.event(), Some(EventKind::Destroy));
    assert_eq!(line.event_time(), Some(Timestamp(1_795_400_630_827_117_000)));
    assert_eq!(line.start(), Some(&b"Mon Nov 23 02:23:41 2026"[..]));
    assert_eq!(line.stop(), Some(&b"Mon Nov 23 02:23:50 2026"[..]));
    assert_eq!((line.id(), line.label_names()), (Some(1_720_270_937), Some(&b"a,b"[..])));
    assert_eq!((line.port_id(), line.program()), (Some(3_613_788_843), Some(&b"Web Content id=3"[..])));
    assert_eq!(line.unknown().count(), 0);
}

#[test]
fn security_context_may_contain_spaces() {
    let text = "ipv4     2 unknown  50 299 src=10.0.0.1 dst=10.0.0.2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 mark=0 \
                secctx=my profile (enforce) zone=0 use=2";
    let line = parse(text);
    assert_eq!(line.security_context(), Some("my profile (enforce)"));
    assert_eq!((line.zone(), line.printed_zone(), line.use_count()), (None, Some(0), Some(2)));
    assert_eq!(line.to_string(), text);
}

/// /etc/protocols calls 41 `ipv6`.
#[test]
fn protocol_named_like_a_family_is_a_protocol() {
    let text = "ipv6     41 29 src=10.0.0.1 dst=10.0.0.2 src=10.0.0.2 dst=10.0.0.1 use=1";
    let line = parse(text);
    assert_eq!((line.family(), line.protocol(), line.timeout()), (Family::IPV4, Protocol(41), Some(29)));
    assert_eq!(line.to_string(), format!("ipv4     2 {text}"));
    assert_eq!(parse(&line.to_string()).to_flow(), line.to_flow());
}

#[test]
fn labels_without_names_are_a_bare_word() {
    let text =
        "udp      17 9 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 labels";
    assert_eq!(parse(text).label_names(), Some(&[][..]));
}

#[test]
fn unknown_fields_are_kept() {
    let text = "tcp      6 9 HALF_OPEN src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 [NEWFLAG] colour=blue \
                src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1  mark=3 x= word longer-than-eight=1 use=1";
    let line = parse(text);
    assert_eq!((line.state(), line.tcp_state()), (Some(&b"HALF_OPEN"[..]), None));
    assert_eq!((line.mark(), line.use_count()), (Some(3), Some(1)));
    let unknown: Vec<_> = line.unknown().map(|piece| piece.to_string()).collect();
    assert_eq!(unknown, ["[NEWFLAG]", "colour=blue", "x=", "word", "longer-than-eight=1"]);
}

#[test]
fn sctp_and_tcp_states_of_the_same_name_differ() {
    let line = KERNEL.lines().find(|line| line.contains("ESTABLISHED") && line.contains("sctp")).unwrap();
    assert_eq!((parse(line).sctp_state(), parse(line).tcp_state()), (Some(SctpState::ESTABLISHED), None));
}

#[test]
fn reply_addresses_with_a_known_prefix_are_read_whole() {
    let line = parse(
        "udp      17 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.22 dst=10.0.0.15 sport=2 dport=1 mark=0 use=1",
    );
    let reply = line.reply();
    assert_eq!((reply.source.to_string(), reply.destination.to_string()), ("10.0.0.22".into(), "10.0.0.15".into()));
}

#[test]
fn mapped_ipv6_addresses_stay_ipv6() {
    let text = "ipv6     10 udp      17 29 src=0000:0000:0000:0000:0000:ffff:0a00:0001 \
                dst=0000:0000:0000:0000:0000:ffff:0a00:0002 sport=40000 dport=53 [UNREPLIED] \
                src=0000:0000:0000:0000:0000:ffff:0a00:0002 dst=0000:0000:0000:0000:0000:ffff:0a00:0001 sport=53 \
                dport=40000 mark=0 zone=0 use=2";
    let line = parse(text);
    assert_eq!(line.original().source.to_string(), "::ffff:10.0.0.1");
    assert_eq!(line.to_flow().family(), Family::IPV6);
    assert_eq!(line.to_string(), text);
}

#[test]
fn errors_name_the_place_and_the_expected_text() {
    let tuples = "src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1";
    for (line, expected) in [
        (String::new(), "column 1: expected the name and number of a protocol, found the end of the line"),
        ("entries  clashres".into(), "column 10: expected a number up to 255, found `clashres`"),
        ("tcp 256 1 ".into(), "column 5: expected a number up to 255, found `256`"),
        (format!("tcp 6 4294967296 {tuples}"), "column 7: expected a number up to 4294967295, found `4294967296`"),
        (format!("tcp 6 {tuples} mark=x"), "column 96: expected a number up to 4294967295, found `x`"),
        (format!("tcp 6 {tuples} mark=1x"), "column 97: expected a space or the end of the line, found `x`"),
        (format!("tcp 6 {tuples} packets=1 use=1"), "column 101: expected `bytes=`, found `use=1`"),
        (format!("tcp 6 {tuples} src=1.1.1.1"), "column 91: expected no third tuple, found `src=1.1.1.1`"),
        (format!("tcp 6 {tuples} [ASSURED"), "column 99: expected `]`, found the end of the line"),
        (format!("[OLD] tcp 6 {tuples}"), "column 1: expected `[NEW]`, `[UPDATE]` or `[DESTROY]`, found `[OLD]`"),
        (
            format!("[1.1234567890] tcp 6 {tuples}"),
            "column 4: expected seconds, a point, a fraction and `]`, found `1234567890]`",
        ),
        (format!("ipv6 10 tcp 6 {tuples}"), "column 19: expected an IPv6 address, found `10.0.0.1`"),
        ("tcp 6 src=10.0.0.1 dst=10.0.0.2 sport=1".into(), "column 40: expected `dport=`, found the end of the line"),
        (
            "tcp 6 src=10.0.0.1 dst=10.0.0.2 use=1".into(),
            "column 38: expected `src=` of the reply tuple, found the end of the line",
        ),
        (
            "tcp 6 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1".into(),
            "column 74: expected the ports, keys or query of the reply, like those of the original, found the end of the line",
        ),
        (
            format!("udp 17 src={}", "é".repeat(40)),
            &format!("column 12: expected an IPv4 address, found `{}…`", r"\xc3\xa9".repeat(20)),
        ),
        (
            "tcp 6 src=10.0.0.1 dst=10.0.0.2 dport=2 sport=1 src=10.0.0.2 dst=10.0.0.1 dport=1 sport=2".into(),
            "column 33: expected addresses, ports, keys, query and counters in the order in which the kernel prints them, \
             found `dport=2`",
        ),
        (
            format!("[99999999999.0] [NEW] tcp 6 {tuples}"),
            "column 2: expected seconds, a point, a fraction and `]`, found `99999999999.0]`",
        ),
        (
            format!("gre 47 {tuples} timeout=30 stream_timeout=180"),
            "column 102: expected `, stream_timeout=`, found ` stream_timeout=180`",
        ),
        ("udp 17 src=10.0.0.1 dst=010.0.0.2".into(), "column 25: expected an IPv4 address, found `010.0.0.2`"),
    ] {
        assert_eq!(Line::parse(line.as_bytes()).unwrap_err().to_string(), expected, "{line}");
    }
}

/// Edited tables, and tables of other tools, are aligned differently.
#[test]
fn any_run_of_blanks_separates_fields() {
    for text in [
        "tcp      6 89  SYN_SENT src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 mark=7",
        "tcp 6  89 SYN_SENT src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 mark=7",
        "ipv4  2  tcp  6  89   SYN_SENT   src=10.0.0.1  dst=10.0.0.2  sport=1  dport=2  src=10.0.0.2  dst=10.0.0.1  \
         sport=2  dport=1  mark=7",
        "tcp\t6\t89\tSYN_SENT\tsrc=10.0.0.1\tdst=10.0.0.2\tsport=1\tdport=2\tsrc=10.0.0.2\tdst=10.0.0.1\tsport=2\t\
         dport=1\tmark=7\t",
    ] {
        let line = parse(text);
        assert_eq!((line.timeout(), line.tcp_state()), (Some(89), Some(TcpState::SYN_SENT)), "{text}");
        let tuple = Tuple::tcp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        assert_eq!((line.original(), Some(line.reply())), (tuple, tuple.inverted()), "{text}");
        assert_eq!((line.mark(), line.unknown().count()), (Some(7), 0), "{text}");
    }
}

/// Names of labels may consist of several words.
#[test]
fn labels_with_blanks_in_their_names_are_read() {
    let line = b"udp 17 29 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 use=1 \
                 labels=web,mail out [USERSPACE] portid=7";
    let line = Line::parse(line).unwrap();
    assert_eq!((line.label_names(), line.port_id()), (Some(&b"web,mail out"[..]), Some(7)));
    assert_eq!(line.unknown().count(), 0);
}

#[test]
fn any_run_of_blanks_separates_fields_of_expectations() {
    let text = include_str!("../data/expect.txt").trim_end();
    let expected = ExpectationLine::parse(text.as_bytes()).unwrap();
    for blanks in ["  ", "\t", " \t "] {
        let spread = text.replace(' ', blanks);
        let line = ExpectationLine::parse(spread.as_bytes()).unwrap_or_else(|error| panic!("{spread}: {error}"));
        assert_eq!((line.to_string(), line.to_expectation()), (expected.to_string(), expected.to_expectation()));
    }
    let line =
        ExpectationLine::parse(b"299  l3proto = 2  proto=6 src=10.0.0.1 dst=10.0.0.2 sport=0 dport=1  ftp").unwrap();
    assert_eq!((line.timeout(), line.helper()), (Some(299), Some("ftp")));
    let line = ExpectationLine::parse(b"9 proto=6 src=10.0.0.1 dst=10.0.0.2 sport=0 dport=1  class=0").unwrap();
    assert_eq!((line.helper(), line.class()), (None, Some(0)));
}

#[test]
fn expectation_without_a_timeout_is_read() {
    let tuple = Tuple::tcp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let expectation = Expectation::new(tuple, tuple, tuple);
    assert_eq!(expectation.timeout, None);
    let text = expectation.to_string();
    let line = ExpectationLine::parse(text.as_bytes()).unwrap();
    assert_eq!((line.timeout(), line.tuple()), (None, tuple), "{text}");
}

#[test]
fn line_end_does_not_count_towards_the_length() {
    let tuples = "udp 17 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1";
    for (length, is_read) in [(LONGEST_LINE, true), (LONGEST_LINE + 1, false)] {
        for end in ["", "\n", "\r\n"] {
            let line = format!("{tuples}{}{end}", " ".repeat(length - tuples.len()));
            assert_eq!(Line::parse(line.as_bytes()).is_ok(), is_read, "{length} {end:?}");
            for capacity in [64, 1 << 16] {
                let source = std::io::BufReader::with_capacity(capacity, line.as_bytes());
                let mut reader = Reader::new(source);
                assert_eq!(matches!(reader.next_view(), Ok(Some(_))), is_read, "{length} {end:?}");
            }
        }
    }
}

#[test]
fn expectations_are_read_in_every_form() {
    let recorded: Vec<Expectation> = recorded("vectors-dump", |message| {
        (message.header().message_type == MessageType::EXPECTATION_NEW).then(|| Expectation::decode(message).unwrap())
    });
    let kernel = include_str!("../data/proc-nf_conntrack_expect.txt").trim_end();
    let listed = include_str!("../data/expect.txt").trim_end();
    let event = include_str!("../data/events-expect.txt").trim_end();
    let lines = [kernel, listed, event].map(|line| ExpectationLine::parse(line.as_bytes()).unwrap());
    for line in &lines {
        assert_eq!((line.tuple(), line.helper()), (recorded[0].tuple, Some("ftp")));
    }
    let [kernel, listed, event] = lines;
    assert_eq!((kernel.to_expectation(), event.event()), (None, Some(EventKind::New)));
    let listed = listed.to_expectation().unwrap();
    assert_eq!((listed.master, listed.mask, listed.class), (recorded[0].master, recorded[0].mask, recorded[0].class));
    for text in [
        "179 l3proto = 2 proto=17 src=10.0.0.2 dst=10.0.0.1 sport=0 dport=4012 INACTIVE sip/audio",
        "299 l3proto = 2 proto=6 src=10.9.0.1 dst=10.9.0.2 sport=0 dport=5001 PERMANENT,INACTIVE ftp",
        "- l3proto = 10 proto=6 src=fd00:0000:0000:0000:0000:0000:0000:0001 \
         dst=fd00:0000:0000:0000:0000:0000:0000:0002 sport=0 dport=1 ",
        "0 l3proto = 2 proto=47 src=10.9.0.1 dst=10.9.0.2 srckey=0x0 dstkey=0x1f USERSPACE",
    ] {
        assert_eq!(ExpectationLine::parse(text.as_bytes()).unwrap().to_string(), text);
    }
}

#[test]
fn statistics_are_read_by_their_header() {
    let now = Statistics::read(include_bytes!("../data/proc-stat-nf_conntrack.txt").as_slice()).unwrap();
    assert_eq!((now.entries, now.rows.len()), (Some(24), 2));
    assert_eq!((now.rows[0].flows.cpu, now.rows[1].flows.cpu), (0, 1));
    let sum = now.sum();
    assert_eq!((sum.flows.invalid, sum.flows.insert, sum.expectations.create), (Some(10), Some(10), Some(5)));
    assert_eq!((sum.flows.searched, sum.flows.clash_resolve, sum.flows.chain_too_long), (None, Some(0), Some(0)));
    // The second column was renamed in Linux 5.10, the eighth in 5.15.
    let before = "entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop \
                  icmp_error  expect_new expect_create expect_delete search_restart\n\
                  00000002  0000000a 00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008 00000009 \
                  0000000a 0000000b  0000000c 0000000d 0000000e ffffffff\n";
    let old = Statistics::read(before.as_bytes()).unwrap().rows[0];
    assert_eq!((old.flows.searched, old.flows.clash_resolve), (Some(10), None));
    assert_eq!((old.flows.delete_list, old.flows.chain_too_long), (Some(6), None));
    assert_eq!((old.flows.error, old.flows.search_restart), (Some(11), Some(u32::MAX)));
    let short = format!("{}0000\n", before.split_inclusive('\n').next().unwrap());
    let error = Statistics::read(short.as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "line 2, column 5: expected a hexadecimal number for each column, found the end of the line");
}
