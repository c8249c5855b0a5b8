//! An accountant over a mirror, held to a naive model that counts every packet.

use std::{cell::Cell, collections::BTreeMap, net::IpAddr};

use ctnetlink::{
    AnyFlow, Counters, Errno, FlowKey, Mirror, Tuple,
    accounting::{Accountant, TrafficReport},
    fake::{FakeKernel, Fault},
    request::DumpFlows,
};
use proptest::{collection::vec, prelude::*};

use super::address;

#[derive(Clone, Debug)]
enum Step {
    Packet {
        number: u16,
        is_reply: bool,
        bytes: u64,
    },
    Delete(u16),
    Advance(u64),
    LoseEvents,
    /// Another program sets the counters of a flow to zero.
    Zero(u16),
    ZeroAll,
    /// Takes the changes that are there.
    Follow,
    /// Drops changes instead.
    Synchronize,
    /// Another accountant over another mirror goes on.
    Restart,
    Report,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // So few flows that most steps meet an existing flow.
    let number = || 1..=6_u16;
    let step = prop_oneof![
        20 => (number(), any::<bool>(), 20..1500_u64)
            .prop_map(|(number, is_reply, bytes)| Step::Packet { number, is_reply, bytes }),
        4 => number().prop_map(Step::Delete),
        2 => (1..60_u64).prop_map(Step::Advance),
        1 => Just(Step::LoseEvents),
        1 => number().prop_map(Step::Zero),
        1 => Just(Step::ZeroAll),
        6 => Just(Step::Follow),
        1 => Just(Step::Synchronize),
        1 => Just(Step::Restart),
        6 => Just(Step::Report),
    ];
    vec(step, 0..80)
}

/// Two flows for each source.
fn original(number: u16) -> Tuple {
    Tuple::udp(address(1 + (number % 3) as u8, number), address(9, 53))
}

fn source(flow: &dyn AnyFlow) -> IpAddr {
    flow.original().source
}

type Key = fn(&dyn AnyFlow) -> IpAddr;

struct Follower {
    mirror: Mirror,
    accountant: Accountant<IpAddr, Key>,
}

impl Follower {
    fn new(kernel: &FakeKernel) -> Self {
        let mut mirror = kernel.mirror();
        mirror.synchronize().unwrap();
        let mut follower = Self { mirror, accountant: Accountant::new(source) };
        follower.accountant.read_table(follower.mirror.table());
        follower
    }

    fn follow(&mut self) {
        while let Some(change) = self.mirror.try_next().unwrap() {
            self.accountant.apply(&change);
        }
    }

    /// Reports at a quiet point: all events are read, and the table has just been through a dump.
    fn report(&mut self) -> TrafficReport<IpAddr> {
        let dumps = self.mirror.dumps();
        self.mirror.audit();
        while self.mirror.dumps() == dumps || !self.mirror.table().is_synchronized() {
            self.follow();
        }
        self.follow();
        self.accountant.read_table(self.mirror.table());
        assert_eq!(self.accountant.flows(), self.mirror.table().len());
        self.accountant.take_report()
    }
}

/// The traffic of each source since the last report: both directions.
type Truth = BTreeMap<IpAddr, [Counters; 2]>;

/// Nothing is counted twice, and all missing traffic lies within a reported loss. Returns whether the report was exact.
///
/// If another program has set counters to zero, and they have passed the last reading again, nothing shows the loss.
fn check(report: &TrafficReport<IpAddr>, truth: &Truth, meddled: bool) -> bool {
    let is_at_most = |one: Counters, other: Counters| one.packets <= other.packets && one.bytes <= other.bytes;
    for (source, traffic) in &report.traffic {
        let [original, reply] = truth.get(source).copied().unwrap_or_default();
        assert!(
            is_at_most(traffic.original, original) && is_at_most(traffic.reply, reply),
            "{source} is counted twice"
        );
    }
    for (source, passed) in truth.iter().filter(|_| !meddled) {
        let traffic = report.traffic.get(source).copied().unwrap_or_default();
        let is_whole = [traffic.original, traffic.reply] == *passed;
        assert!(is_whole || !report.is_exact(), "traffic of {source} is missing without a loss");
        // A gap, or a flow that was missing from a table without a change, is not the loss of a certain source.
        let is_known = report.losses.gaps == 0 && report.losses.unseen_ends == 0;
        assert!(is_whole || !is_known || traffic.incomplete, "{source} is not marked as incomplete");
    }
    report.is_exact()
}

