//! The table in one situation at a time.

mod kernel_in_small;

use super::*;
use std::net::{Ipv6Addr, SocketAddr};

use crate::{Counters, FlowTimes, Helper, Labels, ProtocolInfo, TcpInfo, TcpState, Timestamp, Tuple};

/// A host. Every third tuple is of IPv6: with another tuple of IPv4 it makes a pair that a record cannot compress.
fn host(tuple: u8, number: u8, port: u16) -> SocketAddr {
    match tuple % 3 {
        2 => (Ipv6Addr::from(u128::from(number)), port).into(),
        _ => ([10, 0, 0, number], port).into(),
    }
}

fn original(key: u8) -> Tuple {
    Tuple::udp(host(key, 1, key.into()), host(key, 2, 53))
}

/// The reply tuple of a flow that is translated to that port.
fn reply(port: u8) -> Tuple {
    Tuple::udp(host(port, 2, 53), host(port, 3, port.into()))
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
fn events_are_not_inferred_changes() {
    let mut table = FlowTable::new();
    let kinds_of_changes = [EventKind::New, EventKind::Update, EventKind::Destroy]
        .map(|kind| kinds(&apply(&mut table, kind, flow(1, 1, 7, 0))));
    let expected = [ChangeKind::Appeared, ChangeKind::Changed, ChangeKind::Vanished].map(|kind| vec![(kind, false)]);
    assert_eq!(kinds_of_changes, expected);
}

#[test]
fn differences_from_a_dump_are_inferred() {
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
fn duplicate_entry_appears_once() {
    let mut table = FlowTable::new();
    assert_eq!(dump(&mut table, [flow(1, 1, 1, 0), flow(1, 1, 1, 0)]).len(), 1);
}

#[test]
fn another_identifier_is_another_flow() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 1, 0)]);
    let expected = [(ChangeKind::Vanished, true), (ChangeKind::Appeared, true)];
    assert_eq!(kinds(&dump(&mut table, [flow(1, 1, 2, 0)])), expected);
}

#[test]
fn another_start_time_is_another_flow() {
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
fn zones_separate_flows_and_no_zone_is_zone_0() {
    let in_zone = |zone| Flow { zone, ..flow(1, 1, 1, 0) };
    let mut table = FlowTable::new();
    dump(&mut table, [in_zone(None), in_zone(Some(1))]);
    assert_eq!(table.count_by(|flow| flow.zone()), BTreeMap::from([(None, 1), (Some(1), 1)]));
    assert_eq!(apply(&mut table, EventKind::Destroy, in_zone(Some(0))).len(), 1);
    assert!(table.get(FlowKey::original(original(1))).is_none());
    assert!(table.get(FlowKey::reply(reply(1)).in_zone(1)).is_some());
    // A zone of one direction belongs to that direction's tuple.
    let mut one_way = flow(1, 1, 1, 0);
    one_way.original.zone = Some(5);
    apply(&mut table, EventKind::New, one_way);
    assert!(table.get(FlowKey::original(original(1)).in_zone(5)).is_some());
    assert!(table.get(FlowKey::reply(reply(1))).is_some());
}

#[test]
fn event_updates_only_its_attributes() {
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
    assert_eq!((changed.mark, &changed.helper), (Some(0), &None), "an event leaves these out if there are none");

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

/// The kernel inserts the loser of a race only by its reply tuple, with the original tuple of the winner.
#[test]
fn loser_of_a_clash_is_ignored() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 1, 0)]);
    let loser = Flow { status: Some(Status::NAT_CLASH), ..flow(1, 2, 2, 0) };
    for kind in [EventKind::New, EventKind::Destroy] {
        assert_eq!(apply(&mut table, kind, loser.clone()), []);
    }
    assert_eq!(table.len(), 1);
}

#[test]
fn failed_dump_removes_nothing() {
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
fn loss_during_a_dump_requires_another() {
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
fn events_older_than_an_entry_are_ignored() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 2, 0)]);
    for kind in [EventKind::Update, EventKind::Destroy] {
        assert_eq!(apply(&mut table, kind, flow(1, 1, 1, 9)), []);
    }
    assert_eq!(apply(&mut table, EventKind::New, flow(1, 1, 2, 0)), []);
}

#[test]
fn entry_older_than_events_is_ignored() {
    let mut table = FlowTable::new();
    table.begin_dump();
    apply(&mut table, EventKind::New, flow(1, 1, 1, 0));
    let mut changes = Vec::new();
    table.apply_entry(flow(1, 1, 2, 0), &mut changes);
    table.apply_entry(flow(2, 1, 3, 0), &mut changes);
    assert_eq!(changes, []);
}

