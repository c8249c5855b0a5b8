//! Every message that can be sent decodes to the same value.

use ctnetlink::{
    CpuStatistics, Errno, ExpectationStatistics, Family, FlowUpdate, Labels, MaskedLabels, Message, NatRange, NewFlow,
    Status, TableStatistics,
    request::{DeleteFlow, DumpExpectations, DumpFlows, ExpectationKey, FlushFlows, GetFlow, Table},
    wire::Acknowledgement,
};

use super::{
    datagram::{decoded, encoded},
    source::Source,
    values::{adjustment, expectation, flow, helper, key, nat_range, protocol_info, synproxy, tuple},
};

pub fn holds(bytes: &[u8]) {
    let mut source = Source(bytes);
    let sequence = source.u32();
    let sent = message(&mut source);
    let bytes = encoded(&sent, sequence).unwrap_or_else(|| panic!("{sent:?} cannot be sent"));
    assert_eq!(super::datagram::first(&bytes).header().sequence, sequence);
    assert_eq!(decoded(&bytes).as_ref(), Ok(&sent));
    super::datagram::holds(&bytes);
}

fn message(source: &mut Source<'_>) -> Message {
    match source.below(20) {
        0 => Message::CreateFlow(new_flow(source)),
        1 => Message::UpdateFlow { key: key(source), update: update(source) },
        2 => get(source).into(),
        3 => dump(source).into(),
        4 => {
            let key = key(source);
            DeleteFlow::new(source.option(Source::u32).map_or(key, |id| key.with_id(id))).into()
        }
        5 => FlushFlows::of_family(source.pick(&[Family::UNSPEC, Family::IPV4, Family::IPV6])).into(),
        6 => Message::CreateExpectation { expectation: expectation(source), or_update: source.bool() },
        7 => Message::GetExpectation(expectation_key(source)),
        8 => Message::DeleteExpectation(expectation_key(source)),
        9 => DumpExpectations::of_master(tuple(source)).in_zone(source.u16()).into(),
        10 => Message::DeleteExpectationsOf(source.text().into()),
        11 if source.bool() => Message::GetTableStatistics,
        11 => Message::DumpCpuStatistics,
        12 => Message::FlowDestroyed(flow(source)),
        13 => expectation(source).into(),
        14 => Message::ExpectationDestroyed(expectation(source)),
        15 => Message::CpuStatistics(cpu_statistics(source)),
        16 => statistics(source),
        17 => Message::Acknowledgement(acknowledged(source)),
        18 => Message::Done(errno(source)),
        _ => flow(source).into(),
    }
}

fn new_flow(source: &mut Source<'_>) -> NewFlow {
    let mut new = NewFlow::from(&flow(source));
    new.reply.protocol = new.original.protocol;
    new.reply.layer4 = new.original.layer4;
    if new.reply.family() != new.original.family() {
        (new.reply.source, new.reply.destination) = (new.original.source, new.original.destination);
    }
    if new.zone.is_some_and(|zone| zone != 0) {
        (new.original.zone, new.reply.zone) = (None, None);
    }
    new.helper = new.helper.filter(|helper| helper.name.len() <= 15);
    // A request can set no other bit.
    new.status &= Status::SEEN_REPLY | Status::ASSURED | Status::FIXED_TIMEOUT | Status::HELPER;
    new.protocol_info = source.option(protocol_info);
    new.master = source.option(tuple);
    // The encoder refuses ranges of another family than the tuple's. Each end decides for itself, since a random IPv6
    // address can be an IPv4-mapped one, which is sent as IPv4.
    let is_ipv4 = new.original.source.is_ipv4();
    let is_fitting = |range: &NatRange| {
        let ends = [range.first_address, range.last_address];
        ends.into_iter().flatten().all(|address| address.is_ipv4() == is_ipv4)
    };
    let ranges = [source.option(nat_range), source.option(nat_range)].map(|range| range.filter(is_fitting));
    [new.snat, new.dnat] = ranges;
    new.or_update = source.bool();
    new
}

fn update(source: &mut Source<'_>) -> FlowUpdate {
    let mut update = FlowUpdate::new();
    if source.bool() {
        update = update.mark_bits(source.u32(), source.u32());
    }
    if source.bool() {
        update = update.timeout(source.u32());
    }
    if source.bool() {
        // A flow is confirmed before it can be updated.
        update = update.add_status(Status::from_bits_retain(source.u32()) | Status::CONFIRMED);
    }
    if source.bool() {
        let mask = Labels(source.u128());
        update = update.labels(MaskedLabels { labels: Labels(source.u128() & mask.0), mask });
    }
    if source.bool() {
        update = update.protocol_info(protocol_info(source));
    }
    if source.bool() {
        update = update.helper(helper(source));
    }
    if source.bool() {
        update = update.sequence_adjustment_original(adjustment(source));
    }
    if source.bool() {
        update = update.sequence_adjustment_reply(adjustment(source)).synproxy(synproxy(source));
    }
    update
}

fn get(source: &mut Source<'_>) -> GetFlow {
    let get = GetFlow::new(key(source));
    if source.bool() { get.and_zero_counters() } else { get }
}

fn dump(source: &mut Source<'_>) -> DumpFlows {
    let dump = DumpFlows::new().of_family(source.pick(&[Family::UNSPEC, Family::IPV4, Family::IPV6]));
    match source.below(3) {
        0 => dump.of_table(source.pick(&[Table::Dying, Table::Unconfirmed])),
        1 => dump.and_zero_counters(),
        _ => dump,
    }
}

fn expectation_key(source: &mut Source<'_>) -> ExpectationKey {
    let mut key = ExpectationKey::new(tuple(source));
    key.zone = source.option(Source::u16);
    key.id = source.option(Source::u32);
    key
}

fn cpu_statistics(source: &mut Source<'_>) -> CpuStatistics {
    let mut counts = CpuStatistics::default();
    counts.cpu = source.u16();
    for count in [&mut counts.found, &mut counts.invalid, &mut counts.insert, &mut counts.chain_too_long] {
        *count = source.option(Source::u32);
    }
    counts
}

fn statistics(source: &mut Source<'_>) -> Message {
    if source.bool() {
        let mut counts = TableStatistics::default();
        counts.entries = source.option(Source::u32);
        counts.max_entries = source.option(Source::u32);
        return Message::TableStatistics(counts);
    }
    let mut counts = ExpectationStatistics::default();
    counts.cpu = source.u16();
    counts.new = source.option(Source::u32);
    counts.create = source.option(Source::u32);
    counts.delete = source.option(Source::u32);
    Message::ExpectationStatistics(counts)
}

fn acknowledged(source: &mut Source<'_>) -> Acknowledgement {
    let mut answer = Acknowledgement::new(errno(source));
    answer.text = source.option(Source::text).map(Into::into);
    answer.offset = source.option(Source::u32);
    answer.missing = source.option(Source::u16);
    answer
}

/// The wire holds the negated number, which does not exist for `i32::MIN`.
fn errno(source: &mut Source<'_>) -> Errno {
    Errno((source.u32() as i32).max(-i32::MAX))
}
