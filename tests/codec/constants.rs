//! The crate's numbers, compared with the headers of the system if they are installed.

use std::{
    collections::HashMap,
    env, fs,
    io::{Write as _, stderr},
    path::Path,
};

use ctnetlink::{
    DccpRole, DccpState, ExpectationFlags, SctpState, Status, TcpFlags, TcpState,
    wire::{ATTRIBUTES, Flags, MessageType},
};

/// C name and value of constants that the crate names differently.
fn aliases() -> Vec<(&'static str, u64)> {
    let mut aliases = Vec::new();
    macro_rules! values {
        ($type:ident: $( $name:ident = $c:literal, )*) => { $( aliases.push(($c, u64::from($type::$name.0))); )* };
    }
    macro_rules! bits {
        ($type:ident: $( $name:ident = $c:literal, )*) => { $( aliases.push(($c, u64::from($type::$name.bits()))); )* };
    }
    values! { TcpState:
        NONE = "TCP_CONNTRACK_NONE", SYN_SENT = "TCP_CONNTRACK_SYN_SENT", SYN_RECV = "TCP_CONNTRACK_SYN_RECV",
        ESTABLISHED = "TCP_CONNTRACK_ESTABLISHED", FIN_WAIT = "TCP_CONNTRACK_FIN_WAIT",
        CLOSE_WAIT = "TCP_CONNTRACK_CLOSE_WAIT", LAST_ACK = "TCP_CONNTRACK_LAST_ACK",
        TIME_WAIT = "TCP_CONNTRACK_TIME_WAIT", CLOSE = "TCP_CONNTRACK_CLOSE", SYN_SENT2 = "TCP_CONNTRACK_LISTEN",
    }
    values! { SctpState:
        NONE = "SCTP_CONNTRACK_NONE", CLOSED = "SCTP_CONNTRACK_CLOSED", COOKIE_WAIT = "SCTP_CONNTRACK_COOKIE_WAIT",
        COOKIE_ECHOED = "SCTP_CONNTRACK_COOKIE_ECHOED", ESTABLISHED = "SCTP_CONNTRACK_ESTABLISHED",
        SHUTDOWN_SENT = "SCTP_CONNTRACK_SHUTDOWN_SENT", SHUTDOWN_RECD = "SCTP_CONNTRACK_SHUTDOWN_RECD",
        SHUTDOWN_ACK_SENT = "SCTP_CONNTRACK_SHUTDOWN_ACK_SENT", HEARTBEAT_SENT = "SCTP_CONNTRACK_HEARTBEAT_SENT",
        HEARTBEAT_ACKED = "SCTP_CONNTRACK_HEARTBEAT_ACKED", DATA_SENT = "SCTP_CONNTRACK_DATA_SENT",
    }
    values! { DccpState:
        NONE = "CT_DCCP_NONE", REQUEST = "CT_DCCP_REQUEST", RESPOND = "CT_DCCP_RESPOND",
        PARTOPEN = "CT_DCCP_PARTOPEN", OPEN = "CT_DCCP_OPEN", CLOSEREQ = "CT_DCCP_CLOSEREQ",
        CLOSING = "CT_DCCP_CLOSING", TIMEWAIT = "CT_DCCP_TIMEWAIT", IGNORE = "CT_DCCP_IGNORE",
        INVALID = "CT_DCCP_INVALID",
    }
    values! { DccpRole: CLIENT = "CT_DCCP_ROLE_CLIENT", SERVER = "CT_DCCP_ROLE_SERVER", }
    values! { MessageType: NOOP = "NLMSG_NOOP", ERROR = "NLMSG_ERROR", DONE = "NLMSG_DONE", OVERRUN = "NLMSG_OVERRUN", }
    bits! { Status:
        EXPECTED = "IPS_EXPECTED", SEEN_REPLY = "IPS_SEEN_REPLY", ASSURED = "IPS_ASSURED",
        CONFIRMED = "IPS_CONFIRMED", SRC_NAT = "IPS_SRC_NAT", DST_NAT = "IPS_DST_NAT", SEQ_ADJUST = "IPS_SEQ_ADJUST",
        SRC_NAT_DONE = "IPS_SRC_NAT_DONE", DST_NAT_DONE = "IPS_DST_NAT_DONE", DYING = "IPS_DYING",
        FIXED_TIMEOUT = "IPS_FIXED_TIMEOUT", TEMPLATE = "IPS_TEMPLATE", NAT_CLASH = "IPS_UNTRACKED",
        HELPER = "IPS_HELPER", OFFLOAD = "IPS_OFFLOAD", HW_OFFLOAD = "IPS_HW_OFFLOAD",
    }
    bits! { TcpFlags:
        WINDOW_SCALE = "IP_CT_TCP_FLAG_WINDOW_SCALE", SACK_PERM = "IP_CT_TCP_FLAG_SACK_PERM",
        CLOSE_INIT = "IP_CT_TCP_FLAG_CLOSE_INIT", BE_LIBERAL = "IP_CT_TCP_FLAG_BE_LIBERAL",
        DATA_UNACKNOWLEDGED = "IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED", MAXACK_SET = "IP_CT_TCP_FLAG_MAXACK_SET",
        EXP_CHALLENGE_ACK = "IP_CT_EXP_CHALLENGE_ACK", SIMULTANEOUS_OPEN = "IP_CT_TCP_SIMULTANEOUS_OPEN",
    }
    bits! { ExpectationFlags:
        PERMANENT = "NF_CT_EXPECT_PERMANENT", INACTIVE = "NF_CT_EXPECT_INACTIVE",
        USERSPACE = "NF_CT_EXPECT_USERSPACE",
    }
    bits! { Flags:
        REQUEST = "NLM_F_REQUEST", MULTI = "NLM_F_MULTI", ACK = "NLM_F_ACK", ECHO = "NLM_F_ECHO",
        DUMP_INTERRUPTED = "NLM_F_DUMP_INTR", DUMP_FILTERED = "NLM_F_DUMP_FILTERED", REPLACE = "NLM_F_REPLACE",
        EXCLUSIVE = "NLM_F_EXCL", CREATE = "NLM_F_CREATE", CAPPED = "NLM_F_CAPPED",
        ACKNOWLEDGEMENT_ATTRIBUTES = "NLM_F_ACK_TLVS",
    }
    aliases.extend(messages().map(|(name, message)| (name, u64::from(message.0 & 0xff))));
    aliases
}

