//! What single options mean, and together.

use nix::sys::signal::Signal;

use super::{
    events::Listener,
    side_by_side::{SideBySide, fill},
};
use crate::{cases, lab::Lab, samples::udp_flow};

cases! {
    options_that_are_repeated_add_up: "conntrack";
    kinds_of_events_that_are_repeated_add_up;
    a_whole_prefix_is_a_host: "conntrack";
    an_address_to_translate_to_is_of_the_family: "conntrack";
    one_udp_flow_is_no_entry_of_other_tables;
    an_icmp_type_without_an_answer_lists_nothing;
    numbers_of_protocols_are_read_as_others_are: "conntrack";
    what_is_refused_is_not_warned_of;
    help_and_version_say_what_there_is;
}

fn numbers_of_protocols_are_read_as_others_are(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for line in ["-L -p 021", "-L -p 0x11", "-L -p 17", "-L -p 089", "-L -p 0400"] {
        let [ours, theirs] = programs.both_on_a_full_table(line);
        assert_eq!(ours, theirs, "ours and theirs: conntrack {line}");
    }
}

fn what_is_refused_is_not_warned_of(lab: &Lab) {
    let said = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        String::from_utf8(lab.output(&lab.example("conntrack"), &words).stderr).unwrap()
    };
    assert!(said("-L -c 5").contains("WARNING: ignoring -c"));
    assert!(!said("-D -c 5").contains("WARNING"));
    assert!(said("-L -o xml,json").contains("cannot combine json output with xml output"));
}

fn help_and_version_say_what_there_is(lab: &Lab) {
    let programs = SideBySide::new(lab);
    assert_eq!(programs.ours("-V --explain").stdout, programs.ours("-V").stdout);
    assert!(programs.ours("-h -p 50").stdout.ends_with(" has no options of its own.\n"));
    let help = programs.ours("-h -p udp").stdout;
    for option in ["-c, --secmark", "-a, --nat-range", "Options of udp:\n      --sport"] {
        assert!(help.contains(option), "{option}: {help}");
    }
}

fn options_that_are_repeated_add_up(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for line in ["-L -o extended -o id", "-L -o xml -o save", "-D -u ASSURED -u SEEN_REPLY"] {
        let [ours, theirs] = programs.both_on_a_full_table(line);
        assert_eq!(ours, theirs, "ours and theirs: conntrack {line}");
    }
}

fn a_whole_prefix_is_a_host(lab: &Lab) {
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

fn an_address_to_translate_to_is_of_the_family(lab: &Lab) {
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

/// The options name one flow, which the kernel could be asked for if it were in that table.
fn one_udp_flow_is_no_entry_of_other_tables(lab: &Lab) {
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

fn an_icmp_type_without_an_answer_lists_nothing(lab: &Lab) {
    fill(lab);
    let line = "-p icmp -s 10.9.0.1 -d 10.9.0.2 --icmp-type 3 --icmp-code 0 --icmp-id 1 -w 0";
    for (command, status) in [("-L", 0), ("-D", 1)] {
        let result = SideBySide::new(lab).ours(&format!("{command} {line}"));
        assert_eq!(result.status, Some(status), "{result:?}");
        assert!(result.message.starts_with("0 flow entries"), "{result:?}");
    }
}

fn kinds_of_events_that_are_repeated_add_up(lab: &Lab) {
    let listener = Listener::start(&lab.example("conntrack"), "-E -e NEW -e DESTROY");
    lab.client().create(&udp_flow(1)).unwrap();
    lab.client().flush().unwrap();
    let (_, lines, _) = listener.end(Signal::SIGINT);
    assert!(lines.len() == 2 && lines[0].contains("[NEW]") && lines[1].contains("[DESTROY]"), "{lines:?}");
}
