//! Flows to create.

use std::net::SocketAddr;

use ctnetlink::{Status, TcpState, Tuple, request::NewFlow};

/// A TCP flow of the test network, established and assured; `number` tells it from the others.
pub fn tcp_flow(number: u16) -> NewFlow {
    let original = Tuple::tcp(endpoint("10.1.0.1", number), endpoint("10.1.0.2", 443));
    let mut flow = NewFlow::untranslated(original, 600).expect("an answer").liberal_tcp(TcpState::ESTABLISHED);
    flow.status = Status::SEEN_REPLY | Status::ASSURED;
    flow
}

/// A UDP flow of the test network, not answered yet.
pub fn udp_flow(number: u16) -> NewFlow {
    let original = Tuple::udp(endpoint("10.1.0.1", number), endpoint("10.1.0.2", 53));
    NewFlow::untranslated(original, 600).expect("an answer")
}

/// A UDP flow over IPv6.
pub fn udp6_flow(number: u16) -> NewFlow {
    let original = Tuple::udp(endpoint("fd00::1", number), endpoint("fd00::2", 53));
    NewFlow::untranslated(original, 600).expect("an answer")
}

pub fn endpoint(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}
