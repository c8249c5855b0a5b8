//! Updates change the given attributes and nothing else.

use ctnetlink::{
    Errno, FlowKey, FlowUpdate, Labels, MaskedLabels, MaskedTcpFlags, SequenceAdjustment, Status, Synproxy, TcpFlags,
    TcpInfo, TcpState,
};

use crate::{
    cases,
    lab::Lab,
    samples::{master, tcp_flow, udp_flow},
};

cases! {
    zero_timeout_ends_the_flow;
    update_changes_only_the_given_attributes;
    mark_zero_is_set;
    mark_bits_outside_the_mask_stay;
    status_bits_are_added;
    tcp_state_and_flags_are_updated_separately;
    update_leaves_live_tcp_strict;
    update_never_creates_a_flow;
    changing_a_fixed_timeout_fails_with_the_reason;
    labels_without_a_rule_fail_with_the_reason;
    labels_are_added_and_removed: "nft";
    sequence_adjustment_and_synproxy_are_set;
    labels_outside_the_mask_stay: "nft";
    status_update_by_a_stale_key_changes_nothing;
    create_or_update_keeps_a_flow_assured;
    outdated_status_is_read_again;
    helper_cannot_be_changed;
    removed_helper_cannot_be_restored;
    empty_update_is_refused;
    failed_update_keeps_the_attributes_already_applied;
}

fn zero_timeout_ends_the_flow(lab: &Lab) {
    let mut client = lab.client();
    let new = udp_flow(1000);
    client.create(&new).unwrap();
    client.update(FlowKey::original(new.original), &FlowUpdate::new().timeout(0)).unwrap();
    assert_eq!(client.get(FlowKey::original(new.original)).unwrap(), None);
}

fn update_changes_only_the_given_attributes(lab: &Lab) {
    let mut client = lab.client();
    let mut new = tcp_flow(1000);
    new.mark = Some(5);
    client.create(&new).unwrap();
    client.update(FlowKey::original(new.original), &FlowUpdate::new().timeout(7700)).unwrap();
    let flow = lab.flow(new.original);
    assert_eq!(flow.mark, Some(5));
    assert!(matches!(flow.timeout, Some(7000..=7700)));
    assert_eq!(flow.tcp_state(), Some(TcpState::ESTABLISHED));
}

fn mark_zero_is_set(lab: &Lab) {
    let mut client = lab.client();
    let mut new = udp_flow(1000);
    new.mark = Some(5);
    client.create(&new).unwrap();
    client.update(&lab.flow(new.original), &FlowUpdate::new().mark(0)).unwrap();
    assert_eq!(lab.flow(new.original).mark, Some(0));
}

fn mark_bits_outside_the_mask_stay(lab: &Lab) {
    let mut client = lab.client();
    let mut new = udp_flow(1000);
    new.mark = Some(0xf0f0);
    client.create(&new).unwrap();
    client.update(&lab.flow(new.original), &FlowUpdate::new().mark_bits(0xff0a, 0x00ff)).unwrap();
    assert_eq!(lab.flow(new.original).mark, Some(0xf00a));
}

fn status_bits_are_added(lab: &Lab) {
    let mut client = lab.client();
    let new = tcp_flow(1000);
    client.create(&new).unwrap();
    // The key has no status, so the client asks for the current bits first.
    client.update(FlowKey::original(new.original), &FlowUpdate::new().add_status(Status::FIXED_TIMEOUT)).unwrap();
    let status = lab.flow(new.original).status.unwrap();
    assert!(status.contains(Status::ASSURED | Status::SEEN_REPLY | Status::FIXED_TIMEOUT));
}

fn tcp_state_and_flags_are_updated_separately(lab: &Lab) {
    let mut client = lab.client();
    let new = tcp_flow(1000);
    client.create(&new).unwrap();
    let key = FlowKey::original(new.original);
    client.update(key, &FlowUpdate::new().protocol_info(TcpInfo::new(TcpState::CLOSE_WAIT))).unwrap();
    let info = *lab.flow(new.original).protocol_info.unwrap().tcp().unwrap();
    assert_eq!(info.state, Some(TcpState::CLOSE_WAIT));
    assert!(info.flags_original.unwrap().flags.contains(TcpFlags::BE_LIBERAL));
    let mut change = TcpInfo::default();
    change.flags_original = Some(MaskedTcpFlags::clear(TcpFlags::BE_LIBERAL));
    client.update(key, &FlowUpdate::new().protocol_info(change)).unwrap();
    let info = *lab.flow(new.original).protocol_info.unwrap().tcp().unwrap();
    assert_eq!(info.state, Some(TcpState::CLOSE_WAIT));
    assert_eq!(info.flags_original.unwrap().flags, TcpFlags::SACK_PERM);
    assert_eq!(info.flags_reply.unwrap().flags, TcpFlags::SACK_PERM | TcpFlags::BE_LIBERAL);
}

