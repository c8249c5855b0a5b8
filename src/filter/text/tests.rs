//! The language: precedence, values, and errors that point at their place.

use crate::Filter;

fn refused(text: &str) -> String {
    text.parse::<Filter>().unwrap_err().to_string()
}

#[test]
fn not_binds_tighter_than_and_and_and_than_or() {
    let implicit: Filter = "not assured and dport 1 or sport 2 and sport 3".parse().unwrap();
    let explicit: Filter = "((not assured) and dport 1) or (sport 2 and (sport 3))".parse().unwrap();
    assert_eq!(implicit, explicit);
    let other: Filter = "not (assured and (dport 1 or sport 2) and sport 3)".parse().unwrap();
    assert_ne!(implicit, other);
}

#[test]
fn examples_of_the_documentation_parse() {
    for text in [
        "(dst-nat 192.0.2.7 port 80 or label 3) and bytes >= 1000000",
        "src 10.0.0.0/8 or mark 0x10/0xff",
        "dport = 22",
        "src 10.0.0.0/8,fd00::/8",
        "port 80,443,8000-8099",
        "timeout < 30",
        "age >= 2h",
        "PROTO TCP and State Established",
        "helper \"a name\"",
        "status SEEN_REPLY,!ASSURED",
        "role client",
        "family ipv4,ipv6 and role server",
        "tuple tcp 10.0.0.1:40000 10.0.0.2:22, udp [fd00::1]:53 [fd00::2]:53",
        "tuple icmp 10.0.0.1 10.0.0.2 8/0/77",
        "assured\nand\tunreplied",
    ] {
        let filter: Filter = text.parse().unwrap();
        assert_eq!(filter.to_string().parse::<Filter>().unwrap(), filter, "{text}");
    }
    assert_eq!("proto tcp".parse::<Filter>().unwrap(), "proto 6".parse().unwrap());
    assert_eq!("age >= 2h".parse::<Filter>().unwrap(), Filter::age(7200..));
    // Names of helpers are compared exactly.
    assert_ne!("helper FTP".parse::<Filter>().unwrap(), Filter::helper("ftp"));
}

#[test]
fn error_points_at_its_column() {
    assert_eq!(refused(""), "column 1: expected a term, found end of filter");
    assert_eq!(refused("assurd"), "column 1: unknown keyword `assurd`; did you mean `assured`?");
    assert_eq!(refused("  proto tpc"), "column 9: expected a protocol, found `tpc`");
    assert_eq!(refused("(assured"), "column 9: expected `and`, `or` or `)`, found end of filter");
    assert_eq!(refused("(assured unreplied)"), "column 10: expected `and`, `or` or `)`, found `unreplied`");
    assert_eq!(refused("assured unreplied"), "column 9: expected `and`, `or` or end of filter, found `unreplied`");
    assert_eq!(refused("assured and"), "column 12: expected a term, found end of filter");
    assert_eq!(refused("assured and )"), "column 13: expected a term, found `)`");
    assert_eq!(refused("assured and or unreplied"), "column 13: expected a term, found `or`");
    assert_eq!(refused("src 10.0.0.1,"), "column 14: expected an address or prefix, found end of filter");
    assert_eq!(refused("src 10.0.0.1/40"), "column 5: expected an address or prefix, found `10.0.0.1/40`");
    assert_eq!(refused("dport 9-1"), "column 7: range `9-1` is empty");
    assert_eq!(refused("zone >"), "column 7: expected a number, found end of filter");
    assert_eq!(refused("helper \"ftp"), "column 8: missing closing quote");
    assert_eq!(refused("ключ 1"), "column 1: unknown keyword `ключ`");
    assert_eq!(refused("helper ключ and x"), "column 17: unknown keyword `x`");
}

#[test]
fn error_counts_lines() {
    assert_eq!(refused("assured\n  and assurd"), "line 2, column 7: unknown keyword `assurd`; did you mean `assured`?");
    assert_eq!(refused("assured\n\nand\n"), "line 4, column 1: expected a term, found end of filter");
}

#[test]
fn value_in_the_form_of_another_tool_is_translated() {
    assert_eq!(
        refused("dport != 22"),
        "column 7: expected a number, found `!`; to negate, write `not` before the term"
    );
    assert_eq!(refused("dport 80:90"), "column 7: expected a number, found `80:90`; did you mean `80-90`?");
    assert_eq!(
        refused("src-nat 10.0.0.1:80"),
        "column 9: expected an address or prefix, found `10.0.0.1:80`; did you mean `10.0.0.1 port 80`?"
    );
    assert_eq!(refused("icmp-type echo-request"), "column 11: expected a number, found `echo-request`");
    assert_eq!(refused("dport -5"), "column 7: expected a number, found `-5`");
    assert_eq!(refused("proto"), "column 6: expected a protocol, found end of filter");
    assert_eq!(refused("tcp-state"), "column 10: expected a state, found end of filter");
}

