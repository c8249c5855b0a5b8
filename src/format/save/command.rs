//! Options as a command.

use core::{fmt, net::IpAddr, str::FromStr};
use std::borrow::Cow;

use super::{
    SaveError,
    words::{GivenOption, OptionSet, SaveOption, SaveWord},
};
use crate::{
    DccpInfo, DccpRole, DccpState, Family, Filter, FlowKey, FlowUpdate, GreKeys, Helper, Labels, Layer4, MaskedLabels,
    MaskedTcpFlags, NatRange, NewFlow, Protocol, ProtocolInfo, SctpInfo, SctpState, Status, TcpFlags, TcpInfo,
    TcpState, Tuple,
    filter::{Prefix, Translation},
    format::LabelMap,
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
        /// What changes.
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
        let present = OptionSet::given(given);
        let options = LineOptions { given, present, labels, end };
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

const CREATES: OptionSet = OptionSet::of(&[
    SaveOption::Add,
    SaveOption::Create,
    SaveOption::Source,
    SaveOption::Destination,
    SaveOption::ReplySource,
    SaveOption::ReplyDestination,
    SaveOption::Protocol,
    SaveOption::Timeout,
    SaveOption::Status,
    SaveOption::Mark,
    SaveOption::Family,
    SaveOption::SourceNat,
    SaveOption::DestinationNat,
    SaveOption::NatRange,
    SaveOption::SecurityMark,
    SaveOption::Zone,
    SaveOption::OriginalZone,
    SaveOption::ReplyZone,
    SaveOption::LabelAdd,
    SaveOption::Helper,
])
.and_of_protocols();

const SELECTS: OptionSet = OptionSet::of(&[
    SaveOption::Delete,
    SaveOption::Source,
    SaveOption::Destination,
    SaveOption::ReplySource,
    SaveOption::ReplyDestination,
    SaveOption::Protocol,
    SaveOption::Timeout,
    SaveOption::Status,
    SaveOption::Mark,
    SaveOption::Id,
    SaveOption::Family,
    SaveOption::SourceNat,
    SaveOption::DestinationNat,
    SaveOption::AnyNat,
    SaveOption::NatRange,
    SaveOption::SecurityMark,
    SaveOption::Zone,
    SaveOption::OriginalZone,
    SaveOption::ReplyZone,
    SaveOption::Label,
    SaveOption::MaskSource,
    SaveOption::MaskDestination,
    SaveOption::Filter,
])
.and_of_protocols();

const UPDATES: OptionSet =
    SELECTS.and(OptionSet::of(&[SaveOption::Update, SaveOption::LabelAdd, SaveOption::LabelDelete]));

const FLUSHES: OptionSet = OptionSet::of(&[SaveOption::Flush, SaveOption::Family]);

/// The source's and the destination's number: ports, or keys of GRE.
type NumberPair = (Option<u16>, Option<u16>);

/// Type, code and identifier of an ICMP query.
type Query = (Option<u8>, Option<u8>, Option<u16>);

/// The options of one line.
struct LineOptions<'o, 'l> {
    given: &'o [GivenOption<'l>],
    /// The options in `given`. Most options are not, and this answers without a search.
    present: OptionSet,
    labels: &'o LabelMap,
    end: usize,
}

impl<'o, 'l> LineOptions<'o, 'l> {
    fn check_legality(&self, command: SaveOption) -> Result<(), SaveError> {
        let allowed = match command {
            SaveOption::Add | SaveOption::Create => CREATES,
            SaveOption::Update => UPDATES,
            SaveOption::Delete => SELECTS,
            _ => FLUSHES,
        };
        let protocol = self.protocol()?;
        for given in self.given {
            if !allowed.contains(given.option) {
                return Err(given.expected(format!("an option of `--{}`", command.name())));
            }
            match protocol {
                Some(protocol) if !given.option.is_of(protocol) => {
                    return Err(given.expected(format!("an option of {protocol}")));
                }
                None if given.option.is_of_protocol() => return Err(given.expected("`--protonum` in the line")),
                _ => {}
            }
        }
        Ok(())
    }

    /// The option's last occurrence.
    fn find(&self, option: SaveOption) -> Option<&'o GivenOption<'l>> {
        if !self.present.contains(option) {
            return None;
        }
        self.given.iter().rev().find(|given| given.option == option)
    }

