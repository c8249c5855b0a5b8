//! A command from the options of a line.

use core::net::IpAddr;

use super::{
    line_options::{LineOptions, NatTarget, parsed},
    words::{GivenOption, SaveError, SaveOption},
};
use crate::{
    DccpInfo, DccpRole, Family, Filter, FlowKey, FlowUpdate, GreKeys, Helper, Labels, Layer4, MaskedLabels,
    MaskedTcpFlags, NatRange, NewFlow, Protocol, ProtocolInfo, SctpInfo, TcpFlags, TcpInfo, TcpState, Tuple,
    filter::{Prefix, Translation},
    format::label_map::LabelMap,
};

/// The command of a saved line.
///
/// # Example
///
/// ```
/// use ctnetlink::format::{LabelMap, SaveCommand, SaveLine};
///
/// let line = SaveLine::parse("-D -p tcp --dport 22", &LabelMap::default())?;
/// if let SaveCommand::Delete { filter, .. } = line.command() {
///     assert_eq!(filter.to_string(), "proto tcp and dport 22");
/// }
/// # Ok::<(), ctnetlink::format::SaveError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SaveCommand {
    /// Create a flow (`-A`, `-I`). With `-A`, [`NewFlow::or_update`] is set.
    Create(Box<NewFlow>),
    /// Change every flow that matches the filter (`-U`).
    #[non_exhaustive]
    Update {
        /// The flows to change.
        filter: Filter,
        /// The only flow that can match, if the line names a whole tuple and its zone.
        key: Option<FlowKey>,
        /// The changes.
        update: FlowUpdate,
    },
    /// Delete every flow that matches the filter (`-D`). A line without any condition matches every flow.
    #[non_exhaustive]
    Delete {
        /// The flows to delete.
        filter: Filter,
        /// The only flow that can match, if the line names a whole tuple and its zone.
        key: Option<FlowKey>,
    },
    /// Delete every flow (`-F`), or every flow of a family (`-F -f ipv6`).
    DeleteAll(Option<Family>),
}

impl SaveCommand {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "--add",
            Self::Update { .. } => "--update",
            Self::Delete { .. } => "--delete",
            Self::DeleteAll(_) => "--flush",
        }
    }

    /// Reads the options of a line whose last byte has column `end - 1`.
    pub(super) fn read(given: &[GivenOption<'_>], labels: &LabelMap, end: usize) -> Result<Self, SaveError> {
        let mut commands = given.iter().filter(|given| given.option.is_command());
        let missing = || SaveError::expected("`-A`, `-I`, `-U`, `-D` or `-F`", "", end);
        let command = commands.next().ok_or_else(missing)?;
        if let Some(second) = commands.next() {
            return Err(second.expected("one command"));
        }
        if let Some(table) = command.value.as_ref().filter(|table| !is_conntrack(&table.text)) {
            return Err(table.expected("the table `conntrack`"));
        }
        let options = LineOptions::new(given, labels, end);
        options.check_legality(command.option)?;
        match command.option {
            SaveOption::Add | SaveOption::Create => {
                let mut flow = options.new_flow()?;
                flow.or_update = command.option == SaveOption::Add;
                Ok(Self::Create(Box::new(flow)))
            }
            SaveOption::Update => {
                let (filter, key) = (options.filter(command.option)?, options.only_key()?);
                Ok(Self::Update { filter, key, update: options.update()? })
            }
            SaveOption::Delete => {
                Ok(Self::Delete { filter: options.filter(command.option)?, key: options.only_key()? })
            }
            _ => Ok(Self::DeleteAll(options.family()?)),
        }
    }
}

/// conntrack(8) takes any beginning of a table's name.
fn is_conntrack(table: &str) -> bool {
    !table.is_empty() && "conntrack".starts_with(table)
}

