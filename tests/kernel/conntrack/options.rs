//! Each command accepts the same options as in conntrack(8).

use super::side_by_side::{Outcome, SideBySide};
use crate::{cases, lab::Lab};

cases! {
    same_options_go_with_same_commands: "conntrack";
    same_command_lines_are_refused: "conntrack";
}

#[rustfmt::skip]
/// Options, each with a valid argument.
const ARGUMENTS: &[(&str, &str)] = &[
    ("src", "1.1.1.1"),
    ("dst", "1.1.1.1"),
    ("reply-src", "1.1.1.1"),
    ("reply-dst", "1.1.1.1"),
    ("protonum", "udp"),
    ("timeout", "9"),
    ("status", "ASSURED"),
    ("zero", ""),
    ("event-mask", "NEW"),
    ("tuple-src", "1.1.1.1"),
    ("tuple-dst", "1.1.1.1"),
    ("mask-src", "1.1.1.1"),
    ("mask-dst", "1.1.1.1"),
    ("nat-range", "1.1.1.1"),
    ("mark", "9"),
    ("id", "9"),
    ("family", "ipv4"),
    ("src-nat", "1.1.1.1"),
    ("dst-nat", "1.1.1.1"),
    ("output", "id"),
    ("secmark", "9"),
    ("buffer-size", "9999"),
    ("any-nat", "1.1.1.1"),
    ("zone", "9"),
    ("orig-zone", "9"),
    ("reply-zone", "9"),
];

/// Options of protocols, each with a valid argument.
const FIELDS: &[(&str, &[(&str, &str)])] = &[
    (
        "tcp",
        &[
            ("sport", "1"),
            ("dport", "1"),
            ("reply-port-src", "1"),
            ("reply-port-dst", "1"),
            ("mask-port-src", "1"),
            ("mask-port-dst", "1"),
            ("tuple-port-src", "1"),
            ("tuple-port-dst", "1"),
            ("state", "NONE"),
        ],
    ),
    ("icmp", &[("icmp-type", "8"), ("icmp-code", "0"), ("icmp-id", "1")]),
    ("icmpv6", &[("icmpv6-type", "128"), ("icmpv6-code", "0"), ("icmpv6-id", "1")]),
    ("sctp", &[("sport", "1"), ("mask-port-src", "1"), ("state", "CLOSED"), ("orig-vtag", "1"), ("reply-vtag", "1")]),
    ("dccp", &[("sport", "1"), ("tuple-port-src", "1"), ("state", "OPEN"), ("role", "client")]),
    ("gre", &[("srckey", "1"), ("dstkey", "1"), ("reply-key-src", "1"), ("mask-key-src", "1"), ("tuple-key-src", "1")]),
    ("50", &[]),
];

/// Pairs of a command and an option that only our program accepts, from the table of differences.
fn taken() -> Vec<(&'static str, &'static str)> {
    let names = super::differences::rows().into_iter().filter_map(|row| row.name.strip_prefix("option `"));
    names.map(|name| name.trim_end_matches('`').split_once(" --").unwrap()).collect()
}

/// Whether a command line is refused because the command does not accept an option.
fn is_illegal(result: &Outcome) -> bool {
    result.message.starts_with("Illegal option")
}

