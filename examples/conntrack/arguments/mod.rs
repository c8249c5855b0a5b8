//! Parses a command line, or a line of a file, into [`Arguments`].

mod labels;
mod legality;
mod options;
mod scanner;
mod values;
mod words;

use std::{fmt::Display, net::IpAddr};

use ctnetlink::{
    DccpInfo, DccpRole, Family, Filter, Labels, Prefix, Protocol, ProtocolInfo, SctpInfo, format::LabelMap,
};

pub use options::{Command, Field, Parameter};
pub use values::StatusWords;
pub use words::{EventWord, Output, Table};

use crate::{
    failure::{Failure, Outcome},
    messages::complain,
};
use labels::LabelWords;
use options::Opt;
use scanner::{Found, Scanner};

/// A NAT option: the translated address and port, if it has them.
pub type Nat = (Option<IpAddr>, Option<u16>);

/// The numbers of source and destination.
pub type Pair = (Option<u16>, Option<u16>);

/// A parsed command line.
#[derive(Debug)]
pub struct Arguments {
    pub command: Command,
    pub table: Table,
    /// The file of `--load-file`.
    pub file: Option<String>,
    parameters: u64,
    fields: u64,

    pub source: Option<(IpAddr, Option<u8>)>,
    pub destination: Option<(IpAddr, Option<u8>)>,
    pub reply_source: Option<IpAddr>,
    pub reply_destination: Option<IpAddr>,
    pub mask_source: Option<IpAddr>,
    pub mask_destination: Option<IpAddr>,
    pub tuple_source: Option<(IpAddr, Option<u8>)>,
    pub tuple_destination: Option<(IpAddr, Option<u8>)>,
    pub family: Option<Family>,

    pub protocol: Option<Protocol>,
    /// Ports, or keys of GRE.
    pub ports: Pair,
    pub reply_ports: Pair,
    pub mask_ports: Pair,
    pub tuple_ports: Pair,
    pub icmp_type: Option<u8>,
    pub icmp_code: Option<u8>,
    pub icmp_id: Option<u16>,
    pub state: Option<ProtocolInfo>,
    pub original_tag: Option<u32>,
    pub reply_tag: Option<u32>,
    pub role: Option<DccpRole>,

    pub timeout: Option<u32>,
    pub status: Option<StatusWords>,
    pub mark: Option<(u32, u32)>,
    pub id: Option<u32>,
    pub source_nat: Option<Nat>,
    pub destination_nat: Option<Nat>,
    pub any_nat: Option<Nat>,
    pub zone: Option<u16>,
    pub original_zone: Option<u16>,
    pub reply_zone: Option<u16>,
    pub labels: Option<Labels>,
    pub labels_added: Option<Labels>,
    pub labels_deleted: Option<Labels>,
    pub label_map: Option<LabelMap>,
    pub filter: Option<Filter>,
    pub helper: Option<String>,

    pub outputs: Vec<Output>,
    pub events: Vec<EventWord>,
    pub buffer_size: Option<usize>,
    /// Whether `--explain` probes the kernel.
    pub probes: bool,
}

impl Arguments {
    /// Parses a command line.
    pub fn parse(words: &[&str]) -> Outcome<Self> {
        Self::parse_with(words, None)
    }

    /// Parses a line, with label names for a line that has no `--labelmap`.
    pub fn parse_with(words: &[&str], labels: Option<&LabelMap>) -> Outcome<Self> {
        let mut arguments = Self::of_command(Command::Help);
        let (mut command, mut label_words) = (None, LabelWords::default());
        let mut scanner = Scanner::new(words);
        while let Some(Found { option, argument }) = scanner.next(arguments.protocol)? {
            match option {
                Opt::Command(_) if command.is_some() => return Err(Failure::usage("Invalid commands combination")),
                Opt::Command(found) => {
                    command = Some(found);
                    arguments.set_command(found, argument)?;
                }
                Opt::Parameter(parameter) => {
                    arguments.set(parameter, argument.unwrap_or_default(), argument.is_some(), &mut label_words)?;
                }
                Opt::Field(field) => arguments.set_field(field, argument.unwrap_or_default())?,
            }
        }
        arguments.resolve(&label_words, labels)?;
        if command.is_none() && arguments.has(Parameter::Protocol) {
            return Err(Failure::usage("Illegal option `--protonum' with this command"));
        }
        arguments.finish()
    }

