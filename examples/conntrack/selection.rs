//! Arguments → the flows that a command selects.

use ctnetlink::{
    DccpInfo, Filter, FlowKey, Protocol, ProtocolInfo, SctpInfo, Status, TcpInfo, Tuple,
    filter::Translation,
    request::{DumpFlows, Table as FlowTable},
};

use crate::{
    arguments::{Arguments, Command, Nat, Parameter, Table},
    failure::{Failure, Outcome},
    request::original_tuple,
};

/// The flows that a command selects.
#[derive(Debug)]
pub struct Selection {
    pub filter: Filter,
    pub route: Route,
}

/// The request that reads a selection from the kernel. Every flow that it returns is checked against the filter.
#[derive(Clone, Copy, Debug)]
pub enum Route {
    /// A get of the only flow that can match, because the options name its tuple and its zone.
    Get(FlowKey),
    /// One dump: of a whole table or family.
    Dump(DumpFlows),
    /// The dumps of the filter's plan: one, or first IPv4 and then IPv6.
    Planned,
}

impl Selection {
    pub fn new(arguments: &Arguments) -> Outcome<Self> {
        let filter = filter(arguments)?;
        let route = match (whole_dump(arguments), only_key(arguments)) {
            (Some(dump), _) => Route::Dump(dump),
            (None, Some(key)) => Route::Get(key),
            (None, None) if filter.is_everything() => Route::Dump(DumpFlows::new()),
            (None, None) => Route::Planned,
        };
        Ok(Self { filter, route })
    }

    /// Refuses options that match every flow. To select every flow, give no options.
    pub fn refuse_everything(self, arguments: &Arguments) -> Outcome<Self> {
        if arguments.is_selective() && self.filter.is_everything() {
            return Err(Failure::usage("these options match every flow: give none to select them all"));
        }
        Ok(self)
    }
}

/// The dump for tables and requests that the kernel does not filter.
fn whole_dump(arguments: &Arguments) -> Option<DumpFlows> {
    let dump = match arguments.table {
        Table::Dying => DumpFlows::new().of_table(FlowTable::Dying),
        Table::Unconfirmed => DumpFlows::new().of_table(FlowTable::Unconfirmed),
        Table::Conntrack | Table::Expect if arguments.has(Parameter::Zero) => DumpFlows::new().and_zero_counters(),
        Table::Conntrack | Table::Expect => return None,
    };
    Some(arguments.family.map_or(dump, |family| dump.of_family(family)))
}

/// The conjunction of all selecting options. `-U` sets the timeout, status, mark and state instead of comparing them.
fn filter(arguments: &Arguments) -> Outcome<Filter> {
    let mut terms: Vec<Filter> = Vec::new();
    terms.extend(arguments.filter.clone());
    terms.extend(arguments.family.map(Filter::family));
    terms.extend(arguments.source_network()?.map(Filter::source));
    terms.extend(arguments.destination_network()?.map(Filter::destination));
    terms.extend(arguments.reply_source.map(Filter::reply_source));
    terms.extend(arguments.reply_destination.map(Filter::reply_destination));
    terms.extend(arguments.source_nat.map(|to| Filter::source_nat(translation(to))));
    terms.extend(arguments.destination_nat.map(|to| Filter::destination_nat(translation(to))));
    terms.extend(arguments.any_nat.map(|to| Filter::nat(translation(to))));
    terms.extend(arguments.zone.map(Filter::zone));
    terms.extend(arguments.original_zone.map(Filter::zone_original));
    terms.extend(arguments.reply_zone.map(Filter::zone_reply));
    terms.extend(arguments.labels.map(Filter::all_labels));
    terms.extend(arguments.id.map(Filter::id));
    protocol(arguments, &mut terms);
    if arguments.command != Command::Update {
        values(arguments, &mut terms);
    }
    Ok(Filter::all_of(terms))
}

fn translation((address, port): Nat) -> Translation {
    let to = address.map_or_else(Translation::any, Translation::to);
    port.map_or(to.clone(), |port| to.port(port))
}

fn protocol(arguments: &Arguments, terms: &mut Vec<Filter>) {
    terms.extend(arguments.protocol.map(Filter::protocol));
    let ((source, destination), (reply_source, reply_destination)) = (arguments.ports, arguments.reply_ports);
    if arguments.protocol == Some(Protocol::GRE) {
        terms.extend(source.map(Filter::source_key));
        terms.extend(destination.map(Filter::destination_key));
        terms.extend(reply_source.map(Filter::reply_source_key));
        terms.extend(reply_destination.map(Filter::reply_destination_key));
    } else {
        terms.extend(source.map(Filter::source_port));
        terms.extend(destination.map(Filter::destination_port));
        terms.extend(reply_source.map(Filter::reply_source_port));
        terms.extend(reply_destination.map(Filter::reply_destination_port));
    }
    terms.extend(arguments.icmp_type.map(Filter::icmp_type));
    terms.extend(arguments.icmp_code.map(Filter::icmp_code));
    terms.extend(arguments.icmp_id.map(Filter::icmp_id));
}

/// Adds the values that change while a flow lives.
fn values(arguments: &Arguments, terms: &mut Vec<Filter>) {
    terms.extend(arguments.timeout.map(Filter::timeout));
    terms.extend(arguments.mark.map(|(mark, mask)| Filter::mark_masked(mark, mask)));
    if let Some(status) = arguments.status {
        let bits = [(status.set, Filter::status_set as fn(Status) -> Filter), (status.unset, Filter::status_unset)];
        terms.extend(bits.into_iter().filter(|(bits, _)| !bits.is_empty()).map(|(bits, term)| term(bits)));
    }
    match arguments.state {
        Some(ProtocolInfo::Tcp(TcpInfo { state: Some(state), .. })) => terms.push(Filter::tcp_state(state)),
        Some(ProtocolInfo::Sctp(SctpInfo { state: Some(state), .. })) => terms.push(Filter::sctp_state(state)),
        Some(ProtocolInfo::Dccp(DccpInfo { state: Some(state), .. })) => terms.push(Filter::dccp_state(state)),
        _ => {}
    }
    terms.extend(arguments.original_tag.map(Filter::verification_tag_original));
    terms.extend(arguments.reply_tag.map(Filter::verification_tag_reply));
    terms.extend(arguments.role.map(Filter::dccp_role));
}

/// Returns the key of the only flow that the options can match, if they name a whole tuple and its zone.
fn only_key(arguments: &Arguments) -> Option<FlowKey> {
    let is_whole = |(source, destination): (Option<u16>, Option<u16>)| source.is_some() && destination.is_some();
    let names_all = match arguments.protocol? {
        protocol if protocol.has_ports() || protocol == Protocol::GRE => is_whole(arguments.ports),
        protocol if protocol.is_icmp() => {
            arguments.icmp_type.is_some() && arguments.icmp_code.is_some() && arguments.icmp_id.is_some()
        }
        _ => true,
    };
    let is_host = |parameter| !arguments.has(parameter);
    if !names_all || !is_host(Parameter::MaskSource) || !is_host(Parameter::MaskDestination) {
        return None;
    }
    let tuple: Tuple = original_tuple(arguments)?;
    // The kernel refuses an ICMP type that has no reply.
    tuple.inverted()?;
    Some(FlowKey::original(tuple).in_zone(arguments.zone?))
}
