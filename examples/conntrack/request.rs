//! Arguments → flows and expectations to create, find or change.

use std::net::IpAddr;

use ctnetlink::{
    Expectation, Family, Flow, FlowKey, FlowUpdate, GreKeys, Helper, Layer4, MaskedLabels, MaskedTcpFlags, NatRange,
    NewFlow, Protocol, ProtocolInfo, Status, TcpFlags, TcpInfo, TcpState, Tuple, request::ExpectationKey,
};

use crate::{
    arguments::{Arguments, Nat, Pair, expectation_mask, warn},
    failure::{Failure, Outcome},
};

/// The original tuple, if the options have its addresses.
pub fn original_tuple(arguments: &Arguments) -> Option<Tuple> {
    let ((source, _), (destination, _)) = (arguments.source?, arguments.destination?);
    let ports = either(arguments.ports, swapped(arguments.reply_ports));
    Some(tuple(arguments, source, destination, ports))
}

/// The reply tuple, if the options have its addresses.
fn reply_tuple(arguments: &Arguments) -> Option<Tuple> {
    let (source, destination) = (arguments.reply_source?, arguments.reply_destination?);
    let ports = either(arguments.reply_ports, swapped(arguments.ports));
    // ICMP options describe the request: inverting the tuple gives the type of the reply.
    tuple(arguments, destination, source, swapped(ports)).inverted()
}

fn tuple(arguments: &Arguments, source: IpAddr, destination: IpAddr, ports: Pair) -> Tuple {
    let protocol = arguments.protocol.unwrap_or(Protocol(0));
    let (source_number, destination_number) = (ports.0.unwrap_or(0), ports.1.unwrap_or(0));
    let mut tuple = Tuple::new(protocol, source, destination);
    tuple.layer4 = match protocol {
        Protocol::GRE => Layer4::Gre(GreKeys { source: source_number, destination: destination_number }),
        protocol if protocol.has_ports() => Layer4::Ports { source: source_number, destination: destination_number },
        protocol if protocol.is_icmp() => Layer4::Icmp {
            icmp_type: arguments.icmp_type.unwrap_or(0),
            code: arguments.icmp_code.unwrap_or(0),
            id: arguments.icmp_id.unwrap_or(0),
        },
        _ => Layer4::None,
    };
    tuple
}

const fn swapped((source, destination): Pair) -> Pair {
    (destination, source)
}

fn either(first: Pair, second: Pair) -> Pair {
    (first.0.or(second.0), first.1.or(second.1))
}

fn without_reply() -> Failure {
    Failure::failed("Operation failed: this ICMP type has no reply and is not tracked")
}

/// The key of `--get`: the tuple of one direction.
pub fn key(arguments: &Arguments) -> Outcome<FlowKey> {
    let zone = |tuple: Tuple, zone: Option<u16>| zone.map_or(tuple, |zone| tuple.in_zone(zone));
    let key = match original_tuple(arguments) {
        Some(tuple) => FlowKey::original(zone(tuple, arguments.original_zone)),
        None => FlowKey::reply(zone(reply_tuple(arguments).ok_or_else(without_reply)?, arguments.reply_zone)),
    };
    Ok(arguments.zone.map_or(key, |zone| key.in_zone(zone)))
}

/// The flow of `--create` and `--add`. Values that one direction lacks are mirrored from the other.
pub fn new_flow(arguments: &Arguments) -> Outcome<NewFlow> {
    let queries = match arguments.family {
        Some(Family::IPV6) => Protocol::ICMP,
        _ => Protocol::ICMPV6,
    };
    if arguments.protocol == Some(queries) {
        return Err(Failure::failed("Operation failed: icmp needs IPv4 addresses, icmpv6 needs IPv6 addresses"));
    }
    let (mut original, mut reply) = match original_tuple(arguments) {
        Some(original) => (original, original.inverted().ok_or_else(without_reply)?),
        None => {
            let reply = reply_tuple(arguments).ok_or_else(without_reply)?;
            (reply.inverted().ok_or_else(without_reply)?, reply)
        }
    };
    if let Some(address) = arguments.reply_source {
        reply.source = address;
    }
    if let Some(address) = arguments.reply_destination {
        reply.destination = address;
    }
    set_ports(&mut reply.layer4, arguments.reply_ports);
    original.zone = arguments.original_zone;
    reply.zone = arguments.reply_zone;
    let mut flow = NewFlow::new(original, reply, arguments.timeout.unwrap_or(0));
    flow.zone = arguments.zone;
    flow.mark = arguments.mark.map(|(mark, _)| mark);
    flow.labels = arguments.labels_added;
    flow.helper = arguments.helper.as_deref().map(Helper::new);
    flow.status = arguments.status.map_or(Ok(Status::empty()), |status| settable(status.set))?;
    flow.protocol_info = arguments.protocol_info().map(tracked);
    flow.snat = arguments.source_nat.map(|to| nat_range("src-nat", to)).transpose()?;
    flow.dnat = arguments.destination_nat.map(|to| nat_range("dst-nat", to)).transpose()?;
    Ok(flow)
}