    const fn of_command(command: Command) -> Self {
        Self {
            command,
            table: Table::Conntrack,
            file: None,
            parameters: 0,
            fields: 0,
            source: None,
            destination: None,
            reply_source: None,
            reply_destination: None,
            mask_source: None,
            mask_destination: None,
            tuple_source: None,
            tuple_destination: None,
            family: None,
            protocol: None,
            ports: (None, None),
            reply_ports: (None, None),
            mask_ports: (None, None),
            tuple_ports: (None, None),
            icmp_type: None,
            icmp_code: None,
            icmp_id: None,
            state: None,
            original_tag: None,
            reply_tag: None,
            role: None,
            timeout: None,
            status: None,
            mark: None,
            id: None,
            source_nat: None,
            destination_nat: None,
            any_nat: None,
            zone: None,
            original_zone: None,
            reply_zone: None,
            labels: None,
            labels_added: None,
            labels_deleted: None,
            label_map: None,
            filter: None,
            helper: None,
            outputs: Vec::new(),
            events: Vec::new(),
            buffer_size: None,
            probes: false,
        }
    }

    /// Whether the option was given.
    pub const fn has(&self, parameter: Parameter) -> bool {
        self.parameters >> parameter as u32 & 1 == 1
    }

    /// Whether the option of the protocol was given.
    pub const fn has_field(&self, field: Field) -> bool {
        self.fields >> field as u32 & 1 == 1
    }

    pub fn has_output(&self, output: Output) -> bool {
        self.outputs.contains(&output)
    }

    fn set_command(&mut self, command: Command, argument: Option<&str>) -> Outcome {
        self.command = command;
        match (command, argument) {
            (Command::Load, file) => self.file = file.map(str::to_owned),
            (_, Some(table)) => self.table = Table::parse(table)?,
            (_, None) => {}
        }
        Ok(())
    }

