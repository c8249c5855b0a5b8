//! The table, one situation at a time.

mod kernel_in_small;

use super::*;
use crate::{Counters, FlowTimes, Helper, Labels, ProtocolInfo, TcpInfo, TcpState, Timestamp, Tuple};

fn original(key: u8) -> Tuple {
    Tuple::udp(([10, 0, 0, 1], u16::from(key)).into(), ([10, 0, 0, 2], 53).into())
}

/// The answers of a flow that is translated to that port.
fn reply(port: u8) -> Tuple {
    Tuple::udp(([10, 0, 0, 2], 53).into(), ([10, 0, 0, 3], u16::from(port)).into())
}

fn flow(key: u8, port: u8, id: u32, mark: u32) -> Flow {
    let mut flow = Flow::new(original(key), reply(port));
    (flow.id, flow.mark) = (Some(id), Some(mark));
    flow
}

fn apply(table: &mut FlowTable, kind: EventKind, flow: Flow) -> Vec<Change> {
    let mut changes = Vec::new();
    table.apply_flow(kind, flow, &mut changes);
    changes
}

fn dump(table: &mut FlowTable, flows: impl IntoIterator<Item = Flow>) -> Vec<Change> {
    let mut changes = Vec::new();
    table.begin_dump();
    flows.into_iter().for_each(|flow| table.apply_entry(flow, &mut changes));
    table.end_dump();
    changes.extend(core::iter::from_fn(|| table.next_vanished()));
    changes
}

fn kinds(changes: &[Change]) -> Vec<(ChangeKind, bool)> {
    changes.iter().map(|change| (change.kind, change.inferred)).collect()
}

#[test]
fn events_are_changes_that_are_not_inferred() {
    let mut table = FlowTable::new();
    let told = [EventKind::New, EventKind::Update, EventKind::Destroy]
        .map(|kind| kinds(&apply(&mut table, kind, flow(1, 1, 7, 0))));
    let expected = [ChangeKind::Appeared, ChangeKind::Changed, ChangeKind::Vanished].map(|kind| vec![(kind, false)]);
    assert_eq!(told, expected);
}

#[test]
fn a_dump_tells_differences_as_inferred() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 1, 0), flow(2, 2, 2, 0), flow(3, 3, 3, 0)]);
    let changes = dump(&mut table, [flow(1, 1, 1, 0), flow(2, 2, 2, 9), flow(4, 4, 4, 0)]);
    assert_eq!(
        kinds(&changes),
        [(ChangeKind::Changed, true), (ChangeKind::Appeared, true), (ChangeKind::Vanished, true)]
    );
    assert_eq!(changes.last().unwrap().flow.original, original(3));
}

#[test]
fn what_a_dump_has_twice_appears_once() {
    let mut table = FlowTable::new();
    assert_eq!(dump(&mut table, [flow(1, 1, 1, 0), flow(1, 1, 1, 0)]).len(), 1);
}

#[test]
fn a_flow_with_another_identifier_is_another_flow() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 1, 0)]);
    let expected = [(ChangeKind::Vanished, true), (ChangeKind::Appeared, true)];
    assert_eq!(kinds(&dump(&mut table, [flow(1, 1, 2, 0)])), expected);
}

#[test]
fn a_flow_that_began_at_another_time_is_another_flow() {
    let begun = |time| {
        let mut flow = flow(1, 1, 1, 0);
        flow.times = Some(FlowTimes { start: Some(Timestamp(time)), stop: None });
        flow
    };
    let mut table = FlowTable::new();
    dump(&mut table, [begun(5)]);
    assert_eq!(dump(&mut table, [begun(5)]), []);
    assert_eq!(dump(&mut table, [begun(6)]).len(), 2);
}

#[test]
fn zones_keep_flows_apart_and_no_zone_is_zone_0() {
    let in_zone = |zone| Flow { zone, ..flow(1, 1, 1, 0) };
    let mut table = FlowTable::new();
    dump(&mut table, [in_zone(None), in_zone(Some(1))]);
    assert_eq!(table.count_by(|flow| flow.zone()), BTreeMap::from([(None, 1), (Some(1), 1)]));
    assert_eq!(apply(&mut table, EventKind::Destroy, in_zone(Some(0))).len(), 1);
    assert!(table.get(FlowKey::original(original(1))).is_none());
    assert!(table.get(FlowKey::reply(reply(1)).in_zone(1)).is_some());
    // A zone of one direction is the zone of that direction's tuple.
    let mut one_way = flow(1, 1, 1, 0);
    one_way.original.zone = Some(5);
    apply(&mut table, EventKind::New, one_way);
    assert!(table.get(FlowKey::original(original(1)).in_zone(5)).is_some());
    assert!(table.get(FlowKey::reply(reply(1))).is_some());
}