/// conntrack(8) sets BE_LIBERAL when it changes a mark, which turns off the window check of a live flow.
fn update_leaves_live_tcp_strict(lab: &Lab) {
    let mut client = lab.client();
    let mut new = tcp_flow(1000);
    new.protocol_info = Some(TcpInfo::new(TcpState::ESTABLISHED).into());
    client.create(&new).unwrap();
    client.update(&lab.flow(new.original), &FlowUpdate::new().mark(6)).unwrap();
    let info = *lab.flow(new.original).protocol_info.unwrap().tcp().unwrap();
    assert_eq!(info.flags_original.unwrap().flags, TcpFlags::empty());
}

fn update_never_creates_a_flow(lab: &Lab) {
    let error = lab.client().update(FlowKey::original(udp_flow(1).original), &FlowUpdate::new().mark(1)).unwrap_err();
    assert!(error.is_not_found());
    assert!(error.to_string().starts_with("cannot update flow: ENOENT: no such flow"), "{error}");
    assert!(lab.flows().is_empty());
}

fn changing_a_fixed_timeout_fails_with_the_reason(lab: &Lab) {
    let mut new = udp_flow(1000);
    new.status = Status::FIXED_TIMEOUT;
    lab.client().create(&new).unwrap();
    let error = lab.client().update(&lab.flow(new.original), &FlowUpdate::new().timeout(5)).unwrap_err();
    assert!(error.is_permission_denied());
    assert!(error.to_string().contains("FIXED_TIMEOUT"), "{error}");
}

fn labels_without_a_rule_fail_with_the_reason(lab: &Lab) {
    let new = udp_flow(1000);
    lab.client().create(&new).unwrap();
    let update = FlowUpdate::new().labels(MaskedLabels::add(Labels::default().with(3)));
    let error = lab.client().update(&lab.flow(new.original), &update).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOSPC));
    assert!(error.to_string().contains("a rule that sets labels"), "{error}");
}

fn labels_are_added_and_removed(lab: &Lab) {
    lab.allow_labels();
    let mut client = lab.client();
    let mut new = udp_flow(1000);
    new.labels = Some([3, 127].into_iter().collect());
    client.create(&new).unwrap();
    let labels = |lab: &Lab| lab.flow(new.original).labels.map(|labels| labels.to_string());
    assert_eq!(labels(lab).as_deref(), Some("3,127"));
    let key = FlowKey::original(new.original);
    client.update(key, &FlowUpdate::new().labels(MaskedLabels::add([5].into_iter().collect()))).unwrap();
    assert_eq!(labels(lab).as_deref(), Some("3,5,127"));
    client.update(key, &FlowUpdate::new().labels(MaskedLabels::remove([3].into_iter().collect()))).unwrap();
    assert_eq!(labels(lab).as_deref(), Some("5,127"));
    client.update(key, &FlowUpdate::new().labels(MaskedLabels::exactly(Labels::default()))).unwrap();
    assert_eq!(labels(lab), None);
}

fn sequence_adjustment_and_synproxy_are_set(lab: &Lab) {
    let mut client = lab.client();
    let mut new = tcp_flow(1000);
    let adjustment = SequenceAdjustment { correction_position: 9, offset_before: -3, offset_after: 4 };
    new.sequence_adjustment_original = Some(adjustment);
    client.create(&new).unwrap();
    assert_eq!(lab.flow(new.original).sequence_adjustment_original, Some(adjustment));
    let synproxy = Synproxy { initial_sequence: 1, initial_timestamp: 2, timestamp_offset: 3 };
    client.update(FlowKey::original(new.original), &FlowUpdate::new().synproxy(synproxy)).unwrap();
    assert_eq!(lab.flow(new.original).synproxy, Some(synproxy));
}