fn set_ports(layer4: &mut Layer4, ports: Pair) {
    if let Layer4::Ports { source, destination } | Layer4::Gre(GreKeys { source, destination }) = layer4 {
        *source = ports.0.unwrap_or(*source);
        *destination = ports.1.unwrap_or(*destination);
    }
}

/// The status bits that the kernel lets a user set.
fn settable(status: Status) -> Outcome<Status> {
    for (bit, option) in [(Status::SRC_NAT, "src-nat"), (Status::DST_NAT, "dst-nat")] {
        if status.contains(bit) {
            warn(format_args!("ignoring {bit}, use --{option} instead"));
        }
    }
    // The kernel ignores these two. It refuses EXPECTED.
    let offload = status & (Status::OFFLOAD | Status::HW_OFFLOAD);
    if !offload.is_empty() {
        warn(format_args!("ignoring {offload}, only the kernel sets it"));
    }
    if status.contains(Status::EXPECTED) {
        return Err(Failure::failed("Operation failed: only the kernel sets EXPECTED"));
    }
    Ok(status & !(Status::SRC_NAT | Status::DST_NAT | offload))
}

/// Turns window checks off, because the kernel has not seen the handshake of a flow created by hand.
fn tracked(info: ProtocolInfo) -> ProtocolInfo {
    let ProtocolInfo::Tcp(info) = info else { return info };
    let mut flags = TcpFlags::BE_LIBERAL | TcpFlags::SACK_PERM;
    flags.set(TcpFlags::CLOSE_INIT, info.state.is_some_and(|state| state >= TcpState::TIME_WAIT));
    info.with_flags(MaskedTcpFlags::set(flags)).into()
}

fn nat_range(option: &str, (address, port): Nat) -> Outcome<NatRange> {
    let missing = || Failure::usage(format_args!("option `--{option}' requires an argument with this command"));
    let range = NatRange::address(address.ok_or_else(missing)?);
    Ok(port.map_or(range, |port| range.port(port)))
}

/// The changes of `--update`, of which there must be some.
pub fn some_update(arguments: &Arguments) -> Outcome<FlowUpdate> {
    let update = update(arguments)?;
    if update.is_empty() {
        return Err(Failure::usage("there is nothing to change: give `--mark', `--timeout', `--status' or labels"));
    }
    Ok(update)
}

/// The changes of `--update`.
pub fn update(arguments: &Arguments) -> Outcome<FlowUpdate> {
    let mut update = FlowUpdate::new();
    if let Some((mark, mask)) = arguments.mark {
        if mark & !mask != 0 {
            return Err(Failure::usage("Invalid mark: it has bits outside its mask"));
        }
        update = update.mark_bits(mark, mask);
    }
    if let Some(timeout) = arguments.timeout {
        update = update.timeout(timeout);
    }
    if let Some(status) = arguments.status {
        let bits = settable(status.set)?;
        if !bits.is_empty() {
            update = update.add_status(bits);
        }
    }
    if let Some(labels) = arguments.labels_added {
        update = update.labels(MaskedLabels::add(labels));
    }
    if let Some(labels) = arguments.labels_deleted {
        update = update.labels(MaskedLabels::remove(labels));
    }
    if let Some(info) = new_state(arguments)? {
        update = update.protocol_info(info);
    }
    Ok(update)
}

/// Only the state changes: flags and window scales of a live connection stay as they are.
fn new_state(arguments: &Arguments) -> Outcome<Option<ProtocolInfo>> {
    let has_tags = arguments.original_tag.is_some() && arguments.reply_tag.is_some();
    match arguments.protocol_info() {
        Some(ProtocolInfo::Sctp(_)) if !has_tags => Err(Failure::usage(
            "the kernel accepts a state of SCTP only with both tags: you have to specify `--orig-vtag' and `--reply-vtag'",
        )),
        Some(ProtocolInfo::Tcp(TcpInfo { state: Some(state), .. })) => Ok(Some(TcpInfo::new(state).into())),
        None if arguments.original_tag.is_some() || arguments.reply_tag.is_some() => {
            Err(Failure::usage("the kernel accepts tags of SCTP only with a state: you have to specify `--state'"))
        }
        other => Ok(other),
    }
}

