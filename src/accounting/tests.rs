use std::convert::Infallible;

use super::*;
use crate::{
    events::FlowEvent,
    model::{Flow, FlowTimes, Timestamp},
};

fn flow(id: u32, bytes: u64) -> Flow {
    let original = Tuple::udp(([10, 0, 0, 1], 5).into(), ([10, 0, 0, 2], 53).into());
    let mut flow = Flow::new(original, original.inverted().unwrap());
    flow.id = Some(id);
    flow.counters_original = Some(Counters::new(bytes / 100, bytes));
    flow.counters_reply = Some(Counters::new(bytes / 50, bytes * 2));
    flow
}

fn without_counters(id: u32) -> Flow {
    Flow { counters_original: None, counters_reply: None, ..flow(id, 0) }
}

fn accountant() -> Accountant<(), impl Fn(&dyn AnyFlow)> {
    let mut accountant = Accountant::new(|_: &dyn AnyFlow| ());
    assert_eq!(accountant.take_report().losses.gaps, 1);
    accountant
}

/// Bytes of the original direction since the last report, and losses.
fn taken<F: Fn(&dyn AnyFlow)>(accountant: &mut Accountant<(), F>) -> (u64, Losses) {
    let report = accountant.take_report();
    let total = report.total();
    assert_eq!(total.reply.bytes, total.original.bytes * 2);
    (total.original.bytes, report.losses)
}

fn exactly(bytes: u64) -> (u64, Losses) {
    (bytes, Losses::default())
}

fn unseen_begin(bytes: u64) -> Losses {
    let before_first_reading = Counters::new(bytes / 100 + bytes / 50, bytes * 3);
    Losses { unseen_begins: 1, before_first_reading, ..Losses::default() }
}

fn dump(flows: &[Flow]) -> Vec<Result<Flow, Infallible>> {
    flows.iter().cloned().map(Ok).collect()
}

#[test]
fn first_reading_is_only_a_base() {
    let mut accountant = accountant();
    accountant.read(&flow(1, 500));
    assert_eq!(taken(&mut accountant), (0, unseen_begin(500)));
    accountant.read(&flow(1, 700));
    assert_eq!(taken(&mut accountant), exactly(200));
    accountant.end(&flow(1, 1000));
    assert_eq!(taken(&mut accountant), exactly(300));
    assert_eq!(accountant.flows(), 0);
}

#[test]
fn flow_whose_begin_was_seen_is_counted_whole() {
    let mut accountant = accountant();
    accountant.begin(&without_counters(1));
    accountant.begin(&without_counters(1));
    accountant.end(&flow(1, 1000));
    assert_eq!(taken(&mut accountant), exactly(1000));
}

#[test]
fn reading_after_the_end_counts_nothing() {
    let mut accountant = accountant();
    accountant.begin(&flow(1, 0));
    accountant.end(&flow(1, 1000));
    accountant.take_report();
    accountant.read(&flow(1, 900));
    assert_eq!(taken(&mut accountant), (0, unseen_begin(900)));
}

#[test]
fn another_identifier_is_another_flow() {
    let mut accountant = accountant();
    accountant.begin(&flow(1, 0));
    accountant.read(&flow(1, 500));
    assert_eq!(taken(&mut accountant), exactly(500));
    accountant.read(&flow(2, 700));
    assert_eq!(taken(&mut accountant), (0, Losses { unseen_ends: 1, ..unseen_begin(700) }));
    // A late end of the first flow.
    accountant.end(&flow(1, 600));
    accountant.read(&flow(2, 800));
    assert_eq!(taken(&mut accountant), exactly(100));
}

#[test]
fn another_start_time_is_another_flow() {
    let at = |start, bytes| Flow { times: Some(FlowTimes::new(Timestamp(start), None)), ..flow(1, bytes) };
    let mut accountant = accountant();
    accountant.begin(&without_counters(1));
    accountant.read(&at(5, 500));
    assert_eq!(taken(&mut accountant), exactly(500));
    accountant.read(&at(6, 700));
    assert_eq!(taken(&mut accountant), (0, Losses { unseen_ends: 1, ..unseen_begin(700) }));
}

#[test]
fn reused_identifier_is_not_a_negative_delta() {
    let mut accountant = accountant();
    accountant.begin(&flow(1, 0));
    accountant.read(&flow(1, 5000));
    accountant.take_report();
    accountant.read(&flow(1, 300));
    assert_eq!(taken(&mut accountant), (300, Losses { resets: 1, ..Losses::default() }));
    accountant.read(&flow(1, 400));
    assert_eq!(taken(&mut accountant), exactly(100));
}

