//! Time that a test lets pass.

use std::time::Duration;

use ctnetlink::{FlowKey, FlowUpdate, Status, TcpState, Tuple, fake::FakeKernel};

use super::{address, filled, tuple, udp};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn flow_lives_for_its_timeout_and_no_longer() {
    let kernel = filled(FakeKernel::new(), 1);
    let mut client = kernel.client();
    let mut timeout = || client.get(FlowKey::original(tuple(1))).unwrap().map(|flow| flow.timeout.unwrap());
    assert_eq!(timeout(), Some(60));
    kernel.advance(59 * SECOND);
    assert_eq!(timeout(), Some(1));
    kernel.advance(SECOND);
    assert_eq!(timeout(), None);
}

#[test]
fn flow_of_no_timeout_ends_when_it_is_looked_at() {
    let kernel = FakeKernel::new();
    let mut flow = udp(1);
    flow.timeout = 0;
    let mut client = kernel.client();
    client.create(&flow).unwrap();
    assert_eq!(client.statistics().unwrap().entries, Some(1));
    assert!(client.get(FlowKey::original(tuple(1))).unwrap().is_none());
    assert_eq!(client.statistics().unwrap().entries, Some(0));
}

#[test]
fn update_prolongs_a_flow() {
    let kernel = filled(FakeKernel::new(), 1);
    kernel.advance(50 * SECOND);
    kernel.client().update(FlowKey::original(tuple(1)), &FlowUpdate::new().timeout(30)).unwrap();
    kernel.advance(29 * SECOND);
    assert_eq!(kernel.flows()[0].timeout, Some(1));
}

#[test]
fn age_is_what_was_advanced() {
    let kernel = filled(FakeKernel::builder().timestamps(true).build(), 1);
    kernel.advance(7 * SECOND);
    assert_eq!(kernel.flows()[0].duration(kernel.now()), Some(7 * SECOND));
}

#[test]
fn udp_flow_becomes_a_stream_after_two_seconds() {
    let kernel = FakeKernel::builder().accounting(true).build();
    let (question, answer) = (tuple(1), tuple(1).inverted().unwrap());
    let status = || kernel.flows()[0].status.unwrap();
    kernel.packet(&question, 50).unwrap();
    assert_eq!(status(), Status::CONFIRMED);
    kernel.packet(&answer, 80).unwrap();
    assert_eq!(status(), Status::CONFIRMED | Status::SEEN_REPLY);
    kernel.advance(3 * SECOND);
    kernel.packet(&question, 50).unwrap();
    let flow = &kernel.flows()[0];
    assert_eq!(flow.status, Some(Status::CONFIRMED | Status::SEEN_REPLY | Status::ASSURED));
    assert_eq!((flow.timeout, flow.counters_original.unwrap().bytes), (Some(120), 100));
}

#[test]
fn handshake_establishes_a_connection() {
    let kernel = FakeKernel::new();
    let syn = Tuple::tcp(address(1, 1000), address(2, 80));
    let states: Vec<_> = [syn, syn.inverted().unwrap(), syn]
        .iter()
        .map(|packet| {
            kernel.packet(packet, 60).unwrap();
            kernel.flows()[0].tcp_state().unwrap()
        })
        .collect();
    assert_eq!(states, [TcpState::SYN_SENT, TcpState::SYN_RECV, TcpState::ESTABLISHED]);
    assert_eq!(kernel.flows()[0].is_assured(), Some(true));
}