fn same_options_go_with_same_commands(lab: &Lab) {
    let programs = SideBySide::new(lab);
    let commands = [
        "-L",
        "-G",
        "-D",
        "-I",
        "-A",
        "-U",
        "-F",
        "-C",
        "-S",
        "-L expect",
        "-G expect",
        "-D expect",
        "-I expect",
        "-F expect",
        "-C expect",
        "-S expect",
        "-V",
        "-U expect",
        "-A expect",
        "-E",
        "-E expect",
        "-G dying",
        "-F unconfirmed",
    ];
    // A command line with all mandatory options.
    let base = |command: &str| match command {
        "-G" => "-G -p 50 -s 1.1.1.1 -d 1.1.1.1".to_owned(),
        "-U" => "-U -f ipv4 -m 9".to_owned(),
        "-I" | "-A" => format!("{command} -p 50 -s 1.1.1.1 -d 1.1.1.1 -t 9"),
        other => other.to_owned(),
    };
    let taken = taken();
    let compare = |line: &str, command: &str, option: &str| {
        let [ours, theirs] = both(&programs, command, line);
        if taken.contains(&(command, option)) {
            assert!(is_illegal(&theirs) && !is_illegal(&ours), "{line}: {ours:?} {theirs:?}");
        } else {
            // For events, conntrack(8) opens its socket before it checks the rest.
            let is_whole = !command.starts_with("-E");
            let status = |result: &Outcome| (is_illegal(result), is_whole && result.status == Some(2));
            assert_eq!(status(&ours), status(&theirs), "{line}: {ours:?} {theirs:?}");
            if theirs.status == Some(2) && !is_reworded(&theirs.message) {
                assert_eq!(ours.message, theirs.message, "{line}");
            }
        }
    };
    for command in commands {
        compare(&base(command), command, "");
        for (option, argument) in ARGUMENTS {
            compare(
                &format!("{} --{option}{}{argument}", base(command), if argument.is_empty() { "" } else { "=" }),
                command,
                option,
            );
        }
    }
    for command in ["-L", "-G", "-D", "-I", "-U", "-E", "-F", "-I expect", "-D expect", "-L expect"] {
        for (protocol, fields) in FIELDS {
            for (field, argument) in *fields {
                // For expectations, conntrack(8) requires other options than it uses.
                let is_expectation = command.ends_with("expect");
                let line = format!("{} -p {protocol} --{field} {argument}", base(command));
                // Masks and tuples have no meaning without an expectation.
                let means_nothing = field.starts_with("mask-") || field.starts_with("tuple-");
                // The kernel accepts only a state with both tags of SCTP: our program asks for the missing ones.
                let needs_all = command == "-U" && *protocol == "sctp";
                let is_compared = !(means_nothing && matches!(command, "-I" | "-G"));
                if is_compared && !needs_all && !is_expectation {
                    compare(&line, command, field);
                }
            }
        }
    }
}

/// Runs both programs. Listeners run without capabilities, which ends them at once.
fn both(programs: &SideBySide<'_>, command: &str, line: &str) -> [Outcome; 2] {
    let run = || [programs.ours(line), programs.theirs(line)];
    if !command.starts_with("-E") {
        return run();
    }
    let mut results = None;
    programs.lab.without_capabilities(|| results = Some(run()));
    results.unwrap()
}

/// Whether conntrack(8) names other options than it needs.
fn is_reworded(message: &str) -> bool {
    message.contains("--reply-src-") || message.contains("--report-")
}

fn same_command_lines_are_refused(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for line in [
        "-L foo",
        "-L -x",
        "-L --nosuch",
        "-L --sport 80",
        "-L -p tcp --icmp-type 8",
        "-L -D",
        "-L -L",
        "-s",
        "-L -m",
        "-L -p nosuch",
        "-L -p 300",
        "-L -s nosuch",
        "-L -s 10.0.0.1 -d fd00::1",
        "-L -s 10.0.0.1 -f ipv6",
        "-L -s 10.0.0.0/33",
        "-L -s 10.0.0.0/x",
        "-L -s fd00::/129",
        "-L -f inet",
        "-L -f IPV4",
        "-L -u FOO",
        "-L -o foo",
        "-L -o xml,save",
        "-L -n 10.0.0.9:abc",
        "-L -n 10.0.0.9:",
        "-L -n [fd00::1",
        "-L -n foo",
        "-L -j -n",
        "-L --mask-src 255.255.0.0",
        "-L -r 10.0.0.0/24",
        "-L -p tcp --state FOO",
        "-L -p tcp --state established",
        "-L -p dccp --role foo",
        "-L -p tcp --orig-port 80",
        "-L --sr 10.0.0.1",
        "-L --rep 3",
        "-L -z -p tcp",
        "-L --st",
        "-L --src",
        "-L --zero=1",
        "-I -p udp -t 3 -s 1.1.1.1",
        "-I -p udp -t 3 -s 1.1.1.1/8 -d 1.1.1.1 --sport 1 --dport 2",
        "-G -p tcp -s 1.1.1.1 -d 2.2.2.2",
        "-G",
        "-p tcp",
        "-E -e FOO",
        "-E -z",
        "-E expect -e NEW",
        "-E dying",
        "-E expect -p tcp",
        "-V -L",
        "-V extra",
        "-h extra",
        "-h -p nosuch",
        "-R /nonexistent/file",
        "-L -l nosuchlabel",
        "-E -t 3",
        "-E -u ASSURED",
        "-E -i 3",
        "-E --tuple-src 1.1.1.1",
    ] {
        let (ours, theirs) = (programs.ours(line), programs.theirs(line));
        assert_eq!((ours.status, &ours.message), (theirs.status, &theirs.message), "{line}");
        assert!(theirs.status == Some(2) || theirs.status == Some(1), "{line}: {theirs:?}");
    }
}