    fn value(&self, option: SaveOption) -> Option<&'o SaveWord<'l>> {
        self.find(option)?.value.as_ref()
    }

    /// The values of every occurrence of an option whose occurrences add up.
    fn values(&self, option: SaveOption) -> impl Iterator<Item = &'o SaveWord<'l>> {
        self.given.iter().filter(move |given| given.option == option).filter_map(|given| given.value.as_ref())
    }

    fn missing(&self, options: &str) -> SaveError {
        SaveError::expected(options.to_owned(), "", self.end)
    }

    fn required<T>(&self, option: SaveOption, value: Option<T>) -> Result<T, SaveError> {
        value.ok_or_else(|| self.missing(&format!("`--{}`", option.name())))
    }

    fn number<T: TryFrom<u64> + Bounded>(&self, option: SaveOption) -> Result<Option<T>, SaveError> {
        self.value(option).map(number).transpose()
    }

    /// A value with a name, or its number.
    fn named<T: FromStr>(&self, option: SaveOption, expected: &'static str) -> Result<Option<T>, SaveError> {
        self.value(option).map(|word| word.text.parse().map_err(|_| word.expected(expected))).transpose()
    }

    fn protocol(&self) -> Result<Option<Protocol>, SaveError> {
        self.named(SaveOption::Protocol, "the name or number of a protocol")
    }

    fn address(&self, option: SaveOption) -> Result<Option<IpAddr>, SaveError> {
        self.value(option).map(|word| parsed(word, "an IP address")).transpose()
    }

