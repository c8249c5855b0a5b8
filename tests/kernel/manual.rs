//! The commands of a manual's chapter on connection tracking, run on the flows that it shows.

use ctnetlink::{
    Flow, NewFlow, Status, TcpState, Tuple,
    proc::{self, Reader},
    sysctl,
};

use crate::{cases, lab::Lab, samples::endpoint};

cases! {
    proc_file_contains_every_flow: ProcFile;
    list_prints_every_flow;
    list_selects_by_port;
    list_selects_by_port_in_both_families;
    update_marks_flows_by_port;
    delete_prints_the_deleted_flows;
    list_prints_xml;
}

/// Creates the flows of the chapter: mail, SSH, and DNS over both families.
fn fill(lab: &Lab) {
    lab.sysctl(sysctl::ACCOUNTING, 1);
    let tcp = |source: (&str, u16), destination: (&str, u16)| {
        let tuple = Tuple::tcp(endpoint(source.0, source.1), endpoint(destination.0, destination.1));
        let mut flow = NewFlow::untranslated(tuple, 431_982).unwrap().liberal_tcp(TcpState::ESTABLISHED);
        flow.status = Status::SEEN_REPLY | Status::ASSURED;
        flow
    };
    let name = |source: (&str, u16), server: &str| {
        let tuple = Tuple::udp(endpoint(source.0, source.1), endpoint(server, 53));
        let mut flow = NewFlow::untranslated(tuple, 600).unwrap();
        flow.status = Status::SEEN_REPLY;
        flow
    };
    let mut client = lab.client();
    for flow in [
        tcp(("192.168.2.100", 34846), ("123.59.27.117", 993)),
        tcp(("192.168.2.100", 34849), ("123.59.27.117", 993)),
        tcp(("10.188.40.230", 56764), ("10.188.50.214", 22)),
        name(("fd42:7277:90ec:a57f:24d8:22ae:50e:5249", 56533), "fd42:7277:90ec:a57f::1"),
        name(("10.188.40.230", 40439), "10.225.50.203"),
        name(("172.25.188.35", 44543), "8.8.8.8"),
    ] {
        client.create(&flow).unwrap();
    }
}

/// Runs `conntrack` and returns the lines that it prints, and the count that it reports.
fn conntrack(lab: &Lab, line: &str) -> (Vec<String>, String) {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let output = lab.output(&lab.example("conntrack"), &arguments);
    let messages = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "conntrack {line}: {messages}");
    let lines = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    let count = messages.lines().last().and_then(|line| line.split_once("): ")).map(|(_, count)| count.to_owned());
    (lines, count.unwrap_or_default())
}

/// `cat /proc/net/nf_conntrack`
fn proc_file_contains_every_flow(lab: &Lab) {
    fill(lab);
    let mut reader = Reader::new(proc::open().unwrap().into_inner());
    let mut flows: Vec<Flow> = Vec::new();
    while let Some(line) = reader.next_view().unwrap() {
        flows.push(line.to_flow());
    }
    let tuples = |flows: &[Flow]| {
        let mut tuples: Vec<String> =
            flows.iter().map(|flow| format!("{:?} {:?}", flow.original, flow.reply)).collect();
        tuples.sort();
        tuples
    };
    assert_eq!(flows.len(), 6);
    assert_eq!(tuples(&flows), tuples(&lab.flows()));
    let mail = flows.iter().find(|flow| flow.original.source_port() == Some(34846)).unwrap();
    assert_eq!((mail.tcp_state(), mail.is_assured()), (Some(TcpState::ESTABLISHED), Some(true)));
    assert!(mail.counters_original.is_some());
}

