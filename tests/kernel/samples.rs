//! Sample flows and expectations.

use std::net::SocketAddr;

use ctnetlink::{Client, Expectation, ExpectationFlags, Helper, NewFlow, Status, TcpState, Tuple};

/// An established and assured TCP flow of the test network. `number` is its source port.
pub fn tcp_flow(number: u16) -> NewFlow {
    let original = Tuple::tcp(endpoint("10.1.0.1", number), endpoint("10.1.0.2", 443));
    let mut flow = NewFlow::untranslated(original, 600).expect("an answer").liberal_tcp(TcpState::ESTABLISHED);
    flow.status = Status::SEEN_REPLY | Status::ASSURED;
    flow
}

/// A UDP flow of the test network without a reply.
pub fn udp_flow(number: u16) -> NewFlow {
    let original = Tuple::udp(endpoint("10.1.0.1", number), endpoint("10.1.0.2", 53));
    NewFlow::untranslated(original, 600).expect("an answer")
}

/// A UDP flow over IPv6.
pub fn udp6_flow(number: u16) -> NewFlow {
    let original = Tuple::udp(endpoint("fd00::1", number), endpoint("fd00::2", 53));
    NewFlow::untranslated(original, 600).expect("an answer")
}

/// An established TCP flow with the FTP helper.
pub fn master(original: Tuple) -> NewFlow {
    let mut flow = NewFlow::untranslated(original, 600).expect("an answer").liberal_tcp(TcpState::ESTABLISHED);
    flow.helper = Some(Helper::new("ftp"));
    flow
}

/// The expectation for a data connection to a passive FTP server: any source port, one destination port.
pub fn expectation(master: Tuple, port: u16) -> Expectation {
    let (source, destination) = (master.source, master.destination);
    let tuple = Tuple::tcp((source, 0).into(), (destination, port).into());
    let ones = if source.is_ipv4() { "255.255.255.255" } else { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" };
    let mask = Tuple::tcp(endpoint(ones, 0), endpoint(ones, 0xffff));
    let mut expectation = Expectation::new(master, tuple, mask);
    expectation.timeout = Some(300);
    expectation.flags = Some(ExpectationFlags::PERMANENT);
    expectation.class = Some(0);
    expectation
}

/// Creates the flows in one batch.
pub fn create(client: &mut Client, flows: impl IntoIterator<Item = NewFlow>) {
    let mut batch = client.batch();
    for flow in flows {
        batch.push(&flow).expect("a flow that can be written");
    }
    let report = batch.finish().expect("answers");
    assert!(report.failures().is_empty(), "{:?}", report.failures().first());
}

pub fn endpoint(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}