    /// The family of the option `--family`.
    fn family(&self) -> Result<Option<Family>, SaveError> {
        let family = |word: &SaveWord<'_>| match &*word.text {
            "ipv4" => Ok(Family::IPV4),
            "ipv6" => Ok(Family::IPV6),
            _ => Err(word.expected("`ipv4` or `ipv6`")),
        };
        self.value(SaveOption::Family).map(family).transpose()
    }

    /// The family of every address in the line, which have to agree.
    fn common_family(&self) -> Result<Option<Family>, SaveError> {
        use SaveOption as O;
        let mut family = self.family()?;
        for option in
            [O::Source, O::Destination, O::ReplySource, O::ReplyDestination, O::MaskSource, O::MaskDestination]
        {
            let Some(word) = self.value(option) else { continue };
            let is_ipv6 = word.text.contains(':');
            agree(&mut family, if is_ipv6 { Family::IPV6 } else { Family::IPV4 }, word)?;
        }
        for option in [O::SourceNat, O::DestinationNat, O::AnyNat] {
            let Some(word) = self.value(option) else { continue };
            if let Some(address) = NatTarget::read(word)?.first_address {
                agree(&mut family, Family::of(address), word)?;
            }
        }
        Ok(family)
    }

    /// The numbers of the original tuple, and those of the reply tuple.
    fn numbers(&self, protocol: Protocol) -> Result<[NumberPair; 2], SaveError> {
        use SaveOption as O;
        let [source, destination, reply_source, reply_destination] = if protocol == Protocol::GRE {
            [O::SourceKey, O::DestinationKey, O::ReplySourceKey, O::ReplyDestinationKey]
        } else {
            [O::SourcePort, O::DestinationPort, O::ReplySourcePort, O::ReplyDestinationPort]
        };
        Ok([
            (self.number(source)?, self.number(destination)?),
            (self.number(reply_source)?, self.number(reply_destination)?),
        ])
    }

    /// Type, code and identifier of the query of a request.
    fn query(&self, protocol: Protocol) -> Result<Query, SaveError> {
        use SaveOption as O;
        let [icmp_type, code, id] = match protocol {
            Protocol::ICMP => [O::IcmpType, O::IcmpCode, O::IcmpId],
            _ => [O::Icmpv6Type, O::Icmpv6Code, O::Icmpv6Id],
        };
        Ok((self.number(icmp_type)?, self.number(code)?, self.number(id)?))
    }

    fn nat(&self, option: SaveOption) -> Result<Option<NatTarget>, SaveError> {
        self.value(option).map(NatTarget::read).transpose()
    }

    fn mark(&self) -> Result<Option<(u32, u32)>, SaveError> {
        let Some(word) = self.value(SaveOption::Mark) else { return Ok(None) };
        match word.text.find('/') {
            Some(slash) => {
                let head = word.text.get(..slash).unwrap_or_default();
                let head = SaveWord { text: Cow::Borrowed(head), column: word.column };
                Ok(Some((number(&head)?, number(&word.clone().tail(slash + 1))?)))
            }
            None => Ok(Some((number(word)?, u32::MAX))),
        }
    }

    fn label_set(&self, option: SaveOption) -> Result<Option<Labels>, SaveError> {
        let mut labels: Option<Labels> = None;
        for word in self.values(option) {
            for (name, column) in parts(word) {
                let number = || name.parse().ok().filter(|bit| *bit < 128);
                let bit = self.labels.bit(name).or_else(number);
                let expected = || SaveError::expected("the name of a label, or its number up to 127", name, column);
                labels = Some(labels.unwrap_or_default().with(bit.ok_or_else(expected)?));
            }
        }
        Ok(labels)
    }

    /// The bits that have to be set, and those that must not be.
    fn status(&self) -> Result<Option<(Status, Status)>, SaveError> {
        let mut found = None;
        for word in self.values(SaveOption::Status) {
            for (name, column) in parts(word) {
                let (set, unset) = status_bits(name).ok_or_else(|| SaveError::expected(STATUS, name, column))?;
                let (all_set, all_unset) = found.get_or_insert((Status::empty(), Status::empty()));
                *all_set |= set;
                *all_unset |= unset;
            }
        }
        Ok(found)
    }

    /// The bits that a request may set.
    fn settable_status(&self) -> Result<Option<Status>, SaveError> {
        let Some((set, _)) = self.status()? else { return Ok(None) };
        if set.intersects(Status::EXPECTED | Status::OFFLOAD | Status::HW_OFFLOAD) {
            let word = self.find(SaveOption::Status).and_then(|given| given.value.clone());
            let expected = "status bits that a request may set: SEEN_REPLY, ASSURED, FIXED_TIMEOUT";
            return Err(word.map_or_else(|| self.missing(expected), |word| word.expected(expected)));
        }
        // The kernel sets these two by the translation.
        Ok(Some(set & !(Status::SRC_NAT | Status::DST_NAT)))
    }

    /// The state, and what goes with it.
    fn protocol_info(&self, protocol: Protocol) -> Result<Option<ProtocolInfo>, SaveError> {
        let Some(word) = self.value(SaveOption::State) else { return Ok(None) };
        Ok(Some(match protocol {
            // The name of this state before Linux 2.6.31.
            Protocol::TCP if word.text == "LISTEN" => TcpInfo::new(TcpState::SYN_SENT2).into(),
            Protocol::TCP => TcpInfo::new(parsed(word, "a TCP state")?).into(),
            Protocol::SCTP => {
                let state: SctpState = parsed(word, "an SCTP state")?;
                let (original, reply) = self.verification_tags()?;
                SctpInfo::new(state, original.unwrap_or(0), reply.unwrap_or(0)).into()
            }
            _ => {
                let state: DccpState = parsed(word, "a DCCP state")?;
                let role = self.named(SaveOption::Role, "`client` or `server`")?;
                DccpInfo::new(state, role.unwrap_or(DccpRole::CLIENT), 0).into()
            }
        }))
    }

    /// conntrack(8) prints and reads the bytes of a tag as a number of the host.
    fn verification_tags(&self) -> Result<(Option<u32>, Option<u32>), SaveError> {
        let as_saved = |tag: u32| u32::from_be_bytes(tag.to_ne_bytes());
        let [original, reply] = [SaveOption::OriginalTag, SaveOption::ReplyTag].map(|option| self.number(option));
        Ok((original?.map(as_saved), reply?.map(as_saved)))
    }
}

/// New flows.
impl LineOptions<'_, '_> {
    fn new_flow(&self) -> Result<NewFlow, SaveError> {
        let protocol = self.required(SaveOption::Protocol, self.protocol()?)?;
        let family = self.common_family()?;
        if protocol == (if family == Some(Family::IPV6) { Protocol::ICMP } else { Protocol::ICMPV6 }) {
            let word = self.value(SaveOption::Protocol);
            let expected = "icmp with IPv4, or icmpv6 with IPv6";
            return Err(word.map_or_else(|| self.missing(expected), |word| word.expected(expected)));
        }
        let (snat, dnat) = (self.nat(SaveOption::SourceNat)?, self.nat(SaveOption::DestinationNat)?);
        let mut original = self.original_tuple(protocol)?;
        let mut reply = original.inverted().ok_or_else(|| self.no_query(protocol))?;
        // The kernel translates from what the reply tuple says. With a target it stays the mirror of the original, or the
        // kernel would find nothing to translate.
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
        let expected = "the ICMP type of a query: no other type has a reply";
        self.value(option).map_or_else(|| self.missing(expected), |word| word.expected(expected))
    }

