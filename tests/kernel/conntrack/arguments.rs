//! The meaning of options, alone and together.

use nix::sys::signal::Signal;

use super::{
    events::Listener,
    side_by_side::{SideBySide, fill},
};
use crate::{cases, lab::Lab, samples::udp_flow};

cases! {
    repeated_options_add_up: "conntrack";
    repeated_event_masks_add_up;
    full_length_prefix_is_a_host: "conntrack";
    nat_address_family_must_match: "conntrack";
    single_flow_of_another_table_is_dumped;
    icmp_type_without_reply_matches_nothing;
    protocol_numbers_accept_octal_and_hex: "conntrack";
    refused_options_cause_no_warning;
    help_lists_every_option;
    options_of_other_protocols_are_explained;
    letters_after_a_command_are_options;
    table_follows_the_last_letter;
    wrong_numbers_exit_with_status_1;
    brackets_need_a_port;
    labelmap_is_read_only_for_labels;
}

fn protocol_numbers_accept_octal_and_hex(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for line in ["-L -p 021", "-L -p 0x11", "-L -p 17", "-L -p 089", "-L -p 0400"] {
        let [ours, theirs] = programs.both_on_a_full_table(line);
        assert_eq!(ours, theirs, "ours and theirs: conntrack {line}");
    }
}

fn refused_options_cause_no_warning(lab: &Lab) {
    let said = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        String::from_utf8(lab.output(&lab.example("conntrack"), &words).stderr).unwrap()
    };
    assert!(said("-L -c 5").contains("WARNING: ignoring -c"));
    assert!(!said("-D -c 5").contains("WARNING"));
    assert!(said("-L -o xml,json").contains("cannot combine json output with xml output"));
}

fn help_lists_every_option(lab: &Lab) {
    let programs = SideBySide::new(lab);
    assert_eq!(programs.ours("-V --explain").stdout, programs.ours("-V").stdout);
    assert!(programs.ours("-h -p 50").stdout.ends_with(" has no options of its own.\n"));
    let help = programs.ours("-h -p udp").stdout;
    for option in ["-c, --secmark", "-a, --nat-range", "Options of udp:\n      --sport"] {
        assert!(help.contains(option), "{option}: {help}");
    }
}