/// Returns whether the update would change the flow. conntrack(8) sends no update that would not.
pub fn changes(update: &FlowUpdate, flow: &Flow) -> bool {
    let mark = flow.mark.unwrap_or(0);
    let status = flow.status.unwrap_or_default();
    let labels = flow.labels.unwrap_or_default().0;
    update.mark.is_some_and(|new| new.applied_to(mark) != mark)
        || update.timeout.is_some_and(|timeout| flow.timeout != Some(timeout))
        || update.status.is_some_and(|bits| !status.contains(bits))
        || update.labels.is_some_and(|new| (labels ^ new.labels.0) & new.mask.0 != 0)
        || update.protocol_info.is_some_and(|new| changes_state(new, flow.protocol_info))
}

fn changes_state(new: ProtocolInfo, old: Option<ProtocolInfo>) -> bool {
    match (new, old) {
        (ProtocolInfo::Tcp(new), Some(ProtocolInfo::Tcp(old))) => new.state != old.state,
        (ProtocolInfo::Dccp(new), Some(ProtocolInfo::Dccp(old))) => (new.state, new.role) != (old.state, old.role),
        (new, old) => Some(new) != old,
    }
}

/// The update that gives an existing flow the values of `--add`.
pub fn update_to(flow: &NewFlow) -> FlowUpdate {
    let mut update = FlowUpdate::new().timeout(flow.timeout);
    if let Some(mark) = flow.mark {
        update = update.mark(mark);
    }
    if !flow.status.is_empty() {
        update = update.add_status(flow.status);
    }
    if let Some(labels) = flow.labels {
        update = update.labels(MaskedLabels::exactly(labels));
    }
    match flow.protocol_info {
        Some(ProtocolInfo::Tcp(TcpInfo { state: Some(state), .. })) => update.protocol_info(TcpInfo::new(state)),
        Some(info) => update.protocol_info(info),
        None => update,
    }
}

/// The reply tuple as far as the options name it. It cannot be changed once the flow exists.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    ports: Pair,
}

impl Answers {
    /// A translation determines the reply tuple: replies come from the destination NAT and go to the source NAT.
    pub fn new(arguments: &Arguments) -> Self {
        let (source, source_port) = arguments.destination_nat.unwrap_or_default();
        let (destination, destination_port) = arguments.source_nat.unwrap_or_default();
        Self {
            source: source.or(arguments.reply_source),
            destination: destination.or(arguments.reply_destination),
            ports: either((source_port, destination_port), arguments.reply_ports),
        }
    }

    /// Fails if the flow has another reply tuple.
    pub fn check(&self, flow: &Flow) -> Outcome {
        let reply = &flow.reply;
        let ports = match reply.layer4 {
            Layer4::Ports { source, destination } | Layer4::Gre(GreKeys { source, destination }) => {
                (self.ports.0.unwrap_or(source), self.ports.1.unwrap_or(destination)) == (source, destination)
            }
            _ => true,
        };
        let addresses = (self.source.unwrap_or(reply.source), self.destination.unwrap_or(reply.destination));
        match ports && addresses == (reply.source, reply.destination) {
            true => Ok(()),
            false => Err(Failure::failed(
                "Operation failed: such a flow exists with another reply tuple, and a translation cannot be changed",
            )),
        }
    }
}

/// The key of `--get expect` and `--delete expect`.
pub fn expectation_key(arguments: &Arguments) -> Outcome<ExpectationKey> {
    original_tuple(arguments).map(ExpectationKey::new).ok_or_else(|| Failure::usage("no addresses"))
}

/// The expectation of `--create expect`.
pub fn expectation(arguments: &Arguments) -> Outcome<Expectation> {
    let missing = || Failure::usage("no addresses");
    let master = original_tuple(arguments).ok_or_else(missing)?;
    let source = arguments.tuple_source.ok_or_else(missing)?;
    let destination = arguments.tuple_destination.ok_or_else(missing)?;
    let mask_source = expectation_mask(source, arguments.mask_source);
    let mask_destination = expectation_mask(destination, arguments.mask_destination);
    let mut expectation = Expectation::new(
        master,
        tuple(arguments, source.0, destination.0, arguments.tuple_ports),
        tuple(arguments, mask_source, mask_destination, arguments.mask_ports),
    );
    expectation.timeout = arguments.timeout;
    Ok(expectation)
}