#[test]
fn an_event_adds_to_what_is_known() {
    let mut dumped = flow(1, 1, 1, 5);
    let info = TcpInfo { state: Some(TcpState::ESTABLISHED), window_scale_reply: Some(7), ..TcpInfo::default() };
    dumped.protocol_info = Some(ProtocolInfo::Tcp(info));
    dumped.counters_original = Some(Counters::new(1, 1));
    dumped.helper = Some(Helper::new("ftp"));
    let mut table = FlowTable::new();
    dump(&mut table, [dumped]);

    let mut update = flow(1, 1, 1, 0);
    (update.mark, update.timeout) = (None, Some(60));
    let changed = apply(&mut table, EventKind::Update, update).remove(0).flow;
    assert_eq!((changed.timeout, changed.counters_original), (Some(60), Some(Counters::new(1, 1))));
    assert_eq!((changed.mark, &changed.helper), (Some(0), &None), "an event leaves these out where there are none");

    let mut end = flow(1, 1, 1, 0);
    end.counters_original = Some(Counters::new(9, 9));
    end.protocol_info = Some(ProtocolInfo::Tcp(TcpInfo { state: Some(TcpState::TIME_WAIT), ..TcpInfo::default() }));
    let last = apply(&mut table, EventKind::Destroy, end).remove(0).flow;
    assert_eq!(last.counters_original, Some(Counters::new(9, 9)));
    let info = last.protocol_info.unwrap();
    assert_eq!(
        (info.tcp().unwrap().state, info.tcp().unwrap().window_scale_reply),
        (Some(TcpState::TIME_WAIT), Some(7))
    );
}

/// The kernel puts the loser of a race in for its answers alone, under the original tuple of the winner.
#[test]
fn the_loser_of_a_clash_is_passed_over() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 1, 0)]);
    let loser = Flow { status: Some(Status::NAT_CLASH), ..flow(1, 2, 2, 0) };
    for kind in [EventKind::New, EventKind::Destroy] {
        assert_eq!(apply(&mut table, kind, loser.clone()), []);
    }
    assert_eq!(table.len(), 1);
}

#[test]
fn a_dump_that_fails_takes_nothing_for_gone() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 1, 0), flow(2, 2, 2, 0)]);
    table.note_loss();
    table.begin_dump();
    table.apply_entry(flow(1, 1, 1, 0), &mut Vec::new());
    table.abandon_dump();
    assert_eq!(table.next_vanished(), None);
    assert_eq!((table.len(), table.needs_dump()), (2, true));
}

#[test]
fn a_loss_during_a_dump_asks_for_another() {
    let mut table = FlowTable::new();
    assert!(table.needs_dump());
    table.begin_dump();
    assert!(!table.needs_dump());
    table.note_loss();
    table.end_dump();
    assert_eq!(table.next_vanished(), None);
    assert!(table.needs_dump() && !table.is_synchronized());
    dump(&mut table, []);
    assert!(table.is_synchronized());
}

#[test]
fn events_that_are_older_than_an_entry_of_another_flow_are_passed_over() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 2, 0)]);
    for kind in [EventKind::Update, EventKind::Destroy] {
        assert_eq!(apply(&mut table, kind, flow(1, 1, 1, 9)), []);
    }
    assert_eq!(apply(&mut table, EventKind::New, flow(1, 1, 2, 0)), []);
}

#[test]
fn an_entry_of_another_flow_than_events_tell_of_is_passed_over() {
    let mut table = FlowTable::new();
    table.begin_dump();
    apply(&mut table, EventKind::New, flow(1, 1, 1, 0));
    let mut changes = Vec::new();
    table.apply_entry(flow(1, 1, 2, 0), &mut changes);
    table.apply_entry(flow(2, 1, 3, 0), &mut changes);
    assert_eq!(changes, []);
}

#[test]
fn an_end_with_another_identifier_ends_nothing() {
    let mut table = FlowTable::new();
    apply(&mut table, EventKind::New, flow(1, 1, 1, 0));
    for id in [0, 2] {
        assert_eq!(apply(&mut table, EventKind::Destroy, flow(1, 1, id, 0)), []);
    }
    assert_eq!(apply(&mut table, EventKind::Destroy, flow(1, 1, 1, 0)).len(), 1);
}

/// A reliable listener has the kernel repeat the end of an earlier flow.
#[test]
fn a_repeated_end_does_not_hide_the_entry_of_the_next_flow() {
    let mut table = FlowTable::new();
    apply(&mut table, EventKind::New, flow(1, 1, 2, 0));
    table.begin_dump();
    apply(&mut table, EventKind::Destroy, flow(1, 1, 1, 0));
    table.apply_entry(flow(1, 1, 2, 0), &mut Vec::new());
    table.end_dump();
    assert_eq!(table.next_vanished(), None);
    assert_eq!(table.len(), 1);
}

/// The begin of the next flow was lost before the dump began, so that only its entry tells of it.
#[test]
fn a_late_end_of_the_known_flow_does_not_hide_the_next_one() {
    let mut table = FlowTable::new();
    apply(&mut table, EventKind::New, flow(1, 1, 1, 0));
    table.note_loss();
    table.begin_dump();
    apply(&mut table, EventKind::Destroy, flow(1, 1, 1, 0));
    table.apply_entry(flow(1, 1, 2, 0), &mut Vec::new());
    assert_eq!(table.len(), 1);
}

