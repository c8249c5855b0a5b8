//! Compares the fake kernel with the running kernel: the same requests must lead to the same answers, tables and events.

mod steps;
mod world;

use std::{cell::RefCell, collections::BTreeSet, net::IpAddr};

use ctnetlink::{NewFlow, Tuple, sysctl};
use proptest::{
    option,
    prelude::*,
    test_runner::{Config, TestError, TestRunner},
};

use self::{
    steps::{expectation_step, range, step, usual_tuple, zone},
    world::{Step, World, builder, difference, fake, fake_world, real, settings, text},
};
use crate::{cases, lab::Lab};

cases! {
    requests_have_the_same_answers_and_events: FakedKernel;
    every_extension_is_kept_alike: FakedKernel;
    expectations_are_kept_alike: FakedKernel;
    translation_chooses_alike;
    capabilities_are_probed_alike;
    packets_are_tracked_alike: "ip", "nft";
}

/// Runs random steps against both kernels. `FAKE_PARITY` in the environment multiplies the number of cases.
fn compare(lab: &Lab, cases: u32, extensions: bool, step: impl Strategy<Value = Step>) {
    settings(lab, extensions);
    let cases = cases * std::env::var("FAKE_PARITY").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let real = RefCell::new(real(lab));
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 1500, ..Config::default() };
    let steps = proptest::collection::vec(step, 1..24);
    let result = TestRunner::new(config).run(&steps, |steps| {
        let mut real = real.borrow_mut();
        real.client.delete_all().unwrap();
        real.client.delete_all_expectations().unwrap();
        real.events();
        real.before = real.counts();
        let mut fake = fake(extensions);
        for step in &steps {
            let expected = real.take(step);
            let found = fake.take(step);
            prop_assert!(found == expected, "{}", difference(&found, &expected));
        }
        Ok(())
    });
    match result {
        Err(TestError::Fail(difference, steps)) => {
            let steps: Vec<String> = steps.iter().map(text).collect();
            panic!("{difference}\nafter:\n{}", steps.join("\n"));
        }
        result => result.unwrap_or_else(|failure| panic!("{failure}")),
    }
}

fn requests_have_the_same_answers_and_events(lab: &Lab) {
    compare(lab, 100, false, step());
}

fn every_extension_is_kept_alike(lab: &Lab) {
    compare(lab, 100, true, step());
}

fn expectations_are_kept_alike(lab: &Lab) {
    compare(lab, 100, true, expectation_step());
}

/// Creates flows that compete for few translated addresses and ports.
fn translation_chooses_alike(lab: &Lab) {
    let flow = (usual_tuple(), option::of(range()), option::of(range()), zone()).prop_map(
        |(tuple, source, destination, zone)| {
            let mut flow = NewFlow::untranslated(tuple, 600).unwrap();
            (flow.snat, flow.dnat, flow.zone) = (source, destination, zone);
            Step::Create(flow)
        },
    );
    compare(lab, 100, false, flow);
}

fn capabilities_are_probed_alike(lab: &Lab) {
    let (mut real, mut fake) = (real(lab), fake(false));
    assert_eq!(fake.client.capabilities().unwrap(), real.client.capabilities().unwrap());
    assert_eq!((fake.events(), fake.table()), (real.events(), real.table()));
}

/// A question and an answer over UDP, an echo, and a TCP handshake.
fn packets_are_tracked_alike(lab: &Lab) {
    lab.sysctl(sysctl::ACCOUNTING, 1);
    lab.sysctl(sysctl::TIMESTAMP, 1);
    lab.track_loopback();
    let mut real = real(lab);
    let kernel = builder().accounting(true).timestamps(true).build();
    let mut fake = fake_world(&kernel);
    let pass = |tuple: Tuple, bytes: [u64; 3]| {
        let packets = [tuple, tuple.inverted().unwrap(), tuple];
        for (tuple, bytes) in packets.iter().zip(bytes).filter(|(_, bytes)| *bytes > 0) {
            kernel.packet(tuple, bytes).unwrap();
        }
    };
    let mut compare = |what: &str| {
        // The tracker reads windows and options from TCP headers, which the fake kernel does not have.
        let plain = |text: String| match text.split_once("window_scale_original") {
            Some((before, _)) => before.to_owned(),
            None => text,
        };
        let seen = |world: &mut World| -> Vec<BTreeSet<String>> {
            [world.events(), world.table()].map(|lines| lines.into_iter().map(plain).collect()).into()
        };
        assert_eq!(seen(&mut fake), seen(&mut real), "{what}");
    };
    let (here, there) = lab.udp("127.0.0.1:0");
    pass(Tuple::udp(here, there), [31, 34, 0]);
    compare("UDP");
    let (client, _server) = lab.tcp("127.0.0.1:0");
    let connection = Tuple::tcp(client.local_addr().unwrap(), client.peer_addr().unwrap());
    pass(connection, [60, 60, 52]);
    compare("TCP");
    let loopback = IpAddr::from([127, 0, 0, 1]);
    lab.ping(loopback);
    pass(Tuple::icmp(loopback, loopback, 8, 0, 0x1234), [28, 28, 0]);
    compare("ICMP");
}
