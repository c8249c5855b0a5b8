//! Saving a table and restoring it.

use std::collections::{BTreeMap, BTreeSet};

use ctnetlink::{
    Client, Flow, Helper, Layer4, NatRange, NewFlow, Protocol, ProtocolInfo, SctpInfo, SctpState, Status, TcpState,
    Tuple,
    format::{LabelMap, Save, read_save},
};

use crate::{cases, lab::Lab, mixed_table::mixed_table, samples::tcp_flow};

cases! {
    restored_table_equals_the_saved_table: "nft";
    translations_are_restored;
    helpers_are_restored;
}

/// Returns every flow once. The hash table belongs to all namespaces, and a resize makes a dump miss or repeat flows.
fn flows(client: &mut Client) -> Vec<Flow> {
    for _ in 0..20 {
        let flows: Vec<Flow> = client.dump().unwrap().map(Result::unwrap).collect();
        let keys: BTreeSet<_> = flows.iter().map(|flow| format!("{:?} {:?}", flow.original, flow.zone)).collect();
        if [flows.len(), keys.len()] == [client.statistics().unwrap().entries.unwrap() as usize; 2] {
            return flows;
        }
    }
    panic!("no dump has as many flows as the table");
}

/// The saved values of each flow, by its tuples and zone.
fn table(client: &mut Client) -> BTreeMap<String, String> {
    let flows = flows(client).into_iter();
    flows.map(|flow| (format!("{:?} {:?} {:?}", flow.original, flow.reply, flow.zone), carried(&flow))).collect()
}

fn carried(flow: &Flow) -> String {
    let kept = Status::SEEN_REPLY
        | Status::ASSURED
        | Status::FIXED_TIMEOUT
        | Status::SRC_NAT
        | Status::DST_NAT
        | Status::SRC_NAT_DONE
        | Status::DST_NAT_DONE;
    let tags = match flow.protocol_info {
        Some(ProtocolInfo::Sctp(info)) => [info.verification_tag_original, info.verification_tag_reply],
        _ => [None; 2],
    };
    let state = flow.protocol_info.and_then(|info| info.state().map(ToString::to_string));
    let helper = flow.helper.as_ref().map(|helper| helper.name.to_string());
    format!("{:?} {:?} {:?} {tags:?} {state:?} {helper:?}", flow.status.unwrap() & kept, flow.mark, flow.labels)
}

/// Saves the table, empties it, and restores it from the lines.
fn restore(client: &mut Client) {
    let labels = LabelMap::numbered();
    let save = Save::new().labels(&labels).helpers(true);
    let mut file = Vec::new();
    for flow in flows(client) {
        save.flow(&flow).append_to(&mut file);
        file.push(b'\n');
    }
    client.delete_all().unwrap();
    let mut batch = client.batch();
    for line in read_save(&*file) {
        batch.push(&line.unwrap().to_new_flow().unwrap()).unwrap();
    }
    let report = batch.finish().unwrap();
    assert!(report.failures().is_empty(), "{:?}", report.failures());
}

fn restored_table_equals_the_saved_table(lab: &Lab) {
    lab.allow_labels();
    let mut client = lab.client();
    mixed_table(&mut client, 10_000);
    let before = table(&mut client);
    assert!(before.len() > 7500);
    restore(&mut client);
    let after = table(&mut client);
    assert_eq!(after.len(), before.len());
    for (tuples, flow) in &before {
        assert_eq!(after.get(tuples), Some(flow), "{tuples}");
    }
}

/// Translations of a port alone, of both ends, and of protocols for which conntrack(8) saves no port.
fn translations_are_restored(lab: &Lab) {
    let ends = |to: &str| -> (Tuple, [NatRange; 2]) {
        let is_ipv4 = to.contains('.');
        let [from, at] = if is_ipv4 { ["10.0.0.1:1000", "10.0.0.2:80"] } else { ["[fd00::1]:1000", "[fd00::2]:80"] };
        let range = NatRange::address(to.parse().unwrap());
        (Tuple::udp(from.parse().unwrap(), at.parse().unwrap()), [range.port(2000), range.port(3000)])
    };
    let mut client = lab.client();
    let mut port = 0;
    for to in ["10.0.0.1", "192.0.2.1", "fd00::9"] {
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::UDPLITE] {
            for place in 0..3 {
                let (mut tuple, [source, destination]) = ends(to);
                tuple.protocol = protocol;
                port += 1;
                tuple.layer4 = Layer4::Ports { source: port, destination: 80 };
                let mut flow = NewFlow::untranslated(tuple, 600).unwrap();
                if protocol == Protocol::TCP {
                    flow = flow.liberal_tcp(TcpState::ESTABLISHED);
                } else if protocol == Protocol::SCTP {
                    flow.protocol_info = Some(SctpInfo::new(SctpState::ESTABLISHED, 1, 2).into());
                }
                flow.snat = (place != 1).then_some(source.port(2000 + port));
                flow.dnat = (place != 0).then_some(destination);
                client.create(&flow).unwrap();
            }
        }
    }
    let before = table(&mut client);
    assert!(before.values().all(|flow| flow.contains("SRC_NAT") && flow.contains("DST_NAT_DONE")), "{before:#?}");
    restore(&mut client);
    assert_eq!(table(&mut client), before);
}

fn helpers_are_restored(lab: &Lab) {
    let mut client = lab.client();
    let mut flow = tcp_flow(1);
    flow.helper = Some(Helper::new("ftp"));
    client.create(&flow).unwrap();
    let before = table(&mut client);
    assert!(before.values().all(|flow| flow.contains("ftp")), "{before:#?}");
    restore(&mut client);
    assert_eq!(table(&mut client), before);
}