#[test]
fn zeroing_dumps_count_every_reading() {
    let mut accountant = accountant();
    let mut read = |bytes| {
        accountant.read_zeroing_dump(dump(&[flow(1, bytes)])).unwrap();
        taken(&mut accountant)
    };
    assert_eq!(read(700), (0, unseen_begin(700)));
    let gap = Losses { gaps: 1, ..Losses::default() };
    assert_eq!(read(300), (300, gap));
    assert_eq!(read(300), (300, gap));
    assert_eq!(read(0), (0, gap));
}

#[test]
fn one_zeroing_reading_changes_the_base() {
    let mut accountant = accountant();
    accountant.begin(&flow(1, 0));
    accountant.read(&flow(1, 100));
    accountant.read_and_zero(&flow(1, 300));
    accountant.read(&flow(1, 200));
    assert_eq!(taken(&mut accountant), exactly(500));
}

#[test]
fn flow_missing_from_a_dump_has_ended_unseen() {
    let mut accountant = accountant();
    accountant.read_dump(dump(&[flow(1, 100)])).unwrap();
    accountant.take_report();
    accountant.read_dump(dump(&[])).unwrap();
    assert_eq!(taken(&mut accountant).1, Losses { gaps: 1, unseen_ends: 1, ..Losses::default() });
    assert_eq!(accountant.flows(), 0);
}

#[test]
fn failed_dump_forgets_nothing() {
    let mut accountant = accountant();
    accountant.read_dump(dump(&[flow(1, 100)])).unwrap();
    assert_eq!(accountant.read_dump([Err::<Flow, _>("cut off")]), Err("cut off"));
    assert_eq!(accountant.flows(), 1);
}

#[test]
fn flow_without_counters_is_reported_once() {
    let uncounted = Losses { uncounted: 1, ..Losses::default() };
    let mut accountant = accountant();
    accountant.begin(&without_counters(1));
    accountant.end(&without_counters(1));
    assert_eq!(taken(&mut accountant), (0, uncounted));
    accountant.begin(&without_counters(1));
    for losses in [uncounted, Losses { gaps: 1, ..Losses::default() }] {
        accountant.read_dump(dump(&[without_counters(1)])).unwrap();
        assert_eq!(taken(&mut accountant), (0, losses));
    }
}

#[test]
fn end_of_an_unknown_flow_is_reported() {
    let mut accountant = accountant();
    accountant.end(&flow(1, 400));
    assert_eq!(taken(&mut accountant), (0, unseen_begin(400)));
}

#[test]
fn flow_that_lost_a_clash_is_ignored() {
    let mut accountant = accountant();
    accountant.begin(&flow(1, 0));
    let loser = Flow { status: Some(Status::NAT_CLASH), ..flow(1, 50) };
    accountant.begin(&loser);
    accountant.end(&loser);
    accountant.end(&flow(1, 100));
    assert_eq!(taken(&mut accountant), exactly(100));
}

#[test]
fn overrun_is_a_gap() {
    let mut accountant = accountant();
    accountant.apply_event(&Event::New(FlowEvent::new(without_counters(1))));
    accountant.apply_event(&Event::Overrun);
    accountant.apply_event(&Event::Update(FlowEvent::new(without_counters(1))));
    accountant.apply_event(&Event::Destroy(FlowEvent::new(flow(1, 100))));
    assert_eq!(taken(&mut accountant), (100, Losses { gaps: 1, ..Losses::default() }));
}

/// Its counters stand still, so that nothing but the flag shows the flow.
#[test]
fn offloaded_flow_is_flagged() {
    let mut accountant = accountant();
    let offloaded = Flow { status: Some(Status::OFFLOAD), ..flow(1, 100) };
    accountant.begin(&without_counters(1));
    accountant.read(&offloaded);
    accountant.take_report();
    accountant.read(&offloaded);
    let report = accountant.take_report();
    assert_eq!(report.traffic[&()], Traffic { offloaded: true, ..Traffic::default() });
    assert!(report.is_exact());
    accountant.read(&flow(1, 100));
    assert!(accountant.take_report().traffic.is_empty());
}

#[test]
fn traffic_belongs_to_the_present_key() {
    let mut accountant = Accountant::new(|flow: &dyn AnyFlow| flow.mark());
    accountant.begin(&without_counters(1));
    accountant.read(&flow(1, 100));
    accountant.read(&Flow { mark: Some(7), ..flow(1, 300) });
    let traffic = accountant.take_report().traffic;
    let bytes = |mark| traffic[&mark].original.bytes;
    assert_eq!((bytes(None), bytes(Some(7)), traffic.len()), (100, 200, 2));
}

#[test]
fn losses_print_as_a_list() {
    let losses = Losses { gaps: 2, unseen_ends: 1, resets: 1, ..unseen_begin(9) };
    assert_eq!(losses.to_string(), "2 gaps, 1 unseen begin, 1 unseen end, 1 reset");
}

/// A hash table of a million flows has two million places.
#[test]
fn account_takes_little_memory() {
    assert!(size_of::<(AccountKey, Account)>() <= 112, "{}", size_of::<(AccountKey, Account)>());
}