    /// The state of a flow that is made by hand: nobody saw its handshake, so its windows are not checked.
    fn new_protocol_info(&self, protocol: Protocol) -> Result<Option<ProtocolInfo>, SaveError> {
        let needed: &[SaveOption] = match protocol {
            Protocol::TCP => &[SaveOption::State],
            Protocol::SCTP => &[SaveOption::State, SaveOption::OriginalTag, SaveOption::ReplyTag],
            Protocol::DCCP => &[SaveOption::State, SaveOption::Role],
            _ => &[],
        };
        for option in needed {
            self.required(*option, self.value(*option))?;
        }
        let info = self.protocol_info(protocol)?;
        let Some(ProtocolInfo::Tcp(tcp)) = info else { return Ok(info) };
        let mut flags = TcpFlags::BE_LIBERAL | TcpFlags::SACK_PERM;
        flags.set(TcpFlags::CLOSE_INIT, tcp.state.is_some_and(|state| state >= TcpState::TIME_WAIT));
        Ok(Some(tcp.with_flags(MaskedTcpFlags::set(flags)).into()))
    }
}

/// A number of the reply tuple. If that end is translated, the number is what the target translates to.
fn set_number(place: &mut u16, given: Option<u16>, target: &mut Option<NatRange>) {
    match (given, target) {
        (Some(number), Some(range)) if range.first_port.is_none() && number != *place => *range = range.port(number),
        (Some(number), None) => *place = number,
        _ => {}
    }
}

/// Filters and updates.
impl LineOptions<'_, '_> {
    /// The conjunction of all options that select. In an update, timeout, status, mark and state are what to set.
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

    /// What a flow has to be translated to: anything, if the option has no value.
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
            for option in [SaveOption::OriginalTag, SaveOption::ReplyTag] {
                self.required(option, self.value(option))?;
            }
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

/// Where a translation leads: `A`, `A:PORT`, `[A]:PORT`, with ranges `A-B` and `PORT-PORT`.
#[derive(Clone, Copy, Default)]
struct NatTarget {
    first_address: Option<IpAddr>,
    last_address: Option<IpAddr>,
    first_port: Option<u16>,
    last_port: Option<u16>,
}

impl NatTarget {
    fn read(word: &SaveWord<'_>) -> Result<Self, SaveError> {
        const EXPECTED: &str = "an address to translate to, such as `192.0.2.1`, `192.0.2.1-192.0.2.9:1024-2047` or \
                                `[2001:db8::1]:80`";
        Self::parse(&word.text).ok_or_else(|| word.expected(EXPECTED))
    }

    fn parse(text: &str) -> Option<Self> {
        let (addresses, ports) = match text.rfind(']') {
            Some(bracket) => {
                let (addresses, ports) = text.split_at_checked(bracket + 1)?;
                (addresses, if ports.is_empty() { None } else { Some(ports.strip_prefix(':')?) })
            }
            // More than one colon is an IPv6 address.
            None if text.matches(':').count() == 1 => {
                text.split_once(':').map(|(before, after)| (before, Some(after)))?
            }
            None => (text, None),
        };
        let unbracketed = |text: &str| -> Option<IpAddr> {
            match text.strip_prefix('[') {
                Some(inside) => inside.strip_suffix(']')?.parse().ok().filter(IpAddr::is_ipv6),
                None => text.parse().ok(),
            }
        };
        let port = |text: &str| text.parse().ok().filter(|_| !text.starts_with('+'));
        let (first_address, last_address) = range(addresses, unbracketed)?;
        let (first_port, last_port) = match ports {
            Some(ports) => range(ports, port).map(|(first, last)| (Some(first), last))?,
            None => (None, None),
        };
        let is_ordered = last_address
            .is_none_or(|last| first_address.is_ipv4() == last.is_ipv4() && first_address <= last)
            && last_port.is_none_or(|last| first_port <= Some(last));
        is_ordered.then_some(Self { first_address: Some(first_address), last_address, first_port, last_port })
    }