/// The messages of both subsystems: the headers number each subsystem from 0.
fn messages() -> impl Iterator<Item = (&'static str, MessageType)> {
    [
        ("IPCTNL_MSG_CT_NEW", MessageType::FLOW_NEW),
        ("IPCTNL_MSG_CT_GET", MessageType::FLOW_GET),
        ("IPCTNL_MSG_CT_DELETE", MessageType::FLOW_DELETE),
        ("IPCTNL_MSG_CT_GET_CTRZERO", MessageType::FLOW_GET_ZERO_COUNTERS),
        ("IPCTNL_MSG_CT_GET_STATS_CPU", MessageType::CPU_STATISTICS),
        ("IPCTNL_MSG_CT_GET_STATS", MessageType::TABLE_STATISTICS),
        ("IPCTNL_MSG_EXP_NEW", MessageType::EXPECTATION_NEW),
        ("IPCTNL_MSG_EXP_GET", MessageType::EXPECTATION_GET),
        ("IPCTNL_MSG_EXP_DELETE", MessageType::EXPECTATION_DELETE),
        ("IPCTNL_MSG_EXP_GET_STATS_CPU", MessageType::EXPECTATION_STATISTICS),
    ]
    .into_iter()
}

const HEADERS: [&str; 6] = [
    "linux/netlink.h",
    "linux/netfilter/nfnetlink.h",
    "linux/netfilter/nfnetlink_conntrack.h",
    "linux/netfilter/nf_conntrack_common.h",
    "linux/netfilter/nf_conntrack_sctp.h",
    "linux/netfilter/nf_conntrack_tcp.h",
];

/// Names that some releases of the headers lack. The DCCP names are in no userspace header. The others, such as one SCTP
/// state, were added or removed by some Linux release.
const MAY_BE_ABSENT: [&str; 6] = [
    "CT_DCCP_",
    "SCTP_CONNTRACK_DATA_SENT",
    "IPS_HW_OFFLOAD",
    "CTA_TIMESTAMP_EVENT",
    "CTA_STATS_CHAIN_TOOLONG",
    "NLMSGERR_",
];

/// A header of the system. If it is not installed, there is nothing to compare with, which fails with
/// `CTNETLINK_KERNEL=required` in the environment.
fn header(name: &str) -> Option<String> {
    let header = fs::read_to_string(Path::new("/usr/include").join(name));
    if let Err(error) = &header {
        let is_required = env::var_os("CTNETLINK_KERNEL").is_some_and(|value| value == "required");
        assert!(!is_required, "{name}: {error}: install the kernel's headers (linux-libc-dev)");
        // `println!` would not do: the test harness captures its output.
        let skipped = format!("skipped: {name}: {error}: the kernel's headers are not installed\n");
        stderr().write_all(skipped.as_bytes()).unwrap();
    }
    header.ok()
}