    fn set<'a>(&mut self, parameter: Parameter, text: &'a str, is_given: bool, labels: &mut LabelWords<'a>) -> Outcome {
        use Parameter as P;
        self.mark_given(parameter);
        match parameter {
            P::Source => self.source = Some(self.network(P::MaskSource, text)?),
            P::Destination => self.destination = Some(self.network(P::MaskDestination, text)?),
            P::TupleSource => self.tuple_source = Some(self.network(P::MaskSource, text)?),
            P::TupleDestination => self.tuple_destination = Some(self.network(P::MaskDestination, text)?),
            P::ReplySource => self.reply_source = Some(self.host(parameter, text)?),
            P::ReplyDestination => self.reply_destination = Some(self.host(parameter, text)?),
            P::MaskSource => self.mask_source = Some(self.host(parameter, text)?),
            P::MaskDestination => self.mask_destination = Some(self.host(parameter, text)?),
            P::Protocol => self.protocol = Some(values::protocol(text)?),
            P::Family => self.set_family(values::family(text)?)?,
            P::Timeout => self.timeout = Some(values::number("timeout", text)?),
            // A repeated option adds to the first.
            P::Status => self.status = Some(self.status.unwrap_or_default().and(StatusWords::parse(text)?)),
            P::EventMask => self.events.extend(values::words(words::EVENTS, text)?),
            P::Mark => self.mark = Some(values::mark(text)?),
            P::Id => self.id = Some(values::value('i', text)?),
            P::SourceNat => self.source_nat = Some(self.nat(is_given.then_some(text))?),
            P::DestinationNat => self.destination_nat = Some(self.nat(is_given.then_some(text))?),
            P::AnyNat => self.any_nat = Some(self.nat(is_given.then_some(text))?),
            P::Output => self.outputs.extend(values::words(words::OUTPUTS, text)?),
            P::SecurityMark => {
                let _: u32 = values::value('c', text)?;
            }
            P::NatRange => warn("ignoring -a, deprecated option."),
            P::BufferSize => self.buffer_size = Some(values::number("buffer size", text)?),
            P::Zone => self.zone = Some(values::value('w', text)?),
            P::OriginalZone => self.original_zone = Some(values::value('(', text)?),
            P::ReplyZone => self.reply_zone = Some(values::value(')', text)?),
            P::Label => labels.wanted.extend(text.split(',')),
            P::LabelAdd => labels.added.extend(text.split(',')),
            P::LabelDelete => labels
                .deleted
                .get_or_insert_default()
                .extend(is_given.then_some(text).into_iter().flat_map(|text| text.split(','))),
            P::LabelMap if labels.map.is_some() => {
                return Err(Failure::usage("option `--labelmap' can only be specified once"));
            }
            P::LabelMap => labels.map = Some(text),
            P::Filter => {
                self.filter =
                    Some(text.parse().map_err(|error| Failure::usage(format_args!("Invalid filter: {error}")))?);
            }
            P::Explain => self.probes = is_given && values::explanation(text)?,
            P::Helper => self.helper = Some(text.to_owned()),
            P::Zero => {}
        }
        Ok(())
    }

    fn set_field(&mut self, field: Field, text: &str) -> Outcome {
        use Field as F;
        self.fields |= 1 << field as u32;
        let protocol = self.protocol.unwrap_or(Protocol::TCP);
        let key = || values::number("key", text);
        match field {
            F::SourcePort => self.ports.0 = Some(values::port(text)?),
            F::DestinationPort => self.ports.1 = Some(values::port(text)?),
            F::ReplySourcePort => self.reply_ports.0 = Some(values::port(text)?),
            F::ReplyDestinationPort => self.reply_ports.1 = Some(values::port(text)?),
            F::MaskSourcePort => self.mask_ports.0 = Some(values::port(text)?),
            F::MaskDestinationPort => self.mask_ports.1 = Some(values::port(text)?),
            F::TupleSourcePort => self.tuple_ports.0 = Some(values::port(text)?),
            F::TupleDestinationPort => self.tuple_ports.1 = Some(values::port(text)?),
            F::SourceKey => self.ports.0 = Some(key()?),
            F::DestinationKey => self.ports.1 = Some(key()?),
            F::ReplySourceKey => self.reply_ports.0 = Some(key()?),
            F::ReplyDestinationKey => self.reply_ports.1 = Some(key()?),
            F::MaskSourceKey => self.mask_ports.0 = Some(key()?),
            F::MaskDestinationKey => self.mask_ports.1 = Some(key()?),
            F::TupleSourceKey => self.tuple_ports.0 = Some(key()?),
            F::TupleDestinationKey => self.tuple_ports.1 = Some(key()?),
            F::IcmpType | F::Icmpv6Type => self.icmp_type = Some(values::number("type", text)?),
            F::IcmpCode | F::Icmpv6Code => self.icmp_code = Some(values::number("code", text)?),
            F::IcmpId | F::Icmpv6Id => self.icmp_id = Some(values::number("id", text)?),
            F::State => self.state = Some(values::state(protocol, text)?),
            F::OriginalTag => self.original_tag = Some(values::tag(text)?),
            F::ReplyTag => self.reply_tag = Some(values::tag(text)?),
            F::Role => self.role = Some(values::role(text)?),
        }
        Ok(())
    }

    /// Reads an address. A prefix shorter than a host counts as the option `mask`.
    fn network(&mut self, mask: Parameter, text: &str) -> Outcome<(IpAddr, Option<u8>)> {
        let (address, length) = values::network(text)?;
        if length.is_some_and(|length| length < values::width(address)) {
            self.mark_given(mask);
        }
        self.set_family(Family::of(address))?;
        Ok((address, length))
    }

    fn host(&mut self, parameter: Parameter, text: &str) -> Outcome<IpAddr> {
        let address = values::host(parameter.name(), text)?;
        self.set_family(Family::of(address))?;
        Ok(address)
    }

    fn nat(&mut self, text: Option<&str>) -> Outcome<Nat> {
        let Some(text) = text else { return Ok((None, None)) };
        let (address, port) = values::endpoint(text)?;
        self.set_family(Family::of(address))?;
        Ok((Some(address), port))
    }

    /// Sets the family, which all addresses of a command share.
    fn set_family(&mut self, family: Family) -> Outcome {
        match self.family.replace(family) {
            Some(known) if known != family => Err(Failure::usage("mismatched address family")),
            _ => Ok(()),
        }
    }

    const fn mark_given(&mut self, parameter: Parameter) {
        self.parameters |= 1 << parameter as u32;
    }

    /// Looks up label names, now that the file with the names is known.
    fn resolve(&mut self, words: &LabelWords<'_>, default: Option<&LabelMap>) -> Outcome {
        let loads = self.command == Command::Load && words.map.is_some();
        if words.are_none() && !self.has_output(Output::Labels) && !loads {
            return Ok(());
        }
        let opened = words.open(default);
        let none = LabelMap::default();
        let map = opened.as_ref().or(default).unwrap_or(&none);
        self.labels = words.wanted(map)?;
        self.labels_added = words.added(map)?;
        self.labels_deleted = words.deleted(map)?;
        self.label_map = opened;
        Ok(())
    }

    /// Checks that need all options.
    fn finish(self) -> Outcome<Self> {
        use Parameter as P;
        legality::check(&self)?;
        if self.has(P::SecurityMark) {
            warn("ignoring -c: the kernel does not report security marks");
        }
        if self.any_nat.is_some() && (self.source_nat.is_some() || self.destination_nat.is_some()) {
            return Err(Failure::usage("cannot specify `--src-nat' or `--dst-nat' with `--any-nat'"));
        }
        if self.table == Table::Conntrack {
            for (mask, address, names) in
                [(P::MaskSource, P::Source, "src"), (P::MaskDestination, P::Destination, "dst")]
            {
                if self.has(mask) && !self.has(address) {
                    return Err(Failure::usage(format_args!("Can't use --mask-{names} without --{names}")));
                }
            }
        }
        if self.has(P::Zero) && self.is_selective() {
            return Err(Failure::usage("Can't use -z with filtering parameters"));
        }
        if self.labels_added.is_some() && self.labels_deleted.is_some() {
            return Err(Failure::usage("cannot use --label-add and --label-del at the same time"));
        }
        if self.has_output(Output::Save) && self.outputs.iter().any(|output| *output != Output::Save) {
            return Err(Failure::failed("cannot combine save output with any other output type, use -o save only"));
        }
        if self.has_output(Output::Json) && self.has_output(Output::Xml) {
            return Err(Failure::failed("cannot combine json output with xml output"));
        }
        if self.has_output(Output::Json) && !cfg!(feature = "json") {
            return Err(Failure::usage("-o json needs the feature `json`"));
        }
        Ok(self)
    }

    /// Whether an option besides the family selects entries.
    pub fn is_selective(&self) -> bool {
        use Parameter as P;
        let selects = |parameter: &P| {
            !matches!(
                parameter,
                P::Zero
                    | P::Family
                    | P::EventMask
                    | P::NatRange
                    | P::Output
                    | P::SecurityMark
                    | P::BufferSize
                    | P::LabelMap
                    | P::Explain
            )
        };
        self.fields != 0 || P::ALL.iter().filter(|parameter| selects(parameter)).any(|parameter| self.has(*parameter))
    }

    /// Forgets the values that change while a flow lives, if both tuples name the flow already.
    ///
    /// A saved `-D` line has the values of the moment at which it was saved. Its timeout could never match again.
    pub fn forget_passing_values(&mut self) {
        let address = |nat: Option<Nat>| nat.and_then(|(address, _)| address);
        let answers_from = self.reply_source.or(address(self.destination_nat));
        let answers_to = self.reply_destination.or(address(self.source_nat));
        let has_original = self.source.is_some() && self.destination.is_some();
        if has_original && answers_from.is_some() && answers_to.is_some() {
            (self.timeout, self.status, self.state) = (None, None, None);
            (self.original_tag, self.reply_tag, self.role) = (None, None, None);
        }
    }

    /// The source network of the original direction.
    pub fn source_network(&self) -> Outcome<Option<Prefix>> {
        network(self.source, self.mask_source)
    }

    /// The destination network of the original direction.
    pub fn destination_network(&self) -> Outcome<Option<Prefix>> {
        network(self.destination, self.mask_destination)
    }

    /// The state, with the tags of SCTP or the role of DCCP.
    pub fn protocol_info(&self) -> Option<ProtocolInfo> {
        Some(match self.state? {
            ProtocolInfo::Sctp(SctpInfo { state: Some(state), .. }) => {
                SctpInfo::new(state, self.original_tag.unwrap_or(0), self.reply_tag.unwrap_or(0)).into()
            }
            ProtocolInfo::Dccp(DccpInfo { state: Some(state), .. }) => {
                DccpInfo::new(state, self.role.unwrap_or(DccpRole::CLIENT), 0).into()
            }
            other => other,
        })
    }
}

fn network(address: Option<(IpAddr, Option<u8>)>, mask: Option<IpAddr>) -> Outcome<Option<Prefix>> {
    Ok(match (address, mask) {
        (None, _) => None,
        (Some((address, _)), Some(mask)) => Some(values::masked(address, mask)?),
        (Some((address, Some(length))), None) => Some(Prefix::new(address, length).map_err(Failure::usage)?),
        (Some((address, None)), None) => Some(address.into()),
    })
}

/// The mask of an expected address: the given mask, the prefix length, or a host mask.
pub fn expectation_mask((address, length): (IpAddr, Option<u8>), mask: Option<IpAddr>) -> IpAddr {
    mask.unwrap_or_else(|| values::mask(address, length.unwrap_or(u8::MAX)))
}

pub fn warn(message: impl Display) {
    complain(format_args!("WARNING: {message}"));
}