    fn range(self) -> NatRange {
        let range = match (self.first_address, self.last_address) {
            (Some(first), Some(last)) => NatRange::addresses(first, last),
            (Some(address), None) => NatRange::address(address),
            (None, _) => NatRange::keep_address(),
        };
        match (self.first_port, self.last_port) {
            (Some(first), Some(last)) => range.ports(first, last),
            (Some(port), None) => range.port(port),
            (None, _) => range,
        }
    }
}

/// `FIRST` or `FIRST-LAST`.
fn range<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<(T, Option<T>)> {
    match text.split_once('-') {
        Some((first, last)) => Some((read(first)?, Some(read(last)?))),
        None => Some((read(text)?, None)),
    }
}

const STATUS: &str = "a status, such as SEEN_REPLY, ASSURED, FIXED_TIMEOUT or UNSET";

/// The bits that a word of the status names, set and unset. As in conntrack(8), words may be cut short, and `!` negates.
fn status_bits(word: &str) -> Option<(Status, Status)> {
    const NONE: Status = Status::empty();
    /// `UNSET` says that no bit with a name is set.
    const NAMED: Status = Status::ASSURED
        .union(Status::SEEN_REPLY)
        .union(Status::FIXED_TIMEOUT)
        .union(Status::EXPECTED)
        .union(Status::OFFLOAD)
        .union(Status::HW_OFFLOAD);
    const WORDS: [(&str, Status, Status); 10] = [
        ("ASSURED", Status::ASSURED, NONE),
        ("SEEN_REPLY", Status::SEEN_REPLY, NONE),
        ("UNSET", NONE, NAMED),
        ("FIXED_TIMEOUT", Status::FIXED_TIMEOUT, NONE),
        ("EXPECTED", Status::EXPECTED, NONE),
        ("OFFLOAD", Status::OFFLOAD, NONE),
        ("HW_OFFLOAD", Status::HW_OFFLOAD, NONE),
        ("SRC_NAT", Status::SRC_NAT, NONE),
        ("DST_NAT", Status::DST_NAT, NONE),
        ("UNREPLIED", NONE, Status::SEEN_REPLY),
    ];
    let (name, is_negated) = word.strip_prefix('!').map_or((word, false), |name| (name, true));
    let begins = |known: &str| known.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let (_, set, unset) = WORDS.iter().find(|(known, ..)| !name.is_empty() && begins(known))?;
    match is_negated {
        false => Some((*set, *unset)),
        true if set.is_empty() => None,
        true => Some((NONE, *set)),
    }
}

/// The parts of a list that commas separate, with their columns.
fn parts<'w>(word: &'w SaveWord<'_>) -> impl Iterator<Item = (&'w str, usize)> {
    let mut column = word.column;
    word.text.split(',').map(move |part| {
        let at = column;
        column += part.len() + 1;
        (part, at)
    })
}

fn agree(family: &mut Option<Family>, found: Family, word: &SaveWord<'_>) -> Result<(), SaveError> {
    match family.replace(found) {
        Some(known) if known != found => {
            Err(word.expected(if known == Family::IPV6 { "an IPv6 address" } else { "an IPv4 address" }))
        }
        _ => Ok(()),
    }
}

fn parsed<T: FromStr>(word: &SaveWord<'_>, expected: &'static str) -> Result<T, SaveError> {
    word.text.parse().map_err(|_| word.expected(expected))
}

/// The greatest number of a type, for messages.
trait Bounded: fmt::Display {
    const GREATEST: Self;
}

macro_rules! bounded {
    ($($number:ident)+) => { $( impl Bounded for $number { const GREATEST: Self = Self::MAX; } )+ };
}
bounded!(u8 u16 u32);

/// A number as strtoul(3) reads it: decimal, hexadecimal after `0x`, or octal after `0`.
fn number<T: TryFrom<u64> + Bounded>(word: &SaveWord<'_>) -> Result<T, SaveError> {
    let text = &*word.text;
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => match text.strip_prefix('0') {
            Some(digits) if !digits.is_empty() => (digits, 8),
            _ => (text, 10),
        },
    };
    let parsed = u64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with('+'));
    let expected = || word.expected(format!("a number up to {}", T::GREATEST));
    parsed.and_then(|number| T::try_from(number).ok()).ok_or_else(expected)
}