fn headers() -> Option<String> {
    HEADERS.into_iter().map(header).collect()
}

#[test]
fn numbers_equal_those_of_the_headers() {
    let Some(headers) = headers() else { return };
    let known = definitions(&headers);
    let attributes = ATTRIBUTES.iter().map(|(name, number)| (*name, u64::from(*number)));
    let mut compared = 0;
    for (name, number) in attributes.chain(aliases()) {
        match known.get(name) {
            Some(defined) => assert_eq!(*defined, number, "{name}"),
            None => assert!(MAY_BE_ABSENT.iter().any(|prefix| name.starts_with(prefix)), "{name} is in no header"),
        }
        compared += usize::from(known.contains_key(name));
    }
    assert!(compared > 180, "{compared}");
}

#[test]
fn messages_belong_to_their_subsystem() {
    let Some(headers) = headers() else { return };
    let known = definitions(&headers);
    for (name, message) in messages() {
        let is_expectation = name.starts_with("IPCTNL_MSG_EXP_");
        let subsystem = if is_expectation { "NFNL_SUBSYS_CTNETLINK_EXP" } else { "NFNL_SUBSYS_CTNETLINK" };
        assert_eq!(known[subsystem], u64::from(message.0 >> 8), "{name}");
    }
}

/// Returns the constants of the headers that the crate lacks.
#[test]
fn no_attribute_of_the_headers_is_left_out() {
    let Some(header) = header("linux/netfilter/nfnetlink_conntrack.h") else { return };
    for (name, number) in definitions(&header) {
        let is_sentinel = name.ends_with("_UNSPEC") || name.starts_with("__") || name.ends_with("_MAX");
        // `CTA_SEQ_ADJ_*` replaced it: no current kernel reads or writes it.
        let is_gone = name.starts_with("CTA_NAT_SEQ_");
        if name.starts_with("CTA_") && !is_sentinel && !is_gone {
            assert!(ATTRIBUTES.iter().any(|(known, _)| *known == name), "{name} = {number}");
        }
    }
}

/// The constants that a header defines by `#define` and `enum`, as far as their values are plain expressions.
fn definitions(header: &str) -> HashMap<String, u64> {
    let mut known = HashMap::new();
    let header = without_comments(header);
    for line in header.lines() {
        let mut words = line.split_whitespace();
        if words.next() == Some("#define") {
            if let Some(name) = words.next() {
                let value = value(&words.collect::<Vec<_>>().join(" "), &known);
                known.extend(value.map(|value| (name.to_owned(), value)));
            }
        }
    }
    let code: String = header.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join(" ");
    for declaration in code.split("enum").skip(1) {
        let body = declaration.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(body, _)| body);
        count(body, &mut known);
    }
    known
}

/// The constants of an enum: each is its predecessor plus 1, unless it has a value.
fn count(body: &str, known: &mut HashMap<String, u64>) {
    let mut next = 0;
    for constant in split_at_top_level(body) {
        let (name, expression) = constant.split_once('=').unwrap_or((constant, ""));
        if !expression.is_empty() {
            let Some(value) = value(expression, known) else { return };
            next = value;
        }
        known.insert(name.trim().to_owned(), next);
        next += 1;
    }
}

fn split_at_top_level(body: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    body.split(move |c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|constant| !constant.is_empty())
}

/// Numbers, names, `a << b`, `a | b` and brackets around them.
fn value(expression: &str, known: &HashMap<String, u64>) -> Option<u64> {
    let expression = expression.trim();
    if let Some((a, b)) = expression.trim_matches(['(', ')']).split_once("<<") {
        return Some(value(a, known)? << value(b, known)?);
    }
    if let Some((a, b)) = expression.split_once('|') {
        return Some(value(a, known)? | value(b, known)?);
    }
    let word = expression.trim_matches(['(', ')', ' ']).trim_end_matches(['U', 'L']);
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok().or_else(|| known.get(word).copied()),
    }
}

fn without_comments(header: &str) -> String {
    let mut rest = header;
    let mut code = String::new();
    while let Some((before, after)) = rest.split_once("/*") {
        code.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    code + rest
}
