//! A table of flows with every kind of attribute.

use std::net::{IpAddr, SocketAddr};

use ctnetlink::{Client, Labels, NatRange, NewFlow, Protocol, SctpInfo, SctpState, Status, TcpState, Tuple};

/// A table of both families, seven protocols, zones, marks, translations, states and labels.
pub fn mixed_table(client: &mut Client, count: u16) {
    let mut batch = client.batch();
    for number in 0..count {
        batch.push(&flow(number)).unwrap();
    }
    let report = batch.finish().unwrap();
    // Flows of protocols without ports clash if their addresses repeat. The rest are enough for a test.
    assert!(report.succeeded() > usize::from(count) * 3 / 4, "{:?}", report.failures().first());
}

fn flow(number: u16) -> NewFlow {
    // No flow may end while a test looks at it, however slow the machine is.
    let timeout = if number % 2 == 0 { 15_000 } else { 60_000 };
    let mut flow = with_state(NewFlow::untranslated(tuple(number), timeout).unwrap(), number);
    flow.status = [Status::empty(), Status::SEEN_REPLY, Status::SEEN_REPLY | Status::ASSURED][usize::from(number % 3)];
    flow.mark = Some([0, 1, 0x10, 0xff][usize::from(number % 4)]);
    if number % 17 == 0 {
        flow.labels = Some(Labels::default().with((number % 5) as u8));
    }
    in_a_zone_or_translated(flow, number)
}

fn tuple(number: u16) -> Tuple {
    let (source, destination) = addresses(number);
    let (port, service) = (1000 + number, [22, 53, 80, 443, 8080][usize::from(number % 5)]);
    let ports = |make: fn(SocketAddr, SocketAddr) -> Tuple| make((source, port).into(), (destination, service).into());
    match number % 11 {
        0..4 => ports(Tuple::tcp),
        4..7 => ports(Tuple::udp),
        7 => ports(Tuple::sctp),
        8 => Tuple::gre(source, destination, port, service),
        9 => Tuple::icmp(source, destination, if source.is_ipv4() { 8 } else { 128 }, 0, port),
        _ => Tuple::new(Protocol(50), source, destination),
    }
}

fn addresses(number: u16) -> (IpAddr, IpAddr) {
    let (host, server) = (number % 7 + 1, number % 5 + 1);
    let (source, destination) = match number % 3 {
        0 => (format!("fd00::{host}"), format!("fd00:1::{server}")),
        _ => (format!("10.0.{}.{host}", number % 4), format!("10.9.0.{server}")),
    };
    (source.parse().unwrap(), destination.parse().unwrap())
}

fn with_state(mut flow: NewFlow, number: u16) -> NewFlow {
    match flow.original.protocol {
        Protocol::TCP => flow.liberal_tcp(TcpState((number % 9 + 1) as u8)),
        Protocol::SCTP => {
            flow.protocol_info = Some(SctpInfo::new(SctpState::ESTABLISHED, number.into(), 7).into());
            flow
        }
        _ => flow,
    }
}

fn in_a_zone_or_translated(mut flow: NewFlow, number: u16) -> NewFlow {
    let can_be_translated = flow.original.source_port().is_some() && flow.original.source.is_ipv4();
    let to = |address: &str, port| Some(NatRange::address(address.parse().unwrap()).port(port));
    match number % 13 {
        0 => flow.zone = Some(number % 3),
        1 => flow.original = flow.original.in_zone(4),
        2 => flow.reply = flow.reply.in_zone(5),
        3 if can_be_translated => flow.snat = to("192.0.2.1", 1000 + number),
        4 if can_be_translated => flow.dnat = to("192.0.2.2", 81),
        _ => {}
    }
    flow
}