/// It may have been written before the begin of the flow that ended, if the flow before that had no events.
#[test]
fn the_end_of_the_known_flow_hides_every_entry_of_its_tuple() {
    let mut table = FlowTable::new();
    table.begin_dump();
    apply(&mut table, EventKind::New, flow(1, 1, 2, 0));
    apply(&mut table, EventKind::Destroy, flow(1, 1, 2, 0));
    table.apply_entry(flow(1, 1, 1, 0), &mut Vec::new());
    assert!(table.is_empty());
}

/// So it is even when a dump has told of the flow since.
#[test]
fn a_repeated_begin_is_no_new_flow() {
    let mut table = FlowTable::new();
    dump(&mut table, []);
    apply(&mut table, EventKind::New, flow(1, 1, 1, 0));
    dump(&mut table, [flow(1, 1, 1, 0)]);
    table.mark_events_drained();
    assert_eq!(apply(&mut table, EventKind::New, flow(1, 1, 1, 0)), []);
    assert_eq!(kinds(&apply(&mut table, EventKind::New, flow(1, 1, 1, 5))), [(ChangeKind::Changed, false)]);
}

#[test]
fn of_two_flows_with_the_same_answers_the_first_is_gone() {
    let mut table = FlowTable::new();
    apply(&mut table, EventKind::New, flow(1, 1, 1, 0));
    let changes = apply(&mut table, EventKind::New, flow(2, 1, 2, 0));
    assert_eq!(kinds(&changes), [(ChangeKind::Vanished, true), (ChangeKind::Appeared, false)]);
    assert_eq!(table.get(FlowKey::reply(reply(1))).unwrap().original(), original(2));
}

#[test]
fn what_a_dump_adds_to_an_event_is_a_change() {
    let mut table = FlowTable::new();
    table.begin_dump();
    apply(&mut table, EventKind::Update, flow(1, 1, 1, 7));
    let mut changes = Vec::new();
    let mut entry = flow(1, 1, 1, 3);
    entry.helper = Some(Helper::new("ftp"));
    table.apply_entry(entry, &mut changes);
    assert_eq!(kinds(&changes), [(ChangeKind::Changed, true)]);
    let flow = changes.remove(0).flow;
    assert_eq!((flow.mark, flow.helper), (Some(7), Some(Helper::new("ftp"))));
}

/// The end of the flow that is known, and the begin of the next, were lost: only a dump that began since can be ahead.
#[test]
fn an_update_of_the_next_flow_is_not_passed_over_for_what_an_earlier_dump_told() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 1, 0)]);
    table.note_loss();
    table.begin_dump();
    // Written when the mark was 0 still, read when the update has been.
    let entry = flow(1, 1, 2, 0);
    apply(&mut table, EventKind::Update, flow(1, 1, 2, 9));
    table.apply_entry(entry, &mut Vec::new());
    table.end_dump();
    assert_eq!(table.next_vanished(), None);
    assert_eq!(table.get(FlowKey::original(original(1))).unwrap().mark(), Some(9));
    assert!(table.is_synchronized());
}

/// What was lost before the dump began is known from the dump alone, even if an event tells of the flow meanwhile.
#[test]
fn an_event_keeps_back_nothing_of_an_entry_but_what_it_tells_itself() {
    let with = |state: Option<TcpState>, labels: Option<u128>, mark| {
        let mut flow = flow(1, 1, 1, mark);
        flow.protocol_info = state.map(|state| TcpInfo { state: Some(state), ..TcpInfo::default() }.into());
        flow.labels = labels.map(Labels);
        flow
    };
    let (old, new) = (Some(TcpState::SYN_SENT), Some(TcpState::ESTABLISHED));
    let known = |event: Flow, entry: Flow| {
        let mut table = FlowTable::new();
        dump(&mut table, [with(old, Some(1), 0)]);
        table.begin_dump();
        apply(&mut table, EventKind::Update, event);
        table.apply_entry(entry, &mut Vec::new());
        let entry = table.get(FlowKey::original(original(1))).unwrap().to_flow();
        (entry.tcp_state(), entry.labels.map(|labels| labels.0), entry.mark)
    };
    assert_eq!(known(with(None, None, 5), with(new, Some(2), 4)), (new, Some(2), Some(5)));
    assert_eq!(known(with(new, None, 5), with(old, Some(2), 4)), (new, Some(2), Some(5)));
    assert_eq!(known(with(None, Some(3), 5), with(new, Some(2), 4)), (new, Some(3), Some(5)));
}

/// Its end was told by another processor, whose event came first.
#[test]
fn an_event_of_a_flow_that_is_going_does_not_bring_it_back() {
    let mut table = FlowTable::new();
    for kind in [EventKind::New, EventKind::Update] {
        let late = Flow { status: Some(Status::DYING | Status::CONFIRMED), ..flow(1, 1, 1, 0) };
        assert_eq!(apply(&mut table, kind, late), []);
    }
}