#[test]
fn equals_sign_may_stand_before_any_value() {
    for text in ["src 10.0.0.1", "mark 5", "status ASSURED", "helper ftp", "proto 6", "label 1,2"] {
        let [field, value] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
        let expected: Filter = text.parse().unwrap();
        assert_eq!(format!("{field}={value}").parse::<Filter>().unwrap(), expected);
        assert_eq!(format!("{field} = {value}").parse::<Filter>().unwrap(), expected);
    }
}

#[test]
fn named_value_may_be_written_as_a_number() {
    assert_eq!("proto 0x6-0x8".parse::<Filter>().unwrap(), "proto 6-8".parse().unwrap());
    assert_eq!("tcp-state 0x3".parse::<Filter>().unwrap(), "tcp-state ESTABLISHED".parse().unwrap());
    let named: Filter = "tcp-state SYN_SENT-SYN_SENT2".parse().unwrap();
    assert_eq!(named, "tcp-state 1-9".parse().unwrap());
    assert_eq!(refused("dport 80-70000"), "column 7: expected a number of at most 65535, found `70000`");
    assert_eq!(refused("proto +6"), "column 7: expected a protocol, found `+6`");
    assert_eq!(refused("label +5"), "column 7: expected a label from 0 to 127, found `+5`");
}

#[test]
fn value_that_is_too_large_is_refused() {
    assert_eq!(refused("id 4294967296"), "column 4: expected a number of at most 4294967295, found `4294967296`");
    assert_eq!(refused("proto 256"), "column 7: expected a number of at most 255, found `256`");
    assert_eq!(refused("bytes > 18446744073709551616"), "column 9: expected a number, found `18446744073709551616`");
}

/// The kernel's number of IPv6 is 10. `family 6` would match no flow, and `not family 6` would delete every flow.
#[test]
fn family_by_its_version_is_refused() {
    assert_eq!(refused("not family 6"), "column 12: expected a family, found `6`; did you mean `ipv6`?");
    assert_eq!(refused("family 4,ipv6"), "column 8: expected a family, found `4`; did you mean `ipv4`?");
    assert!("family 10,2".parse::<Filter>().is_ok());
}

/// Such a tuple matches no flow, and its negation would match every flow.
#[test]
fn tuple_without_the_parts_of_its_protocol_is_refused() {
    let any = "to match any, write `proto`, `src` and `dst` instead of `tuple`";
    for (text, column, what) in [
        ("not tuple udp 10.1.0.1 10.1.0.9", 32, "ports of udp"),
        ("tuple udp 10.1.0.1 10.1.0.9 and assured", 29, "ports of udp"),
        ("tuple gre 10.1.0.1 10.1.0.9", 28, "keys of gre"),
        ("tuple icmp 10.1.0.1 10.1.0.9", 29, "type/code/id of icmp"),
    ] {
        assert_eq!(refused(text), format!("column {column}: expected the {what}; {any}"));
    }
    assert_eq!(
        refused("tuple tcp [fe80::1%3]:80 [fe80::2]:80"),
        "column 11: expected an address, with or without a port, found `[fe80::1%3]:80`"
    );
    for text in ["tuple icmp 10.1.0.1 10.1.0.9 8/0/1", "tuple 50 10.1.0.1 10.1.0.9", "tuple udp ::1 ::2 none"] {
        assert!(text.parse::<Filter>().is_ok(), "{text}");
    }
}

#[test]
fn control_characters_are_escaped() {
    assert_eq!(refused("dport \u{1b}[31m"), "column 7: expected a number, found `\\u{1b}[31m`");
}

#[test]
fn port_over_65535_is_refused() {
    assert_eq!(refused("dport 70000"), "column 7: expected a number of at most 65535, found `70000`");
    assert_eq!(refused("dport abc"), "column 7: expected a number, found `abc`");
}

#[test]
fn status_unset_is_refused() {
    assert_eq!(refused("status UNSET"), "column 8: expected a status bit, found `UNSET`");
    assert_eq!(refused("status ASSURED,!ASSURED"), "column 16: `!ASSURED` contradicts an earlier bit");
}

#[test]
fn mark_that_cannot_match_is_refused() {
    assert_eq!(refused("mark 0x110/0xff"), "column 6: `0x110/0xff` has bits outside its mask, so that no mark matches");
}

#[test]
fn hostile_text_cannot_exhaust_the_stack() {
    for text in ["(".repeat(1_000_000), "not ".repeat(1_000_000), "not (".repeat(1_000_000)] {
        assert!(refused(&text).ends_with("nested more than 64 levels deep"));
    }
    let deep = format!("{}assured{}", "(".repeat(64), ")".repeat(64));
    assert!(deep.parse::<Filter>().is_ok());
}