/// New flows.
impl LineOptions<'_, '_> {
    fn new_flow(&self) -> Result<NewFlow, SaveError> {
        let protocol = self.required(SaveOption::Protocol, self.protocol()?)?;
        let family = self.common_family()?;
        if protocol == (if family == Some(Family::IPV6) { Protocol::ICMP } else { Protocol::ICMPV6 }) {
            return Err(self.expected(SaveOption::Protocol, "icmp with IPv4, or icmpv6 with IPv6"));
        }
        let (snat, dnat) = (self.nat(SaveOption::SourceNat)?, self.nat(SaveOption::DestinationNat)?);
        let mut original = self.original_tuple(protocol)?;
        let mut reply = original.inverted().ok_or_else(|| self.no_query(protocol))?;
        // The kernel translates from the addresses and ports of the reply tuple. With a target the tuple stays the mirror of
        // the original, or the kernel would find nothing to translate.
        let [_, (reply_source, reply_destination)] = self.numbers(protocol)?;
        let (mut snat, mut dnat) = (snat.map(NatTarget::range), dnat.map(NatTarget::range));
        reply.source = self.address(SaveOption::ReplySource)?.filter(|_| dnat.is_none()).unwrap_or(reply.source);
        reply.destination =
            self.address(SaveOption::ReplyDestination)?.filter(|_| snat.is_none()).unwrap_or(reply.destination);
        if let Layer4::Ports { source, destination } | Layer4::Gre(GreKeys { source, destination }) = &mut reply.layer4
        {
            set_number(source, reply_source, &mut dnat);
            set_number(destination, reply_destination, &mut snat);
        }
        let zone = |option| self.number(option);
        (original.zone, reply.zone) = (zone(SaveOption::OriginalZone)?, zone(SaveOption::ReplyZone)?);
        let timeout = self.required(SaveOption::Timeout, self.number(SaveOption::Timeout)?)?;
        let mut flow = NewFlow::new(original, reply, timeout);
        flow.zone = zone(SaveOption::Zone)?;
        flow.status = self.settable_status()?.unwrap_or_default();
        flow.mark = self.mark()?.map(|(mark, _)| mark);
        flow.labels = self.label_set(SaveOption::LabelAdd)?;
        flow.helper = self.value(SaveOption::Helper).map(|name| Helper::new(&name.text));
        flow.protocol_info = self.new_protocol_info(protocol)?;
        (flow.snat, flow.dnat) = (snat, dnat);
        Ok(flow)
    }

    /// An end that is missing in one direction mirrors the other direction.
    fn original_tuple(&self, protocol: Protocol) -> Result<Tuple, SaveError> {
        let ends =
            [(SaveOption::Source, SaveOption::ReplyDestination), (SaveOption::Destination, SaveOption::ReplySource)];
        let [source, destination] = ends.map(|(end, mirror)| {
            let either = self.address(end)?.map_or_else(|| self.address(mirror), |address| Ok(Some(address)))?;
            self.required(end, either)
        });
        let mut tuple = Tuple::new(protocol, source?, destination?);
        tuple.layer4 = self.layer4(protocol)?;
        Ok(tuple)
    }

    fn layer4(&self, protocol: Protocol) -> Result<Layer4, SaveError> {
        use SaveOption as O;
        if protocol.is_icmp() {
            let (icmp_type, code, id) = self.query(protocol)?;
            let [of_type, of_code] = match protocol {
                Protocol::ICMP => [O::IcmpType, O::IcmpCode],
                _ => [O::Icmpv6Type, O::Icmpv6Code],
            };
            let (icmp_type, code) = (self.required(of_type, icmp_type)?, self.required(of_code, code)?);
            return Ok(Layer4::Icmp { icmp_type, code, id: id.unwrap_or(0) });
        }
        let is_gre = protocol == Protocol::GRE;
        if !is_gre && !protocol.has_ports() {
            return Ok(Layer4::None);
        }
        let [(source, destination), (reply_source, reply_destination)] = self.numbers(protocol)?;
        let [of_source, of_destination] =
            if is_gre { [O::SourceKey, O::DestinationKey] } else { [O::SourcePort, O::DestinationPort] };
        let source = self.required(of_source, source.or(reply_destination))?;
        let destination = self.required(of_destination, destination.or(reply_source))?;
        Ok(if is_gre { Layer4::Gre(GreKeys { source, destination }) } else { Layer4::Ports { source, destination } })
    }

    fn no_query(&self, protocol: Protocol) -> SaveError {
        let option = if protocol == Protocol::ICMP { SaveOption::IcmpType } else { SaveOption::Icmpv6Type };
        self.expected(option, "the ICMP type of a query: no other type has a reply")
    }

    /// The state of a flow that is made by hand: nobody saw its handshake, so its windows are not checked.
    fn new_protocol_info(&self, protocol: Protocol) -> Result<Option<ProtocolInfo>, SaveError> {
        let needed: &[SaveOption] = match protocol {
            Protocol::TCP => &[SaveOption::State],
            Protocol::SCTP => &[SaveOption::State, SaveOption::OriginalTag, SaveOption::ReplyTag],
            Protocol::DCCP => &[SaveOption::State, SaveOption::Role],
            _ => &[],
        };
        self.require_values(needed)?;
        let info = self.protocol_info(protocol)?;
        let Some(ProtocolInfo::Tcp(tcp)) = info else { return Ok(info) };
        let mut flags = TcpFlags::BE_LIBERAL | TcpFlags::SACK_PERM;
        flags.set(TcpFlags::CLOSE_INIT, tcp.state.is_some_and(|state| state >= TcpState::TIME_WAIT));
        Ok(Some(tcp.with_flags(MaskedTcpFlags::set(flags)).into()))
    }
}