fn options_of_other_protocols_are_explained(lab: &Lab) {
    for (line, explanation) in [
        ("-L --dport 22", "`--dport' belongs to a protocol: name it first, with `-p'\n"),
        ("-L -p tcp --icmp-type 8", "`--icmp-type' belongs to another protocol than `tcp'\n"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let said = String::from_utf8(lab.output(&lab.example("conntrack"), &words).stderr).unwrap();
        assert!(said.contains(explanation), "{line}: {said}");
    }
}

fn repeated_options_add_up(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for line in ["-L -o extended -o id", "-L -o xml -o save", "-D -u ASSURED -u SEEN_REPLY"] {
        let [ours, theirs] = programs.both_on_a_full_table(line);
        assert_eq!(ours, theirs, "ours and theirs: conntrack {line}");
    }
}

fn full_length_prefix_is_a_host(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for line in [
        "-G -p tcp -s 10.9.0.1/32 -d 10.9.0.2/32 --sport 1000 --dport 22",
        "-G -p udp -s fd09::1/128 -d fd09::2/128 --sport 1000 --dport 53",
        "-I -p udp -s 10.8.0.1/32 -d 10.8.0.2/32 --sport 1 --dport 2 -t 3000",
        "-I -p udp -s 10.8.0.1/31 -d 10.8.0.2/32 --sport 1 --dport 2 -t 3000",
        "-I expect -p tcp -t 100 -s 10.9.0.1/32 -d 10.9.0.2/32 --sport 1 --dport 2 --tuple-src 10.9.0.1/32",
        "-L -r 10.9.0.2/32",
    ] {
        let [ours, theirs] = programs.both_on_a_full_table(line);
        assert_eq!(ours, theirs, "ours and theirs: conntrack {line}");
    }
}

fn nat_address_family_must_match(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for line in [
        "-L -n 10.9.0.9 -f ipv6",
        "-L -f ipv6 -g 10.9.0.9",
        "-L -n 10.9.0.9 -s fd09::1",
        "-D -j 10.9.0.9 -s fd09::1",
        "-I -p udp -s 10.8.0.1 -d 10.8.0.2 --sport 1 --dport 2 -t 3000 -n fd08::9",
    ] {
        let [ours, theirs] = programs.both_on_a_full_table(line);
        assert_eq!(ours, theirs, "ours and theirs: conntrack {line}");
        assert_eq!((ours.0.status, &*ours.0.message), (Some(2), "mismatched address family"), "{line}");
    }
}

/// A get would find this flow in the main table only.
fn single_flow_of_another_table_is_dumped(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    let flow = "-p udp -s 10.9.0.1 -d 10.9.0.2 --sport 1000 --dport 53 -w 0";
    assert_eq!(programs.ours(&format!("-L {flow}")).message, "1 flow entries have been shown.");
    for table in ["dying", "unconfirmed"] {
        assert_eq!(programs.ours(&format!("-L {table} {flow}")).message, "0 flow entries have been shown.");
        let explained = programs.ours(&format!("-L {table} {flow} --explain")).stdout.to_lowercase();
        assert!(explained.contains("\ndump: ") && explained.contains(table), "{explained}");
    }
}

fn icmp_type_without_reply_matches_nothing(lab: &Lab) {
    fill(lab);
    let line = "-p icmp -s 10.9.0.1 -d 10.9.0.2 --icmp-type 3 --icmp-code 0 --icmp-id 1 -w 0";
    for (command, status) in [("-L", 0), ("-D", 1)] {
        let result = SideBySide::new(lab).ours(&format!("{command} {line}"));
        assert_eq!(result.status, Some(status), "{result:?}");
        assert!(result.message.starts_with("0 flow entries"), "{result:?}");
    }
}

fn repeated_event_masks_add_up(lab: &Lab) {
    let listener = Listener::start(&lab.example("conntrack"), "-E -e NEW -e DESTROY");
    lab.client().create(&udp_flow(1)).unwrap();
    lab.client().delete_all().unwrap();
    let (_, lines, _) = listener.end(Signal::SIGINT);
    assert!(lines.len() == 2 && lines[0].contains("[NEW]") && lines[1].contains("[DESTROY]"), "{lines:?}");
}

/// 1.4.7 ignores the letters, and empties the table.
fn letters_after_a_command_are_options(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for (glued, spelled_out) in [
        ("-Dptcp", "-D -p tcp"),
        ("-Dw11", "-D -w 11"),
        ("-Ds10.9.0.1", "-D -s 10.9.0.1"),
        ("-Dm5", "-D -m 5"),
        ("-Fptcp", "-F -p tcp"),
        ("-Lptcp", "-L -p tcp"),
        ("-Lp tcp", "-L -p tcp"),
        ("-Lf ipv6", "-L -f ipv6"),
        ("-Um 7", "-U -m 7"),
        ("-Lo extended", "-L -o extended"),
        ("-Lz conntrack", "-L -z"),
        ("-Dexpect", "-D -e xpect"),
    ] {
        let [glued, spelled_out] = [glued, spelled_out].map(|line| {
            lab.client().delete_all().unwrap();
            fill(lab);
            (programs.ours(line).timeless(), programs.table())
        });
        assert_eq!(glued, spelled_out);
    }
    let refused = programs.ours("--delete=ptcp");
    assert_eq!((refused.status, &*refused.message), (Some(2), "unknown option `--delete=ptcp'"));
}

fn table_follows_the_last_letter(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    assert_eq!(programs.ours("-zL dying").message, "0 flow entries have been shown.");
    assert_eq!(programs.ours("-Lz dying").message, "17 flow entries have been shown.");
}

/// As in 1.4.9. 1.4.7 reads them as other numbers.
fn wrong_numbers_exit_with_status_1(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for (option, value) in [("m", "5x"), ("m", "1/y"), ("w", "65536"), ("c", "x"), ("i", "1x"), ("m", "0x1ffffffff")] {
        let refused = programs.ours(&format!("-L -{option} {value}"));
        let message = format!("unexpected value '{value}' with -{option} option");
        assert_eq!((refused.status, refused.message), (Some(1), message));
    }
    let refused = programs.ours("-L --orig-zone x");
    assert_eq!((refused.status, &*refused.message), (Some(1), "unexpected value 'x' with -( option"));
}

fn brackets_need_a_port(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for line in ["-L -g [fd09::2]", "-L -n []", "-L -n []:1"] {
        let [ours, theirs] = programs.both_on_a_full_table(line);
        assert_eq!(ours, theirs, "ours and theirs: conntrack {line}");
        assert_eq!(ours.0.status, Some(2), "{line}");
    }
}

fn labelmap_is_read_only_for_labels(lab: &Lab) {
    fill(lab);
    let run = |line: &str| {
        let output = lab.output(&lab.example("conntrack"), &line.split(' ').collect::<Vec<_>>());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, said) = run("-L --labelmap /nonexistent");
    assert!(status == Some(0) && !said.contains("nonexistent"), "{said}");
    let (status, said) = run("-L -o labels --labelmap /nonexistent");
    assert!(status == Some(0) && said.contains("WARNING: cannot read label names: /nonexistent: "), "{said}");
    let (status, said) = run("-L -l web --labelmap /nonexistent");
    assert!(status == Some(2) && said.contains("unknown label 'web'"), "{said}");
    let (status, said) = run("-L --labelmap /a --labelmap /b");
    assert!(status == Some(2) && said.contains("option `--labelmap' can only be specified once"), "{said}");
}