#[test]
fn end_with_another_identifier_ends_nothing() {
    let mut table = FlowTable::new();
    apply(&mut table, EventKind::New, flow(1, 1, 1, 0));
    for id in [0, 2] {
        assert_eq!(apply(&mut table, EventKind::Destroy, flow(1, 1, id, 0)), []);
    }
    assert_eq!(apply(&mut table, EventKind::Destroy, flow(1, 1, 1, 0)).len(), 1);
}

/// A reliable listener makes the kernel repeat the end of an earlier flow.
#[test]
fn repeated_end_does_not_hide_the_next_flow() {
    let mut table = FlowTable::new();
    apply(&mut table, EventKind::New, flow(1, 1, 2, 0));
    table.begin_dump();
    apply(&mut table, EventKind::Destroy, flow(1, 1, 1, 0));
    table.apply_entry(flow(1, 1, 2, 0), &mut Vec::new());
    table.end_dump();
    assert_eq!(table.next_vanished(), None);
    assert_eq!(table.len(), 1);
}

/// The begin of the next flow was lost before the dump began: only its entry shows it.
#[test]
fn late_end_does_not_hide_the_next_flow() {
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
fn end_hides_older_entries_of_its_tuple() {
    let mut table = FlowTable::new();
    table.begin_dump();
    apply(&mut table, EventKind::New, flow(1, 1, 2, 0));
    apply(&mut table, EventKind::Destroy, flow(1, 1, 2, 0));
    table.apply_entry(flow(1, 1, 1, 0), &mut Vec::new());
    assert!(table.is_empty());
}

/// Even if a dump has shown the flow since.
#[test]
fn repeated_begin_is_not_a_new_flow() {
    let mut table = FlowTable::new();
    dump(&mut table, []);
    apply(&mut table, EventKind::New, flow(1, 1, 1, 0));
    dump(&mut table, [flow(1, 1, 1, 0)]);
    table.mark_events_drained();
    assert_eq!(apply(&mut table, EventKind::New, flow(1, 1, 1, 0)), []);
    assert_eq!(kinds(&apply(&mut table, EventKind::New, flow(1, 1, 1, 5))), [(ChangeKind::Changed, false)]);
}

#[test]
fn flow_with_the_same_reply_tuple_replaces_the_first() {
    let mut table = FlowTable::new();
    apply(&mut table, EventKind::New, flow(1, 1, 1, 0));
    let changes = apply(&mut table, EventKind::New, flow(2, 1, 2, 0));
    assert_eq!(kinds(&changes), [(ChangeKind::Vanished, true), (ChangeKind::Appeared, false)]);
    assert_eq!(table.get(FlowKey::reply(reply(1))).unwrap().original(), original(2));
}

#[test]
fn entry_adds_attributes_to_an_event() {
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

/// The end of the known flow and the begin of the next were lost. Only a dump that began since can be ahead of events.
#[test]
fn update_of_the_next_flow_replaces_an_older_dump() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 1, 0)]);
    table.note_loss();
    table.begin_dump();
    // Written while the mark was 0, read after the update.
    let entry = flow(1, 1, 2, 0);
    apply(&mut table, EventKind::Update, flow(1, 1, 2, 9));
    table.apply_entry(entry, &mut Vec::new());
    table.end_dump();
    assert_eq!(table.next_vanished(), None);
    assert_eq!(table.get(FlowKey::original(original(1))).unwrap().mark(), Some(9));
    assert!(table.is_synchronized());
}

/// Only the dump shows changes that were lost before it began, even if there is a later event of the flow.
#[test]
fn entry_replaces_all_that_events_left_out() {
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

/// Another processor sent its end first.
#[test]
fn event_of_a_dying_flow_does_not_revive_it() {
    let mut table = FlowTable::new();
    for kind in [EventKind::New, EventKind::Update] {
        let late = Flow { status: Some(Status::DYING | Status::CONFIRMED), ..flow(1, 1, 1, 0) };
        assert_eq!(apply(&mut table, kind, late), []);
    }
}

#[test]
fn event_replaces_the_flows_of_both_of_its_tuples() {
    let mut table = FlowTable::new();
    for (key, port) in [(1, 1), (2, 2)] {
        apply(&mut table, EventKind::New, flow(key, port, key.into(), 0));
    }
    let changes = apply(&mut table, EventKind::New, flow(1, 2, 3, 0));
    let kinds = changes.iter().map(|change| (change.kind, change.inferred, change.flow.id));
    let vanished = [1, 2].map(|id| (ChangeKind::Vanished, true, Some(id)));
    assert!(kinds.eq(vanished.into_iter().chain([(ChangeKind::Appeared, false, Some(3))])), "{changes:?}");
    assert_eq!(table.len(), 1);
}