/// Sets a number of the reply tuple. If that end is translated, the number is the port of the translation.
fn set_number(place: &mut u16, given: Option<u16>, target: &mut Option<NatRange>) {
    match (given, target) {
        (Some(number), Some(range)) if range.first_port.is_none() && number != *place => *range = range.port(number),
        (Some(number), None) => *place = number,
        _ => {}
    }
}

/// Filters and updates.
impl LineOptions<'_, '_> {
    /// The conjunction of all options that select. In an update, timeout, status, mark and state are values to set.
    fn filter(&self, command: SaveOption) -> Result<Filter, SaveError> {
        use SaveOption as O;
        let mut terms: Vec<Filter> = Vec::new();
        if let Some(word) = self.value(O::Filter) {
            terms.push(
                word.text
                    .parse()
                    .map_err(|error: crate::filter::ParseFilterError| word.expected(format!("a filter ({error})")))?,
            );
        }
        terms.extend(self.common_family()?.map(Filter::family));
        terms.extend(self.prefix(O::Source, O::MaskSource)?.map(Filter::source));
        terms.extend(self.prefix(O::Destination, O::MaskDestination)?.map(Filter::destination));
        terms.extend(self.address(O::ReplySource)?.map(Filter::reply_source));
        terms.extend(self.address(O::ReplyDestination)?.map(Filter::reply_destination));
        terms.extend(self.translation(O::SourceNat)?.map(Filter::source_nat));
        terms.extend(self.translation(O::DestinationNat)?.map(Filter::destination_nat));
        terms.extend(self.translation(O::AnyNat)?.map(Filter::nat));
        terms.extend(self.number(O::Zone)?.map(|zone: u16| Filter::zone(zone)));
        terms.extend(self.number(O::OriginalZone)?.map(|zone: u16| Filter::zone_original(zone)));
        terms.extend(self.number(O::ReplyZone)?.map(|zone: u16| Filter::zone_reply(zone)));
        terms.extend(self.label_set(O::Label)?.map(Filter::all_labels));
        terms.extend(self.number(O::Id)?.map(|id: u32| Filter::id(id)));
        if let Some(protocol) = self.protocol()? {
            self.protocol_terms(protocol, &mut terms)?;
            if command != O::Update {
                self.state_terms(protocol, &mut terms)?;
            }
        }
        if command != O::Update {
            terms.extend(self.number(O::Timeout)?.map(|timeout: u32| Filter::timeout(timeout)));
            terms.extend(self.mark()?.map(|(mark, mask)| Filter::mark_masked(mark, mask)));
            let (set, unset) = self.status()?.unwrap_or_default();
            terms.extend((!set.is_empty()).then(|| Filter::status_set(set)));
            terms.extend((!unset.is_empty()).then(|| Filter::status_unset(unset)));
        }
        Ok(Filter::all_of(terms))
    }