/// The kernel flips labels that are set outside the mask.
fn labels_outside_the_mask_stay(lab: &Lab) {
    lab.allow_labels();
    let mut client = lab.client();
    let mut new = udp_flow(1000);
    new.labels = Some([3].into_iter().collect());
    client.create(&new).unwrap();
    let change = MaskedLabels { labels: [3, 5].into_iter().collect(), mask: [5].into_iter().collect() };
    client.update(FlowKey::original(new.original), &FlowUpdate::new().labels(change)).unwrap();
    assert_eq!(lab.flow(new.original).labels.unwrap().to_string(), "3,5");
}

fn status_update_by_a_stale_key_changes_nothing(lab: &Lab) {
    let mut client = lab.client();
    let new = udp_flow(1000);
    client.create(&new).unwrap();
    let id = lab.flow(new.original).id.unwrap();
    let other = FlowKey::original(new.original).with_id(id ^ 1);
    let update = FlowUpdate::new().mark(5).add_status(Status::ASSURED);
    assert!(client.update(other, &update).unwrap_err().is_not_found());
    assert_eq!(lab.flow(new.original).mark, Some(0));
}

fn create_or_update_keeps_a_flow_assured(lab: &Lab) {
    let mut client = lab.client();
    let mut new = tcp_flow(1000);
    client.create(&new).unwrap();
    new.status = Status::empty();
    new.mark = Some(9);
    new.or_update = true;
    client.create(&new).unwrap();
    let flow = lab.flow(new.original);
    assert_eq!((flow.mark, flow.is_assured()), (Some(9), Some(true)));
}

/// The kernel refuses a status that lacks current bits. A reply packet may set some after the flow was read.
fn outdated_status_is_read_again(lab: &Lab) {
    let mut client = lab.client();
    let new = udp_flow(1000);
    client.create(&new).unwrap();
    let early = lab.flow(new.original);
    client.update(&early, &FlowUpdate::new().add_status(Status::SEEN_REPLY | Status::ASSURED)).unwrap();
    client.update(&early, &FlowUpdate::new().add_status(Status::FIXED_TIMEOUT)).unwrap();
    let status = lab.flow(new.original).status.unwrap();
    assert!(status.contains(Status::SEEN_REPLY | Status::ASSURED | Status::FIXED_TIMEOUT));
}

fn helper_cannot_be_changed(lab: &Lab) {
    let mut client = lab.client();
    let new = master(tcp_flow(1000).original);
    client.create(&new).unwrap();
    let update = FlowUpdate::new().helper(ctnetlink::Helper::new("irc"));
    let error = client.update(FlowKey::original(new.original), &update).unwrap_err();
    assert!(error.is_busy(), "{error}");
    assert!(error.to_string().contains("which a flow keeps until it ends"), "{error}");
}

fn removed_helper_cannot_be_restored(lab: &Lab) {
    let mut client = lab.client();
    let new = master(tcp_flow(1000).original);
    client.create(&new).unwrap();
    client.update(FlowKey::original(new.original), &FlowUpdate::new().remove_helper()).unwrap();
    let flow = lab.flow(new.original);
    assert_eq!(flow.helper, None);
    assert!(client.update(&flow, &FlowUpdate::new().helper(new.helper.unwrap())).unwrap_err().is_busy());
}

fn empty_update_is_refused(lab: &Lab) {
    let mut client = lab.client();
    client.create(&udp_flow(1)).unwrap();
    let error = client.update(FlowKey::original(udp_flow(1).original), &FlowUpdate::new()).unwrap_err();
    assert!(error.encode_error().is_some(), "{error}");
    assert!(client.update_matching(&"proto udp".parse().unwrap(), &FlowUpdate::new()).is_err());
}

/// An update is not atomic: attributes before the failing one stay applied.
fn failed_update_keeps_the_attributes_already_applied(lab: &Lab) {
    let mut client = lab.client();
    let new = udp_flow(1000);
    client.create(&new).unwrap();
    // The kernel applies the mark before the labels, for which the flow has no space.
    let update = FlowUpdate::new().mark(5).labels(MaskedLabels::add(Labels::default().with(3)));
    assert!(client.update(&lab.flow(new.original), &update).is_err());
    assert_eq!(lab.flow(new.original).mark, Some(5));
}