#[test]
fn every_packet_is_counted_once_or_lies_within_a_loss() {
    let (exact, lossy) = (Cell::new(0), Cell::new(0));
    let property = |steps: Vec<Step>| {
        let kernel = FakeKernel::builder().accounting(true).build();
        let mut follower = Follower::new(&kernel);
        let (mut truth, mut meddled) = (Truth::new(), false);
        for step in steps.into_iter().chain([Step::Report, Step::Report]) {
            match step {
                Step::Packet { number, is_reply, bytes } => {
                    let tuple = original(number);
                    // A reply without a flow would begin a reversed flow.
                    let begins = kernel.client().get(FlowKey::original(tuple)).unwrap().is_none();
                    let is_reply = is_reply && !begins;
                    let packet = if is_reply { tuple.inverted().unwrap() } else { tuple };
                    kernel.packet(&packet, bytes).unwrap();
                    truth.entry(tuple.source).or_default()[usize::from(is_reply)] += Counters::new(1, bytes);
                }
                Step::Delete(number) => drop(kernel.client().delete(FlowKey::original(original(number)))),
                Step::Advance(seconds) => kernel.advance(std::time::Duration::from_secs(seconds)),
                Step::LoseEvents => kernel.overrun(),
                Step::Zero(number) => {
                    meddled = true;
                    kernel.client().get_and_zero_counters(FlowKey::original(original(number))).unwrap();
                }
                Step::ZeroAll => {
                    meddled = true;
                    let request = DumpFlows::new().and_zero_counters();
                    kernel.client().dump_with(&request).unwrap().for_each(|flow| drop(flow.unwrap()));
                }
                Step::Follow => follower.follow(),
                Step::Synchronize => follower.mirror.synchronize().unwrap(),
                Step::Restart => {
                    (truth, meddled) = (Truth::new(), false);
                    follower = Follower::new(&kernel);
                }
                Step::Report => {
                    let reports = if check(&follower.report(), &truth, meddled) { &exact } else { &lossy };
                    reports.set(reports.get() + 1);
                    (truth, meddled) = (Truth::new(), false);
                }
            }
        }
    };
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    proptest::test_runner::TestRunner::new(config)
        .run(&steps(), |steps| {
            property(steps);
            Ok(())
        })
        .unwrap();
    let (exact, lossy) = (exact.get(), lossy.get());
    assert!(exact > 100 && lossy > 100, "{exact} exact and {lossy} lossy reports");
}

/// The flow begins while events are lost, and ends before a dump could show it: its end is no change of the table.
#[test]
fn report_has_a_gap_until_the_table_is_synchronized() {
    let kernel = FakeKernel::builder().accounting(true).build();
    let mut follower = Follower::new(&kernel);
    follower.accountant.take_report();
    kernel.overrun();
    kernel.packet(&original(1), 100).unwrap();
    kernel.inject(Fault::Refuse(Errno::EBUSY));
    let failure = loop {
        if let Err(error) = follower.mirror.try_next() {
            break error;
        }
    };
    assert!(failure.is_busy());
    follower.accountant.read_table(follower.mirror.table());
    assert!(!follower.accountant.take_report().is_exact());
    kernel.packet(&original(1), 100).unwrap();
    kernel.client().delete(FlowKey::original(original(1))).unwrap();
    let report = follower.report();
    assert!(report.traffic.is_empty() && !report.is_exact(), "{report:?}");
    assert!(follower.report().is_exact());
}