    fn protocol_terms(&self, protocol: Protocol, terms: &mut Vec<Filter>) -> Result<(), SaveError> {
        terms.push(Filter::protocol(protocol));
        let [(source, destination), (reply_source, reply_destination)] = self.numbers(protocol)?;
        if protocol == Protocol::GRE {
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
        if protocol.is_icmp() {
            let (icmp_type, code, id) = self.query(protocol)?;
            terms.extend(icmp_type.map(Filter::icmp_type));
            terms.extend(code.map(Filter::icmp_code));
            terms.extend(id.map(Filter::icmp_id));
        }
        Ok(())
    }

    fn state_terms(&self, protocol: Protocol, terms: &mut Vec<Filter>) -> Result<(), SaveError> {
        match self.protocol_info(protocol)? {
            Some(ProtocolInfo::Tcp(TcpInfo { state: Some(state), .. })) => terms.push(Filter::tcp_state(state)),
            Some(ProtocolInfo::Sctp(SctpInfo { state: Some(state), .. })) => terms.push(Filter::sctp_state(state)),
            Some(ProtocolInfo::Dccp(DccpInfo { state: Some(state), .. })) => terms.push(Filter::dccp_state(state)),
            _ => {}
        }
        let (original, reply) = self.verification_tags()?;
        terms.extend(original.map(Filter::verification_tag_original));
        terms.extend(reply.map(Filter::verification_tag_reply));
        let role: Option<DccpRole> = self.named(SaveOption::Role, "`client` or `server`")?;
        terms.extend(role.map(Filter::dccp_role));
        Ok(())
    }

    /// A network: an address with a length, or with the mask of another option.
    fn prefix(&self, address: SaveOption, mask: SaveOption) -> Result<Option<Prefix>, SaveError> {
        let Some(word) = self.value(address) else {
            return match self.find(mask) {
                Some(mask) => Err(mask.expected(format!("`--{}` with a mask", address.name()))),
                None => Ok(None),
            };
        };
        let Some(mask) = self.value(mask) else {
            return parsed(word, "an IP address, or one with the length of a prefix").map(Some);
        };
        let address: IpAddr = parsed(word, "an IP address")?;
        let (bits, width) = match parsed(mask, "a mask")? {
            IpAddr::V4(mask) => (u128::from(mask.to_bits()) << 96, 32),
            IpAddr::V6(mask) => (mask.to_bits(), 128),
        };
        let length = bits.leading_ones();
        if bits.checked_shl(length).unwrap_or(0) != 0 || address.is_ipv4() != (width == 32) {
            return Err(mask.expected("a mask whose set bits come first"));
        }
        format!("{address}/{}", length.min(width)).parse().map(Some).map_err(|_| mask.expected("a mask"))
    }

    /// The translation that a flow must have. An option without a value selects any translation.
    fn translation(&self, option: SaveOption) -> Result<Option<Translation>, SaveError> {
        let Some(given) = self.find(option) else { return Ok(None) };
        let Some(word) = &given.value else { return Ok(Some(Translation::any())) };
        let target = NatTarget::read(word)?;
        if target.last_address.is_some() {
            return Err(word.expected("one address to select by"));
        }
        let to = target.first_address.map_or_else(Translation::any, Translation::to);
        Ok(Some(match (target.first_port, target.last_port) {
            (Some(first), Some(last)) => to.port(first..=last),
            (Some(port), None) => to.port(port),
            (None, _) => to,
        }))
    }

    fn update(&self) -> Result<FlowUpdate, SaveError> {
        let mut update = FlowUpdate::new();
        if let Some((mark, mask)) = self.mark()? {
            update = update.mark_bits(mark, mask);
        }
        if let Some(timeout) = self.number(SaveOption::Timeout)? {
            update = update.timeout(timeout);
        }
        if let Some(status) = self.settable_status()?.filter(|status| !status.is_empty()) {
            update = update.add_status(status);
        }
        if let Some(labels) = self.label_set(SaveOption::LabelAdd)? {
            update = update.labels(MaskedLabels::add(labels));
        }
        if let Some(given) = self.find(SaveOption::LabelDelete) {
            if self.value(SaveOption::LabelAdd).is_some() {
                return Err(given.expected("either `--label-add` or `--label-del`"));
            }
            // Without a value every label goes.
            update =
                update.labels(MaskedLabels::remove(self.label_set(SaveOption::LabelDelete)?.unwrap_or(Labels::ALL)));
        }
        let info = match self.protocol()? {
            Some(protocol) => self.protocol_info(protocol)?,
            None => None,
        };
        if let Some(ProtocolInfo::Sctp(_)) = info {
            // The kernel takes a state of SCTP with both tags only.
            self.require_values(&[SaveOption::OriginalTag, SaveOption::ReplyTag])?;
        }
        Ok(info.map_or(update.clone(), |info| update.protocol_info(info)))
    }

    /// The key of the only flow that can match: the line has the whole original tuple, and its zone.
    fn only_key(&self) -> Result<Option<FlowKey>, SaveError> {
        let host = |option| self.value(option).and_then(|word| word.text.parse::<IpAddr>().ok());
        let has_mask = [SaveOption::MaskSource, SaveOption::MaskDestination]
            .map(|mask| self.find(mask))
            .iter()
            .any(Option::is_some);
        let (Some(source), Some(destination), Some(protocol)) =
            (host(SaveOption::Source), host(SaveOption::Destination), self.protocol()?)
        else {
            return Ok(None);
        };
        let mut tuple = Tuple::new(protocol, source, destination);
        let [(source, destination), _] = self.numbers(protocol)?;
        tuple.layer4 = if protocol.is_icmp() {
            let (Some(icmp_type), Some(code), Some(id)) = self.query(protocol)? else { return Ok(None) };
            Layer4::Icmp { icmp_type, code, id }
        } else if protocol == Protocol::GRE || protocol.has_ports() {
            let (Some(source), Some(destination)) = (source, destination) else { return Ok(None) };
            match protocol {
                Protocol::GRE => Layer4::Gre(GreKeys { source, destination }),
                _ => Layer4::Ports { source, destination },
            }
        } else {
            Layer4::None
        };
        // The kernel finds no flow by an ICMP type that has no reply.
        if has_mask || tuple.inverted().is_none() {
            return Ok(None);
        }
        Ok(match (self.number(SaveOption::Zone)?, self.number(SaveOption::OriginalZone)?) {
            (Some(zone), _) => Some(FlowKey::original(tuple).in_zone(zone)),
            (None, Some(zone)) => Some(FlowKey::original(tuple.in_zone(zone))),
            (None, None) => None,
        })
    }
}