/// `conntrack -L`
fn list_prints_every_flow(lab: &Lab) {
    fill(lab);
    let (lines, count) = conntrack(lab, "-L");
    assert_eq!(count, "6 flow entries have been shown.");
    let mail = lines.iter().find(|line| line.contains("sport=34846")).unwrap();
    let seconds = mail.strip_prefix("tcp      6 4319").unwrap().get(..2).unwrap();
    assert_eq!(
        *mail,
        format!(
            "tcp      6 4319{seconds} ESTABLISHED src=192.168.2.100 dst=123.59.27.117 sport=34846 dport=993 packets=0 \
             bytes=0 src=123.59.27.117 dst=192.168.2.100 sport=993 dport=34846 packets=0 bytes=0 [ASSURED] mark=0 use=1"
        )
    );
}

/// `conntrack -L -p tcp --dport 22`
fn list_selects_by_port(lab: &Lab) {
    fill(lab);
    let (lines, count) = conntrack(lab, "-L -p tcp --dport 22");
    assert_eq!(count, "1 flow entries have been shown.");
    assert!(lines[0].contains("src=10.188.40.230 dst=10.188.50.214 sport=56764 dport=22 "), "{lines:?}");
}

/// `conntrack -L -p udp --dport 53`
fn list_selects_by_port_in_both_families(lab: &Lab) {
    fill(lab);
    let (lines, count) = conntrack(lab, "-L -p udp --dport 53");
    assert_eq!(count, "3 flow entries have been shown.");
    let is_shown = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(is_shown("src=fd42:7277:90ec:a57f:24d8:22ae:50e:5249 dst=fd42:7277:90ec:a57f::1 sport=56533 dport=53"));
    assert!(is_shown("src=10.188.40.230 dst=10.225.50.203 sport=40439 dport=53"));
    assert!(is_shown("src=172.25.188.35 dst=8.8.8.8 sport=44543 dport=53"));
}

/// `conntrack -U -p tcp --dport 993 --mark 10`
fn update_marks_flows_by_port(lab: &Lab) {
    fill(lab);
    let (lines, count) = conntrack(lab, "-U -p tcp --dport 993 --mark 10");
    assert_eq!(count, "2 flow entries have been updated.");
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("[ASSURED] mark=10 ")), "{lines:?}");
    let (lines, _) = conntrack(lab, "-L -p tcp --dport 993");
    assert!(lines.len() == 2 && lines.iter().all(|line| line.ends_with(" [ASSURED] mark=10 use=1")), "{lines:?}");
    let (lines, _) = conntrack(lab, "-L -p udp");
    assert!(lines.iter().all(|line| line.contains(" mark=0 ")), "{lines:?}");
}

/// `conntrack -D …`
fn delete_prints_the_deleted_flows(lab: &Lab) {
    fill(lab);
    assert_eq!(conntrack(lab, "-D -p udp --dport 53 -d 8.8.8.8").1, "1 flow entries have been deleted.");
    assert_eq!(conntrack(lab, "-D -s 192.168.2.100").1, "2 flow entries have been deleted.");
    let mut left: Vec<_> = lab.flows().iter().map(|flow| flow.original.source_port()).collect();
    left.sort();
    assert_eq!(left, [Some(40439), Some(56533), Some(56764)]);
}

/// `conntrack -L -o xml`
fn list_prints_xml(lab: &Lab) {
    fill(lab);
    let (lines, _) = conntrack(lab, "-L -o xml");
    assert_eq!(lines[0], "<?xml version=\"1.0\" encoding=\"utf-8\"?>");
    assert_eq!((&*lines[1], &**lines.last().unwrap()), ("<conntrack>", "</conntrack>"));
    assert_eq!(lines.len(), 9);
    assert!(lines[2..8].iter().all(|line| line.starts_with("<flow><meta direction=\"original\"><layer3 protonum=\"")));
    let mail = lines.iter().find(|line| line.contains("<sport>34846</sport>")).unwrap();
    assert!(
        mail.contains("<src>192.168.2.100</src><dst>123.59.27.117</dst>")
            && mail.contains("<state>ESTABLISHED</state>")
    );
}
