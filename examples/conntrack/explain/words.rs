//! Requests in words.

use ctnetlink::{
    DccpInfo, Direction, Flow, FlowKey, FlowUpdate, Labels, MaskedLabels, MaskedMark, NewFlow, ProtocolInfo, SctpInfo,
    TcpInfo,
    request::{DumpFlows, Table},
};

use crate::arguments::{Arguments, Nat};

/// `every flow of ipv4, setting their counters to zero`.
pub fn of_dump(dump: &DumpFlows) -> String {
    let flows = match dump.table() {
        Table::Dying => "every dying flow",
        Table::Unconfirmed => "every unconfirmed flow",
        _ => "every flow",
    };
    let family = if dump.filter().is_everything() { String::new() } else { format!(" of {}", dump.filter()) };
    let counters = if dump.zeroes_counters() { ", setting their counters to zero" } else { "" };
    format!("{flows}{family}{counters}")
}

/// `udp 10.0.0.1:1000 10.0.0.2:53 as original tuple, zone 7`.
pub fn of_key(key: &FlowKey) -> String {
    let direction = if key.direction == Direction::Reply { "reply" } else { "original" };
    let zone = key.zone.map_or(String::new(), |zone| format!(", zone {zone}"));
    format!("{} as {direction} tuple{zone}", key.tuple)
}

/// The flow as it would be listed, and its translation.
pub fn of_new_flow(new: &NewFlow, arguments: &Arguments) -> String {
    let mut flow = Flow::new(new.original, new.reply);
    (flow.timeout, flow.status, flow.mark) = (Some(new.timeout), Some(new.status), new.mark);
    (flow.zone, flow.labels, flow.protocol_info) = (new.zone, new.labels, new.protocol_info);
    flow.helper = new.helper.clone();
    let nat = |name, target: Option<Nat>| match target {
        Some((Some(address), Some(port))) => format!(", {name} translated to {address} port {port}"),
        Some((Some(address), None)) => format!(", {name} translated to {address}"),
        _ => String::new(),
    };
    format!("{flow}{}{}", nat("source", arguments.source_nat), nat("destination", arguments.destination_nat))
}

/// `set mark to 3, add status ASSURED`.
pub fn of_update(update: &FlowUpdate) -> String {
    let parts = [
        update.timeout.map(|seconds| format!("set timeout to {seconds} s")),
        update.status.map(|bits| format!("add status {bits}")),
        update.protocol_info.map(state_words),
        update.mark.map(mark_words),
        update.labels.map(label_words),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn mark_words(MaskedMark { mark, mask }: MaskedMark) -> String {
    if mask == u32::MAX { format!("set mark to {mark}") } else { format!("set mark to {mark:#x} under mask {mask:#x}") }
}

fn label_words(MaskedLabels { labels, mask }: MaskedLabels) -> String {
    match (labels.is_empty(), mask == Labels::ALL) {
        (true, true) => "remove every label".to_owned(),
        (true, false) => format!("remove labels {mask}"),
        (false, _) => format!("add labels {labels}"),
    }
}

fn state_words(info: ProtocolInfo) -> String {
    match info {
        ProtocolInfo::Tcp(TcpInfo { state: Some(state), .. }) => format!("set state to {state}"),
        ProtocolInfo::Sctp(SctpInfo { state: Some(state), .. }) => format!("set state to {state} and both tags"),
        ProtocolInfo::Dccp(DccpInfo { state: Some(state), .. }) => format!("set state to {state} and the role"),
        other => format!("{other:?}"),
    }
}
